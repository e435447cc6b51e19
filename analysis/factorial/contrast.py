"""The difference between two levels of an axis, all else equal, from every run that can speak to it.

The model is score = block + level + seed + noise, by least squares: a block is one combination of
all other settings, so only differences within a block count, and a missing run costs its own block
some weight instead of its whole seed. In a complete grid the estimate is the mean over blocks of
the mean paired difference.

The standard error comes from leaving out one independent group of seeds at a time (delete-one
jackknife; Efron and Stein 1981, Ann. Statist. 9, 586-596). In a complete grid that is exactly the
paired t test over groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.runs.groups import groups_of_seeds
from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
NONE: Final = float("nan")
ROUNDING: Final = 1e-12  # spreads below this share of the scores are rounding


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
    value = float(weights @ points.y)
    if points.variance is not None:
        return _printed(points, weights, value, level)
    used = np.abs(weights) > 1e-9
    units = np.unique(points.unit[used])
    if len(units) < 2:
        return _none(value, "one block of one seed, which has no spread" if points.conditional else "one seed only, so there is no spread")
    left_out = np.array([_without(points, design, wanted, unit) for unit in units])
    count = len(units)
    if np.isnan(left_out).any():
        return _none(value, "one group of seeds alone holds a level, so there is no spread over seeds")
    se = float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))
    if se <= ROUNDING * max(float(np.abs(points.y).max()), 1e-300):
        return _none(value, "all seeds agree exactly, so their spread says nothing")
    return _student(value, se, count - 1.0, level, count, points.conditional)


def row_weights(points: Points, design: Array, wanted: int, keep: NDArray[np.bool_] | None = None) -> Array | None:
    """Weights on the scores, shape (n,), whose sum is the coefficient; None where it is not
    determined. `keep` leaves rows out.
    """
    rows = np.flatnonzero(keep) if keep is not None else np.arange(len(points.y))
    seeds = np.unique(points.seed[rows])
    columns = [design[rows], *[(points.seed[rows] == seed).astype(float)[:, None] for seed in seeds[1:]]]
    within = _centred(np.hstack(columns), points.block[rows])
    inverse = np.linalg.pinv(within, rcond=1e-10)
    wanted_row = inverse[wanted] @ within
    wanted_row[wanted] -= 1.0
    if np.abs(wanted_row).max() > 1e-6:
        return None
    weights = np.zeros(len(points.y))
    weights[rows] = inverse[wanted]
    return weights


def scatter(table: pd.DataFrame, y: Array, cells: Sequence[str]) -> tuple[float, float]:
    """Standard deviation of one run around its cell and seed, pooled over all cells, and its
    degrees of freedom; NaN and 0 where no cell has two runs.
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
    return (float(np.sqrt(((left - fitted) ** 2).sum() / df)), float(df)) if df > 0 else (NONE, 0.0)


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


def _without(points: Points, design: Array, wanted: int, unit: int) -> float:
    keep = points.unit != unit
    weights = row_weights(points, design, wanted, keep)
    return float(weights @ points.y) if weights is not None else NONE


def _centred(values: Array, block: NDArray[np.int64]) -> Array:
    """Each column less its mean in the row's block."""
    labels = np.unique(block, return_inverse=True)[1]
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, labels, values)
    return np.asarray(values - (sums / counts[:, None])[labels], dtype=float)


def _printed(points: Points, weights: Array, value: float, level: float) -> EffectEstimate:
    """From printed means with spreads: variances add up, with Satterthwaite's degrees of freedom."""
    assert points.variance is not None
    parts = weights**2 * points.variance[:, 0]
    if np.isnan(parts[np.abs(weights) > 1e-9]).any():
        return _none(value, "a cell is of one run, or its spread is zero")
    parts = np.nan_to_num(parts)
    se = float(np.sqrt(parts.sum()))
    freedom = float(parts.sum() ** 2 / np.nansum(parts**2 / points.variance[:, 1]))
    return _student(value, se, freedom, level, int((np.abs(weights) > 1e-9).sum()), "spread read as a standard error, the wider reading")


def _student(value: float, se: float, df: float, level: float, units: int, note: str) -> EffectEstimate:
    half = t_quantile(level, df) * se
    return EffectEstimate(value=value, se=se, df=df, low=value - half, high=value + half, p=t_p_value(value / se, df), units=units, note=note)


def _none(value: float, note: str) -> EffectEstimate:
    return EffectEstimate(value=value, se=NONE, df=NONE, low=NONE, high=NONE, p=NONE, units=0, note=note)
