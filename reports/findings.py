"""Puts the findings of analysis on the page: their order and their wording. No number is computed
here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
    from analysis.claims.findings import Claims
    from analysis.published.load import Published

MOST_HEADLINES = 5
LABELS = "varied-finetune-images"
"""The claim that more labels raise the score."""
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


def ask(source: pd.DataFrame | Published, *, claims: Claims | None = None) -> Answer:
    """The findings of a runs table or of a published one; where analysis has none, its own sentence
    says why.
    """
    from analysis import findings

    try:
        found = findings(source) if claims is None else findings(source, claims=claims)
    except AnalysisError as error:
        return Answer(findings=None, reason=sentence(f"No claim could be tested: {error}"))
    if not len(found) and not found.unanswered:
        return Answer(findings=None, reason="No claim could be tested: no two finished runs can be compared.")
    return Answer(findings=found, reason="")


def ranked(findings: Findings) -> list[Finding]:
    """At most five findings for the top of the page: what is decided before what is open, what is
    about the score before what is about the loss, what was asked beforehand before the rest, and
    the larger effect first; of each topic one, then more. Of the loss what is refuted comes first,
    being unexpected. Of open claims the larger effect is the one of which the data allow more, and
    those without an interval come last; the order in which analysis lists them does not matter.
    """
    order = {"supported": 0, "refuted": 0, "negligible": 1, "open": 2}

    def key(one: Finding) -> tuple[int, bool, bool, bool, bool, float, str]:
        in_unit = bool(one.estimate and one.estimate.unit)
        # That more labels help is no news; and a correlation, which has another unit, comes after.
        about_the_loss = one.family != "primary" and not in_unit  # the page is about the score
        expected = one.identity == LABELS or (about_the_loss and one.verdict != "refuted")
        decided = order[one.verdict] + (one.verdict == "open" and not says_something(one))
        return decided, about_the_loss, expected, one.family != "primary", not in_unit, -_size(one), one.identity

    ordered = sorted(findings, key=key)
    first: dict[str, Finding] = {}
    for one in ordered:
        first.setdefault(one.topic, one)
    chosen = list(first.values())
    return [*chosen, *(one for one in ordered if one not in chosen)][:MOST_HEADLINES]


def says_something(finding: Finding) -> bool:
    """Whether a claim is decided, or left open with an interval that says what the data allow."""
    one = finding.estimate
    return finding.verdict != "open" or (one is not None and bool(np.isfinite(one.low) and np.isfinite(one.high)))


def _size(finding: Finding) -> float:
    """How large the effect is; of an open claim how large it may be, by its interval."""
    if finding.estimate is None:
        return 0.0
    ends = (finding.estimate.low, finding.estimate.high) if finding.verdict == "open" else (finding.estimate.value,)
    return max((abs(end) for end in ends if np.isfinite(end)), default=0.0)


def card_of(finding: Finding) -> Statement:
    """A finding for the first screen: verdict, a headline made from it, and one line of numbers."""
    headline, told, allowed = finding.headline.partition(" cannot be told: ")
    estimate = finding.estimate
    detail = finding.detail or (formatted_estimate(estimate) if estimate and np.isfinite(estimate.value) and not told else "")
    if told:  # the numbers of an open claim stand in its second line
        headline, detail = f"{headline} cannot be told", "; ".join(part for part in (allowed, detail[:1].lower() + detail[1:]) if part)
    if finding.verdict == "refuted":  # the mark is of the claim, so the claim stands beside it
        headline, detail = f"Refuted: {finding.claim.rstrip('.')}", f"{headline}. {finding.detail}".removesuffix(". ")
    return Statement(
        verdict=finding.verdict,
        identity=_identity(finding),
        headline=sentence(headline),
        detail=sentence(detail),
        claim=sentence(finding.claim),
        source=finding.source,
        sentence=sentence(finding.sentence),
    )


def _identity(finding: Finding) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", finding.identity).strip("-")


def counts_of(findings: Findings) -> tuple[tuple[str, int], ...]:
    """Each verdict, and how many findings have it; 'negligible' only where there is one."""
    counts = [(word, sum(one.verdict == word for one in findings)) for word in ("supported", "open", "negligible", "refuted")]
    return tuple((word, number) for word, number in counts if number or word != "negligible")


def statement_of(finding: Finding) -> Statement:
    """A finding as a card, with its measures and the checks of its test."""
    return replace(
        card_of(finding),
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
