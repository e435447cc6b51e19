"""Finds the best optimum with no guess: starts from a grid with the linear parameters solved
exactly, then descent from the best of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.bins import binned, has_many_points
from analysis.fitting.levenberg_marquardt import STEPS, Descent, minimise
from analysis.fitting.problem import Problem

Array = NDArray[np.float64]

ROUNDS = ((48, 15), (16, 45), (4, STEPS))  # how many of the best starts descend how many steps; the best of those go on
OUTLIER = 2.5  # delta in robust standard deviations, where the caller gives none
FEWEST_TO_JUDGE = 6  # residual degrees of freedom below which no point is called an outlier
SIGMA_OF_MAD = 0.6744897501960817


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The best coordinates of a problem."""

    problem: Problem
    """The problem solved, with the delta of its loss."""
    u: Array
    """Coordinates, shape (p,)."""
    objective: float
    """Sum of weighted losses."""
    converged: bool
    """Whether the descent ended because its steps had become negligible."""

    @property
    def params(self) -> dict[str, float]:
        """For x as given."""
        return {name: float(value[0]) for name, value in self.problem.original(self.u[None]).items()}

    @property
    def at_bound(self) -> dict[str, str]:
        """'lower' or 'upper' for each free parameter that ended on the edge of its range."""
        low, high = self.problem.box
        # near is a share of y for an asymptote, so that it does not depend on y's unit
        units = np.ones(len(self.u))
        names = self.problem.law.names
        if self.problem.law.asymptote in names and not self.problem.logged[place := names.index(self.problem.law.asymptote)]:
            units[place] = float(np.max(np.abs(self.problem.y))) / self.problem.sizes[place]
        near = 1e-6 * (units + np.abs(self.u))
        return {
            name: "lower" if self.u[index] <= low[index] + near[index] else "upper"
            for index, name in enumerate(self.problem.law.names)
            if name in self.problem.free and (self.u[index] <= low[index] + near[index] or self.u[index] >= high[index] - near[index])
        }

    @property
    def residual(self) -> Array:
        """Residuals of all points in the problem's units, shape (n,)."""
        return self.problem.residual(self.u[None])[0]


def solve(problem: Problem, *, starts: Array | None = None) -> Solution:
    """The best optimum from the law's own starts, or from `starts`, shape (m, p), coordinates of
    the problem. A curve of thousands of points starts from the optimum of its bins.
    """
    if starts is None and has_many_points(problem):
        starts = solve(binned(problem)).u[None]
    given = starting_points(problem) if starts is None else problem.pinned_coordinates(starts)
    if problem.loss.robust and not np.isfinite(problem.loss.delta):
        squared = _descend(problem, given)
        used = int(np.sum(problem.weights > 0))
        if used - len(problem.free) < FEWEST_TO_JUDGE:
            return squared
        for _ in range(3):
            delta = OUTLIER * robust_sd(squared)
            if not delta > 1e-14:  # exact points have no outliers
                return squared
            robust = dataclasses.replace(problem, loss=dataclasses.replace(problem.loss, delta=delta))
            squared = _descend(robust, squared.u[None])
        return squared
    if np.isfinite(problem.loss.delta):  # a small delta makes many local optima, and least squares often lead past them
        smooth = dataclasses.replace(problem, loss=dataclasses.replace(problem.loss, delta=np.inf))
        given = np.concatenate([given, _descend(smooth, given).u[None]])
    return _descend(problem, given)


def robust_sd(solution: Solution) -> float:
    """Standard deviation of residuals from their median absolute value, leaving out as many of the
    smallest as there are free parameters, for those are fitted away.
    """
    sizes = np.sort(np.abs(solution.residual[solution.problem.weights > 0]))
    return float(np.median(sizes[min(len(solution.problem.free), len(sizes) - 1) :]) / SIGMA_OF_MAD)


