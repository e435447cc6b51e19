"""Weighted sums of scores over all runs that can speak to them, with intervals over seeds.

Two sums are made: the difference between two levels of an axis, all else equal (`estimate`), and
the weighted sum of the means of given cells (`sum_of_cells`). Both rest on the model score = cell
(or block + level) + seed + noise, by least squares, so a missing run costs its own cell some weight
instead of its whole seed. A block is one combination of all other settings. In a complete grid both
are plain means of paired differences.

The standard error comes from leaving out one independent group of seeds at a time (delete-one
jackknife; Efron and Stein 1981, Ann. Statist. 9, 586-596). In a complete grid that is exactly the
paired t test over groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.runs.groups import groups_of_seeds
from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
NONE: Final = float("nan")
ROUNDING: Final = 1e-12  # spreads below this share of the scores are rounding
NEXT_TO_NOTHING: Final = 1e-9  # weights below this are rounding
AGREE: Final = "all seeds agree exactly"
ONE_SEED: Final = "one seed only, so there is no spread over seeds"


@dataclass(frozen=True, kw_only=True)
class EffectEstimate:
    """A number with its interval."""

    value: float
    """In the unit of the score; NaN where the table does not determine it."""
    se: float
    """Standard error; NaN where there is none."""
    df: float
    """Its degrees of freedom."""
    low: float
    high: float
    p: float
    """Two-sided p of zero, by Student's t."""
    units: int
    """What the standard error is taken over: independent groups of seeds, seeds, or blocks."""
    note: str
    """Why there is no interval, or what it is conditional on; may be empty."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """The scores that a contrast is taken of, with what they share."""

    y: Array
    """Scores, shape (n,)."""
    block: NDArray[np.int64]
    """Block of each, shape (n,)."""
    seed: NDArray[np.int64]
    """Seed of each, shape (n,); all 0 where the table has no seeds."""
    unit: NDArray[np.int64]
    """Independent group of each, shape (n,)."""
    variance: Array | None
    """Variance of each score where the table prints means with a spread; else None."""
    conditional: str
    """What an interval over these units is conditional on; may be empty."""


def points_of(table: pd.DataFrame, y: Array, blocks: Sequence[str], variance: Array | None) -> Points:
    """Group the rows of a table by block, seed and independent group.

    Where all seeds share a pre-training the seeds are the units, conditional on that pre-training.
    With a single seed the blocks are, and the interval holds for blocks like these.
    """
    n = len(table)
    block = table.groupby(list(blocks), dropna=False, sort=False).ngroup().to_numpy() if blocks else np.zeros(n, dtype=np.int64)
    seed = pd.factorize(table["seed"])[0] if "seed" in table.columns and variance is None else np.zeros(n, dtype=np.int64)
    conditional = ""
    if variance is not None or len(np.unique(seed)) < 2:
        unit = block
        conditional = "one seed: the interval is over cells, and holds for cells like these"
    else:
        group = groups_of_seeds(table)
        unit = table["seed"].map(group).to_numpy()
        if group.nunique() == 1:
            unit, conditional = seed, "conditional on the pre-trainings that all seeds share"
    return Points(y=y, block=np.asarray(block), seed=np.asarray(seed), unit=np.asarray(unit), variance=variance, conditional=conditional)


def estimate(points: Points, design: Array, wanted: int, *, level: float) -> EffectEstimate:
    """The coefficient of column `wanted` of `design`, shape (n, columns), within blocks and seeds.

    Args:
        level: nominal coverage of the interval.
    """
    weights = row_weights(points, design, wanted)
    if weights is None:
        return _none(NONE, "the other settings never agree at both levels")
    if points.variance is not None:
        return printed_sum(points.y, weights, points.variance, level=level)
    alone = "one block of one seed, which has no spread" if points.conditional else ONE_SEED
    found = over_units(points.y, points.unit, weights, lambda keep: row_weights(points, design, wanted, keep), level=level, alone=alone)
    return replace(found, note=points.conditional) if np.isfinite(found.se) else found


def sum_of_cells(
    y: Array, cell: NDArray[np.int64], seed: NDArray[np.int64], unit: NDArray[np.int64], weights: Mapping[int, float], *, level: float
) -> tuple[EffectEstimate, NDArray[np.int64]]:
    """The sum over cells of weight x mean, with all seeds present in every cell, and the rows used.

    Args:
        y, cell, seed, unit: score, cell, seed and independent group of each run, shape (n,).
        weights: by cell.
        level: nominal coverage of the interval.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if not set(weights) <= set(cell.tolist()):
        return _none(NONE, "a cell has no run"), nothing
    rows = np.flatnonzero(np.isin(cell, list(weights)))
    on_values = cell_weights(cell, seed, weights, rows)
    if on_values is None:
        return _none(NONE, "no seed joins all of these cells"), nothing
    rows = rows[np.abs(on_values[rows]) > NEXT_TO_NOTHING]
    return over_units(y, unit, on_values, lambda keep: cell_weights(cell, seed, weights, rows[keep[rows]]), level=level), rows


