"""Rules that turn tests into verdicts: supported, refuted, negligible or open.

A claim about every cell ("pre-training helps in every cell") is supported if every cell differs in
its direction, each by its own test at 5%: the claim is the union of what the cells deny, so the
largest p decides and no correction over cells is due (intersection-union test; Berger 1982,
Technometrics 24, 295-300). It is refuted if at least one cell differs in the other direction at 5%
after Holm over the cells.

A claim about one number is decided by that number's own test: refuted means that the opposite sign
is shown, negligible that the number is shown to lie within the margin. Whatever else is open: a
wide interval is no evidence for the opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from analysis.claims.finding import Estimate, Verdict
from analysis.errors import AnalysisError
from analysis.factorial.result import ENOUGH_SEEDS
from analysis.formatting import p_value, percent
from analysis.significance.equivalence import tost
from analysis.significance.power import power_of, seeds_needed
from analysis.student import t_quantile

ALPHA = 0.05
UNLIKELY: Final = 0.05
"""A claim about every cell is out of reach where fewer studies than this share would show it."""
POWER: Final = 0.8
MOST_SEEDS: Final = 100
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

    Supported: the largest p of the cells (all in the direction). Refuted: the smallest Holm p among
    cells in the other direction. Open: NaN where a cell has no test, else the largest p.
    """
    signed = rows["estimate"].to_numpy(dtype=float) * direction
    p, p_holm = (rows[name].to_numpy(dtype=float) for name in ("p", "p_holm"))
    against = p_holm[(signed < 0) & (p_holm < ALPHA)]
    if len(against):
        return "refuted", float(against.min())
    if len(rows) and not np.isnan(p).any() and bool((signed > 0).all()) and bool((p < ALPHA).all()):
        return "supported", float(p.max())
    return "open", float(p.max()) if len(rows) and not np.isnan(p).any() else float("nan")


def for_one(estimate: float, p: float, direction: int) -> Verdict:
    """Verdict on the claim that a number has the sign +1 or -1, by a two-sided test at 5%."""
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


def unreachable_with(rows: pd.DataFrame, units: Sequence[int], direction: int, level: float) -> str:
    """Why so many independent groups of seeds cannot show a claim about every cell; '' where they
    can.

    If every cell had the mean effect of all cells, and the scatter over seeds that the cells have on
    average, all cells would have to reach p < 0.05 together. The claim is out of reach where they
    do so in less than UNLIKELY of studies. Counts the seeds that give POWER; where cells differ it
    takes more.
    """
    estimates, high = (rows[name].to_numpy(dtype=float) for name in ("estimate", "high"))
    count = np.asarray(units, dtype=float)
    known = np.isfinite(high) & (count > 1)
    if len(rows) < 2 or not known.any():
        return ""
    effect = float(estimates[known].mean())
    half = (high - estimates)[known]
    sd = float(np.sqrt(np.mean([(width / t_quantile(level, n - 1.0)) ** 2 * n for width, n in zip(half, count[known], strict=True)])))
    now = float(np.median(count[known]))
    if effect * direction <= 0.0 or sd <= 0.0 or power_of(effect, sd=sd, seeds=now) ** len(rows) >= UNLIKELY:
        return ""
    try:
        needed = seeds_needed(effect, sd=sd, power=POWER ** (1.0 / len(rows)))
    except AnalysisError:
        needed = MOST_SEEDS + 1
    at_least = f"about {needed}" if needed <= MOST_SEEDS else f"more than {MOST_SEEDS}"
    return f"cannot be shown with {now:.0f} seeds: it takes {at_least}"


def tally(rows: pd.DataFrame, direction: int) -> str:
    """Counts the cells for and against: '15 of 18 cells are below zero, each tested at 5%; after
    Holm none is above, 3 uncertain'.

    As the claim is decided: cells in its direction by their own p, those against it after Holm.
    """
    signed = rows["estimate"].to_numpy(dtype=float) * direction
    for_it = int(((rows["p"].to_numpy(dtype=float) < ALPHA) & (signed > 0)).sum())
    against = int(((rows["p_holm"].to_numpy(dtype=float) < ALPHA) & (signed < 0)).sum())
    ahead, behind = ("above", "below") if direction > 0 else ("below", "above")
    total = len(rows)
    noun = "cell" if total == 1 else "cells"
    verb = "is" if for_it == 1 or total == 1 else "are"
    unsure = total - for_it - against
    each = ", each tested at 5%" if total > 1 else ""
    parts = [f"{for_it} of {total} {noun} {verb} {ahead} zero{each}", f"{against or 'none'} {behind} after Holm"]
    if unsure:
        parts.append(f"{unsure} uncertain")
    return ", ".join(parts)


def other_intervals(row: pd.Series) -> str:
    """The intervals beside that for the mean over exactly these cells: for cells like these, and by
    the scatter of single runs, where that is the wider one of few seeds.
    """
    parts = []
    if np.isfinite(row["cells_low"]):
        parts.append(f"for cells like these {row['cells_low']:+z.3f} to {row['cells_high']:+z.3f}")
    floor = row["pooled_high"] - row["pooled_low"]
    if np.isfinite(floor) and floor > row["high"] - row["low"] and row["n_seeds"] < ENOUGH_SEEDS:
        parts.append(f"by the scatter of single runs {row['pooled_low']:+z.3f} to {row['pooled_high']:+z.3f}")
    return f"; {', '.join(parts)}" if parts else ""


def format_estimate(estimate: Estimate, p: float, *, places: int = 3, extra: Sequence[str] = ()) -> str:
    """Formats an estimate as '+0.031 mIoU (95% interval +0.025 to +0.037, p < 0.001, 3 seeds)'."""
    unit = f" {estimate.unit}" if estimate.unit else ""
    inside = []
    if np.isfinite(estimate.low) and np.isfinite(estimate.high):
        inside.append(f"{percent(estimate.level)} interval {estimate.low:+z.{places}f} to {estimate.high:+z.{places}f}")
    else:
        inside.append("no interval")
    if np.isfinite(p):
        inside.append(p_value(p))
    return f"{estimate.value:+z.{places}f}{unit} ({', '.join([*inside, *extra])})"
