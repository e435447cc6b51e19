"""Contrasts: weighted sums of cell means, such as the first doubling's gain minus the last's. Their
intervals account for what runs share.

The sums are those of `analysis.factorial.contrast`. From runs: means are adjusted for the seeds
that a cell lacks, and Student's t is over groups of seeds that share nothing. From printed means:
cells are independent, and the variances of the means add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.claims.claim_table import ClaimTable, Spread
from analysis.claims.rules import ROW_COLUMNS
from analysis.factorial.contrast import EffectEstimate, printed_sum, sum_of_cells
from analysis.runs.groups import groups_of_seeds
from analysis.significance.multiplicity import adjust

Weights = Mapping[int, float]
Array = NDArray[np.float64]
CONDITIONAL: Final = "conditional on"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One weighted sum of cell means."""

    value: float
    """In the unit of the outcome, times that of the weights."""
    low: float
    """Lower end of the interval; NaN where there is none."""
    high: float
    """Upper end."""
    p: float
    """Two-sided, by Student's t; NaN where there is none."""
    df: float
    """Its degrees of freedom."""
    n: str
    """What the interval is taken over, and what it is conditional on: '3 seeds', '2 independent
    groups of 6 seeds', '4 cell means'.
    """
    note: str
    """Why there is no interval; else ''."""
    scale: float = 1.0
    """Half the sum of the absolute weights, for the margin (see `ClaimTable.margin_of`)."""
    rows: int = 0
    """Runs that it uses; 0 for printed means."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Numbers by cell and seed, with the independent group of each: shape (n,) each."""

    value: Array
    cell: NDArray[np.int64]
    seed: NDArray[np.int64]
    unit: NDArray[np.int64]
    shared: bool
    """Whether all seeds share pre-trainings, so that the seeds are the units."""


def seeds_of(seed: pd.Series, runs: pd.DataFrame) -> dict[str, Any]:
    """The seed and unit of each row, and whether all seeds are one group: arguments of `Scores`.

    Seeds of `runs` that share a pre-training, a trunk or an intermediate stage are one unit; where
    that makes all of them one, the seeds are the units.
    """
    codes = np.asarray(pd.factorize(seed)[0])
    groups = groups_of_seeds(runs)
    groups = groups[groups.index.isin(seed.unique())]
    shared = groups.nunique() == 1 and len(groups) > 1
    unit = codes if shared else seed.map(groups).to_numpy(dtype=np.int64)
    return {"seed": codes, "unit": unit, "shared": shared}


def contrast(study: ClaimTable, weights: Weights, *, spread: Spread) -> Contrast:
    """Estimates the sum over cells of weight x mean, with its interval; `weights` by cell number."""
    if study.kind == "cells":
        return _of_cells(study, weights, spread)
    return weighted(_scores(study, list(weights)), weights, level=study.level)


def _scores(study: ClaimTable, cells: Sequence[int]) -> Scores:
    rows = np.isin(study.cell, cells)
    kept = study.table.loc[rows]
    value, cell = kept[study.outcome].to_numpy(dtype=float), study.cell[rows]
    if "seed" in kept.columns:
        return Scores(value=value, cell=cell, **seeds_of(kept["seed"], kept))
    nothing = np.zeros(len(kept), dtype=np.int64)
    return Scores(value=value, cell=cell, seed=nothing, unit=nothing, shared=False)


def mean_over_cells(scores: Scores, *, level: float) -> tuple[Contrast, list[int]]:
    """The mean over cells, and the cells used: those with values in two units (all, where none
    has), so that leaving a unit out leaves the mean determined.
    """
    units = pd.Series(scores.unit).groupby(scores.cell).nunique()
    used = [int(cell) for cell in units.index[units > 1]] or [int(cell) for cell in units.index]
    return weighted(scores, dict.fromkeys(used, 1.0 / len(used)), level=level), used


def weighted(scores: Scores, weights: Weights, *, level: float) -> Contrast:
    """The sum over cells of weight x (mean of the cell, all seeds present): see
    `analysis.factorial.contrast.sum_of_cells`.
    """
    scale = sum(abs(weight) for weight in weights.values()) / 2.0
    weights = {cell: weight for cell, weight in weights.items() if abs(weight) > 1e-12 * scale}
    found, rows = sum_of_cells(scores.value, scores.cell, scores.seed, scores.unit, weights, level=level)
    if not len(rows):
        return _contrast(found, "no seed", scale)
    seeds, units = np.unique(scores.seed[rows]), np.unique(scores.unit[rows])
    counted = f"{len(seeds)} seeds" if len(seeds) != 1 else "1 seed"
    if scores.shared and len(seeds) > 1:
        counted += f", {CONDITIONAL} the pre-trainings that they share"
    elif 1 < len(units) < len(seeds):
        counted = f"{len(units)} independent groups of {len(seeds)} seeds"
    return replace(_contrast(found, counted, scale), rows=len(rows))


def _contrast(found: EffectEstimate, counted: str, scale: float) -> Contrast:
    note = "" if np.isfinite(found.se) else found.note
    return Contrast(value=found.value, low=found.low, high=found.high, p=found.p, df=found.df, n=counted, note=note, scale=scale)


def _of_cells(study: ClaimTable, weights: Weights, spread: Spread) -> Contrast:
    cells, w = np.array(list(weights)), np.array(list(weights.values()))
    place = pd.Series(np.arange(len(study.cell)), index=study.cell).loc[cells].to_numpy()
    variance = np.column_stack(study.variances(spread))[place]
    found = printed_sum(study.means[cells], w, variance, level=study.level)
    return _contrast(found, f"{len(cells)} cell means", float(np.abs(w).sum()) / 2.0)


def contrast_rows(study: ClaimTable, named: Sequence[tuple[str, Weights]], *, spread: Spread) -> tuple[pd.DataFrame, Contrast]:
    """Estimates one contrast per name and their mean; returns the rows of a finding and the mean.

    Holm's and Benjamini and Hochberg's corrections are over the rows.
    """
    found = [(label, contrast(study, weights, spread=spread)) for label, weights in named]
    p = np.array([one.p for _, one in found], dtype=float)
    holm, bh = adjust(p, method="holm"), adjust(p, method="bh")
    rows = [(label, one.value, one.low, one.high, one.p, holm[place], bh[place], one.n, one.note) for place, (label, one) in enumerate(found)]
    scale = float(np.mean([one.scale for _, one in found]))
    used = [weights for _, weights in named]
    if study.kind == "runs":
        used = [weights for (_, weights), (_, one) in zip(named, found, strict=True) if np.isfinite(one.p)] or used
    together: dict[int, float] = {}
    for weights in used:
        for cell, weight in weights.items():
            together[cell] = together.get(cell, 0.0) + weight / len(used)
    mean = replace(contrast(study, together, spread=spread), scale=scale)
    if mean.rows:
        mean = replace(mean, n=f"{mean.rows} runs, {mean.n}")
    if len(used) < len(named):
        mean = replace(mean, n=f"{mean.n}; {len(used)} of {len(named)} with an interval of their own are used")
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS)), mean
