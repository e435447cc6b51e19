"""How much later points count more in a fit, where the caller gives no weights.

A law is never quite right over a whole curve, and a forecast leans on its end. Where fits to the
first parts of the curve predict the rest clearly better with weights ~ x or x^2, those are used.
`docs/experiments.md` says on which curves the margin was chosen.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.problem import Problem
from analysis.fitting.rolling_origin import solve_many
from analysis.fitting.solving import OUTLIER, SIGMA_OF_MAD
from analysis.forecasting.candidates import Curve, curve_of

Array = NDArray[np.float64]

POWERS = (0, 1, 2)
MARGIN = 0.8  # mean squared error at later points, relative to that of less recent weights, below which more recent ones are taken
SHARES = (0.35, 0.45, 0.55, 0.65, 0.75, 0.87)  # of the points, at which an origin lies
SPARE = 6  # distinct x beyond the free parameters, below which weights stay equal
MOST_PARAMETERS = 4
MISFIT = 6.0  # mean squared error with equal weights, in noise variances, below which the law may be right and weights stay equal
NOISE_FLOOR = 0.3  # of the noise sd, below which a smaller error is luck
ALONE = 6.0  # robust standard deviations beyond which a point between two that fit is an outlier
RECENCY = 1.5  # an origin counts ~ x^1.5


def recency_of(problem: Problem) -> int:
    """The k of weights ~ x^k by which fits to the first parts of the curve predict the rest best; 0
    unless it is clearly better, and where there are too few distinct x to tell.
    """
    free = len(problem.free)
    if problem.x.ndim > 1 or problem.law.baseline or free > MOST_PARAMETERS:
        return 0
    used = problem.weights > 0
    curve = curve_of(problem.x[used], problem.y[used], problem.masses[used], logarithmic=problem.loss.logarithmic)
    n = len(curve.x)
    if n < free + SPARE:
        return 0
    part = dataclasses.replace(problem, x=curve.x, y=curve.y, weights=curve.count, units=1.0)
    if part.loss.robust:  # an outlier must not decide
        with np.errstate(all="ignore"):
            off = np.abs(part.loss.residual(solve_many(part, curve.count[None]).fitted[0], curve.y))
        spread = float(np.median(np.sort(off)[min(free, n - 1) :]) / SIGMA_OF_MAD)
        if np.isfinite(spread) and spread > 0:
            calm = off <= OUTLIER * spread
            alone = np.zeros(n, dtype=bool)
            alone[1:-1] = (off[1:-1] > ALONE * spread) & calm[:-2] & calm[2:]
            if alone.any():
                curve = dataclasses.replace(curve, x=curve.x[~alone], y=curve.y[~alone], count=curve.count[~alone])
                part = dataclasses.replace(part, x=curve.x, y=curve.y, weights=curve.count)
            if not np.isfinite(part.loss.delta):
                part = dataclasses.replace(part, loss=dataclasses.replace(part.loss, delta=OUTLIER * spread))
    n = len(curve.x)
    ends = sorted({min(n - 1, max(free + 2, round(n * share))) for share in SHARES})
    origin_weights = np.exp(RECENCY * curve.steps[np.array(ends) - 1])
    origin_weights /= origin_weights.sum()
    floor = (NOISE_FLOOR * curve.noise_sd) ** 2
    best, lowest = 0, np.inf
    for k in POWERS:
        error = float(origin_weights @ _errors(part, curve, k, ends)) + floor
        if k == 0 and error < MISFIT * curve.noise_sd**2:
            return 0
        if error < (MARGIN if k else 1.0) * lowest:
            best, lowest = k, error
    return best


def _errors(part: Problem, curve: Curve, k: int, ends: list[int]) -> Array:
    """Mean squared error after each origin of fits with weights ~ x^k, outliers counting linearly,
    shape (origins,).
    """
    seen = np.arange(len(curve.x)) < np.array(ends)[:, None]
    weights = np.where(seen, curve.count * np.exp(k * curve.steps), 0.0)
    weights *= seen.sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        off = part.loss.residual(solve_many(part, weights).fitted, curve.y)
    off = np.where(np.isfinite(off), off, 1e6)
    return np.array([float(np.mean(2.0 * part.loss.value(off[row, end:]))) for row, end in enumerate(ends)])
