"""Pages in a browser: they ask for nothing, complain of nothing, draw everything, and fit a phone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser

from tests.reports.visit import Visit

MARKS = """() => Object.fromEntries([...document.querySelectorAll(".chart")].map((place) => [place.id,
  place.querySelectorAll(".role-mark path[d]:not([d='']), .role-mark line, .role-mark rect, .role-mark text").length]))"""
BROKEN = """() => [...document.querySelectorAll(".chart svg *")].filter((item) => [...item.attributes].some(
  (one) => /NaN|Infinity|undefined/.test(one.value))).map((item) => `${item.closest(".chart").id}: ${item.outerHTML.slice(0, 80)}`)"""
SMALL = """() => [...document.querySelectorAll("body *")].filter((item) => {
  const own = [...item.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !item.getClientRects().length || item.closest("script, style, noscript")) return false;
  const drawn = item.closest(".chart svg");
  const scale = drawn ? drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width : 1;
  return parseFloat(getComputedStyle(item).fontSize) * scale < (drawn ? 9 : 11);
}).map((item) => `${item.closest("[id]")?.id}: ${item.textContent.slice(0, 40)}`)"""
# The ink of axes, legends and titles against the page; marks are PALETTE, which is tested for
# itself.
FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const page = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll(".chart svg text")].filter((item) => item.textContent.trim() && !item.closest(".role-mark")).filter((item) => {
    const ink = light(getComputedStyle(item).fill);
    return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05) < 4.5;
  }).map((item) => `${item.closest(".chart").id}: ${item.textContent}`);
}"""


def test_every_chart_drew_marks_and_none_of_them_is_broken(visit: Visit) -> None:
    marks = visit.ask(MARKS)
    assert len(marks) >= 8
    assert [name for name, number in marks.items() if not number] == []
    assert visit.ask(BROKEN) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_reaches_over_the_edge_of_the_page_or_is_too_small_to_read(visit: Visit, width: int) -> None:
    visit.look(width=width)
    visit.ask("() => document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    assert visit.ask("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert visit.beyond_the_edge() == []
    assert visit.ask(SMALL) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_of_a_chart_stand_out_in_both_themes(visit: Visit, scheme: str) -> None:
    visit.look(width=1440, scheme="dark" if scheme == "dark" else "light")
    assert visit.ask("() => getComputedStyle(document.body).backgroundColor") == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(253, 253, 252)")
    assert visit.ask(FAINT) == []


def test_a_packed_table_is_downloaded_as_csv(report_page: Path, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(report_page.as_uri())
    name = page.evaluate("document.querySelector('button[data-packed]').dataset.name")
    with page.expect_download() as caught:
        page.evaluate("document.querySelector('button[data-packed]').click()")
    saved = tmp_path / caught.value.suggested_filename
    caught.value.save_as(saved)
    assert saved.name == name
    assert len(pd.read_csv(saved)) > 5
    page.close()


def test_nothing_was_asked_for_and_nothing_complained(visit: Visit) -> None:
    """Last: so it also speaks of what happened while the tests above turned the page over."""
    assert visit.requests == []
    assert visit.complaints == []
