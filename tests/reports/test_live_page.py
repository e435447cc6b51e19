"""A page in use: legends by keyboard, a reload that keeps the place, names from right to left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from reports.readable import isolated
from reports.report import build_report
from tests.reports.page_reader import Reader
from tests.reports.visit import DRAWN, Visit

OPACITIES = """() => [...document.querySelectorAll("#scores-0 .mark-symbol.role-mark path")]
  .filter((one) => !one.closest(".role-legend")).map((one) => one.getAttribute("opacity") ?? getComputedStyle(one).opacity)"""


def test_a_series_is_brought_forward_by_keyboard_and_let_go_again(full_study: Path, tmp_path: Path, browser: Browser) -> None:
    opened = Visit.to(build_report(full_study, tmp_path / "report.html"), browser)
    page = opened.page
    key = page.locator("#scores-0 + .keys button").first
    key.scroll_into_view_if_needed()
    before = opened.ask(OPACITIES)
    key.focus()
    assert key.is_visible()
    page.keyboard.press("Enter")
    page.wait_for_function(f"(before) => JSON.stringify(({OPACITIES})()) !== JSON.stringify(before)", arg=before)
    assert key.get_attribute("aria-pressed") == "true"
    assert len(set(opened.ask(OPACITIES))) == 2
    page.keyboard.press("Enter")
    page.wait_for_function(f"(before) => JSON.stringify(({OPACITIES})()) === JSON.stringify(before)", arg=before)
    assert key.get_attribute("aria-pressed") == "false"
    assert opened.complaints == []
    page.context.close()


def test_a_page_that_reloads_stays_where_its_reader_was(full_study: Path, tmp_path: Path, browser: Browser) -> None:
    path = build_report(full_study, tmp_path / "report.html", reload_s=6)  # longer than a busy machine takes to draw it
    assert "http-equiv" in path.read_text(encoding="utf-8")
    assert "refresh" not in Reader(path.read_text(encoding="utf-8")).attributes("http-equiv")
    opened = Visit.to(path, browser)
    page = opened.page
    page.evaluate("() => { window.first = true; document.querySelectorAll('details')[1].open = true; scrollTo(0, 2000); }")
    page.wait_for_function("() => window.first === undefined")
    page.wait_for_function(DRAWN)
    page.wait_for_function("() => scrollY === 2000")
    assert page.evaluate("() => document.querySelectorAll('details')[1].open")
    assert opened.complaints == []
    page.context.close()


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<h1>מודל א 12</h1>", "<h1><bdi>מודל א</bdi> 12</h1>"),
        ('<p title="מודל">of نموذج, 0.31</p>', '<p title="מודל">of <bdi>نموذج</bdi>, 0.31</p>'),
        ("<script>const name = 'מודל';</script><p>a</p>", "<script>const name = 'מודל';</script><p>a</p>"),
        ("<p>plain &lt;b&gt;</p>", "<p>plain &lt;b&gt;</p>"),
    ],
)
def test_words_from_right_to_left_are_isolated_in_text_alone(html: str, shown: str) -> None:
    assert isolated(html) == shown


def test_a_study_with_a_hebrew_name_isolates_it(write: Callable[..., Path], tmp_path: Path) -> None:
    text = build_report(write(tmp_path / "מחקר", finetune_sizes=(100, 300), examples=False), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<bdi>מחקר</bdi>" in text
    assert "<title>מחקר</title>" in text
