"""Results of the tests of claims: a claim, its verdict, the sentence, and the tests behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from analysis.claims import headline as headlines
from analysis.claims.claim_table import ClaimTable
from analysis.errors import AnalysisError, finite, nearest_name
from analysis.formatting import percent
from analysis.shown import Shown
from analysis.significance.checks import Check

if TYPE_CHECKING:
    import altair as alt

Verdict: TypeAlias = headlines.Verdict
Family = Literal["primary", "secondary"]


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
    """p after correction over the claims of its family (primary: Holm; secondary: Benjamini and
    Hochberg); NaN where there is none.
    """
    n: str
    """What was counted: '18 cells, 3 independent seeds'."""
    reading: str = ""
    """What had to be assumed about the data, such as 'spread read as SD'; '' where nothing had."""
    test: str = ""
    """What p is of, such as 'no effect on average, two-sided t'; '' where there is no p."""
    checks: tuple[Check, ...] = ()
    """The assumption checks that were made."""
    family: Family = "secondary"
    """'primary' for the main effects of what varied, the intermediate stage and the proxy, which
    are stated beforehand and corrected apart; 'secondary' for all other claims.
    """
    requires: str = ""
    """Identity of the primary claim that this one presupposes: while that is open this one is not
    tested. '' where there is none.
    """
    generic: bool = False
    """Whether it is asked of every study, also where `source` names a paper that claims it."""
    wording: headlines.Wording | None = None
    """The clauses of its headline; None for one made of the claim's own words."""
    margin: float = float("nan")
    """What counts as negligible, in the unit of the estimate; NaN where the claim has no margin."""
    detail: str = ""
    """What was counted, in one short line: 'Up in 12 of 12 cells, 3 seeds'."""
    levels: tuple[tuple[float, str], ...] = ()
    """Where the effect differs by level of another setting: the effect at each level, with the level
    in words.
    """
    cautions: tuple[str, ...] = ()
    """Where the interval says less than it seems to: one sentence each."""
    condition: str = ""
    """What verdict and interval are conditional on, such as pre-trainings that all seeds share."""
    unreachable: str = ""
    """Why no result at this number of seeds could decide the claim, and how many it would take;
    '' where it can be decided.
    """
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The tests of its parts, one a row: label, estimate, low, high, p, p_holm, p_bh, n, note, and
    reading where there are two; may be empty.
    """

    @property
    def headline(self) -> str:
        """What the data say, from the verdict and the numbers, without a full stop.

        'Pre-training raises mIoU by 0.042 (0.040 to 0.044)'; where the claim is refuted the opposite
        statement; where it is open what cannot be told and what the data allow.
        """
        one = self.estimate
        value, low, high = (one.value, one.low, one.high) if one is not None else (np.nan,) * 3
        return headlines.made_headline(
            self.verdict,
            self.wording,
            claim=self.claim,
            value=value,
            low=low,
            high=high,
            margin=self.margin,
            condition=self.condition,
            unreachable=self.unreachable,
            levels=self.levels,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without `rows`; NaN becomes None."""
        estimate = self.estimate
        return {
            "identity": self.identity,
            "topic": self.topic,
            "family": self.family,
            "claim": self.claim,
            "source": self.source,
            "verdict": self.verdict,
            "headline": self.headline,
            "detail": self.detail,
            "condition": self.condition,
            "unreachable": self.unreachable,
            "levels": headlines.at_levels(self.levels) if self.levels else "",
            "cautions": " ".join(self.cautions),
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
    asks: Literal["own", "papers", "both"] = "both"
    """Whether its claims are asked of every study ('own'), are a paper's ('papers'), or are both."""
    without_intermediate: bool = False
    """Whether it is about pre-training itself, and so asked of the runs without an intermediate
    stage, where the table has both.
    """


@dataclass(frozen=True, kw_only=True, repr=False)
class Findings(Shown):
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

    def summary(self) -> str:
        """How many claims have each verdict, then the headline of each finding, the primary family
        first; then what was not answered.
        """
        counts = {verdict: sum(one.verdict == verdict for one in self.statements) for verdict in get_args(Verdict)}
        first = f"{self.study}: {len(self.statements)} claims, " + ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        ordered = sorted(self.statements, key=lambda one: (one.family != "primary", one.verdict == "open"))
        lines = [first, *(f"  {one.verdict:<10} {one.headline}" for one in ordered)]
        return "\n".join([*lines, *(f"  not answered: {question}" for question, _ in self.unanswered)])

    def shown_table(self) -> pd.DataFrame:
        """One row a finding, the primary family first: verdict, headline, detail."""
        ordered = sorted(self.statements, key=lambda one: (one.family != "primary", one.verdict == "open"))
        return pd.DataFrame([(one.verdict, one.headline, one.detail) for one in ordered], columns=["verdict", "headline", "detail"])

    def plot(self) -> alt.LayerChart:
        """The findings whose estimate is in the unit of the score, one row each, as an Altair chart.
        Raises AnalysisError where none is.
        """
        from analysis.plots.forest import forest_chart

        known = [(one, one.estimate) for one in self.statements if one.estimate is not None and one.estimate.unit]
        if not known:
            raise AnalysisError("no finding has an estimate in the unit of the score, so there is nothing to draw.")
        rows = [(one.identity.replace("-", " "), estimate.value, estimate.low, estimate.high) for one, estimate in known]
        x_title = f"{known[0][1].unit}, {percent(known[0][1].level)} interval"
        return forest_chart(pd.DataFrame(rows, columns=["label", "estimate", "low", "high"]), x_title=x_title)

    def __repr__(self) -> str:
        return f"<Findings of {self.study}: {len(self.statements)} claims on {self.outcome}>"

    def sentences(self) -> list[str]:
        """One line for each finding: its verdict in brackets, then its sentence."""
        return [f"[{one.verdict}] {one.sentence}" for one in self.statements]

    @property
    def primary(self) -> tuple[Finding, ...]:
        """The findings of the primary family, in reading order."""
        return tuple(one for one in self.statements if one.family == "primary")

    @property
    def unreachable(self) -> tuple[Finding, ...]:
        """The findings that no result at this number of seeds could decide."""
        return tuple(one for one in self.statements if one.unreachable)

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
