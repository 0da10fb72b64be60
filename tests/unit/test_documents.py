"""The documents lead to each other: every link works, and each document can be reached."""

import re
from pathlib import Path

import pytest

from infra.names import anchor

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(document: Path) -> list[str]:
    """Where the links and images of a document lead, without those to other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", _without_code(document.read_text()))
    return [each for each in found if not re.match(r"https?:", each)]


def anchors(document: Path) -> set[str]:
    """The anchors that the headings of a document have on GitHub."""
    headings = re.findall(r"^#+ (.+)$", _without_code(document.read_text()), flags=re.MULTILINE)
    return {anchor(heading) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        path, _, section = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), f"{link}: there is no such file"
        if section:
            assert section in anchors(target), f"{link}: there is no such heading"


def test_every_document_can_be_reached_from_the_readme() -> None:
    named = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    unnamed = {each.name for each in DOCUMENTS if each != README and each not in named}
    assert unnamed == set(), "name it in the README"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_document_opens_with_what_it_is_for(document: Path) -> None:
    title, blank, opening, *_ = document.read_text().splitlines()
    assert title.startswith("# ")
    assert blank == ""
    assert re.match(r"[A-Z]", opening), f"{opening!r} is no sentence"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_this_repository_that_is_named_exists(document: Path) -> None:
    folders = "|".join(
        sorted(each.name for each in ROOT.iterdir() if (each / "__init__.py").exists())
    )
    named = re.findall(rf"`((?:{folders}|infra|docs)/[\w/.-]+\.\w+)`", document.read_text())
    assert [each for each in named if not (ROOT / each).exists()] == []