def cell_weights(cell: NDArray[np.int64], seed: NDArray[np.int64], weights: Mapping[int, float], rows: NDArray[np.int64]) -> Array | None:
    """Weights on the scores, shape (n,), whose sum is the sum over cells, from `rows` alone; None
    where they do not determine it.
    """
    cells, place = np.unique(cell[rows], return_inverse=True)
    if len(cells) < len(weights):
        return None
    seeds, number = np.unique(seed[rows], return_inverse=True)
    wanted = np.array([weights[int(one)] for one in cells]) / np.bincount(place)
    on_rows = wanted[place]
    if len(seeds) > 1:
        coded = (number[:, None] == np.arange(len(seeds) - 1)) - (number == len(seeds) - 1)[:, None].astype(float)
        within = _centred(coded, place)
        tilt = on_rows @ coded  # what the seeds add to the plain means; zero in a complete grid
        inverse = np.linalg.pinv(within, rcond=1e-10)
        if np.abs(tilt - tilt @ inverse @ within).max() > 1e-7 * max(1.0, float(np.abs(tilt).max())):
            return None
        on_rows = on_rows - tilt @ inverse
    found = np.zeros(len(cell))
    found[rows] = on_rows
    return found


def over_units(
    y: Array,
    unit: NDArray[np.int64],
    weights: Array,
    without: Callable[[NDArray[np.bool_]], Array | None],
    *,
    level: float,
    alone: str = ONE_SEED,
) -> EffectEstimate:
    """The sum of weights x scores, with the interval of Student's t over independent units, each
    left out in turn.

    Args:
        y, unit, weights: of each run, shape (n,).
        without: gives the weights where only some runs are kept, a mask of shape (n,); None where
            those do not determine the sum.
        level: nominal coverage of the interval.
        alone: why there is no interval where one unit is all there is.
    """
    value = float(weights @ y)
    used = np.abs(weights) > NEXT_TO_NOTHING
    units = np.unique(unit[used])
    count = len(units)
    if count < 2:
        return _none(value, alone)
    left_out = [without(unit != one) for one in units]
    values = np.array([one @ y for one in left_out if one is not None])
    if len(values) < count:
        return _none(value, "one group of seeds alone holds a cell, so there is no spread over seeds")
    se = float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))
    if se <= ROUNDING * max(abs(value), float(np.abs(y[used]).max()), 1e-300):
        return _none(value, f"{AGREE}, so their spread says nothing")
    return _student(value, se, count - 1.0, level, count, "")


def printed_sum(values: Array, weights: Array, variance: Array, *, level: float) -> EffectEstimate:
    """The sum of weights x printed means, shape (n,): variances add up, with Satterthwaite's degrees
    of freedom (Welch 1947, Biometrika 34, 28-35).

    Args:
        variance: variance of each mean and its degrees of freedom, shape (n, 2); NaN where a mean
            has none.
        level: nominal coverage of the interval.
    """
    value, used = float(weights @ values), np.abs(weights) > NEXT_TO_NOTHING
    parts = weights[used] ** 2 * variance[used, 0]
    if np.isnan(parts).any():
        return _none(value, "a cell is of one run, or its spread is zero")
    se, freedom = float(np.sqrt(parts.sum())), float(parts.sum() ** 2 / (parts**2 / variance[used, 1]).sum())
    return _student(value, se, freedom, level, int(used.sum()), "spread read as a standard error, the wider reading")


