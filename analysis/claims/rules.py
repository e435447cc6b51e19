"""Rules that turn tests into verdicts: supported, refuted, negligible or open.

A claim about every cell ("pre-training helps in every cell") is supported if every cell differs in
its direction, refuted if at least one differs in the other, both at 5% after Holm over its cells. A
claim about one number is decided by that number's own test: refuted means that the opposite sign is
shown, negligible that the number is shown to lie within the margin. Whatever else is open: a wide
interval is no evidence for the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.claims.finding import Estimate, Verdict
from analysis.formatting import p_value, percent
from analysis.significance.equivalence import tost
from analysis.student import t_quantile

ALPHA = 0.05
ROW_COLUMNS = ("label", "estimate", "low", "high", "p", "p_holm", "p_bh", "n", "note")


def rows_of(table: pd.DataFrame, label: Callable[[pd.Series], str], counted: Callable[[pd.Series], str]) -> pd.DataFrame:
    """Turns a table of effects (difference, low, high, p, p_holm, p_bh, note) into rows of a
    finding.
    """
    rows = [
        (
            label(row),
            row["difference"],
            row["low"],
            row["high"],
            row["p"],
            row.get("p_holm", np.nan),
            row.get("p_bh", np.nan),
            counted(row),
            row["note"],
        )
        for _, row in table.iterrows()
    ]
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def for_every_cell(rows: pd.DataFrame, direction: int) -> tuple[Verdict, float]:
    """Verdict on 'every cell differs in this direction' (+1 or -1), and the p that decides it.

    Supported: the largest Holm p of the cells (all in the direction). Refuted: the smallest Holm p
    among cells in the other direction. Open: NaN where a cell has no test, else the largest p.
    """
    signed = rows["estimate"].to_numpy(dtype=float) * direction
    p = rows["p_holm"].to_numpy(dtype=float)
    against = p[(signed < 0) & (p < ALPHA)]
    if len(against):
        return "refuted", float(against.min())
    if len(rows) and not np.isnan(p).any() and bool((signed > 0).all()) and bool((p < ALPHA).all()):
        return "supported", float(p.max())
    return "open", float(p.max()) if len(rows) and not np.isnan(p).any() else float("nan")


def for_one(estimate: float, p: float, direction: int) -> Verdict:
    """Verdict on 'this number has this sign' (+1 or -1), two-sided at 5%."""
    if not (np.isfinite(estimate) and np.isfinite(p)) or p >= ALPHA:
        return "open"
    return "supported" if estimate * direction > 0 else "refuted"


def for_one_or_negligible(estimate: Estimate, p: float, df: float, direction: int, margin: float) -> tuple[Verdict, float]:
    """Verdict on 'this number has this sign', and the p that decides it.

    By the sign where it is significant; else 'negligible' where the number lies within the margin.
    """
    verdict = for_one(estimate.value, p, direction)
    within = within_margin(estimate, df, margin) if verdict == "open" else 1.0
    return ("negligible", within) if within < ALPHA else (verdict, p)


def for_difference(p: float) -> Verdict:
    """Verdict on 'this number is not zero', two-sided at 5%; a claim without a sign is not refuted."""
    return "supported" if p < ALPHA else "open"


def within_margin(estimate: Estimate, df: float, margin: float) -> float:
    """p of two one-sided t tests that a number lies within +-margin; 1 without a test.

    Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    error = (estimate.high - estimate.low) / 2.0 / t_quantile(estimate.level, df) if np.isfinite(estimate.low) and df > 0 else float("nan")
    return tost(estimate.value, error, df, margin=margin).p_tost if error > 0.0 else 1.0


def beyond_margin(p_equivalent: float) -> float:
    """Two-sided p that a number lies within the margin, from its p of equivalence.

    It is small where the number lies wholly beyond the margin, on either side.
    """
    return min(1.0, 2.0 * (1.0 - p_equivalent)) if np.isfinite(p_equivalent) else float("nan")


def tally(rows: pd.DataFrame, direction: int) -> str:
    """Counts the cells for and against: '15 of 18 cells are below zero after Holm, none above, 3
    uncertain'.
    """
    signed = rows["estimate"].to_numpy(dtype=float)
    sure = rows["p_holm"].to_numpy(dtype=float) < ALPHA
    up, down = int((sure & (signed > 0)).sum()), int((sure & (signed < 0)).sum())
    ahead, behind = (("above", up), ("below", down)) if direction > 0 else (("below", down), ("above", up))
    total = len(rows)
    noun = "cell" if total == 1 else "cells"
    verb = "is" if ahead[1] == 1 or total == 1 else "are"
    unsure = total - up - down
    parts = [f"{ahead[1]} of {total} {noun} {verb} {ahead[0]} zero after Holm", f"{behind[1] or 'none'} {behind[0]}"]
    if unsure:
        parts.append(f"{unsure} uncertain")
    return ", ".join(parts)


def format_estimate(estimate: Estimate, p: float, *, places: int = 3, extra: Sequence[str] = ()) -> str:
    """Formats an estimate as '+0.031 mIoU (95% interval +0.025 to +0.037, p < 0.001, 3 seeds)'."""
    unit = f" {estimate.unit}" if estimate.unit else ""
    inside = []
    if np.isfinite(estimate.low) and np.isfinite(estimate.high):
        inside.append(f"{percent(estimate.level)} interval {estimate.low:+.{places}f} to {estimate.high:+.{places}f}")
    else:
        inside.append("no interval")
    if np.isfinite(p):
        inside.append(p_value(p))
    return f"{estimate.value:+.{places}f}{unit} ({', '.join([*inside, *extra])})"
