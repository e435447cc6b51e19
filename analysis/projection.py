"""Least squares for laws linear in all but one exponent, by variable projection (Golub and Pereyra 1973).

For each exponent the linear parameters are solved exactly, which leaves a search in one dimension: a grid over the
whole range, a zoom into every promising valley, then Gauss-Newton with the analytic gradient. So the global
optimum needs no user guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.laws import Law

Array = NDArray[np.float64]

GRID_POINTS = 81  # 20 a decade: the residual sum of squares is smooth on that scale for any x
VALLEYS = 4  # local minima of the grid that are refined
ZOOMS = 4  # each narrows the bracket tenfold
NEWTON_STEPS = 30


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A law, the points, and what is pinned. x is divided by its geometric mean, where the parameters are least
    correlated."""

    law: Law
    x: Array
    """Shape (n,)."""
    y: Array
    """Shape (n,)."""
    pinned: Mapping[str, float]
    """Values of pinned parameters, for x as given."""
    scale: float
    """Geometric mean of x; 1 where a coefficient of x^-exponent is pinned, for its value belongs to x as given."""

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters to be found, in the law's order."""
        return tuple(name for name in self.law.parameters if name not in self.pinned)

    @property
    def free_linear(self) -> tuple[str, ...]:
        """Those of them that are solved exactly."""
        return tuple(name for name in self.law.linear if name not in self.pinned)

    @property
    def exponent_is_free(self) -> bool:
        """Whether there is anything to search."""
        return self.law.exponent is not None and self.law.exponent not in self.pinned

    def exponents(self) -> Array:
        """The grid of exponents to search; a single one where it is pinned or the law has none."""
        if self.exponent_is_free:
            return np.geomspace(*self.law.exponent_bounds, GRID_POINTS)
        return np.array([self.pinned.get(self.law.exponent or "", 1.0)])


@dataclass(frozen=True, kw_only=True)
class Projected:
    """Exact solutions for several exponents at once, for the law of x / scale."""

    squares: Array
    """Residual sum of squares, shape (exponents,)."""
    linear: Array
    """Free linear parameters, shape (exponents, free linear)."""
    variance: Array
    """Their variance per unit of residual variance, shape (exponents, free linear)."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The best parameters."""

    params: dict[str, float]
    """For x as given."""
    exponent: float
    """The best exponent (1 if the law has none)."""
    squares: float
    """Residual sum of squares."""
    bound: str
    """'lower' or 'upper' where the exponent ended on the edge of its range, else empty."""


def project(problem: Problem, exponents: Array) -> Projected:
    """Solve the linear parameters at every exponent, shape (m,)."""
    law = problem.law
    decay = np.power(problem.x / problem.scale, -exponents[:, None])
    target = np.broadcast_to(problem.y, decay.shape).copy()
    columns = []
    for name in law.linear:
        column = decay if name in law.decaying else np.ones_like(decay)
        if name in problem.pinned:
            shrink = problem.scale ** -exponents[:, None] if name in law.decaying else 1.0
            target -= problem.pinned[name] * shrink * column
        else:
            columns.append(column)
    if not columns:
        empty = np.empty((len(exponents), 0))
        return Projected(squares=np.sum(target**2, axis=1), linear=empty, variance=empty)
    design = np.stack(columns, axis=-1)
    size = np.linalg.norm(design, axis=1, keepdims=True)
    q, r = np.linalg.qr(design / size)
    inverse = np.linalg.pinv(r)
    along = np.einsum("mnk,mn->mk", q, target)
    residual = target - np.einsum("mnk,mk->mn", q, along)
    linear = np.einsum("mkj,mj->mk", inverse, along) / size[:, 0, :]
    variance = np.sum(inverse**2, axis=2) / size[:, 0, :] ** 2
    return Projected(squares=np.sum(residual**2, axis=1), linear=linear, variance=variance)


def solve(problem: Problem) -> Solution:
    """The global least-squares optimum."""
    grid = problem.exponents()
    if not problem.exponent_is_free:
        return _solution(problem, float(grid[0]), bound="")
    squares = project(problem, grid).squares
    padded = np.concatenate([[np.inf], squares, [np.inf]])
    valleys = np.flatnonzero((squares <= padded[:-2]) & (squares <= padded[2:]))
    best_exponent, best_squares = float(grid[0]), math.inf
    for valley in valleys[np.argsort(squares[valleys], kind="stable")][:VALLEYS]:
        exponent, reached = _zoom(problem, grid[max(0, valley - 1)], grid[min(len(grid) - 1, valley + 1)])
        if reached < best_squares:
            best_exponent, best_squares = exponent, reached
    low, high = problem.law.exponent_bounds
    bound = "lower" if best_exponent < low * 1.001 else "upper" if best_exponent > high * 0.999 else ""
    if bound:
        return _solution(problem, low if bound == "lower" else high, bound=bound)
    return _solution(problem, _polish(problem, best_exponent), bound="")


def gradient_at(problem: Problem, params: Mapping[str, float]) -> Array:
    """Derivatives of the law of x / scale by its free parameters, shape (n, free)."""
    keep = [index for index, name in enumerate(problem.law.parameters) if name not in problem.pinned]
    centred = problem.law.rescale(params, problem.scale)
    return problem.law.gradient(problem.x / problem.scale, **centred)[:, keep]


def _zoom(problem: Problem, low: float, high: float) -> tuple[float, float]:
    for _ in range(ZOOMS):
        exponents = np.geomspace(low, high, 21)
        squares = project(problem, exponents).squares
        best = int(np.argmin(squares))
        low, high = float(exponents[max(0, best - 1)]), float(exponents[min(20, best + 1)])
    return float(exponents[best]), float(squares[best])


def _polish(problem: Problem, exponent: float) -> float:
    """Gauss-Newton steps on all free parameters; the linear ones are solved anew after each, so only the exponent
    is carried."""
    column = problem.free.index(str(problem.law.exponent))
    low, high = problem.law.exponent_bounds
    squares = float(project(problem, np.array([exponent])).squares[0])
    for _ in range(NEWTON_STEPS):
        params = _solution(problem, exponent, bound="").params
        gradient = gradient_at(problem, params)
        size = np.linalg.norm(gradient, axis=0)
        if not np.all(size > 0):
            return exponent
        residual = problem.y - problem.law.function(problem.x, **params)
        step = float(np.linalg.lstsq(gradient / size, residual, rcond=None)[0][column] / size[column])
        trial = min(max(exponent + step, low), high)
        reached = float(project(problem, np.array([trial])).squares[0])
        if not reached < squares:
            return exponent
        exponent, squares = trial, reached
    return exponent


def _solution(problem: Problem, exponent: float, *, bound: str) -> Solution:
    projected = project(problem, np.array([exponent]))
    law = problem.law
    found = dict(problem.pinned)
    for name, value in zip(problem.free_linear, projected.linear[0], strict=True):
        found[name] = float(value) * (problem.scale**exponent if name in law.decaying else 1.0)
    if law.exponent is not None:
        found[law.exponent] = exponent
    params = {name: float(found[name]) for name in law.parameters}
    return Solution(params=params, exponent=exponent, squares=float(projected.squares[0]), bound=bound)
