"""The CDK application: what is deployed, and how it is watched."""

import os

# Otherwise, on Node 20, the CDK buries every message under warnings of the end of life of Node.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
