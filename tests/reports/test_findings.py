"""Findings on the page: verdicts in words, every number the Finding's own, hostile text escaped,
and what is chosen for the top.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.claims.finding import Estimate, Finding, Findings, Verdict
from analysis.significance.checks import Check
from reports import build_report
from reports.findings import Answer, ask, card_of, formatted_estimate, ranked, topics_of
from reports.first_screen.screen import with_findings
from reports.page import NAMES, Screen
from reports.readable import visible
from reports.registry import compose_section
from reports.sections.claims import MOST_DRAWN
from reports.theme import specification
from reports.wording import sentence
from tests.reports.page_reader import Reader

HOSTILE = "</script><img src=x onerror=alert(1)> \"always\" & 'never' \u202eevil 🦆"
ROWS = pd.DataFrame(
    {
        "label": ["250 labels", HOSTILE],
        "estimate": [-0.051, 0.02],
        "low": [-0.07, np.nan],
        "high": [-0.03, np.nan],
        "p": [0.001, np.nan],
        "p_holm": [0.002, np.nan],
        "p_bh": [0.002, np.nan],
        "n": "3 pairs",
        "note": "",
    }
)
NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def finding(identity: str, verdict: Verdict, topic: str, *, claim: str = "It helps.", rows: pd.DataFrame | None = None) -> Finding:
    return Finding(
        identity=identity,
        topic=topic,
        claim=claim,
        source="Bridge, Sun et al." if verdict == "refuted" else "",
        verdict=verdict,
        sentence=f"{identity} changes mIoU by -0.0227 (95% interval -0.0312 to -0.0149, p < 0.001, 18 cells)",
        estimate=Estimate(what="mean difference in mIoU", value=-0.0227, low=-0.0312, high=-0.0149, level=0.95, unit="mIoU"),
        p=0.00031,
        p_adjusted=0.0124,
        n="18 cells, 5 seeds",
        reading="spread read as SD",
        checks=(
            Check(name="normality", sentence="differences look normal (Shapiro-Wilk p = 0.41)", passed=True),
            Check(name="influence", sentence="without seed 4 the sign turns", passed=False),
            Check(name="balance", sentence="7 groups are too few to tell", passed=None),
        ),
        rows=pd.DataFrame() if rows is None else rows,
    )


FOUND = Findings(
    study="synthetic",
    outcome="miou",
    statements=(
        finding("first", "supported", "Pre-training", rows=ROWS),
        finding("second", "refuted", "The intermediate stage", claim=HOSTILE),
        finding("third", "open", "Loss & score"),
    ),
    unanswered=((f"Does more data help? {HOSTILE}", "one length only; run a second one"),),
    notes=("level is 95%.",),
)


@pytest.fixture(scope="module")
def page(full_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("analysis.findings", lambda runs: FOUND, raising=False)
        return Reader(build_report(full_study, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8"))


def test_every_claim_stands_with_its_verdict_in_words_its_sentence_and_its_checks(page: Reader) -> None:
    claims = page.text_of("claims")
    for one in FOUND:
        said = f" {NAMES[one.verdict]}" if one.verdict != "refuted" else ""
        assert f"{visible(card_of(one).headline)}{said}" in claims
        assert f"The claim: {visible(sentence(one.claim))}" in claims
        assert sentence(one.sentence) in claims
        for check in one.checks:
            assert sentence(check.sentence) in claims
    for description in (
        "✓ passed",
        "✗ failed",
        "? not known",
        "Source of the claim: Bridge, Sun et al.",
        "18 cells, 5 seeds",
        "spread read as SD",
        "One length only",
    ):
        assert description in claims
    assert "3 claims were tested: 1 supported, 1 refuted, 1 open." in claims


def test_a_verdict_is_told_by_words_and_shape_not_by_colour_alone(page: Reader) -> None:
    assert all(f"{name} 1" in page.text_of("findings") for name in ("supported", "refuted", "cannot be told"))
    assert all(f"{name}: " in page.text_of("findings") for name in ("supported", "Refuted", "cannot be told"))


def test_beside_the_mark_of_a_refuted_claim_stands_the_claim() -> None:
    """A cross beside what the data show would say that the data do not show it."""
    refuted = replace(finding("second", "refuted", "B", claim="It helps."), detail="Down in 2 of 2 cells")
    card = card_of(refuted)
    assert card.headline == "Refuted: It helps."
    assert card.detail == sentence(f"{refuted.headline}. Down in 2 of 2 cells")
    assert card_of(replace(refuted, detail="")).detail == sentence(refuted.headline)  # which has the numbers


def test_every_number_among_the_findings_is_one_of_the_finding(page: Reader) -> None:
    given = " ".join(
        text
        for one in FOUND
        for text in (
            sentence(one.sentence),
            one.claim,
            card_of(one).headline,
            card_of(one).detail,
            one.n,
            one.reading,
            *(check.sentence for check in one.checks),
            formatted_estimate(one.estimate),
        )
        if one.estimate
    )
    given += " ".join(text for pair in FOUND.unanswered for text in pair)
    allowed = set(NUMBER.findall(visible(given)))
    allowed |= {"95", "5"}  # the level in the notes, and the level of the tests
    allowed |= {"3", "1"}  # how many claims, by verdict, and how many checks
    allowed |= {"0.001", "0.012"}  # p and the adjusted p, as words: < 0.001 and 0.012
    prose = page.text_of("claims").partition("Findings; the CSV has every column")[0]
    assert set(NUMBER.findall(prose)) <= allowed


def test_text_in_claims_cannot_break_out_of_the_page(page: Reader) -> None:
    assert page.count("script") == 3
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert visible(HOSTILE) in page.text_of("claims")
    assert page.count("h1") == 1


def test_the_tests_are_drawn_and_described(page: Reader) -> None:
    texts = [attributes["aria-label"] or "" for _, attributes in page.tags if attributes.get("role") == "img"]
    assert any("1 of 2 have p < 0.05; estimates from −0.051 (250 labels) to +0.020" in text for text in texts)
    assert "1 of 1 tests survive Holm's correction" in page.text_of("tests")
    assert "1 estimate has no test." in page.text_of("tests")


def test_the_table_of_findings_can_be_downloaded(page: Reader) -> None:
    assert {"findings.csv", "tests.csv"} <= set(page.attributes("download")) | set(page.attributes("data-name"))


def test_the_top_has_the_decided_findings_of_each_topic_first_then_open_ones() -> None:
    verdicts: list[tuple[str, Verdict, str]] = [
        ("a1", "open", "A"), ("a2", "refuted", "A"), ("a3", "supported", "A"), ("b1", "open", "B"), ("c1", "supported", "C")
    ]  # fmt: skip
    found = replace(FOUND, statements=tuple(finding(*one) for one in verdicts))
    assert [one.identity for one in ranked(found)] == ["a2", "c1", "b1", "a3", "a1"]
    single = replace(FOUND, statements=tuple(finding(*one) for one in verdicts[:3]))
    assert [one.identity for one in ranked(single)] == ["a2", "a3", "a1"]
    many = replace(FOUND, statements=tuple(finding(str(number), "supported", str(number)) for number in range(8)))
    assert len(ranked(many)) == 5


def test_what_is_decided_about_the_loss_comes_before_open_claims_about_the_score() -> None:
    correlation = Estimate(what="r", value=0.75, low=0.54, high=0.87, level=0.95)
    loss = replace(finding("loss", "supported", "Loss"), estimate=replace(correlation, value=-0.94, low=-0.96, high=-0.9))
    surprise = replace(finding("surprise", "refuted", "Loss"), estimate=correlation)
    found = replace(FOUND, statements=(finding("open", "open", "Score"), loss, surprise, finding("decided", "supported", "Score")))
    assert [one.identity for one in ranked(found)] == ["decided", "surprise", "loss", "open"]


def test_open_claims_without_an_interval_come_last_and_only_fill_an_empty_screen() -> None:
    nothing = [replace(finding(name, "open", name), estimate=None) for name in ("x", "y")]
    found = replace(FOUND, statements=(*nothing, finding("open", "open", "Z")))
    assert [one.identity for one in ranked(found)] == ["open", "x", "y"]
    screen = Screen(about="")
    assert len(with_findings(screen, None, found).verdicts) == 1
    assert len(with_findings(screen, None, replace(found, statements=tuple(nothing))).verdicts) == 2


def test_findings_stand_under_their_topic_in_order() -> None:
    found = replace(FOUND, statements=tuple(finding(name, "open", topic) for name, topic in (("1", "A"), ("2", "B"), ("3", "A"))))
    assert [(topic.heading, len(topic.statements)) for topic in topics_of(found)] == [("A", 2), ("B", 1)]


def test_an_estimate_says_that_it_has_no_interval_or_is_not_known() -> None:
    estimate = Estimate(what="r", value=-0.5, low=np.nan, high=np.nan, level=0.95)
    assert formatted_estimate(estimate) == "−0.500 (no interval)"
    assert formatted_estimate(replace(estimate, low=-0.6, high=-0.4)) == "−0.50 (95% interval −0.60 to −0.40)"
    assert formatted_estimate(replace(estimate, value=np.nan)) == "not known"


def test_where_nothing_can_be_tested_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(runs: pd.DataFrame) -> Findings:
        raise AnalysisError("no two runs differ in one stage alone: run a second seed.")

    monkeypatch.setattr("analysis.findings", refuse, raising=False)
    asked = ask(pd.DataFrame())
    assert asked.findings is None
    assert compose_section("claims", asked).paragraphs == ("No claim could be tested: no two runs differ in one stage alone: run a second seed.",)
    assert compose_section("tests", asked) is None
    monkeypatch.setattr("analysis.findings", lambda runs: replace(FOUND, statements=(), unanswered=()), raising=False)
    assert ask(pd.DataFrame()).reason == "No claim could be tested: no two finished runs can be compared."


def test_a_panel_of_many_tests_draws_some_of_them_spread_over_the_cells_and_says_so() -> None:
    many = pd.concat([ROWS.head(1).assign(label=f"cell {place}") for place in range(500)], ignore_index=True)
    asked = Answer(
        findings=Findings(study="many", outcome="miou", statements=(finding("hurts", "open", "Topic", rows=many),), unanswered=()), reason=""
    )
    section = compose_section("tests", asked)
    assert section is not None
    (figure,) = section.figures
    (spec,) = (specification(panel.chart) for panel in figure.panels)
    labels = {row["label"] for rows in spec["datasets"].values() for row in rows if "label" in row}
    assert len(labels) == MOST_DRAWN
    assert {"cell 0", "cell 499"} <= labels
    assert f"{MOST_DRAWN} evenly spread over the cells are drawn" in figure.subtitle
