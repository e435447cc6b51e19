"""Delete-one-cluster jackknife: intervals where runs share a seed or a pre-training and so are not independent.

The variance is centred on the full estimate, which is CRV3 of MacKinnon, Nielsen and Webb 2023 (J. Econometrics
232, 272-299) carried over to a nonlinear fit, and is used with Student's t on clusters - 1 degrees of freedom.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analysis.projection import Problem, solve

Array = NDArray[np.float64]


def jackknife_sd(replicates: Array, full: Array) -> Array:
    """Standard error of estimates: `replicates` has shape (clusters, m), `full` shape (m,); the result has shape
    (m,)."""
    clusters = len(replicates)
    return np.sqrt((clusters - 1) / clusters * np.sum((replicates - full) ** 2, axis=0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replicates:
    """Fits with one cluster left out at a time."""

    params: tuple[dict[str, float], ...]
    """One entry per cluster."""
    at_bound: int
    """How many of them ended with the exponent on the edge of its range."""


def leave_one_out(problem: Problem, labels: NDArray[np.int64]) -> Replicates | str:
    """Refit without each cluster (labels shape (n,), from 0); or the reason, in words, why that cannot be done."""
    params: list[dict[str, float]] = []
    at_bound = 0
    for label in range(int(labels.max()) + 1):
        keep = labels != label
        if len(np.unique(problem.x[keep])) < len(problem.free):
            return "without one of the clusters there are fewer distinct x than free parameters"
        solution = solve(dataclasses.replace(problem, x=problem.x[keep], y=problem.y[keep]))
        params.append(solution.params)
        at_bound += bool(solution.bound)
    return Replicates(params=tuple(params), at_bound=at_bound)


def jackknife_intervals(
    problem: Problem, full: dict[str, float], replicates: Replicates, *, quantile: float
) -> tuple[dict[str, tuple[float, float]], Array]:
    """Intervals of the free parameters, and their covariance on the scale used.

    The exponent is jackknifed as its log, and so is the size of a decaying parameter whose sign never changes:
    both are positive and skewed.
    """
    law = problem.law
    values = np.array([[params[name] for name in problem.free] for params in (full, *replicates.params)])
    logged = [
        name == law.exponent or (name in law.decaying and bool(np.all(column * column[0] > 0)))
        for name, column in zip(problem.free, values.T, strict=True)
    ]
    signs = np.sign(values[0])
    for index, is_log in enumerate(logged):
        if is_log:
            values[:, index] = np.log(np.abs(values[:, index]))
    deviation = values[1:] - values[0]
    clusters = len(deviation)
    covariance = (clusters - 1) / clusters * deviation.T @ deviation
    half = quantile * np.sqrt(np.diag(covariance))
    intervals = {}
    for index, name in enumerate(problem.free):
        ends = [values[0, index] - half[index], values[0, index] + half[index]]
        if logged[index]:
            ends = sorted(float(signs[index] * np.exp(end)) for end in ends)
        intervals[name] = (float(ends[0]), float(ends[1]))
    return intervals, covariance
