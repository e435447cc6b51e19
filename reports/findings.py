"""The findings of analysis as they stand on the page: which come first, and how each is worded. No
number is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis import AnalysisError
from analysis.formatting import p_value, with_interval
from reports.page import Statement, Topic
from reports.theme import signed
from reports.wording import sentence

if TYPE_CHECKING:
    from analysis.claims.finding import Estimate, Finding, Findings
    from analysis.published.load import Published

FEWEST_HEADLINES = 3
MOST_HEADLINES = 5
CHECK_LABELS = {True: "passed", False: "failed", None: "not known"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What analysis answered when asked for findings."""

    findings: Findings | None
    """None where there are none at all."""
    reason: str
    """Why not, a sentence; '' where there are findings."""
    shown_elsewhere: tuple[str, ...] = ()
    """Notes of the findings that another part of the page shows."""


def ask(source: pd.DataFrame | Published) -> Answer:
    """The findings of a runs table or of a published one; where analysis has none, its own sentence
    says why.
    """
    from analysis import findings

    try:
        found = findings(source)
    except AnalysisError as error:
        return Answer(findings=None, reason=sentence(f"No claim could be tested: {error}"))
    if not len(found) and not found.unanswered:
        return Answer(findings=None, reason="No claim could be tested: no two finished runs can be compared.")
    return Answer(findings=found, reason="")


def headlines(findings: Findings) -> list[Finding]:
    """Three to five findings for the top of the page, chosen without a look at how large an effect
    is.

    From each topic the first that is decided, in the order of the study. If these are fewer than
    five, the first open one of each topic that has no decided one; if still fewer than three,
    further decided ones and then open ones, in order.
    """
    topics = list(dict.fromkeys(one.topic for one in findings))
    decided = {topic: [one for one in findings if one.topic == topic and one.verdict != "open"] for topic in topics}
    undecided = {topic: [one for one in findings if one.topic == topic and one.verdict == "open"] for topic in topics}
    chosen = [decided[topic][0] for topic in topics if decided[topic]][:MOST_HEADLINES]
    chosen += [undecided[topic][0] for topic in topics if not decided[topic]][: MOST_HEADLINES - len(chosen)]
    rest = [one for group in (decided, undecided) for topic in topics for one in group[topic] if one not in chosen]
    return chosen + rest[: max(0, FEWEST_HEADLINES - len(chosen))]


def headline_of(finding: Finding) -> Statement:
    """A finding for the top of the page: verdict, claim, effect with interval, and sentence."""
    return Statement(
        verdict=finding.verdict,
        claim=sentence(finding.claim),
        source=finding.source,
        sentence=sentence(finding.sentence),
        effect=_effect(finding.estimate) if finding.estimate and np.isfinite(finding.estimate.value) else ("", ""),
    )


def statement_of(finding: Finding) -> Statement:
    """A finding with all that stands behind it."""
    return Statement(
        verdict=finding.verdict,
        claim=sentence(finding.claim),
        source=finding.source,
        sentence=sentence(finding.sentence),
        facts=tuple((term, value) for term, value in _measures(finding) if value),
        checks=tuple((CHECK_LABELS[check.passed], sentence(check.sentence)) for check in finding.checks),
    )


def topics_of(findings: Findings) -> tuple[Topic, ...]:
    """All findings, grouped by topic, in the order in which topics first come up."""
    order = dict.fromkeys(one.topic for one in findings)
    return tuple(Topic(heading=topic, statements=tuple(statement_of(one) for one in findings if one.topic == topic)) for topic in order)


def formatted_estimate(estimate: Estimate) -> str:
    """'+0.031 mIoU (95% interval +0.025 to +0.037)', with the digits that the interval's width
    justifies.
    """
    unit = f" {estimate.unit}" if estimate.unit else ""
    if not np.isfinite(estimate.value):
        return "not known"
    if np.isnan(estimate.low) or np.isnan(estimate.high):
        return f"{signed(estimate.value)}{unit} (no interval)"
    value, inside = with_interval(estimate.value, estimate.low, estimate.high, level=estimate.level).split(" ", 1)
    # of numbers alone: the hyphen of 'top-1 accuracy' is none
    return f"{value.replace('-', '−')}{unit} {inside.replace('-', '−')}"


def _effect(estimate: Estimate) -> tuple[str, str]:
    """('+0.031 mIoU', '95% interval +0.025 to +0.037: mean difference in mIoU'), the words of
    `formatted_estimate` in two parts.
    """
    value, interval = formatted_estimate(estimate).split(" (", 1)
    return value, f"{interval.removesuffix(')')}: {estimate.what}"


def _measures(finding: Finding) -> list[tuple[str, str]]:
    estimate = finding.estimate
    return [
        (estimate.what.capitalize() if estimate.what.islower() else estimate.what, formatted_estimate(estimate)) if estimate else ("", ""),
        ("p, uncorrected", _p(finding.p) if np.isfinite(finding.p) else "no test"),
        ("p, corrected over all findings", _p(finding.p_adjusted) if np.isfinite(finding.p_adjusted) else ""),
        ("n", finding.n),
        ("Assumed", finding.reading),
    ]


def _p(p: float) -> str:
    return p_value(p).removeprefix("p = ").removeprefix("p ")


def verdict_counts(findings: Findings) -> str:
    """'5 claims supported, 2 refuted, 1 open'."""
    counts = [(word, sum(one.verdict == word for one in findings)) for word in ("supported", "refuted", "negligible", "open")]
    text = ", ".join(f"{number} {word}" for word, number in counts if number)
    return f"{len(findings)} {'claim was' if len(findings) == 1 else 'claims were'} tested: {text}." if text else ""
