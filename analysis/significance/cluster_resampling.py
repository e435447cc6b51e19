"""Inference for any estimate where rows come in clusters: leave clusters out, or exchange them.

Intervals: the delete-one-cluster jackknife with Student's t. Its variance is centred on the estimate
of all rows, which is CRV3 of MacKinnon, Nielsen and Webb 2023 (J. Econometrics 232, 272-299). Tests
of no association: exchange what belongs to whole clusters, inside strata. SciPy's permutation tests
know neither clusters nor strata.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.student import t_p_value, t_quantile

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
MOST = 100  # clusters that are left out one by one; more are dealt into so many groups
EXACT = 5040  # placings that are all counted
DRAWN = 4999


def left_out(cluster: Labels) -> Labels:
    """Labels of the groups that are left out in turn, shape (n,).

    These are the clusters; more than 100 are dealt into 100 groups.
    """
    return cluster % MOST if int(cluster.max()) >= MOST else cluster


def jackknife_sd(replicates: Array, full: Array) -> Array:
    """Standard errors, shape (m,), from `replicates`, shape (clusters, m), and `full`, shape (m,)."""
    clusters = len(replicates)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt((clusters - 1) / clusters * np.sum((replicates - full) ** 2, axis=0))


def t_interval(replicates: Array, *, level: float) -> tuple[float, float, float]:
    """Low, high and two-sided p of zero, on clusters - 2 degrees of freedom.

    `replicates` has shape (1 + clusters,): of all rows, then without each cluster.
    """
    clusters = len(replicates) - 1
    error = float(jackknife_sd(replicates[1:, None], replicates[:1])[0])
    if not error > 1e-12 * max(1.0, abs(float(replicates[0]))):  # undefined, or all points on one line
        return float("nan"), float("nan"), float("nan")
    half = t_quantile(level, clusters - 2) * error
    middle = float(replicates[0])
    return middle - half, middle + half, t_p_value(middle / error, clusters - 2)


@dataclass(frozen=True, kw_only=True)
class Placings:
    """Ways to assign the clusters' values to the clusters, the observed one first."""

    source: Labels
    """Shape (placings, clusters)."""
    total: int
    """How many there are in all."""
    exact: bool
    """Whether all of them are here."""


def count_placings(strata: Labels) -> int:
    """Number of ways to exchange clusters within strata; strata has shape (clusters,)."""
    return math.prod(math.factorial(int(count)) for count in np.unique(strata, return_counts=True)[1])


def placings(strata: Labels, *, seed: int) -> Placings:
    """All permutations within strata, or the observed one and 4,999 random ones."""
    classes = [one for one in (np.flatnonzero(strata == code) for code in np.unique(strata)) if len(one) > 1]
    total = count_placings(strata)
    exact = total <= EXACT
    rows = total if exact else 1 + DRAWN
    source = np.tile(np.arange(len(strata)), (rows, 1))
    if exact:
        orders: list[Labels] = [np.array(list(itertools.permutations(range(len(one))))) for one in classes]
        grid = np.indices([len(one) for one in orders]).reshape(len(orders), -1) if orders else np.zeros((0, 1), dtype=np.int64)
        chosen = [order[place] for order, place in zip(orders, grid, strict=True)]
    else:
        random = np.random.default_rng(seed)
        chosen = [np.argsort(random.random((rows, len(one))), axis=1) for one in classes]
        for order in chosen:
            order[0] = np.arange(order.shape[1])
    for members, order in zip(classes, chosen, strict=True):
        source[:, members] = members[order]
    return Placings(source=source, total=total, exact=exact)
