"""The extrapolation error of a law, measured by rolling-origin cross-validation.

The delta method assumes that the law is correctly specified, and it never quite is. So a law is
fitted to the first part of the curve and its errors on the rest are measured, from several origins.
A curve with few origins is shrunk towards the typical error on other curves. `benchmarks/fitting`
measures the coverage out of sample: about 90% at 90%, where the delta method alone covers 50 to 60%.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.rolling_origin import solve_many
from analysis.fitting.solving import Solution
from analysis.forecasting.candidates import Curve, curve_of
from analysis.formatting import number_of

Array = NDArray[np.float64]

TYPICAL, PRIOR_ORIGINS = 0.054, 2.0  # error of ln y per e-fold of x on public curves, and how many origins this prior counts as
GROWTH = 0.3  # variance one e-fold out, in squared errors per e-fold: errors of the farther points weigh most in that mean
ONSET = 0.1  # e-folds over which the residual at the last points comes to count in full
WIDTH = 2.1 / 1.6448536269514722  # half-widths in normal quantiles: the errors have heavier tails than a normal
MOST_PARAMETERS = 6
SHARES = (0.45, 0.65, 0.87)
NEAR = 0.05
RECENCY = 1.5


@dataclass(frozen=True, kw_only=True)
class ExtrapolationErrorModel:
    """How the error of an extrapolation grows with the distance from the measured x."""

    per_efold: float
    """Root mean squared error per e-fold of x, in the unit of the residuals (relative to y where
    they are).
    """
    origins: int
    """Origins in this curve from which later points were predicted; 0 where only the prior from
    other curves counts.
    """
    last_residual: float = 0.0
    """Size of the mean residual at the last points, in the unit of the residuals; it is assumed to
    stay.
    """

    def half_width(self, x: Array, x_min: float, x_max: float, level: float) -> Array:
        """Half-width that the extrapolation error adds, in quadrature, at x, shape (m,): zero inside
        the measured range.
        """
        far = np.maximum(np.maximum(np.log(x / x_max), np.log(x_min / x)), 0.0)
        variance = GROWTH * self.per_efold**2 * far**2 * (1.0 + far) - self.last_residual**2 * np.expm1(-far / ONSET)
        return np.asarray(width(level) * np.sqrt(variance))

    def sentence(self) -> str:
        """Where the width of an extrapolation comes from."""
        origins = f"{number_of(self.origins, 'rolling origin')} in these points and " if self.origins else ""
        return f"extrapolation error {self.per_efold:.2g} per e-fold of x, from {origins}a prior from other curves"


def width(level: float) -> float:
    """Half-width in standard deviations of an interval out of sample."""
    return WIDTH * normal_quantile(level)


def normal_quantile(level: float) -> float:
    """Half-width of a two-sided normal interval: 1.96 at 95%."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0))


def shrunk(squared_error: float, origins: int, unit: float, last_residual: float = 0.0) -> ExtrapolationErrorModel:
    """A curve's own mean squared error per squared e-fold, shrunk towards the typical one; `unit` is
    1 for relative errors, else the size of y's range.
    """
    own = squared_error if origins and math.isfinite(squared_error) else 0.0
    count = origins if math.isfinite(squared_error) else 0
    squared = (PRIOR_ORIGINS * (TYPICAL * unit) ** 2 + count * own) / (PRIOR_ORIGINS + count)
    return ExtrapolationErrorModel(per_efold=math.sqrt(squared), origins=count, last_residual=last_residual)


def extrapolation_error_of(solution: Solution) -> ExtrapolationErrorModel | None:
    """The extrapolation error of a fitted curve, from its points or their bins; None for a law with
    too many parameters to be fitted to parts of them.
    """
    problem = solution.problem
    used = problem.weights > 0
    repeats_last = problem.law.baseline
    if len(problem.free) > MOST_PARAMETERS:
        return None
    # the last value was fitted to the points at the largest x alone, but all points are its origins
    mass = np.ones(len(problem.y)) if repeats_last else problem.masses
    kept = mass > 0
    curve = curve_of(problem.x[kept], problem.y[kept], mass[kept], logarithmic=problem.loss.logarithmic)
    unit = 1.0 if curve.logarithmic else float(np.ptp(curve.y))
    ends = _ends(curve, len(problem.free) + 1)
    if not ends or not used.any():
        return shrunk(math.nan, 0, unit)
    later = np.arange(len(curve.x)) >= np.array(ends)[:, None]
    if repeats_last:
        error = curve.t - curve.t[np.array(ends) - 1][:, None]
    else:
        part = dataclasses.replace(problem, x=curve.x, y=curve.y, weights=curve.count, units=1.0)
        with np.errstate(all="ignore"):
            error = problem.loss.residual(solve_many(part, np.where(later, 0.0, curve.count)).fitted, curve.y)
    up = down = 0.0
    count = 0
    for row, end in enumerate(ends):
        off, far = error[row, end:], curve.steps[end:] - curve.steps[end - 1]
        if np.all(np.isfinite(off)):
            recency = math.exp(RECENCY * curve.steps[end - 1])
            up += recency * float(np.mean(np.maximum(off**2 - curve.noise_sd**2, 0.0)))
            down += recency * float(np.mean(far**2 + NEAR**2))
            count += 1
    return shrunk(up / down if count else math.nan, count, unit, _last_residual(solution, curve))


def _last_residual(solution: Solution, curve: Curve) -> float:
    """Mean residual at the last points of the curve, nearer ones counting more."""
    with np.errstate(all="ignore"):
        problem = dataclasses.replace(solution.problem, x=curve.x, y=curve.y, weights=curve.count)
        residual = problem.loss.residual(problem.function(solution.u[None]), curve.y)[0]
    near = curve.count * np.exp(curve.steps / NEAR)
    mean = float(np.sum(near * residual) / near.sum())
    return abs(mean) if math.isfinite(mean) else 0.0


def _ends(curve: Curve, fewest: int) -> list[int]:
    n = len(curve.x)
    return sorted({min(n - 1, max(fewest, round(n * share))) for share in SHARES}) if n > fewest else []
