"""Covariance of the coordinates of a fit, from the curvature of its loss at the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.problem import Problem
from analysis.fitting.solving import Solution, robust_sd

Array = NDArray[np.float64]

NEARBY = 0.7  # robust standard deviations within which residuals are counted where delta is smaller
RANK = 1e-7  # singular value, relative to the largest, below which the data do not determine a direction


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The size of the residuals, and the scale factors of the loss that follow from it."""

    degrees_of_freedom: int
    """Points used minus free parameters."""
    threshold: float
    """Twice the rise of the loss that one squared standard error costs: s^2 for least squares."""
    variance: float
    """Factor that turns (J' W J)^-1 into a covariance: s^2 for least squares."""
    sd: float
    """Standard deviation of a residual in the problem's units."""


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Covariance of the coordinates that are free and not on a bound."""

    names: tuple[str, ...]
    """Names of those coordinates."""
    root: Array
    """R with covariance R R^T, shape (names, names)."""
    unseen: tuple[str, ...]
    """Parameters that make up a direction in which the fit does not change, if there is one; then
    `root` leaves it out.
    """

    @property
    def matrix(self) -> Array:
        """R R^T."""
        return self.root @ self.root.T


def noise_of(solution: Solution) -> Noise | None:
    """Size of the noise; None where no degrees of freedom are left, or the law has no
    logarithm at some point.

    For Huber's loss the formulas are those of Huber 1981, section 7.6: E psi^2 / E psi' in place of
    s^2.
    """
    problem = solution.problem
    used = problem.weights > 0
    freedom = int(np.sum(used)) - len(problem.free)
    if freedom <= 0 or not np.isfinite(solution.objective):
        return None
    weights, residual = problem.weights[used], solution.residual[used]
    slope = problem.loss.slope(residual)
    squares = float(np.sum(weights * slope**2)) / freedom
    inside = max(_share_inside(solution, weights, residual), 1e-150)  # its square is above zero, however small delta is
    floor = (1e-15 * _size(solution)) ** 2  # rounding: noise-free points leave no exact zero
    return Noise(
        degrees_of_freedom=freedom,
        threshold=max(squares / inside, floor),
        variance=max(squares / inside**2, floor),
        sd=float(np.sqrt(np.sum(weights * residual**2) / freedom)),
    )


def _share_inside(solution: Solution, weights: Array, residual: Array) -> float:
    """Weighted share of residuals within delta, which is E psi'.

    Where delta is far below the noise, a fit passes through about as many points as it has
    parameters, as one by least absolute values does, and these say nothing about the noise. The
    share is then that within NEARBY robust standard deviations, less those points, times delta over
    that distance.
    """
    loss, free = solution.problem.loss, len(solution.problem.free)
    share = float(np.sum(weights * loss.inside(residual)) / np.sum(weights))
    within = NEARBY * robust_sd(solution)
    if np.isfinite(loss.delta) and within > loss.delta and len(residual) > free:
        near = float(np.sum(weights * (np.abs(residual) <= within)) / np.sum(weights)) * len(residual)
        share = min(share, max(near - free, 1.0) / (len(residual) - free) * loss.delta / within)
    return max(share, 1.0 / len(residual) * min(1.0, loss.delta / within if within > 0 else 1.0))


def covariance_of(solution: Solution, variance: float, problem: Problem | None = None, u: Array | None = None) -> Covariance:
    """Covariance of the coordinates, or in those of another form of the problem where one is given."""
    problem, u = problem or solution.problem, solution.u if u is None else u
    stuck = solution.at_bound
    names = tuple(name for name in problem.free if name not in stuck)
    columns = [problem.law.names.index(name) for name in names]
    used = problem.weights > 0
    with np.errstate(all="ignore"):
        by = problem.gradient(u[None])[0][:, columns]
        if problem.loss.logarithmic:
            by = by / problem.function(u[None])[0][:, None]
        by = by / np.asarray(problem.units)[..., None]
    by = np.where(np.isfinite(by), by, 0.0)[used] * np.sqrt(problem.weights[used])[:, None]
    if not names or not len(by):
        return Covariance(names=names, root=np.zeros((len(names), len(names))), unseen=names)
    size = np.linalg.norm(by, axis=0)
    size = np.where(size > 0, size, 1.0)
    _, values, turned = np.linalg.svd(by / size, full_matrices=False)
    seen = values > RANK * values[0]
    values_safe = np.where(seen, values, 1.0)
    root = (turned.T * np.where(seen, np.sqrt(variance) / values_safe, 0.0)) / size[:, None]
    unseen: tuple[str, ...] = ()
    if len(values) < len(names) or not seen.all():
        loads = np.max(np.abs(turned[~seen]), axis=0) if not seen.all() else np.ones(len(names))
        unseen = tuple(name for name, load in zip(names, loads, strict=True) if load > 0.1)
    square = np.zeros((len(names), len(names)))
    square[:, : root.shape[1]] = root
    return Covariance(names=names, root=square, unseen=unseen)


def _size(solution: Solution) -> float:
    problem = solution.problem
    return 1.0 if problem.loss.logarithmic else float(np.max(np.abs(problem.y)))
