"""What moved the score: main effects, interactions and noise of everything that a study varies.

from analysis import load_runs, main_effects
found = main_effects(load_runs("runs/my_study"))
print(found.headline())
print("\\n".join(found.sentences()))
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.factorial.axes import PRETRAINING, Axis, axes_of
from analysis.factorial.contrast import AGREE, EffectEstimate, Points, cells_like_these, estimate, points_of, row_weights, scatter
from analysis.factorial.lengths import EPOCHS, with_epochs
from analysis.factorial.odd_cells import odd_cells
from analysis.factorial.result import ALPHA, COUNTS, THROUGH_LEVELS, THROUGH_SEEDS, MainEffects
from analysis.factorial.shares import shares_of_variance
from analysis.fitting.inputs import checked_level
from analysis.published.load import Published
from analysis.runs.matching import PRETRAIN, SETTINGS
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.multiplicity import adjust
from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
WHERE: Final = "the runs table"


@of_table
def main_effects(
    study: pd.DataFrame | Published,
    *,
    outcome: str | None = None,
    axes: Sequence[str] | None = None,
    seed: str = "seed",
    level: float = 0.95,
    interactions: bool = True,
) -> MainEffects:
    """The effect of every axis that varies, all else equal, and which axes interact.

    Args:
        study: a runs table (see `load_runs`), one row a run; a table of means with
            `<outcome>_spread` and `n_runs`; or what `load_published` gives.
        outcome: the score's column; by default the first that the table has numbers in.
        axes: columns of someone's own table to compare, such as ["n_labels", "backbone"]; by
            default the settings of a study (`SETTINGS` of `analysis.runs.matching`).
        seed: the column that tells repeated runs apart.
        level: nominal coverage of the intervals.
        interactions: whether to test every pair of axes; without them nothing is told by level.

    The effect of an ordered axis is that of its highest level against its lowest, in the unit of
    the score; of an unordered one with more than two levels, that of the pair which differs most,
    with interval and p corrected (Bonferroni) for all pairs. Runs that share a pre-training or a
    seed count once. Whether pre-training helps is asked without an intermediate stage, where the
    table has runs with and without one. `p_holm` corrects over the axes, and apart from them over
    the interactions.

    Raises AnalysisError for a table without numbers in the outcome or without an axis that varies.
    """
    table = study.table if isinstance(study, Published) else study
    outcome = outcome or (study.outcome if isinstance(study, Published) else None)
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"main_effects needs a runs table or a published one, and got {type(table).__name__}: read it with load_runs first.")
    checked_level(level)
    named, outcome = outcome, outcome_of(table, outcome)
    if named is None and outcome not in table.columns:
        columns = ", ".join(map(str, list(table.columns)[:8]))
        raise AnalysisError(
            f"{WHERE} has no score of a study (it has {columns}): name yours with outcome=, and the settings with axes=, such as ['n']."
        )
    require_columns(table, [outcome, *(axes or ()), *([seed] if seed != "seed" else [])], where=WHERE)
    if {outcome, seed} & set(axes or ()):
        raise AnalysisError(f"the axes {', '.join(axes or ())} are to be compared in '{outcome}' over '{seed}': leave those two out of the axes.")
    if seed != "seed":
        table = table.drop(columns="seed", errors="ignore").rename(columns={seed: "seed"})
    values = numeric_column(table, outcome, where=WHERE).to_numpy(dtype=float)
    there = np.isfinite(values)
    if not there.any():
        raise AnalysisError(f"no row of {WHERE} has a finite '{outcome}': finish a run, or name another outcome.")
    kept, y = with_epochs(table.loc[there].reset_index(drop=True)), values[there]
    found = axes_of(kept, axes)
    if not found and axes is not None:
        raise AnalysisError(f"none of {', '.join(axes)} takes two values in this table, so there is no effect to compare.")
    if not found:
        raise AnalysisError("no setting takes two values in this table, so there is no effect to compare: vary one, such as pretrain_images.")
    variance = _printed_variance(kept, outcome)
    settings = list(axes) if axes is not None else [name for name in SETTINGS if name in kept.columns and name != "seed"]
    noise, noise_df = scatter(kept, y, settings) if variance is None else (float("nan"), 0.0)
    rows = [_row(axis, kept, y, variance, level, noise, noise_df) for axis in found]
    crossed = _interactions(found if interactions else [], kept, y, variance, level)
    cell = np.asarray(kept.groupby(settings, dropna=False, sort=False).ngroup(), dtype=np.int64)
    shares, interacting, within = shares_of_variance(found, y, cell)
    effects = pd.DataFrame(rows).assign(share=shares).astype(dict.fromkeys(COUNTS, "Int64"))
    effects.insert(list(effects.columns).index("p") + 1, "p_holm", adjust(effects["p"].to_numpy(dtype=float), method="holm"))
    effects = effects.sort_values("effect", key=np.abs, ascending=False, kind="stable", na_position="last").reset_index(drop=True)
    return MainEffects(
        odd=odd_cells(kept, y, settings) if variance is None else pd.DataFrame(),
        outcome=outcome,
        outcome_title=title_of(outcome, table),
        level=level,
        table=effects,
        interactions=crossed,
        levels=_by_level(found if interactions else [], effects, crossed, kept, y, variance, level),
        noise_sd=noise,
        noise_df=noise_df,
        share_of_interactions=interacting,
        share_of_noise=within,
        n_runs=len(kept),
        n_seeds=int(kept["seed"].nunique()) if "seed" in kept.columns and variance is None else 0,
    )


def _printed_variance(table: pd.DataFrame, outcome: str) -> Array | None:
    """Variance of each printed mean and its degrees of freedom, shape (rows, 2); None for runs.

    A spread that may be a standard deviation or a standard error is read as the latter, the wider.
    """
    if f"{outcome}_spread" not in table.columns:
        return None
    spread = numeric_column(table, f"{outcome}_spread", where=WHERE).to_numpy(dtype=float)
    require_columns(table, ["n_runs"], where=WHERE)
    n = numeric_column(table, "n_runs", where=WHERE).to_numpy(dtype=float)
    known = (n > 1) & (spread > 0)
    return np.column_stack([np.where(known, spread**2, np.nan), np.where(known, n - 1, np.nan)])


def _row(axis: Axis, table: pd.DataFrame, y: Array, variance: Array | None, level: float, noise: float, noise_df: float) -> dict[str, Any]:
    rows = np.flatnonzero((axis.code >= 0) & axis.asked)
    part, code = table.iloc[rows], axis.code[rows]
    points = points_of(part, y[rows], axis.blocks, None if variance is None else variance[rows])
    low, high, found = _ends(axis, points, code, level)
    design = (code[:, None] == np.arange(1, len(axis.levels))[None, :]).astype(float)
    doubling = None
    if axis.sizes is not None:
        doubling = estimate(points, np.log2(np.array(axis.sizes))[code][:, None], 0, level=level)
    pairs = _differences(points, code, low, high)
    like = cells_like_these(pairs, level=level)
    pooled_low, pooled_high = _by_scatter(points, design, low, high, found, noise, noise_df, level)
    if found.note.startswith(AGREE) and np.isfinite(pooled_low):
        found = _of_scatter(found, pooled_low, pooled_high, noise_df, level)
    used = np.isin(code, [low, high])
    n_seeds = int(part.loc[used, "seed"].nunique()) if "seed" in part.columns and variance is None else 0
    note = found.note
    if not len(pairs) and np.isfinite(found.value):
        note = "; ".join(one for one in (_how_compared(points, code, low, high), note) if one)
    return {
        "axis": axis.column,
        "name": axis.name,
        "also": " and ".join(axis.also),
        "low_level": axis.levels[low],
        "high_level": axis.levels[high],
        "ratio": axis.sizes[high] / axis.sizes[low] if axis.sizes else float("nan"),
        "levels": len(axis.levels),
        "effect": found.value,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "per_doubling": doubling.value if doubling else float("nan"),
        "per_doubling_low": doubling.low if doubling else float("nan"),
        "per_doubling_high": doubling.high if doubling else float("nan"),
        "cells_low": like.low,
        "cells_high": like.high,
        "pooled_low": pooled_low,
        "pooled_high": pooled_high,
        "se": found.se,
        "df": found.df,
        "n_pairs": int(pairs.attrs["pairs"]) if len(pairs) else pd.NA,
        "n_blocks": len(pairs) if len(pairs) else pd.NA,
        "n_up": int((pairs.mean(axis=1) > 0).sum()) if len(pairs) else pd.NA,
        "n_units": found.units,
        "n_seeds": n_seeds if np.isfinite(found.value) else pd.NA,
        "note": note,
    }


def _ends(axis: Axis, points: Points, code: NDArray[np.int64], level: float) -> tuple[int, int, EffectEstimate]:
    """The two levels to compare, by number, and the effect of the second against the first."""
    count = len(axis.levels)
    if axis.ordered:
        return 0, count - 1, _between(points, code, 0, count - 1, count, level)
    pairs = list(combinations(range(count), 2))
    strict = 1.0 - (1.0 - level) / len(pairs)
    tried = [(low, high, _between(points, code, low, high, count, strict)) for low, high in pairs]
    known = [one for one in tried if np.isfinite(one[2].value)]
    if not known:
        return 0, count - 1, tried[0][2]
    low, high, found = max(known, key=lambda one: abs(one[2].value))
    if found.value < 0:  # say it as a gain of the better level
        low, high, found = high, low, _between(points, code, high, low, count, strict)
    note = "; ".join(part for part in (found.note, f"the pair that differs most of {len(pairs)}, corrected for that") if part)
    return low, high, _replaced(found, p=min(1.0, found.p * len(pairs)), note=note)


def _how_compared(points: Points, code: NDArray[np.int64], low: int, high: int) -> str:
    """How two levels are compared that no pair of runs has, all else equal and of one seed."""
    if len(np.intersect1d(points.block[code == low], points.block[code == high])):
        return THROUGH_SEEDS
    return THROUGH_LEVELS


def _between(points: Points, code: NDArray[np.int64], low: int, high: int, count: int, level: float) -> EffectEstimate:
    others = [one for one in range(count) if one != low]
    design = (code[:, None] == np.array(others)[None, :]).astype(float)
    return estimate(points, design, others.index(high), level=level)


def _replaced(found: EffectEstimate, *, p: float, note: str) -> EffectEstimate:
    return EffectEstimate(value=found.value, se=found.se, df=found.df, low=found.low, high=found.high, p=p, units=found.units, note=note)


def _differences(points: Points, code: NDArray[np.int64], low: int, high: int) -> pd.DataFrame:
    """Mean difference of each block (rows) in each independent group (columns); attrs: pairs."""
    keys = np.column_stack([points.block, points.unit, points.seed])
    places, place = np.unique(keys, axis=0, return_inverse=True)
    counts = [np.bincount(place[code == one], minlength=len(places)) for one in (low, high)]
    both = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    if not len(both):
        found = pd.DataFrame()
        found.attrs["pairs"] = 0
        return found
    before, after = (
        np.bincount(place[code == one], weights=points.y[code == one], minlength=len(places))[both] / count[both]
        for one, count in zip((low, high), counts, strict=True)
    )
    paired = pd.DataFrame({"block": places[both, 0], "unit": places[both, 1], "difference": after - before})
    found = paired.groupby(["block", "unit"])["difference"].mean().unstack("unit")
    found.attrs["pairs"] = len(both)
    return found


def _by_scatter(
    points: Points, design: Array, low: int, high: int, found: EffectEstimate, noise: float, noise_df: float, level: float
) -> tuple[float, float]:
    """The interval by the scatter of single runs, pooled over all cells, as if seeds moved the
    effect no more than that: a floor for intervals over few seeds.
    """
    if not (noise > 0.0 and noise_df > 0 and np.isfinite(found.value)):
        return float("nan"), float("nan")
    zero = np.zeros(len(points.y))
    ends = [row_weights(points, design, one - 1) if one > 0 else zero for one in (low, high)]
    if ends[0] is None or ends[1] is None:
        return float("nan"), float("nan")
    half = t_quantile(level, noise_df) * noise * float(np.sqrt(((ends[1] - ends[0]) ** 2).sum()))
    return found.value - half, found.value + half


def _of_scatter(found: EffectEstimate, low: float, high: float, noise_df: float, level: float) -> EffectEstimate:
    """An effect on which the seeds agree to the last digit, as scores over few test images can: their
    spread says nothing, and the interval is that by the scatter of single runs.
    """
    se = (high - low) / 2.0 / t_quantile(level, noise_df)
    note = "the seeds agree exactly, so the interval is by the scatter of single runs"
    return EffectEstimate(
        value=found.value, se=se, df=noise_df, low=low, high=high, p=t_p_value(found.value / se, noise_df), units=found.units, note=note
    )


def _interactions(axes: list[Axis], table: pd.DataFrame, y: Array, variance: Array | None, level: float) -> pd.DataFrame:
    """How the effect of one axis changes between the ends of another, for every pair of axes."""
    rows = []
    for first, second in combinations(axes, 2):
        if PRETRAINING in (first.column, second.column) and {first.column, second.column} & set(PRETRAIN):
            continue  # the axes of a pre-training do not exist without one
        applies = np.flatnonzero((first.code >= 0) & (second.code >= 0))
        a, b = first.code[applies], second.code[applies]
        ends = np.isin(a, [0, len(first.levels) - 1]) & np.isin(b, [0, len(second.levels) - 1])
        tied = first.column not in second.blocks or second.column not in first.blocks  # one follows from the other
        if not ends.any() or (tied and PRETRAINING not in (first.column, second.column)):
            continue
        applies, a, b = applies[ends], (a[ends] > 0).astype(float), (b[ends] > 0).astype(float)
        blocks = [name for name in first.blocks if name in second.blocks and name not in (first.column, second.column)]
        blocks += [name for name in EPOCHS.values() if (name in first.blocks) != (name in second.blocks)]
        points = points_of(table.iloc[applies], y[applies], blocks, None if variance is None else variance[applies])
        found = estimate(points, np.column_stack([a * b, a, b]), 0, level=level)
        if not np.isfinite(found.value):
            continue
        at = [estimate(_part(points, b == side), a[b == side][:, None], 0, level=level) for side in (0.0, 1.0)]
        rows.append(
            {
                "axis": first.column,
                "by": second.column,
                "name": first.name,
                "by_name": second.name,
                "by_low": second.levels[0],
                "by_high": second.levels[-1],
                "effect_at_low": at[0].value,
                "at_low_low": at[0].low,
                "at_low_high": at[0].high,
                "effect_at_high": at[1].value,
                "at_high_low": at[1].low,
                "at_high_high": at[1].high,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "note": found.note,
            }
        )
    names = ["axis", "by", "name", "by_name", "by_low", "by_high", "effect_at_low", "at_low_low", "at_low_high", "effect_at_high"]
    names += ["at_high_low", "at_high_high", "difference", "low", "high", "p", "note"]
    found_all = pd.DataFrame(rows, columns=names)
    found_all.insert(names.index("p") + 1, "p_holm", adjust(found_all["p"].to_numpy(dtype=float), method="holm"))
    return found_all.sort_values("p", kind="stable", na_position="last").reset_index(drop=True)


def _by_level(
    axes: list[Axis], effects: pd.DataFrame, interactions: pd.DataFrame, table: pd.DataFrame, y: Array, variance: Array | None, level: float
) -> pd.DataFrame:
    """The effect of an axis at each level of another, where the two interact at 5% after Holm.

    The effect of pre-training differs between lengths (sizes, recipes) of pre-training where these
    have a main effect.
    """
    named = {axis.column: axis for axis in axes}
    pairs = [(row["axis"], row["by"], row["p_holm"]) for _, row in interactions.iterrows() if row["p_holm"] < ALPHA]
    pairs += [(by, axis, p) for axis, by, p in pairs]
    if PRETRAINING in named:
        own = effects[effects["axis"].isin(PRETRAIN) & (effects["p_holm"] < ALPHA)]
        pairs += [(PRETRAINING, row["axis"], row["p_holm"]) for _, row in own.iterrows()]
    rows: list[dict[str, Any]] = []
    for column, by, p in pairs:
        axis, other = named[column], named[by]
        row = effects.set_index("axis").loc[column]
        ends = [axis.levels.index(row[name]) for name in ("low_level", "high_level")]
        for place, name in enumerate(other.levels):
            at = (other.code == place) & (axis.code >= 0)
            if column == PRETRAINING and by in PRETRAIN:
                at |= axis.code == 0
            if by != "intermediate":
                at &= axis.asked
            inside = np.flatnonzero(at)
            blocks = [one for one in axis.blocks if one != by]
            points = points_of(table.iloc[inside], y[inside], blocks, None if variance is None else variance[inside])
            found = _between(points, axis.code[inside], ends[0], ends[1], len(axis.levels), level)
            if np.isfinite(found.value):
                estimated = {"effect": found.value, "low": found.low, "high": found.high, "p_holm": p}
                rows.append({"axis": column, "by": by, "by_name": other.name, "level": name} | estimated)
    return pd.DataFrame(rows, columns=["axis", "by", "by_name", "level", "effect", "low", "high", "p_holm"])


def _part(points: Points, keep: NDArray[np.bool_]) -> Points:
    variance = None if points.variance is None else points.variance[keep]
    return Points(
        y=points.y[keep], block=points.block[keep], seed=points.seed[keep], unit=points.unit[keep], variance=variance, conditional=points.conditional
    )
