"""Contrasts: weighted sums of cell means, such as the first doubling's gain minus the last's. Their
intervals account for what runs share.

From runs: the sum is taken within each seed, whose runs of all cells belong together, and Student's
t over groups of seeds that share nothing. From printed means: cells are independent, and the
variances of the means add up, with Satterthwaite's degrees of freedom (Welch 1947, Biometrika 34,
28-35).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable, Spread
from analysis.claims.rules import ROW_COLUMNS
from analysis.runs.groups import groups_of_seeds
from analysis.significance.multiplicity import adjust
from analysis.student import t_p_value, t_quantile

Weights = Mapping[int, float]


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


def contrast(study: ClaimTable, weights: Weights, *, spread: Spread) -> Contrast:
    """Estimates the sum over cells of weight x mean, with its interval; `weights` by cell number."""
    if study.kind == "cells":
        return _of_cells(study, weights, spread)
    wanted = list(weights)
    complete = study.by_seed.reindex(columns=wanted).dropna()
    values = pd.Series(complete.to_numpy() @ np.array([weights[cell] for cell in wanted]), index=complete.index)
    size = float(np.abs(complete.to_numpy()).max(initial=0.0))
    return over_seeds(values, study.table.loc[np.isin(study.cell, wanted)], level=study.level, size=size)


def over_seeds(values: pd.Series, runs: pd.DataFrame, *, level: float, size: float = 0.0) -> Contrast:
    """Mean of one value per seed (indexed by seed), with Student's t over independent groups of
    seeds.

    Where all seeds share pre-trainings they are one group, and t is over the seeds instead: the
    result is conditional on these pre-trainings, and says so. `size` is the scale on which
    differences between seeds are rounding.
    """
    nothing = float("nan")
    if values.empty:
        return Contrast(value=nothing, low=nothing, high=nothing, p=nothing, df=nothing, n="no seed", note="no seed has a run in all of these cells")
    groups = groups_of_seeds(runs).reindex(values.index) if "seed" in runs.columns else pd.Series(0, index=values.index)
    units, counted = values, f"{len(values)} seeds"
    if len(values) == 1:
        counted = "1 seed"
    elif groups.nunique() == 1:
        counted += ", conditional on the pre-trainings that they share"
    elif groups.nunique() < len(values):
        units = values.groupby(groups.to_numpy()).mean()
        counted = f"{len(units)} independent groups of {len(values)} seeds"
    n, centre = len(units), float(units.mean())
    if n == 1:
        note = "one seed only, so there is no spread over seeds"
        return Contrast(value=centre, low=nothing, high=nothing, p=nothing, df=nothing, n=counted, note=note)
    sd = float(units.std(ddof=1))
    if sd <= 1e-12 * max(abs(centre), size):
        note = "all seeds agree exactly, so their spread says nothing"
        return Contrast(value=centre, low=nothing, high=nothing, p=nothing, df=nothing, n=counted, note=note)
    error = sd / np.sqrt(n)
    half = t_quantile(level, n - 1) * error
    return Contrast(value=centre, low=centre - half, high=centre + half, p=t_p_value(centre / error, n - 1), df=n - 1.0, n=counted, note="")


def _of_cells(study: ClaimTable, weights: Weights, spread: Spread) -> Contrast:
    cells, w = np.array(list(weights)), np.array(list(weights.values()))
    place = pd.Series(np.arange(len(study.cell)), index=study.cell).loc[cells].to_numpy()
    value = float(study.means[cells] @ w)
    variance, df = (part[place] for part in study.variances(spread))
    counted = f"{len(cells)} cell means"
    nothing = float("nan")
    if np.isnan(variance).any():
        note = "a cell is of one run, or its spread is zero"
        return Contrast(value=value, low=nothing, high=nothing, p=nothing, df=nothing, n=counted, note=note)
    parts = w**2 * variance
    error, freedom = float(np.sqrt(parts.sum())), float(parts.sum() ** 2 / (parts**2 / df).sum())
    half = t_quantile(study.level, freedom) * error
    return Contrast(value=value, low=value - half, high=value + half, p=t_p_value(value / error, freedom), df=freedom, n=counted, note="")


def contrast_rows(study: ClaimTable, named: Sequence[tuple[str, Weights]], *, spread: Spread) -> tuple[pd.DataFrame, Contrast]:
    """Estimates one contrast per name and their mean; returns the rows of a finding and the mean.

    Holm's and Benjamini and Hochberg's corrections are over the rows.
    """
    found = [(label, contrast(study, weights, spread=spread)) for label, weights in named]
    p = np.array([one.p for _, one in found], dtype=float)
    holm, bh = adjust(p, method="holm"), adjust(p, method="bh")
    rows = [(label, one.value, one.low, one.high, one.p, holm[place], bh[place], one.n, one.note) for place, (label, one) in enumerate(found)]
    together: dict[int, float] = {}
    for _, weights in named:
        for cell, weight in weights.items():
            together[cell] = together.get(cell, 0.0) + weight / len(named)
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS)), contrast(study, together, spread=spread)
