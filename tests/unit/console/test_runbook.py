"""The runbook as a page."""

import re

from console.runbook import runbook_page
from tests.runbook import alarm_sections
from tests.unit.console.builders import Browser


def test_every_alarm_leads_to_its_section(browser: Browser) -> None:
    page = browser.get("/runbook").text
    assert alarm_sections()
    for heading in alarm_sections():
        slug = heading.lower().replace(" ", "-")
        assert re.search(rf'<h2 id="{slug}">(<.+?>)*{heading}', page), heading


def test_its_links_lead_to_its_sections_or_away() -> None:
    page = runbook_page()
    anchors = set(re.findall(r'<h\d id="([^"]+)"', page))
    links = re.findall(r'<a href="([^"]+)"', page)
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert [link for link in links if not re.match(r"#|https://|/$", link)] == []


def test_it_runs_and_styles_nothing_itself() -> None:
    page = runbook_page()
    assert not re.search(r"<script|<style|style=|onclick|javascript:", page)
    assert "&lt;" in page
