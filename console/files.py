"""The files of the page, and the only ones of others that it uses."""

import html
from pathlib import Path
from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join
from werkzeug.wrappers import Response

from operations.shared.repository import ROOT

PAGE: Final = ROOT / "console" / "page"

_PACKAGES: Final = ROOT / "node_modules"
_ELSEWHERE: Final = {
    "vendor/uPlot.esm.js": _PACKAGES / "uplot" / "dist" / "uPlot.esm.js",
    "vendor/uPlot.min.css": _PACKAGES / "uplot" / "dist" / "uPlot.min.css",
}
"""Files that are not in the folder of the page."""

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""The kinds of files that are served."""

TOKEN_PLACE: Final = '<meta name="console-token" content="">'  # noqa: S105 - its place
"""Where index.html gets the token that changes need."""


def index(token: str) -> str:
    """`index.html` with the token in its place."""
    page = (PAGE / "index.html").read_text()
    if TOKEN_PLACE not in page:
        raise ValueError(f"console/page/index.html must contain {TOKEN_PLACE}")
    return page.replace(TOKEN_PLACE, TOKEN_PLACE.replace('""', f'"{html.escape(token)}"'))


def static_file(path: str) -> Response:
    """A file by the path of its URL. Raises `NotFound`."""
    file = _ELSEWHERE.get(path)
    if file is None:
        joined = safe_join(str(PAGE), path)
        if joined is None or path == "index.html":
            raise NotFound(f"there is no page /{path}")
        file = Path(joined)
    kind = _TYPES.get(file.suffix)
    # A link could lead out of the folder.
    if kind is None or not file.is_file() or file.is_symlink():
        raise NotFound(f"there is no page /{path}")
    return Response(file.read_bytes(), content_type=f"{kind}; charset=utf-8")