def refit(solution: Solution, weights: Array, *, steps: int = 60, settled: float = 1e-6, projected: bool = False) -> tuple[Array, NDArray[np.bool_]]:
    """The same fit under other weights, shape (batch, n), from this solution: coordinates (batch,
    p), and whether each converged. `projected` follows valleys to their end, at twice the cost.
    """
    problem = solution.problem
    low, high = problem.box
    found = minimise(
        problem.function,
        problem.gradient,
        np.repeat(solution.u[None], len(weights), axis=0),
        y=problem.y,
        weights=weights,
        loss=problem.loss,
        free=problem.free_mask,
        linear=problem.linear_mask if projected else None,
        lower=low,
        upper=high,
        steps=steps,
        settled=settled,
        units=problem.units,
    )
    return found.u, found.converged


def starting_points(problem: Problem) -> Array:
    """Coordinates to start from, shape (starts, p): searched parameters from the law's grid, linear
    ones solved exactly.
    """
    law, natural = problem.law, problem.kept
    x, y, weights = natural.centred, natural.y, _relative_weights(natural)
    searched: dict[str, Array] = {}
    if law.starts is not None:
        searched = law.starts(x, y, weights)
    elif law.searched:
        axes = [law.parameter(name).grid for name in law.searched]
        searched = dict(zip(law.searched, np.array(list(itertools.product(*axes))).T, strict=True))
    return _completed(problem, natural, searched)


def with_linear_solved(problem: Problem, searched: dict[str, Array]) -> Array:
    """Coordinates, shape (m, p), of searched parameters for x as given, shape (m,) each, with the
    linear ones solved exactly.
    """
    law, natural = problem.law, problem.kept
    count = len(next(iter(searched.values()))) if searched else 1
    pinned = {name: np.full(count, problem.pinned[name]) for name in law.searched if name in problem.pinned}
    full = law.rescale(dict.fromkeys(law.linear, np.zeros(count)) | searched | pinned, problem.natural)
    return _completed(problem, natural, {name: np.asarray(full[name]) for name in law.searched})


def _relative_weights(natural: Problem) -> Array:
    """Weights of least squares that come nearest to the loss."""
    weights = natural.masses / (natural.y / np.max(np.abs(natural.y))) ** 2 if natural.loss.logarithmic else natural.masses
    return np.asarray(weights / np.max(weights))


def _completed(problem: Problem, natural: Problem, searched: dict[str, Array]) -> Array:
    """Coordinates of searched parameters for x / geometric mean, with the linear ones solved
    exactly.
    """
    law, x, y, weights = problem.law, natural.centred, natural.y, _relative_weights(natural)
    count = len(next(iter(searched.values()))) if searched else 1
    entangled = problem.scale != problem.natural
    params = {name: np.asarray(value, dtype=np.float64) for name, value in searched.items()}
    if not entangled:
        own = natural.pinned_coordinates(np.zeros((1, len(law.names))))
        values = natural.params(own)
        params |= {name: np.full(count, float(values[name][0, 0])) for name in problem.pinned if name in law.searched}
    params |= dict.fromkeys(law.linear, np.zeros(count))
    params = _solve_linear(natural, params, x, y, weights, pinned=() if entangled else tuple(problem.pinned))
    if natural.loss.logarithmic and law.asymptote in problem.free and not any(name in problem.pinned for name in law.linear):
        params = _above_zero(natural, params)
    u = natural.coordinates(params)
    if entangled:
        u = problem.pinned_coordinates(problem.at(natural.original(u)))
    low, high = problem.box
    return np.clip(np.where(np.isfinite(u), u, 0.0), low, high)


