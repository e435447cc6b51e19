"""Pages for those who do not see them, see them otherwise, or have no mouse: axe-core's rules, and
every stop of the Tab key.
"""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from reports.theme import GREY, PALETTE, RAMP, SCRATCH
from tests.reports.visit import Visit

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# The fourth row of a table is made like the third; and what is drawn in a chart is hidden from
# screen readers, behind the chart's text.
FEWER = ".chart svg, tr:nth-child(n+4)"
FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (item) => {
    const own = getComputedStyle(item).backgroundColor;
    return numbers(own)[3] === 0 ? behind(item.parentElement) : own;
  };
  const words = (item) => [...item.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const all = [...document.querySelectorAll("body *:not(script, noscript, .chart *)")];
  return all.filter((item) => words(item) && item.checkVisibility()).filter((item) => {
    const ink = light(getComputedStyle(item).color), page = light(behind(item));
    return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05) < 4.5;
  }).map((item) => `${item.tagName}.${item.className}: ${item.textContent.slice(0, 40)}`);
}"""
INTERACTIVE = (
    """() => [...document.querySelectorAll("a[href], summary, button, input:checked, [tabindex]")].filter((item) => item.checkVisibility()).length"""
)
FOCUSED = """() => {
  const item = document.activeElement;
  if (item === document.body) return null;
  if (item.dataset.place === undefined) item.dataset.place = document.querySelectorAll("[data-place]").length;
  const style = getComputedStyle(item), box = item.getBoundingClientRect();
  const outline = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
  return {place: item.dataset.place, outline, seen: box.top < innerHeight && box.bottom > 0};
}"""


def violations(visit: Visit, exclude: str, options: str) -> list[str]:
    """What axe calls serious or critical: the rule, how often, and the first place."""
    visit.ask(f"() => {{ if (!window.axe) {{ {AXE} }} }}")
    found: dict[str, Any] = visit.ask(f"() => axe.run({{exclude: {exclude.split(', ')!r}}}, {{resultTypes: ['violations'], {options}}})")
    return [
        f"{one['id']} ({one['impact']}), {len(one['nodes'])} times, such as {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module")
def opened(visit: Visit) -> Visit:
    """The page with nothing folded away."""
    visit.ask("() => document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    return visit


@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_no_serious_violation(opened: Visit, width: int) -> None:
    opened.look(width=width)
    assert violations(opened, FEWER, "rules: {'color-contrast': {enabled: false}}") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_what_is_behind_it_in_both_themes(opened: Visit, scheme: str) -> None:
    """axe's own rule for contrast takes a minute a page, since it looks at what lies over what;
    nothing does here.
    """
    opened.look(width=1440, scheme="dark" if scheme == "dark" else "light")
    assert opened.ask(FAINT) == []


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", ["#fdfdfc", "#14171b"])
def test_the_first_four_colours_and_the_grey_stand_out_in_both_themes(page: str) -> None:
    for colour in (*PALETTE[:4], GREY):
        high, low = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3


def test_every_step_of_the_one_hue_stands_out_in_both_themes_and_they_are_in_order() -> None:
    style = files("reports").joinpath("templates", "report.css").read_text(encoding="utf-8")
    light, dark = style.split("prefers-color-scheme: dark", 1)
    steps = [[re.search(rf"--s{place}: (#[0-9a-f]{{6}})", text)[1] for place in range(7)] for text in (light, dark)]  # type: ignore[index]
    assert steps[0] == [SCRATCH, *RAMP]
    for page, colours in zip(("#fdfdfc", "#14171b"), steps, strict=True):
        for colour in colours:
            high, low = sorted((luminance(colour), luminance(page)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3
    shades = [[luminance(colour) for colour in colours[1:]] for colours in steps]
    assert shades[0] == sorted(shades[0], reverse=True)
    assert shades[1] == sorted(shades[1])


def test_outline_language_and_landmarks(visit: Visit) -> None:
    assert visit.ask("() => document.documentElement.lang") == "en"
    assert visit.page.title()
    levels = visit.ask("() => [...document.querySelectorAll('h1, h2, h3, h4')].map((item) => Number(item.tagName[1]))")
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(visit.page.locator(name).count() == 1 for name in ("header", "main", "nav"))
    assert visit.page.locator("figure > figcaption:first-child").count() == visit.page.locator("figure").count()


def test_a_chart_is_one_image_with_a_text_and_its_marks_are_not_read_out(visit: Visit) -> None:
    charts = visit.page.locator(".chart")
    assert visit.page.locator(".chart[role=img][aria-label] svg[aria-hidden=true]").count() == charts.count() > 0


def test_tab_reaches_everything_in_sight_and_shows_where_it_is(visit: Visit) -> None:
    visit.look(width=1440)
    visit.ask("() => { document.querySelectorAll('details').forEach((item) => { item.open = false; }); document.activeElement.blur(); }")
    wanted = visit.ask(INTERACTIVE)
    stops: dict[str, Any] = {}
    for _ in range(wanted + 1):
        visit.page.keyboard.press("Tab")
        stop = visit.ask(FOCUSED)
        if stop is None:
            break
        stops[stop["place"]] = stop
    assert len(stops) == wanted
    assert [stop for stop in stops.values() if stop["outline"] < 2 or not stop["seen"]] == []


def test_the_keyboard_opens_what_is_folded_and_scrolls_a_wide_table(visit: Visit) -> None:
    visit.look(width=390)
    visit.ask("() => document.querySelectorAll('details').forEach((item) => { item.open = false; })")
    folded = visit.page.locator("details > summary:visible").first
    folded.focus()
    visit.page.keyboard.press("Enter")
    assert folded.evaluate("(summary) => summary.parentElement.open")
    visit.ask("() => document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    seen = "item.checkVisibility({contentVisibilityAuto: true}) && item.clientWidth"
    wide = f"[...document.querySelectorAll('.scroll')].find((item) => {seen} && item.scrollWidth > item.clientWidth + 40)"
    visit.ask(f"() => {wide}.focus()")
    for _ in range(3):
        visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_function(f"() => {wide}.scrollLeft > 0")


def test_the_first_stop_skips_to_the_findings(visit: Visit) -> None:
    visit.page.locator(".skip").focus()
    assert visit.page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
    visit.page.keyboard.press("Enter")
    assert visit.page.url.endswith("#findings")
