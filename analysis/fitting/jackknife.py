"""Delete-one-cluster jackknife: intervals where runs share a seed or a pre-training and so are not
independent.

The variance is centred on the full estimate, which is CRV3 of MacKinnon, Nielsen and Webb 2023 (J.
Econometrics 232, 272-299) carried over to a nonlinear fit, and is used with Student's t on clusters
- 1 degrees of freedom.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.solving import Solution, refit
from analysis.significance.cluster_resampling import left_out

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replicates:
    """Fits with one cluster left out at a time."""

    u: Array
    """Coordinates, shape (clusters, p)."""
    at_bound: int
    """How many of them ended with a searched parameter on the edge of its range."""


def leave_one_out(solution: Solution, labels: NDArray[np.int64]) -> Replicates | str:
    """Refit without each cluster (labels shape (n,), from 0); or the reason why that
    cannot be done.
    """
    problem = solution.problem
    labels = left_out(labels)
    clusters = int(labels.max()) + 1
    weights = np.where(labels[None, :] == np.arange(clusters)[:, None], 0.0, problem.weights)
    for kept in weights > 0:
        if len(np.unique(problem.x[kept], axis=0)) < len(problem.free):
            return "without one of the clusters there are fewer distinct x than free parameters"
    u, converged = refit(solution, weights, steps=200, settled=1e-9, projected=True)
    if not converged.all():
        return f"the fit did not converge without cluster {int(np.flatnonzero(~converged)[0])}"
    low, high = problem.box
    searched = np.array([parameter.role != "linear" for parameter in problem.law.parameters]) & problem.free_mask
    near = 1e-6 * (1.0 + np.abs(u))
    edge = ((u <= low + near) | (u >= high - near)) & searched
    return Replicates(u=u, at_bound=int(np.sum(edge.any(axis=1))))


def jackknife_intervals(solution: Solution, replicates: Replicates, *, quantile: float) -> tuple[dict[str, tuple[float, float]], Array]:
    """Intervals of the free parameters for x as given, and their covariance on the scale used.

    Positive parameters are jackknifed as logs, and so is the size of a linear one whose sign never
    changes and whose meaning hangs on an exponent: they are skewed.
    """
    problem = solution.problem
    law = problem.law
    every = problem.original(np.concatenate([solution.u[None], replicates.u]))
    values = np.stack([every[name] for name in problem.free], axis=-1)
    asymptote = law.asymptote
    logged = [
        law.parameter(name).role == "positive" or (name != asymptote and bool(np.all(column * column[0] > 0)))
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
            with np.errstate(over="ignore"):
                ends = sorted(float(signs[index] * np.exp(end)) for end in ends)
        intervals[name] = (float(ends[0]), float(ends[1]))
    return intervals, covariance
