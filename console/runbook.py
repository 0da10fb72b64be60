"""The runbook as a page: docs/runbook.md in HTML."""

from functools import cache
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from console.document import document
from infra.names import anchor
from operations.shared.repository import ROOT

_FILE: Final = ROOT / "docs" / "runbook.md"


@cache
def runbook_page() -> str:
    """The page. Links that lead out of the runbook are text, unless they are absolute."""
    # This preset escapes HTML in the document.
    markdown = MarkdownIt("js-default")
    tokens = markdown.parse(_FILE.read_text())
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(content.content))
    for token in tokens:
        _keep_links_inside(token.children or [])
    return document("Runbook", markdown.renderer.render(tokens, markdown.options, {}))


def _keep_links_inside(tokens: list[Token]) -> None:
    leads_out = False
    for token in tokens:
        if token.type == "link_open":
            target = str(token.attrGet("href"))
            leads_out = not target.startswith(("#", "https://"))
            if target.startswith("https://"):
                token.attrSet("rel", "noreferrer")
        if token.type in ("link_open", "link_close") and leads_out:
            token.tag, token.attrs = "span", {}
