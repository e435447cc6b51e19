"""Results of the tests of claims: a claim, its verdict, the sentence, and the tests behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.errors import AnalysisError, finite, nearest_name
from analysis.significance.checks import Check

Verdict = Literal["supported", "refuted", "negligible", "open"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its confidence interval."""

    what: str
    """What it measures, such as 'mean difference in mIoU'."""
    value: float
    """In `unit`."""
    low: float
    """Lower end of the interval; NaN where there is none."""
    high: float
    """Upper end of the interval; NaN where there is none."""
    level: float
    """Nominal coverage of the interval."""
    unit: str = ""
    """'' for a pure number such as a correlation; 'mIoU' means shares of 1."""


def estimate_of(row: Any, name: str, *, what: str, level: float, unit: str = "", low: str = "low", high: str = "high") -> Estimate:
    """Makes an estimate from a table row: its columns `name`, `low` and `high`."""
    return Estimate(what=what, value=float(row[name]), low=float(row[low]), high=float(row[high]), level=level, unit=unit)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim, its verdict and the evidence for it."""

    identity: str
    """Names the claim within its study, such as 'intermediate-hurts'."""
    topic: str
    """The question it belongs to, a heading."""
    claim: str
    """The claim that was tested, a sentence that is either true or not."""
    source: str
    """Who makes the claim and where; '' where nobody does and it is asked of every study."""
    verdict: Verdict
    """By tests at 5% after correction: 'supported'; 'refuted' where the opposite sign is shown;
    'negligible' where the number is shown to lie within the margin; else 'open'.
    """
    sentence: str
    """What a paper would print: the effect, its interval, p, and n."""
    estimate: Estimate | None
    """The one number that sums it up; None where the data give none."""
    p: float
    """p of the test behind `estimate`, two-sided, before correction; NaN where there is none."""
    p_adjusted: float
    """p after Benjamini and Hochberg's correction over the findings listed together; NaN where
    there is none.
    """
    n: str
    """What was counted: '18 cells, 3 independent seeds'."""
    reading: str = ""
    """What had to be assumed about the data, such as 'spread read as SD'; '' where nothing had."""
    test: str = ""
    """What p is of, such as 'no effect on average, two-sided t'; '' where there is no p."""
    checks: tuple[Check, ...] = ()
    """The assumption checks that were made."""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The tests of its parts, one a row: label, estimate, low, high, p, p_holm, p_bh, n, note, and
    reading where there are two; may be empty.
    """

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without `rows`; NaN becomes None."""
        estimate = self.estimate
        return {
            "identity": self.identity,
            "topic": self.topic,
            "claim": self.claim,
            "source": self.source,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "measures": estimate.what if estimate else None,
            "estimate": finite(estimate.value) if estimate else None,
            "low": finite(estimate.low) if estimate else None,
            "high": finite(estimate.high) if estimate else None,
            "level": estimate.level if estimate else None,
            "unit": estimate.unit if estimate else None,
            "test": self.test,
            "p": finite(self.p),
            "p_adjusted": finite(self.p_adjusted),
            "n": self.n,
            "reading": self.reading,
            "checks": "; ".join(check.sentence for check in self.checks),
        }


@dataclass(frozen=True)
class Question:
    """A question about a study, answered by testing one or more claims."""

    text: str
    """The question, as it is listed where the table cannot answer it."""
    answer: Callable[[ClaimTable], list[Finding]]
    """Tests the claims. Raises AnalysisError with the reason where the table cannot answer."""
    without_intermediate: bool = False
    """Whether it is about pre-training itself, and so asked of the runs without an intermediate
    stage, where the table has both.
    """


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All findings of one study, in reading order. Make them with `analysis.findings`."""

    study: str
    """Name of the study."""
    outcome: str
    """The column that was tested."""
    statements: tuple[Finding, ...]
    """Every claim that was tested."""
    unanswered: tuple[tuple[str, str], ...]
    """Questions that the table cannot answer at all: the question, and a sentence that says why and
    what would answer it.
    """
    notes: tuple[str, ...] = ()
    """What must be known to read them, one sentence each."""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.statements)

    def __len__(self) -> int:
        return len(self.statements)

    def __getitem__(self, identity: str) -> Finding:
        for one in self.statements:
            if one.identity == identity:
                return one
        raise AnalysisError(f"there is no finding '{identity}' ({nearest_name(identity, [one.identity for one in self.statements])}).")

    def sentences(self) -> list[str]:
        """Each finding as its verdict and its sentence."""
        return [f"[{one.verdict}] {one.sentence}" for one in self.statements]

    def to_frame(self) -> pd.DataFrame:
        """One row per finding, with all columns of `Finding` but `rows`."""
        return pd.DataFrame([one.to_dict() for one in self.statements])

    def to_json(self) -> str:
        """All findings as JSON, with the unanswered questions and the notes."""
        content = {
            "study": self.study,
            "outcome": self.outcome,
            "findings": [one.to_dict() for one in self.statements],
            "unanswered": [{"question": question, "reason": reason} for question, reason in self.unanswered],
            "notes": list(self.notes),
        }
        return json.dumps(content, indent=2, allow_nan=False)

    def tests(self) -> pd.DataFrame:
        """All single tests behind the findings, one per row, for a forest plot.

        Columns: finding, topic, reading, label, estimate, low, high, p, p_holm, p_bh, n, note.
        """
        parts = [one.rows.assign(finding=one.identity, topic=one.topic) for one in self.statements if len(one.rows)]
        columns = ["finding", "topic", "reading", "label", "estimate", "low", "high", "p", "p_holm", "p_bh", "n", "note"]
        return pd.concat(parts, ignore_index=True).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)
