"""The findings: every claim with its verdict, and every test behind them as forest plots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.formatting import percent
from reports.charts.forest import ALPHA, MOST_OPEN, forest
from reports.findings import Answer, topics_of, verdict_counts
from reports.page import Figure, Panel, Section, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.theme import count, padded_domain, signed
from reports.wording import sentence

MEANINGS = {
    "p": "two-sided, before correction",
    "p_adjusted": "corrected over the findings of this table",
    "p_holm": "after Holm over the tests of its finding",
    "p_bh": "after Benjamini and Hochberg over the tests of its finding",
    "reading": "what had to be assumed about the data",
}

MOST_DRAWN = 60
"""Rows of one panel of the forest plot."""


def with_findings(answer: Answer, section: Section) -> Section:
    """The section with all findings by topic, what cannot be answered, and the table of findings."""
    findings = answer.findings
    if findings is None:
        return replace(section, paragraphs=(answer.reason,))
    paragraphs: list[str] = []
    if len(findings):
        paragraphs.append(
            f"Supported or refuted: decided at {percent(ALPHA)} after correction over all findings, or by the interval where there is no test. "
            "Refuted: the opposite is shown. Negligible: shown to lie within the margin. "
            "Open: the data cannot tell, which is no evidence for the opposite."
        )
    paragraphs += [sentence(note) for note in findings.notes if note not in answer.shown_elsewhere]
    frame = findings.to_frame()
    shown = ["claim", "verdict", "estimate", "low", "high", "unit", "p", "p_adjusted"]
    tables = []
    if len(frame):
        tables.append(make_table(frame, caption="Findings; the CSV has every column", file_name="findings.csv", shown=shown, meanings=MEANINGS))
    return replace(
        section,
        summary=verdict_counts(findings),
        paragraphs=tuple(paragraphs),
        topics=topics_of(findings),
        questions=tuple((question, sentence(reason)) for question, reason in findings.unanswered),
        tables=tuple(tables) if len(findings) else (),
    )


def every_test(answer: Answer) -> Figure | str:
    """A forest plot for each finding that rests on several tests, where one does."""
    findings = answer.findings
    tests = all_tests(answer)
    drawn = [part for part in _parts(tests) if np.isfinite(part["estimate"].to_numpy(dtype=float)).any()]
    if findings is None or not drawn:
        return ""
    # One axis for both readings of a finding; never one for two findings, whose units may differ.
    panels, cut = [], False
    for number, part in enumerate(drawn):
        finding = findings[str(part["finding"].iloc[0])]
        whole = tests.loc[tests["finding"] == finding.identity]
        unit = finding.estimate.unit if finding.estimate else ""
        # Evenly spread over the cells, not chosen by their outcome: a panel of a thousand rows is
        # no figure. The table below has all.
        shown = part.iloc[np.unique(np.linspace(0, len(part) - 1, min(len(part), MOST_DRAWN)).round().astype(int))]
        cut = cut or len(shown) < len(part)
        chart = forest(shown, x_title=unit or "estimate", x_domain=padded_domain(whole["estimate"], whole["low"], whole["high"], [0.0]))
        reading = str(part["reading"].iloc[0])
        heading = f"{sentence(finding.claim).rstrip('.')} ({reading})" if reading else sentence(finding.claim)
        text = f"{heading.rstrip('.')}: {_described(part)}"
        many = len(shown) > MOST_OPEN
        panels.append(Panel(identity=f"tests-{number}", chart=chart, alternative=text, heading=heading, choice=reading, folded=many))
    lead, *rest = _counts(tests)
    return Figure(
        claim=lead,
        subtitle="One row is one test. Filled circles survive Holm's correction over the tests of their panel, hollow ones do not; diamonds "
        "stand alone and were not corrected; crosses have no test. Bars: intervals of each test alone, not corrected. Each finding has an "
        "axis of its own." + (f" Of panels of more than {MOST_DRAWN} tests, {MOST_DRAWN} evenly spread over the cells are drawn." if cut else ""),
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(sentence(one) for one in rest),
        tables=(make_table(tests, caption="Tests", file_name="tests.csv", meanings=MEANINGS),),
    )


def all_tests(answer: Answer) -> pd.DataFrame:
    """`Findings.tests()`, with '' where a test has no reading."""
    if answer.findings is None:
        return pd.DataFrame()
    tests = answer.findings.tests()
    return tests.assign(reading=tests["reading"].astype("object").fillna(""))


def _parts(tests: pd.DataFrame) -> Iterator[pd.DataFrame]:
    if len(tests):
        for _, part in tests.groupby(["finding", "reading"], sort=False, dropna=False):
            yield part


def _counts(tests: pd.DataFrame) -> list[str]:
    """How many tests survive their correction, how many others are below 5%, and how many estimates
    have no test; a phrase each.
    """
    tested = tests["p_holm"].astype(float).dropna()
    survive = int((tested < ALPHA).sum())
    alone = tests.loc[tests["p_holm"].isna(), "p"].astype(float).dropna()
    phrases = [f"{count(survive)} of {count(len(tested))} tests survive Holm's correction"] if len(tested) else []
    if len(alone):
        phrases.append(f"{count((alone < ALPHA).sum())} of {count(len(alone))} that were not corrected have p < {ALPHA:g}")
    without = len(tests) - len(tested) - len(alone)
    if without:
        phrases.append(f"{count(without)} {'estimate has' if without == 1 else 'estimates have'} no test")
    return phrases


def _described(part: pd.DataFrame) -> str:
    """Describes a panel: how many tests are significant, and the range of the estimates."""
    decisive = part["p_holm"].astype(float).fillna(part["p"].astype(float))
    finite = part.loc[np.isfinite(part["estimate"].to_numpy(dtype=float))].sort_values("estimate")
    low, high = finite.iloc[0], finite.iloc[-1]
    text = f"{int((decisive < ALPHA).sum())} of {len(part)} have p < {ALPHA:g}"
    ends = [f"{signed(row['estimate'])} ({row['label']})" for row in (low, high)]
    return f"{text}; estimates from {ends[0]} to {ends[1]}." if len(finite) > 1 else f"{text}; the estimate is {ends[0]}."


register(SectionKind(name="claims", heading="All claims", place=200, folded=True, subject=Answer, finish=with_findings))
register(SectionKind(name="tests", heading="Every test behind the findings", place=210, folded=True, subject=Answer, optional=True))
register(
    FigureKind(
        name="tests",
        section="tests",
        place=10,
        subject=Answer,
        title="Every test behind the findings",
        draws="a forest plot of the tests of each finding",
        build=every_test,
    )
)
