"""One row of a table of correlations: estimate, interval, p and notes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.correlation.clusters import constant_inside, value_of_each
from analysis.correlation.covariates import Covariates
from analysis.correlation.estimates import Array, Labels, estimates
from analysis.correlation.intervals import correlation_interval, fisher_z
from analysis.correlation.permutation import FEWEST, FEWEST_IN_SEED, p_of_placings, residual_of
from analysis.significance.cluster_resampling import Placings, count_placings, left_out, placings, t_interval

FEWEST_RUNS = 3
FEWEST_CLUSTERS = 5  # below, an interval says next to nothing: t on at most 2 degrees of freedom
NOTHING = float("nan")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Runs to correlate; all arrays have shape (n,)."""

    x: Array
    y: Array
    cluster: Labels
    """From 0."""
    ids: NDArray[np.object_]
    """Of the pre-training."""
    seed: Labels | None
    """Of the run; None where the table does not say."""
    covariates: Covariates | None
    x_name: str = "the loss"
    """What notes call x."""
    unit: str = "pre-training"
    """What notes call a cluster."""
    strata: Labels | None = None
    """Groups whose means are removed, from 0; None for the plain correlation."""
    levels: pd.DataFrame | None = None
    """The columns that make the strata."""


def estimate_row(sample: Sample, method: str, *, level: float, seed: int) -> dict[str, Hashable]:
    """Computes r, low, high, p, n, pretrainings, clusters, note and p_note."""
    pretrainings, clusters = len(pd.unique(sample.ids)), int(sample.cluster.max()) + 1
    row: dict[str, Hashable] = {"r": NOTHING, "low": NOTHING, "high": NOTHING, "p": NOTHING}
    row |= {"n": len(sample.x), "pretrainings": pretrainings, "clusters": clusters, "note": "", "p_note": ""}
    if len(sample.x) < FEWEST_RUNS:
        return row | {"note": f"fewer than {FEWEST_RUNS} runs"}
    given = sample.covariates
    if method == "kendall" and given is not None:
        return row | {"note": "Kendall's tau is not adjusted for other columns: see Pearson and Spearman"}
    design = None if given is None else given.design[method]
    out = left_out(sample.cluster)
    replicates = estimates(method, sample.x, sample.y, out, strata=sample.strata, design=design)
    if np.isnan(replicates[0]):
        adjusted = " once the other columns are held fixed" if given is not None else ""
        inside = " inside each group" if sample.strata is not None else ""
        return row | {"note": f"one of the two columns is constant here{inside}{adjusted}"}
    row["r"] = float(replicates[0])
    low, high, note = _interval(method, replicates, pretrainings, clusters, level, sample.unit)
    p, p_note = chance_of(sample, method, design, replicates, seed)
    return row | {"low": low, "high": high, "note": note, "p": p, "p_note": p_note}


def _interval(method: str, replicates: Array, pretrainings: int, clusters: int, level: float, unit: str) -> tuple[float, float, str]:
    if clusters < FEWEST_CLUSTERS:
        counted = f"{pretrainings} {unit}s" if pretrainings != 1 else f"1 {unit}"
        shared = f" on {clusters} trunks" if clusters < pretrainings else ""
        return NOTHING, NOTHING, f"{counted}{shared}: an interval needs at least {FEWEST_CLUSTERS} independent ones"
    low, high = correlation_interval(method, replicates, level=level)
    return low, high, "" if np.isfinite(low) else f"too little varies between {unit}s for an interval"


def chance_of(sample: Sample, method: str, design: Array | None, replicates: Array, seed: int) -> tuple[float, str]:
    """Two-sided p of no association, and how it was obtained.

    NaN where no two clusters can change places, or there are too few for a t test.

    `replicates`, shape (1 + clusters,), serve where x varies inside clusters.
    """
    x = value_of_each(sample.x, sample.cluster)
    if x is None:
        if int(sample.cluster.max()) + 1 < FEWEST_CLUSTERS:
            return NOTHING, f"{sample.x_name} varies inside clusters, and a t test needs at least {FEWEST_CLUSTERS} of them: no p"
        p = t_interval(fisher_z(replicates) if method == "pearson" else replicates, level=0.95)[2]
        return p, f"jackknife over clusters, as {sample.x_name} varies inside them"
    x, where, how = _exchange(sample, x, design)
    if count_placings(where) < 2:
        return NOTHING, "no two clusters can change places: no p"
    placed = placings(where, seed=seed)
    p = p_of_placings(method, x, sample.y, sample.cluster, placed.source, strata=sample.strata, design=design)
    return p, f"{_counted(placed)}{how}"


def _counted(placed: Placings) -> str:
    if not placed.exact:
        return f"{len(placed.source) - 1:,} drawn placings of the losses"
    floor = f", so that p cannot be below {1.0 / placed.total:.2f}" if placed.total < FEWEST else ""
    return f"all {placed.total:,} placings of the losses{floor}"


def _exchange(sample: Sample, x: Array, design: Array | None) -> tuple[Array, Labels, str]:
    """The x of each cluster, the stratum in which it may change places, and a description."""
    anywhere = np.zeros(int(sample.cluster.max()) + 1, dtype=np.int64)
    held = []
    for table in (None if sample.covariates is None else sample.covariates.table, sample.levels):
        if table is not None:
            held += [(name, constant_inside(table[name], sample.cluster)) for name in table.columns]
    fixed = [(name, codes) for name, codes in held if codes is not None and codes.max() > 0]
    if fixed:
        inside = np.unique(np.column_stack([codes for _, codes in fixed]), axis=0, return_inverse=True)[1].ravel()
        names = ", ".join(dict.fromkeys(name for name, _ in fixed))
        if count_placings(inside) >= FEWEST or design is None:
            return x, inside, f" inside one {names}"
    if design is not None and (fixed or any(codes is None for _, codes in held)):
        if fixed:
            return residual_of(x, sample.cluster, design), anywhere, f", of what {names} leave of them (approximate)"
        return x, anywhere, ""
    seeds = None if sample.seed is None else constant_inside(sample.seed.astype(object), sample.cluster)
    if seeds is not None and seeds.max() > 0 and count_placings(seeds) >= FEWEST_IN_SEED:
        return x, seeds, " inside one seed"
    return x, anywhere, ""
