"""Whether this is `make soak`: what `make test` plays in part is then played as a whole."""

import os
from typing import Final

SOAK: Final = os.environ.get("SOAK") == "1"
