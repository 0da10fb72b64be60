"""A page that is made here and only read."""

from html import escape
from typing import Final

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="document">
<header><a href="/">Console</a></header>
<main>
{body}
</main>
</body>
</html>
"""


def document(title: str, body: str) -> str:
    """The page. `body` is HTML."""
    return _PAGE.format(title=escape(title), body=body)