def _solve_linear(natural: Problem, params: dict[str, Array], x: Array, y: Array, weights: Array, *, pinned: tuple[str, ...]) -> dict[str, Array]:
    """Weighted least squares for the linear parameters at each start; a bound that is crossed is
    held and the others are solved again.
    """
    law = natural.law
    low, high = (end * np.array(natural.sizes) for end in natural.box)
    shaped = {name: value[:, None] for name, value in params.items()}
    count = len(next(iter(params.values())))
    held = {name: np.full(count, float(natural.pinned[name])) for name in law.linear if name in pinned}
    zeros = {name: np.zeros((count, 1)) for name in law.linear}
    with np.errstate(all="ignore"):
        columns = {
            name: np.nan_to_num(np.broadcast_to(law.function(x, **(shaped | zeros | {name: np.ones((count, 1))})), (count, len(x))))
            for name in law.linear
        }
        for _ in range(len(law.linear) + 1):
            solved = [name for name in law.linear if name not in held]
            target = y - sum((held[name][:, None] * columns[name] for name in held), start=np.zeros((count, len(x))))
            if solved:
                design = np.stack([columns[name] for name in solved], axis=-1) * np.sqrt(weights)[:, None]
                size = np.maximum(np.linalg.norm(design, axis=1, keepdims=True), 1e-300)
                answer = np.einsum("mkn,mn->mk", np.linalg.pinv(design / size, rcond=1e-12), target * np.sqrt(weights)) / size[:, 0]
                params = params | {name: answer[:, index] for index, name in enumerate(solved)}
            params = params | held
            crossed = [name for name in solved if np.any((params[name] < low[law.names.index(name)]) | (params[name] > high[law.names.index(name)]))]
            if not crossed:
                break
            index = law.names.index(crossed[0])
            held[crossed[0]] = np.clip(params[crossed[0]], low[index], high[index])
    return params


def _descend(problem: Problem, u: Array) -> Solution:
    """A few steps from the better starts, then all the way from the best of those."""
    low, high = problem.box

    def go(u: Array, steps: int) -> Descent:
        return minimise(
            problem.function,
            problem.gradient,
            u,
            y=problem.y,
            weights=problem.weights,
            loss=problem.loss,
            free=problem.free_mask,
            linear=problem.linear_mask,
            lower=low,
            upper=high,
            steps=steps,
            units=problem.units,
        )

    with np.errstate(all="ignore"):
        residual = problem.residual(u)
        value = np.sum(np.where(problem.weights > 0, problem.weights * problem.loss.value(residual), 0.0), axis=1)
    value = np.where(np.isfinite(value), value, np.inf)
    for count, steps in ROUNDS if len(u) > 1 else ROUNDS[-1:]:
        found = go(u[np.argsort(value, kind="stable")[:count]], steps)
        u, value = found.u, found.objective
    best = int(np.argmin(found.objective))
    return Solution(
        problem=problem, u=_in_order(problem, found.u[best]), objective=float(found.objective[best]), converged=bool(found.converged[best])
    )


def _in_order(problem: Problem, u: Array) -> Array:
    """u with interchangeable groups of parameters in ascending order, unless the caller has set one
    of them.
    """
    groups = problem.law.interchangeable
    if not groups or any(name in problem.pinned or name in problem.bounds for group in groups for name in group):
        return u
    places = np.array([[problem.law.names.index(name) for name in group] for group in groups])
    ordered = u.copy()
    ordered[places] = u[places[np.argsort(u[places[:, 0]], kind="stable")]]
    return ordered


def _above_zero(natural: Problem, params: dict[str, Array]) -> dict[str, Array]:
    """Starts whose curve crosses zero, where it has no logarithm, drawn towards the mean until it
    does not.
    """
    law, y = natural.law, natural.y
    with np.errstate(all="ignore"):
        lowest = law.function(natural.centred, **{name: value[:, None] for name, value in params.items()}).min(axis=1)
    floor, mean = 0.3 * float(np.min(y)), float(np.exp(np.mean(np.log(y))))
    share = np.where(lowest < floor, (floor - lowest) / np.where(lowest < floor, mean - lowest, 1.0), 0.0)
    moved = {name: (1.0 - share) * params[name] for name in law.linear}
    asymptote = str(law.asymptote)
    return params | moved | {asymptote: moved[asymptote] + share * mean}
