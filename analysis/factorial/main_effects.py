"""What moved the score: main effects, interactions and noise of everything that a study varies.

from analysis import load_runs, main_effects
found = main_effects(load_runs("runs/my_study"))
print(found.headline())
print("\\n".join(found.sentences()))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.factorial.axes import Axis, axes_of
from analysis.factorial.contrast import AGREE, EffectEstimate, Points, cells_like_these, estimate, points_of, row_weights, scatter
from analysis.factorial.crossed import by_level, interactions_of
from analysis.factorial.ends import counted, differences, ends_of, how_compared, over_cells, pairs_compared, where_of
from analysis.factorial.kinds import in_kinds
from analysis.factorial.lengths import with_epochs
from analysis.factorial.odd_cells import odd_cells
from analysis.factorial.result import COUNTS, MainEffects
from analysis.factorial.shares import shares_of_variance
from analysis.fitting.inputs import checked_level
from analysis.published.load import Published
from analysis.runs.matching import SETTINGS
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
    the score; where no pair of runs has both, that of the two levels farthest apart which a pair
    has. Of an axis without an order and with more than two levels it is that of the two which
    differ most, with interval and p corrected (Bonferroni) for that choice. Kinds of intermediate
    stage, and objectives of pre-training, are each compared with none: a row each. Runs that share
    a pre-training or a seed count once. Whether pre-training helps is asked without an intermediate
    stage, where the table has runs with and without one. `p_holm` corrects over the rows, and apart
    from them over the interactions.

    Raises AnalysisError for a table without numbers in the outcome or without an axis that varies.
    """
    table = study.table if isinstance(study, Published) else study
    outcome = outcome or (study.outcome if isinstance(study, Published) else None)
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"main_effects needs a runs table or a published one, and got {type(table).__name__}: read it with load_runs first.")
    checked_level(level)
    axes = None if axes is None else list(dict.fromkeys(axes))
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
    compared = in_kinds(found, kept)
    cell = np.asarray(kept.groupby(settings, dropna=False, sort=False).ngroup(), dtype=np.int64)
    rows = [_row(axis, found, kept, y, variance, cell, level, noise, noise_df) for axis in compared]
    shares, interacting, within = shares_of_variance(found, y, cell)
    share = dict(zip([axis.column for axis in found], shares, strict=True))
    effects = pd.DataFrame(rows).assign(share=[share[axis.column] for axis in compared]).astype(dict.fromkeys(COUNTS, "Int64"))
    effects.insert(list(effects.columns).index("p") + 1, "p_holm", adjust(effects["p"].to_numpy(dtype=float), method="holm"))
    ends = [(axis.levels.index(row["low_level"]), axis.levels.index(row["high_level"])) for axis, row in zip(compared, rows, strict=True)]
    crossing = list(zip(compared, ends, strict=True)) if interactions else []
    crossed = interactions_of(crossing, kept, y, variance, level)
    levels = by_level(crossing, found, effects, crossed, kept, y, variance, level)
    effects = effects.sort_values("effect", key=np.abs, ascending=False, kind="stable", na_position="last").reset_index(drop=True)
    return MainEffects(
        odd=odd_cells(kept, y, settings) if variance is None else pd.DataFrame(),
        outcome=outcome,
        outcome_title=title_of(outcome, table),
        level=level,
        table=effects,
        interactions=crossed,
        levels=levels,
        noise_sd=noise,
        noise_df=noise_df,
        share_of_interactions=interacting,
        share_of_noise=within,
        n_runs=len(kept),
        n_seeds=int(kept["seed"].nunique()) if "seed" in kept.columns and variance is None else 0,
        has_spreads=variance is not None,
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


def _row(
    axis: Axis,
    axes: list[Axis],
    table: pd.DataFrame,
    y: Array,
    variance: Array | None,
    cell: NDArray[np.int64],
    level: float,
    noise: float,
    noise_df: float,
) -> dict[str, Any]:
    rows = np.flatnonzero((axis.code >= 0) & axis.asked)
    part, code = table.iloc[rows], axis.code[rows]
    points = points_of(part, y[rows], axis.blocks, None if variance is None else variance[rows])
    low, high, found = ends_of(axis, points, code, level)
    found = over_cells(axis, points, code, cell[rows], found, level)
    design = (code[:, None] == np.arange(1, len(axis.levels))[None, :]).astype(float)
    doubling = None
    if axis.sizes is not None:
        doubling = estimate(points, np.log2(np.array(axis.sizes))[code][:, None], 0, level=level)
    pairs = differences(points, code, low, high)
    like = cells_like_these(pairs, level=level)
    pooled_low, pooled_high = _by_scatter(points, design, low, high, found, noise, noise_df, level)
    if found.note.startswith(AGREE) and np.isfinite(pooled_low):
        found = _of_scatter(found, pooled_low, pooled_high, noise_df, level)
    used = np.isin(code, [low, high])
    other = [name for column, name in axis.parts.items() if part.loc[used, column].nunique() > 1]
    n_seeds = int(part.loc[used, "seed"].nunique()) if "seed" in part.columns and variance is None else 0
    where = where_of(axis, axes, part, points, code, low, high)
    notes = [found.note, how_compared(axis, points, code, low, high, where) if np.isfinite(found.value) else ""]
    n_pairs, n_blocks, n_up, n_down = counted(points, code, cell[rows], low, high)
    return {
        "axis": axis.column,
        "kind": axis.kind,
        "name": axis.name,
        "also": " and ".join([*axis.also, *other]),
        "low_level": axis.levels[low],
        "high_level": axis.levels[high],
        "where": where,
        "ratio": axis.sizes[high] / axis.sizes[low] if axis.sizes else float("nan"),
        "levels": len(axis.levels),
        "pairs_tried": pairs_compared(axis, points, code),
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
        "n_pairs": n_pairs,
        "n_blocks": n_blocks,
        "n_up": n_up,
        "n_down": n_down,
        "n_units": found.units,
        "n_seeds": n_seeds if np.isfinite(found.value) else pd.NA,
        "note": "; ".join(one for one in notes if one),
    }


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
