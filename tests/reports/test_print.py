"""Pages on A4: light, nothing wider than the paper, no figure or row cut in two, and nothing that
only a mouse can use.
"""

from __future__ import annotations

import re

import pytest

from tests.reports.visit import Visit

PAPER_PX = (210 - 30) * 96 / 25.4, (297 - 30) * 96 / 25.4
"""Width and height of an A4 page inside its margins."""
KEPT = "figure.short, .panel, .picture-row, .statement, .findings li, .facts > div, tr"


@pytest.fixture(scope="module")
def printed(visit: Visit) -> Visit:
    """The page as wide as the paper, in a dark theme, its style sheet that for print."""
    visit.look(width=round(PAPER_PX[0]), scheme="dark", media="print")
    visit.ask("() => dispatchEvent(new Event('beforeprint'))")
    return visit


def test_paper_is_white_and_holds_no_controls(printed: Visit) -> None:
    assert printed.ask("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for name in ("nav", ".skip", ".download", "summary:not(.fold > summary, .statement > summary)", ".data"):
        assert not printed.page.locator(f"{name} >> visible=true").count(), name


def test_checks_are_printed_and_folded_again_afterwards(printed: Visit) -> None:
    closed = "() => document.querySelectorAll('details:not(.data):not([open])').length"
    assert printed.ask(closed) == 0
    printed.ask("() => dispatchEvent(new Event('afterprint'))")
    assert printed.ask(closed) == printed.page.locator("details:not(.data)").count()
    printed.ask("() => dispatchEvent(new Event('beforeprint'))")


def test_no_figure_row_or_claim_is_cut_and_none_is_higher_than_a_page(printed: Visit) -> None:
    found = printed.ask(f"""() => [...document.querySelectorAll("{KEPT}")].filter((item) => item.checkVisibility())
      .map((item) => [getComputedStyle(item).breakInside, item.getBoundingClientRect().height, item.className || item.tagName])""")
    assert len(found) > 20
    assert {rule for rule, _, _ in found} == {"avoid"}
    assert [(height, name) for _, height, name in found if height > PAPER_PX[1] and "short" not in name.split()] == []


def test_nothing_is_wider_than_the_paper(printed: Visit) -> None:
    assert printed.beyond_the_edge() == []
    wide = "() => [...document.querySelectorAll('table, pre')].filter((item) => item.getBoundingClientRect().right > innerWidth + 1).length"
    assert printed.ask(wide) == 0


def test_it_prints_to_a_pdf_of_a_reasonable_length(printed: Visit) -> None:
    pages = len(re.findall(rb"/Type\s*/Page\b", printed.page.pdf(prefer_css_page_size=True)))
    assert 3 < pages < 60
