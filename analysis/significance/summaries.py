"""Tests on published tables: cells with a mean, a spread and a number of runs, and no raw runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import format_setting
from analysis.runs.matching import SETTINGS, match_columns
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.cell_variances import Array, CellVariances, Variance, cell_variances
from analysis.significance.multiplicity import adjust
from analysis.significance.standardised import hedges_g
from analysis.significance.summary_effects import SummaryEffects
from analysis.student import t_p_value, t_quantile

WHERE = "the table of means"
Spread = Literal["sd", "se"]
CONDITION = "each cell's runs taken as independent of the other cells', so conditional on any pre-training that they share"


@of_table
def summary_effects(
    cells: pd.DataFrame,
    *,
    factor: str,
    baseline: Any,
    treatment: Any,
    outcome: str | None = None,
    spread: Spread = "sd",
    by: Sequence[str] = (),
    level: float = 0.95,
    n: str = "n_runs",
    variance: Variance = "moderated",
) -> SummaryEffects:
    """Compares the means of `outcome` at `treatment` and `baseline` of `factor`, cell by cell.

    `treatment` is one value, or a list of them.

    Args:
        cells: one row a cell: settings columns, the mean `outcome`, its spread `{outcome}_spread`
            in the same unit, and the runs `n`.
        spread: whether the spread is the SD of single runs or the SE of their mean. Where a paper
            does not say, give both readings.
        by: settings to list first; every other setting that differs between rows follows, so one
            row is one pair of cells.
        variance: 'welch' uses each cell's own spread (Welch 1947; equal to
            scipy.stats.ttest_ind_from_stats with equal_var=False), safe in each cell but with 3
            runs nearly without power after Holm; 'moderated' (the default) draws each cell's
            variance towards those of the other cells of its side (Smyth 2004), which keeps the error
            rate at 3.6-5.9% on average over cells and below 5% after Holm, while a cell that truly
            scatters far more than the rest of its side may reject in 11%
            (benchmarks/statistics/summaries.py); 'pooled' takes one variance for all, right only
            where all cells scatter alike.

    Runs of treatment and baseline are taken as independent: if they share seeds or pre-trainings,
    which a table of means cannot show, the intervals are too wide rather than too narrow for the
    difference between the two, and say nothing about another pre-training. Cells with one run or a
    spread of zero give a difference without an interval. Raises AnalysisError for a missing column
    or level, text where numbers belong, a negative spread, n below 1, two rows of one cell, or
    sides that share no setting.
    """
    outcome = outcome_of(cells, outcome)
    treatments = tuple(treatment) if isinstance(treatment, (list, tuple, np.ndarray)) else (treatment,)
    require_columns(cells, (factor, *by), where=WHERE)
    for one in (baseline, *treatments):
        if not (cells[factor] == one).any():
            there = ", ".join(sorted({format_setting(value) for value in cells[factor].dropna()}))
            raise AnalysisError(f"no cell has '{factor}' = {format_setting(one)}: its values are {there or 'all missing'}.")
    sides = (cells[factor] == baseline, [cells[factor] == one for one in treatments])
    return _compared(cells, factor, baseline, treatments, sides, outcome, spread, by, level, n, variance, "")


@of_table
def summary_pretraining_effects(
    cells: pd.DataFrame,
    *,
    intermediate: str = "none",
    outcome: str | None = None,
    spread: Spread = "sd",
    level: float = 0.95,
    n: str = "n_runs",
    variance: Variance = "moderated",
) -> SummaryEffects:
    """Effects of every amount of pre-training against scratch, at each number of labels.

    All rows are one Holm family.

    With `intermediate` other than 'none' the treatment cells have had that stage after pre-training
    and the baseline stays scratch alone: whether the stage negates the gains of pre-training.
    Otherwise as `summary_effects`.
    """
    outcome = outcome_of(cells, outcome)
    require_columns(cells, ("pretrain_images",), where=WHERE)
    stage = cells["intermediate"] if "intermediate" in cells.columns else pd.Series("none", index=cells.index)
    scratch = (cells["pretrain_images"] == 0) & (stage == "none")
    amounts = tuple(sorted(one for one in cells.loc[stage == intermediate, "pretrain_images"].dropna().unique().tolist() if one != 0))
    if not amounts or not scratch.any():
        missing = f"is pre-trained with intermediate = {intermediate}" if not amounts else "is trained from scratch"
        raise AnalysisError(f"no cell {missing}: there is no effect of pre-training to test.")
    sides = (scratch, [(cells["pretrain_images"] == one) & (stage == intermediate) for one in amounts])
    after = "" if intermediate == "none" else intermediate
    return _compared(cells, "pretrain_images", 0, amounts, sides, outcome, spread, ("finetune_images",), level, n, variance, after)


@of_table
def summary_intermediate_effects(
    cells: pd.DataFrame,
    *,
    outcome: str | None = None,
    spread: Spread = "sd",
    level: float = 0.95,
    n: str = "n_runs",
    variance: Variance = "moderated",
) -> SummaryEffects:
    """Effects of every intermediate objective against 'none' at equal pre-training and labels.

    All rows are one Holm family; as `summary_effects`.
    """
    require_columns(cells, ("intermediate",), where=WHERE)
    objectives = sorted(one for one in cells["intermediate"].dropna().unique().tolist() if one != "none")
    if not objectives:
        raise AnalysisError("no cell has an intermediate stage: there is no effect of one to test.")
    by = [name for name in ("pretrain_images", "finetune_images") if name in cells.columns]
    return summary_effects(
        cells,
        factor="intermediate",
        baseline="none",
        treatment=objectives,
        outcome=outcome,
        spread=spread,
        by=by,
        level=level,
        n=n,
        variance=variance,
    )


def checked_spreads(cells: pd.DataFrame, *, outcome: str, spread: Spread, n: str) -> tuple[Array, Array, Array]:
    """Means, SDs of single runs (NaN where unknown) and runs of every cell, each of shape (cells,).

    Raises AnalysisError for impossible values.
    """
    if spread not in ("sd", "se"):
        raise AnalysisError(f"spread is '{spread}': say 'sd' if it is of single runs, 'se' if it is of their mean.")
    mean, scatter, runs = (numeric_column(cells, name, where=WHERE).to_numpy() for name in (outcome, f"{outcome}_spread", n))
    if np.any(scatter < 0.0):
        raise AnalysisError(f"{WHERE}, column '{outcome}_spread', row {int(np.argmax(scatter < 0))}: a spread below zero; correct it.")
    if np.any(~(runs >= 1.0)):
        raise AnalysisError(f"{WHERE}, column '{n}', row {int(np.argmax(~(runs >= 1)))}: the number of runs must be 1 or more; correct it.")
    return mean, np.where(runs > 1.0, scatter, np.nan) * (np.sqrt(runs) if spread == "se" else 1.0), runs


def _compared(
    cells: pd.DataFrame,
    factor: str,
    baseline: Any,
    treatments: tuple[Any, ...],
    sides: tuple[pd.Series, list[pd.Series]],
    outcome: str,
    spread: Spread,
    by: Sequence[str],
    level: float,
    n: str,
    variance: Variance,
    stage: str,
) -> SummaryEffects:
    checked_level(level)
    if baseline in treatments:
        raise AnalysisError(f"the treatment {format_setting(baseline)} is the baseline: compare two different values of {factor}.")
    if variance not in ("welch", "pooled", "moderated"):
        raise AnalysisError(f"variance is '{variance}': choose 'welch', 'pooled' or 'moderated'.")
    mean, sd, runs = checked_spreads(cells, outcome=outcome, spread=spread, n=n)
    freed = set() if not stage else {name for name in SETTINGS if name.startswith("intermediate")}
    on = [[m for m in match_columns(list(cells.columns), factor=factor, values=(baseline, one)) if m not in freed] for one in treatments]
    pairs, keys = [], []
    for one, chosen, names in zip(treatments, sides[1], on, strict=True):
        partner = _by_key(cells, np.flatnonzero(sides[0]), names, "baseline")
        for key, position in _by_key(cells, np.flatnonzero(chosen), names, format_setting(one)).items():
            if key in partner:
                pairs.append((one, position, partner[key]))
                keys.append(dict(zip(names, key, strict=True)))
    if not pairs:
        raise AnalysisError(
            f"no cell of the treatment agrees with a baseline cell in {', '.join(on[0]) or 'any setting'}: there is nothing to compare."
        )
    new, old = (np.array([pair[side] for pair in pairs]) for side in (1, 2))
    shown = pd.DataFrame(keys, dtype="object").infer_objects()
    order = (*by, *(name for name in shown.columns if name not in by and shown[name].nunique(dropna=False) > 1))
    concerned = np.logical_or.reduce([sides[0].to_numpy(), *(one.to_numpy() for one in sides[1])])
    lent = cell_variances(np.where(concerned, sd**2, np.nan), runs - 1.0, how=variance, side=sides[0].to_numpy().astype(np.int64))
    rows = [_row(mean, sd, runs, lent, int(a), int(b), level) for a, b in zip(new, old, strict=True)]
    table = pd.DataFrame(rows)
    for place, name in enumerate(order):
        table.insert(place, name, shown[name].to_numpy() if name in shown.columns else cells[name].to_numpy()[new])
    for place, (name, values) in enumerate((("factor", factor), ("baseline", baseline), ("treatment", [pair[0] for pair in pairs]))):
        table.insert(place, name, values)
    for at in ("p_bh", "p_holm"):
        table.insert(list(table.columns).index("p") + 1, at, adjust(table["p"].to_numpy(), "bh" if at == "p_bh" else "holm"))
    ordered = table.sort_values(["treatment", *order], kind="stable").index.to_numpy()
    table, new, old = table.iloc[ordered].reset_index(drop=True), new[ordered], old[ordered]
    return SummaryEffects(
        factor=factor,
        baseline=baseline,
        treatments=treatments,
        outcome=outcome,
        outcome_title=title_of(outcome, cells),
        by=order,
        level=level,
        spread=spread,
        variance=variance,
        treatment_stage=stage,
        table=table,
        overall=_overall(table, mean, sd, runs, new, old, cells, level),
        n_unmatched=int(concerned.sum()) - len(set(new) | set(old)),
    )


def _by_key(cells: pd.DataFrame, positions: Any, names: Sequence[str], side: str) -> dict[tuple[Any, ...], int]:
    found: dict[tuple[Any, ...], int] = {}
    for position in positions:
        key = tuple(None if pd.isna(value) else value for value in (cells[name].iloc[position] for name in names))
        if key in found:
            raise AnalysisError(f"rows {found[key]} and {position} of {WHERE} ({side}) are equal in all settings: keep one of them.")
        found[key] = int(position)
    return found


def _row(mean: Array, sd: Array, runs: Array, lent: CellVariances, new: int, old: int, level: float) -> dict[str, Any]:
    weights = np.zeros(len(mean))
    weights[new], weights[old] = 1.0, -1.0
    difference = float(mean[new] - mean[old])
    nothing = float("nan")
    low = high = p = se = df = nothing
    g, g_low, g_high = (nothing,) * 3
    note = ""
    if np.isnan(difference):
        note = "a mean is missing"
    elif min(runs[new], runs[old]) < 2:
        note = "a single run, which has no spread"
    elif np.isnan(sd[new] + sd[old]):
        note = "a spread is missing"
    elif sd[new] == 0.0 or sd[old] == 0.0:
        note = "a spread of zero, as of runs that are copies, or of rounding"
    else:
        total, df = lent.of_combination(weights, runs)
        se = float(np.sqrt(total))
        half = t_quantile(level, df) * se
        low, high, p = difference - half, difference + half, t_p_value(difference / se, df)
        g, g_low, g_high = hedges_g(difference, sd[new], sd[old], runs[new], runs[old], level=level)
    return {
        "n_treatment": runs[new],
        "n_baseline": runs[old],
        "baseline_mean": mean[old],
        "treatment_mean": mean[new],
        "difference": difference,
        "se": se,
        "df": df,
        "low": low,
        "high": high,
        "p": p,
        "hedges_g": g,
        "g_low": g_low,
        "g_high": g_high,
        "note": note,
    }


def _overall(table: pd.DataFrame, mean: Array, sd: Array, runs: Array, new: Any, old: Any, cells: pd.DataFrame, level: float) -> pd.DataFrame:
    """The mean over cells, from the cells' own variances.

    Their sum over many cells is precise enough without shrinkage.
    """
    own = cell_variances(sd**2, runs - 1.0, how="welch")
    treatments = table["treatment"].unique().tolist()
    rows = []
    for one in [*treatments, *(["all"] if len(treatments) > 1 else [])]:
        inside = (table["treatment"] == one).to_numpy() if one != "all" else np.ones(len(table), dtype=bool)
        used = inside & table["p"].notna().to_numpy()
        row = {"factor": table["factor"].iloc[0], "baseline": table["baseline"].iloc[0], "treatment": one, "n_cells": int(used.sum())}
        row |= dict.fromkeys(("difference", "se", "df", "low", "high", "p"), float("nan")) | {"n_clusters": 0}
        row |= dict.fromkeys(("low_clustered", "high_clustered", "p_clustered"), float("nan")) | {"note": "no cell has an interval"}
        rows.append(row)
        if not used.any():
            continue
        weights = np.zeros(len(mean))
        np.add.at(weights, new[used], 1.0 / used.sum())
        np.add.at(weights, old[used], -1.0 / used.sum())
        total, df = own.of_combination(weights, runs)
        centre, se = float(table.loc[used, "difference"].mean()), float(np.sqrt(total))
        half = t_quantile(level, df) * se
        left = int(inside.sum() - used.sum())
        row |= {"difference": centre, "se": se, "df": df, "low": centre - half, "high": centre + half, "p": t_p_value(centre / se, df)}
        row["note"] = CONDITION + (f"; {left} cells without an interval left out" if left else "")
        if "pretrain_images" in cells.columns:
            row |= _clustered(table.loc[used, "difference"], cells["pretrain_images"].to_numpy()[new[used]], level)
    return pd.DataFrame(rows)


def _clustered(difference: pd.Series, sizes: Any, level: float) -> dict[str, Any]:
    means = difference.groupby(sizes).mean().to_numpy()
    centre, count = float(difference.mean()), len(means)
    if count < 2 or not means.std() > 1e-12 * abs(centre):
        return {"n_clusters": count}
    se = float(means.std(ddof=1) / np.sqrt(count))
    half = t_quantile(level, count - 1) * se
    return {"n_clusters": count, "low_clustered": centre - half, "high_clustered": centre + half, "p_clustered": t_p_value(centre / se, count - 1)}
