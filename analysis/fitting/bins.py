"""Merges the points of a long curve into bins of x, so that searching and profiling stay fast.

The search for starts, and the profiles of parameters, run over the bins; the optimum itself is
found over all points, from the one that the bins have. A bin spans so little of ln x that a law is
straight across it: the ends of intervals differ from those over all points by less than a tenth of
their width (`tests/analysis/test_many_points.py`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.problem import Problem

Array = NDArray[np.float64]

MANY = 2000  # points beyond which they are merged
BINS = 512


def has_many_points(problem: Problem) -> bool:
    """Whether this is a curve of more than MANY points at more than BINS distinct x."""
    if problem.x.ndim > 1 or problem.law.baseline or np.sum(problem.weights > 0) <= MANY:
        return False
    return len(np.unique(problem.x[problem.weights > 0])) > BINS


def binned(problem: Problem) -> Problem:
    """The same law on the means of the bins, by squared or robust loss of their residuals."""
    used = problem.weights > 0
    x, y, mass = problem.x[used], problem.y[used], problem.masses[used]
    t = np.log(y) if problem.loss.logarithmic else y
    place = _places(x)
    total = _counted(place, mass)
    mean = _counted(place, mass * t) / total
    return dataclasses.replace(
        problem,
        x=np.exp(_counted(place, mass * np.log(x)) / total),
        y=np.exp(mean) if problem.loss.logarithmic else mean,
        weights=total / np.mean(total),
        units=1.0,
        loss=dataclasses.replace(problem.loss, delta=np.inf),
    )


def binned_at(problem: Problem, u: Array) -> Problem:
    """Bins whose squared loss has the slope and the curvature that the loss over all points has near
    the optimum u, shape (p,): of residuals that are cut at delta, as Huber's loss counts them.
    """
    used = problem.weights > 0
    residual, weights = problem.residual(u[None])[0][used], problem.weights[used]
    units = np.broadcast_to(np.asarray(problem.units, dtype=np.float64), used.shape)[used]
    inside = max(float(np.sum(weights * problem.loss.inside(residual)) / np.sum(weights)), 1e-3)
    x, mass = problem.x[used], weights / units**2
    place = _places(x)
    total = _counted(place, mass)
    middle = np.exp(_counted(place, mass * np.log(x)) / total)
    off = _counted(place, mass * problem.loss.slope(residual) * units) / total / inside
    squared = dataclasses.replace(problem.loss, robust=False, delta=np.inf)
    bins = dataclasses.replace(problem, x=middle, y=np.ones(len(middle)), weights=total * inside, units=1.0, loss=squared)
    fitted = bins.function(u[None])[0]
    return dataclasses.replace(bins, y=fitted * np.exp(-off) if problem.loss.logarithmic else fitted - off)


def _places(x: Array) -> NDArray[np.int64]:
    """The bin of each point: equal steps in ln x, empty ones left out, shape (n,)."""
    log_x = np.log(x)
    edges = np.linspace(log_x.min(), log_x.max(), BINS + 1)
    bins = np.clip(np.searchsorted(edges, log_x, side="right") - 1, 0, BINS - 1)
    return np.asarray(np.unique(bins, return_inverse=True)[1], dtype=np.int64)


def _counted(place: NDArray[np.int64], values: Array) -> Array:
    return np.bincount(place, values).astype(np.float64)
