"""Bootstrap of a fit: pairs or whole clusters drawn with replacement, all samples refitted in one batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.solving import Solution, refit

Array = NDArray[np.float64]

TRIES = 5  # rounds of redrawing samples that hold too few distinct x
MEMORY = 4_000_000  # points times samples times parameters in one batch, so that a batch stays under about 100 MB


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Refitted samples."""

    u: Array
    """Coordinates, shape (samples, p)."""
    asked: int
    """Samples asked for; those that could not be fitted are left out of `u`."""


def bootstrap(solution: Solution, samples: int, *, labels: NDArray[np.int64] | None, seed: int) -> Bootstrap | str:
    """Refit `samples` samples of the points, or of the clusters `labels`, shape (n,), from 0; or say why that cannot be
    done."""
    problem = solution.problem
    used = problem.weights > 0
    units = np.flatnonzero(used) if labels is None else np.unique(labels[used])
    needed = len(problem.free)
    if len(units) < 3:
        return f"{len(units)} independent {'points' if labels is None else 'clusters'}, and a bootstrap needs at least 3"
    random = np.random.default_rng(seed)
    member = _membership(units, labels, len(problem.y))
    keys = np.unique(problem.x, axis=0, return_inverse=True)[1].ravel()
    counts = np.empty((0, len(units)))
    for _ in range(TRIES):
        drawn = random.multinomial(len(units), np.full(len(units), 1.0 / len(units)), size=samples - len(counts)).astype(np.float64)
        present = drawn @ member > 0
        distinct = _distinct(present & used, keys)
        counts = np.concatenate([counts, drawn[distinct >= needed]])
        if len(counts) == samples:
            break
    if len(counts) < samples // 2:
        return "most bootstrap samples hold fewer distinct x than free parameters"
    found: list[Array] = []
    size = max(1, MEMORY // (len(problem.y) * len(problem.law.names)))
    for start in range(0, len(counts), size):
        weights = (counts[start : start + size] @ member) * problem.weights
        u, converged = refit(solution, weights)
        found.append(u[converged & np.all(np.isfinite(u), axis=1)])
    fitted = np.concatenate(found)
    if len(fitted) < max(20, 0.9 * samples):
        return f"only {len(fitted)} of {samples} bootstrap samples could be fitted"
    return Bootstrap(u=fitted, asked=samples)


def percentile_ends(values: Array, level: float, units: int) -> tuple[float, float]:
    """Expanded percentile interval: the shares are those of Student's t on units - 1 degrees of freedom, times
    sqrt(units / (units - 1)), which makes a bootstrap of few units wide enough for a mean (Hesterberg 2015, arXiv:1411.5279,
    section 4.4)."""
    from scipy.special import ndtr

    from analysis.student import t_quantile

    share = float(ndtr(-np.sqrt(units / (units - 1.0)) * t_quantile(level, units - 1)))
    low, high = np.quantile(values, [share, 1.0 - share])
    return float(low), float(high)


def _membership(units: NDArray[np.int64], labels: NDArray[np.int64] | None, n: int) -> Array:
    """How often each point comes with each unit: shape (units, n)."""
    if labels is None:
        member = np.zeros((len(units), n))
        member[np.arange(len(units)), units] = 1.0
        return member
    return np.asarray(labels[None, :] == units[:, None], dtype=np.float64)


def _distinct(present: NDArray[np.bool_], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct x in each sample, shape (samples,)."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return np.add.reduceat(present[:, order], starts, axis=1).astype(bool).sum(axis=1)
