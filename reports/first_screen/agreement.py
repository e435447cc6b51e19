"""Says where the first sentence and a verdict below it differ, and why: both are tests at 5%, and
they are corrected over different numbers of tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis import MainEffects
from analysis.factorial.axes import PRETRAINING
from analysis.factorial.result import ALPHA
from analysis.formatting import p_value
from reports.findings import ranked
from reports.wording import sentence

if TYPE_CHECKING:
    from analysis.claims.finding import Finding, Findings

DECIDED = ("supported", "refuted")


def beside(effects: MainEffects, findings: Findings) -> str:
    """The sentences that stand under the first one; '' where the verdicts agree with it."""
    top = ranked(findings)
    order = [*top, *(one for one in findings if one not in top)]
    rows = {identity: row for _, row in effects.table.iterrows() for identity in _identities(row)}
    pairs = [(one, rows.get(one.identity)) for one in order]
    nothing = not (effects.table["p_holm"] < ALPHA).any()
    decided = [(one, row) for one, row in pairs if one.verdict in DECIDED and (nothing if row is None else row["p_holm"] >= ALPHA)]
    tested = effects.table[np.isfinite(effects.table["p_holm"].to_numpy(dtype=float))]
    noun = "comparisons" if (tested["kind"] != "").any() else "settings"
    corrections = _Corrections(findings=findings, settings=len(tested), noun=noun)
    if decided:
        # A claim about one setting says the opposite of the sentence; others ask something else.
        decided.sort(key=lambda pair: pair[1] is None)
        one, row = decided[0]
        word = "supported" if all(other.verdict == "supported" for other, _ in decided) else "decided"
        count = f"one claim is {word} all the same" if len(decided) == 1 else f"{len(decided)} claims are {word} all the same, the first of them"
        return f"{sentence(f'Below, {count}: {one.headline}')} {corrections.why(one, row)}"
    for one, row in pairs:
        if one.verdict == "open" and row is not None and row["p_holm"] < ALPHA <= one.p_adjusted:
            return f"{sentence(f'Below, one claim is left open all the same: {one.claim}')} {corrections.why(one, row)}"
    return ""


def _identities(row: pd.Series) -> tuple[str, ...]:
    """The claims that are about what a row of the main effects compares."""
    axis = str(row["axis"])
    if axis == PRETRAINING:
        return () if row["kind"] else ("pretraining-helps-on-average",)
    if axis != "intermediate":
        return (f"varied-{axis.replace('_', '-')}",)
    if row["low_level"] != "none":
        return ()
    return (f"{row['high_level']}-hurts-on-average", *(("intermediate-hurts-on-average",) if row["levels"] == 2 and not row["kind"] else ()))


@dataclass(frozen=True, kw_only=True)
class _Corrections:
    """How many tests the claims and the sentence are corrected over."""

    findings: Findings
    settings: int
    noun: str
    """What is counted: 'settings', or 'comparisons' where a setting has several."""

    def why(self, one: Finding, row: pd.Series | None) -> str:
        """Why the verdict on a claim and the first sentence differ."""
        if not np.isfinite(one.p_adjusted):
            return "It has no p and goes by its interval; the line above tests each setting by itself."
        number = sum(bool(np.isfinite(other.p_adjusted)) for other in self.findings if other.family == one.family)
        before, after = ("", " stated beforehand") if one.family == "primary" else ("further ", "")
        over = f"the {number:,} {before}claims{after}" if number != 1 else f"one {before}claim{after} alone"
        if row is None:
            return f"It asks another question than the line above, and is corrected over {over} ({p_value(one.p_adjusted)})."
        settings = f"all {self.settings} {self.noun}" if self.settings > 1 else "one setting alone"
        return f"It is corrected over {over} ({p_value(one.p_adjusted)}), and the line above over {settings} ({p_value(row['p_holm'])})."