def row_weights(points: Points, design: Array, wanted: int, keep: NDArray[np.bool_] | None = None) -> Array | None:
    """Weights, shape (n,), that make the coefficient a weighted sum of the scores; None where it is
    not determined. Rows where `keep` is False are left out.
    """
    rows = np.flatnonzero(keep) if keep is not None else np.arange(len(points.y))
    seeds = np.unique(points.seed[rows])
    columns = [design[rows], *[(points.seed[rows] == seed).astype(float)[:, None] for seed in seeds[1:]]]
    within = _centred(np.hstack(columns), points.block[rows])
    try:
        inverse = np.linalg.pinv(within, rcond=1e-10)
    except np.linalg.LinAlgError:  # levels beyond what can be squared
        return None
    wanted_row = inverse[wanted] @ within
    wanted_row[wanted] -= 1.0
    if np.abs(wanted_row).max() > 1e-6:
        return None
    weights = np.zeros(len(points.y))
    weights[rows] = inverse[wanted]
    return weights


def scatter(table: pd.DataFrame, y: Array, cells: Sequence[str]) -> tuple[float, float]:
    """Standard deviation of one run around its cell and seed, pooled over all cells, and its
    degrees of freedom; NaN and 0 where no cell has two runs. Exact repeats scatter by 0, not by
    rounding.
    """
    if "seed" not in table.columns:
        return NONE, 0.0
    cell = np.asarray(table.groupby(list(cells), dropna=False, sort=False).ngroup()) if cells else np.zeros(len(table), dtype=np.int64)
    seed = pd.factorize(table["seed"])[0]
    levels = np.unique(seed)
    within = _centred(np.column_stack([y, *[(seed == one).astype(float) for one in levels[1:]]]), cell)
    left, dummies = within[:, 0], within[:, 1:]
    fitted = dummies @ np.linalg.lstsq(dummies, left, rcond=None)[0] if dummies.shape[1] else np.zeros(len(y))
    rank = int(np.linalg.matrix_rank(dummies)) if dummies.shape[1] else 0
    df = len(y) - len(np.unique(cell)) - rank
    if df <= 0:
        return NONE, 0.0
    noise = float(np.sqrt(((left - fitted) ** 2).sum() / df))
    return (noise if noise > ROUNDING * float(np.abs(y).max()) else 0.0), float(df)


def cells_like_these(differences: pd.DataFrame, *, level: float) -> EffectEstimate:
    """The mean of differences (blocks in rows, independent groups in columns) where both are a
    sample: two-way analysis of variance without replication.

    The variance of the mean is (MS blocks + MS groups - MS residual) / (blocks x groups), with
    Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2, 110-114). Blocks with a missing
    group are left out.
    """
    full = differences.dropna()
    blocks, groups = full.shape
    if blocks < 2 or groups < 2:
        return _none(float(full.to_numpy().mean()) if full.size else NONE, "too few complete cells")
    d = full.to_numpy(dtype=float)
    mean = float(d.mean())
    by_block, by_group = d.mean(axis=1), d.mean(axis=0)
    residual = d - by_block[:, None] - by_group[None, :] + mean
    squares = (groups * ((by_block - mean) ** 2).sum(), blocks * ((by_group - mean) ** 2).sum(), (residual**2).sum())
    df = (blocks - 1.0, groups - 1.0, (blocks - 1.0) * (groups - 1.0))
    ms = [part / of for part, of in zip(squares, df, strict=True)]
    larger = max(ms[0], ms[1])
    total = max(ms[0] + ms[1] - ms[2], larger)  # a component estimated below zero counts as zero
    se = float(np.sqrt(total / (blocks * groups)))
    if se <= ROUNDING * max(abs(mean), 1e-300):
        return _none(mean, "all cells and seeds agree exactly")
    freedom = total**2 / sum(part**2 / of for part, of in zip(ms, df, strict=True))
    return _student(mean, se, max(1.0, float(freedom)), level, blocks, "")


def _centred(values: Array, block: NDArray[np.int64]) -> Array:
    """Each column less its mean in the row's block."""
    labels = np.unique(block, return_inverse=True)[1]
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, labels, values)
    return np.asarray(values - (sums / counts[:, None])[labels], dtype=float)


def _student(value: float, se: float, df: float, level: float, units: int, note: str) -> EffectEstimate:
    half = t_quantile(level, df) * se
    return EffectEstimate(value=value, se=se, df=df, low=value - half, high=value + half, p=t_p_value(value / se, df), units=units, note=note)


def _none(value: float, note: str) -> EffectEstimate:
    return EffectEstimate(value=value, se=NONE, df=NONE, low=NONE, high=NONE, p=NONE, units=0, note=note)
