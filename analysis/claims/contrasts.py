"""Weighted sums of cell means, such as 'the first doubling brings more than the last', with an interval that respects what runs share.

From runs: the sum is taken within each seed, whose runs of all cells belong together, and Student's t over seeds. From printed means: cells
are independent, and the variances of the means add up, with Satterthwaite's degrees of freedom (Welch 1947, Biometrika 34, 28-35).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.claims.material import Material, Spread
from analysis.claims.rules import ROW_COLUMNS
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
    n: str
    """What the interval is taken over: '3 seeds' or '4 cell means'."""
    note: str
    """Why there is no interval, or what it is conditional on; else ''."""


def contrast(material: Material, weights: Weights, *, spread: Spread) -> Contrast:
    """The sum over cells of weight x mean, with an interval; `weights` by number of the cell."""
    if material.kind == "cells":
        return _of_cells(material, weights, spread)
    wide = material.by_seed
    wanted = list(weights)
    complete = wide[wanted].dropna()
    nothing = float("nan")
    if complete.empty:
        return Contrast(value=nothing, low=nothing, high=nothing, p=nothing, n="no seed", note="no seed has a run in all of these cells")
    values = complete.to_numpy() @ np.array([weights[cell] for cell in wanted])
    n, centre = len(values), float(values.mean())
    counted = "1 seed" if n == 1 else f"{n} seeds"
    sd = float(values.std(ddof=1)) if n > 1 else nothing
    if n == 1:
        return Contrast(value=centre, low=nothing, high=nothing, p=nothing, n=counted, note="one seed only, so there is no spread over seeds")
    if sd <= 1e-12 * max(abs(centre), float(np.abs(complete.to_numpy()).max())):
        return Contrast(value=centre, low=nothing, high=nothing, p=nothing, n=counted, note="all seeds agree exactly, so their spread says nothing")
    error = sd / np.sqrt(n)
    half = t_quantile(material.level, n - 1) * error
    return Contrast(
        value=centre, low=centre - half, high=centre + half, p=t_p_value(centre / error, n - 1), n=counted, note=_shared(material, wanted)
    )


def _of_cells(material: Material, weights: Weights, spread: Spread) -> Contrast:
    cells, w = np.array(list(weights)), np.array(list(weights.values()))
    place = pd.Series(np.arange(len(material.cell)), index=material.cell).loc[cells].to_numpy()
    value = float(material.means[cells] @ w)
    variance, df = (part[place] for part in material.variances(spread))
    counted = f"{len(cells)} cell means"
    nothing = float("nan")
    if np.isnan(variance).any():
        note = "a cell is of one run, or its spread is zero"
        return Contrast(value=value, low=nothing, high=nothing, p=nothing, n=counted, note=note)
    parts = w**2 * variance
    error, freedom = float(np.sqrt(parts.sum())), float(parts.sum() ** 2 / (parts**2 / df).sum())
    half = t_quantile(material.level, freedom) * error
    return Contrast(value=value, low=value - half, high=value + half, p=t_p_value(value / error, freedom), n=counted, note="")


def _shared(material: Material, cells: Sequence[int]) -> str:
    """What an interval over seeds is conditional on, where seeds share a pre-training."""
    if "pretrain_id" not in material.table.columns:
        return ""
    runs = material.table.loc[np.isin(material.cell, cells) & material.table["pretrain_id"].notna().to_numpy()]
    seeds = runs.groupby("pretrain_id")["seed"].nunique() if "seed" in runs.columns else pd.Series(dtype=float)
    return "seeds share pre-trainings: conditional on these" if len(seeds) and int(seeds.max()) > 1 else ""


def contrast_rows(material: Material, named: Sequence[tuple[str, Weights]], *, spread: Spread) -> tuple[pd.DataFrame, Contrast]:
    """A contrast for each name, as the rows of a finding (Holm and Benjamini-Hochberg over them), and that of their mean."""
    found = [(label, contrast(material, weights, spread=spread)) for label, weights in named]
    p = np.array([one.p for _, one in found], dtype=float)
    holm, bh = adjust(p, method="holm"), adjust(p, method="bh")
    rows = [(label, one.value, one.low, one.high, one.p, holm[place], bh[place], one.n, one.note) for place, (label, one) in enumerate(found)]
    together: dict[int, float] = {}
    for _, weights in named:
        for cell, weight in weights.items():
            together[cell] = together.get(cell, 0.0) + weight / len(named)
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS)), contrast(material, together, spread=spread)
