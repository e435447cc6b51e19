"""Bootstrap of a fit: pairs or whole clusters drawn with replacement, all samples refitted in one
batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.solving import Solution, refit

Array = NDArray[np.float64]

LONG = 300  # steps of a sample that does not settle at once
TRIES = 5  # rounds of redrawing samples that hold too few distinct x
MEMORY = 4_000_000  # points times samples times parameters in one batch, so that a batch stays under about 100 MB


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Refitted samples."""

    u: Array
    """Coordinates, shape (samples, p)."""
    asked: int
    """Samples requested; those that could not be fitted are left out of `u`."""


def bootstrap(solution: Solution, samples: int, *, labels: NDArray[np.int64] | None, seed: int) -> Bootstrap | str:
    """Refit `samples` samples of the points, or of the clusters `labels`, shape (n,), from 0; or
    return the reason why that cannot be done.
    """
    problem = solution.problem
    used = problem.weights > 0
    units = np.flatnonzero(used) if labels is None else np.unique(labels[used])
    needed = len(problem.free)
    if len(units) < 3:
        return f"{len(units)} independent {'points' if labels is None else 'clusters'}, and a bootstrap needs at least 3"
    random = np.random.default_rng(seed)
    place = np.full(len(problem.y), -1)
    place[used] = np.arange(len(units)) if labels is None else np.searchsorted(units, labels[used])
    keys = np.unique(problem.x, axis=0, return_inverse=True)[1].ravel()
    chunk = max(1, MEMORY // (len(problem.y) * len(problem.law.names)))
    found: list[Array] = []
    kept = tried = 0
    while kept < samples and tried < TRIES * samples:
        count = min(chunk, samples - kept)
        drawn = random.multinomial(len(units), np.full(len(units), 1.0 / len(units)), size=count).astype(np.float64)
        times = np.where(used, drawn[:, place], 0.0)
        tried += count
        times = times[_distinct(times > 0, keys) >= needed]
        if not len(times):
            continue
        kept += len(times)
        found.append(_refitted(solution, times * problem.weights))
    if kept < samples // 2:
        return "most bootstrap samples hold fewer distinct x than free parameters"
    fitted = np.concatenate(found)
    if len(fitted) < max(20, 0.9 * samples):
        return f"only {len(fitted)} of {samples} bootstrap samples could be fitted"
    return Bootstrap(u=fitted, asked=samples)


def _refitted(solution: Solution, weights: Array) -> Array:
    """Coordinates of the samples that could be fitted; those that a short descent leaves unsettled
    get a long one.
    """
    u, converged = refit(solution, weights)
    slow = np.flatnonzero(~converged)
    if len(slow):
        u[slow], converged[slow] = refit(solution, weights[slow], steps=LONG, projected=True)
    return u[converged & np.all(np.isfinite(u), axis=1)]


def percentile_ends(values: Array, estimate: float, level: float, freedom: int, *, logged: bool) -> tuple[float, float]:
    """Percentile interval of a parameter whose refits are `values`, stretched about the estimate.

    Percentiles of a bootstrap are those of normal errors whose variance is known. They are
    stretched to Student's t on `freedom` degrees of freedom (after Hesterberg 2015,
    arXiv:1411.5279, section 4.4); on logs where `logged`.
    """
    from scipy.special import ndtr, ndtri

    from analysis.student import t_quantile

    normal = float(ndtri(0.5 + level / 2.0))
    stretch = t_quantile(level, freedom) / normal
    logged = logged and estimate > 0 and bool(np.all(values > 0))
    middle, spread = (np.log(estimate), np.log(values)) if logged else (estimate, values)
    with np.errstate(over="ignore"):
        low, high = middle + (np.quantile(spread, [float(ndtr(-normal)), float(ndtr(normal))]) - middle) * stretch
        return (float(np.exp(low)), float(np.exp(high))) if logged else (float(low), float(high))


def _distinct(present: NDArray[np.bool_], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct x in each sample, shape (samples,)."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return np.add.reduceat(present[:, order], starts, axis=1).astype(bool).sum(axis=1)
