"""Profile intervals: every value of a parameter that the data do not reject, the other parameters
being free.

A value is kept while the loss with it pinned stays below that of the best fit by no more than t^2
s^2 / 2, t being Student's quantile on n - p degrees of freedom (Bates and Watts 1988, section
6.1.2). Unlike +-1.96 standard errors this follows the curvature of the law. All values of all
parameters are fitted in a few batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.covariance import Covariance, Noise, covariance_of
from analysis.fitting.levenberg_marquardt import minimise
from analysis.fitting.problem import Problem, proportion
from analysis.fitting.solving import Solution

Array = NDArray[np.float64]

NEAR = (0.6, 0.9, 1.1, 1.5, 2.2)  # values that are tried, in t standard errors from the best fit
FAR = (3.5, 7.0, 15.0, 40.0, 120.0)  # and those where the loss has not passed the limit by then
ROUNDS = 10  # of interpolation between the two values that bracket an end, at most
HALVE_FROM = 3  # round from which every other one halves the bracket, for ends where the loss is flat and then steep
CLOSE = 1e-3  # of the root of the rise: an end so close to the limit is final
NEGLIGIBLE = 1e-6  # share of the rise that is allowed, below which a pinned fit need not be better
LOOSE = 1e-7  # convergence of a pinned fit: its loss is then right to the square of that
BETTER = 1e-6  # relative fall of the loss below which a pinned fit counts as a new best one


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Profile likelihood intervals of the free parameters, or a better optimum found on the way."""

    intervals: dict[str, tuple[float, float]]
    """An end is infinite, or 0 for the lower end of a positive parameter, where the data do not
    bound it; it is the caller's bound where that comes first.
    """
    better: Array | None
    """Coordinates, in the solution's problem, of a fit with a lower loss; None if there is none."""


@dataclass(frozen=True)
class _Line:
    """A search for one end: the coordinate, which way, and whether it moves by factors."""

    index: int
    side: float
    by_factor: bool
    start: float
    error: float

    def value(self, reach: float) -> float:
        if self.by_factor:
            return self.start * math.exp(min(max(self.side * reach * self.error, -600.0), 600.0))
        return self.start + self.side * reach * self.error

    @property
    def open_end(self) -> float:
        """The end of the interval where the data do not bound it."""
        if not self.by_factor:
            return self.side * math.inf
        return math.copysign(math.inf if self.side > 0 else 0.0, self.start)


def profile_intervals(solution: Solution, noise: Noise, quantile: float) -> Profile:
    """Intervals of all free parameters."""
    allowed = 0.5 * noise.threshold * quantile**2
    intervals: dict[str, tuple[float, float]] = {}
    better: Array | None = None
    least = solution.objective - BETTER * noise.threshold * noise.degrees_of_freedom
    for problem, u, names, by_factor in _coordinates(solution):
        covariance = covariance_of(solution, noise.variance, problem, u)
        lines = [line for name in names for line in _both_sides(problem, u, name, covariance, quantile, by_factor)]
        search = _Search(problem, u, covariance.names, covariance.matrix, NEGLIGIBLE * allowed)
        ends, lower = _ends(search, lines, solution.objective, solution.objective + allowed)
        for pair, name in enumerate(names):
            intervals[name] = _as_given(problem, name, ends[2 * pair], ends[2 * pair + 1])
        if lower is not None and lower[1] < least:
            better, least = solution.problem.at(problem.original(lower[0][None]))[0], lower[1]
    return Profile(intervals=intervals, better=better)


def _both_sides(problem: Problem, u: Array, name: str, covariance: Covariance, quantile: float, by_factor: bool) -> list[_Line]:
    """The searches for the lower and the upper end of a parameter, with steps of its standard error
    where there is one.
    """
    index = problem.law.names.index(name)
    place = covariance.names.index(name) if name in covariance.names else None
    error = float(np.linalg.norm(covariance.root[place])) if place is not None else 0.0
    start = float(u[index])
    error = error if error > 0 and math.isfinite(error) else 0.1 * (abs(start) + 1e-3)
    by_factor = by_factor and not problem.logged[index] and start != 0.0
    error = min(error, 1e3 * (abs(start) + 1.0)) if not by_factor else min(max(error / abs(start), 1e-9), 5.0)
    return [_Line(index, side, by_factor, start, error * quantile) for side in (-1.0, 1.0)]


class _Search:
    """Fits with one coordinate pinned."""

    def __init__(self, problem: Problem, u: Array, names: tuple[str, ...], spread: Array, enough: float) -> None:
        self.problem, self.u, self.enough = problem, u, enough
        self.columns = [problem.law.names.index(name) for name in names]
        self.spread = spread
        self.low, self.high = problem.box

    def fits(self, lines: list[_Line], values: Array, starts: Array | None = None, *, near: bool = False) -> tuple[Array, Array]:
        """Loss and coordinates with coordinate lines[i].index at values[i]; `near` if the starts
        are close by.
        """
        rows = np.arange(len(lines))
        indices = np.array([line.index for line in lines])
        begin = np.repeat(self.u[None], len(lines), axis=0) if starts is None else starts.copy()
        if starts is None:
            for row, line in enumerate(lines):
                if line.index in self.columns:
                    place = self.columns.index(line.index)
                    variance = self.spread[place, place]
                    if variance > 0:
                        shift = np.clip(values[row] - line.start, -4 * math.sqrt(variance), 4 * math.sqrt(variance))
                        begin[row, self.columns] += self.spread[:, place] / variance * shift
        begin[rows, indices] = values
        free = np.repeat(self.problem.free_mask[None], len(lines), axis=0)
        free[rows, indices] = False
        begin = np.clip(begin, self.low, self.high)
        found = minimise(
            self.problem.function,
            self.problem.gradient,
            begin,
            y=self.problem.y,
            weights=self.problem.weights,
            loss=self.problem.loss,
            free=free,
            linear=None if near else self.problem.linear_mask,
            lower=self.low,
            upper=self.high,
            steps=40 if near else 80,
            settled=LOOSE,
            enough=self.enough,
            units=self.problem.units,
        )
        return found.objective, found.u


def _ends(search: _Search, lines: list[_Line], best: float, limit: float) -> tuple[list[float], tuple[Array, float] | None]:
    """The first value on each line at which the loss passes the limit; infinite where none does."""
    ends = [line.open_end for line in lines]
    last = [(line.start, best, search.u) for line in lines]  # the farthest value on each line that is still within the limit
    going, inside, outside, begin = [], [], [], []
    better: tuple[Array, float] | None = None
    open_lines = list(range(len(lines)))
    for reaches in (NEAR, FAR):
        if not open_lines:
            break
        spread_lines = [lines[row] for row in open_lines for _ in reaches]
        values = np.array([lines[row].value(reach) for row in open_lines for reach in reaches])
        values = np.clip(values, *(np.array([end[line.index] for line in spread_lines]) for end in (search.low, search.high)))
        starts = None if reaches is NEAR else np.array([last[row][2] for row in open_lines for _ in reaches])
        loss, found = search.fits(spread_lines, values, starts)
        better = _lower(better, loss, found, best)
        shape = (len(open_lines), len(reaches))
        for row, at, rise, u in zip(open_lines, values.reshape(shape), loss.reshape(shape), found.reshape(*shape, -1), strict=True):
            above = np.flatnonzero(rise > limit)
            within = int(above[0]) if len(above) else len(reaches)
            if within:
                last[row] = (float(at[within - 1]), float(rise[within - 1]), u[within - 1])
            if len(above):
                inside.append((last[row][0], _root(last[row][1], best)))
                outside.append((float(at[within]), _root(float(rise[within]), best)))
                begin.append(last[row][2])
                going.append(row)
        open_lines = [row for row in open_lines if row not in going]
    target = _root(limit, best)
    rough = list(range(len(going)))
    for turn in range(ROUNDS):
        if not rough:
            break
        halve = turn >= HALVE_FROM and turn % 2 == 1
        places = np.array([_between(lines[going[one]], inside[one], outside[one], target, halve=halve) for one in rough])
        loss_here, found_here = search.fits([lines[going[one]] for one in rough], places, np.array([begin[one] for one in rough]), near=True)
        for one, place, value, u in zip(rough, places, loss_here, found_here, strict=True):
            if value > limit:
                outside[one] = (float(place), _root(float(value), best))
            else:
                inside[one] = (float(place), _root(float(value), best))
                begin[one] = u
        rough = [one for one, value in zip(rough, loss_here, strict=True) if abs(_root(float(value), best) - target) > CLOSE * target]
    for position, row in enumerate(going):
        ends[row] = _between(lines[row], inside[position], outside[position], target, margin=0.0)
    return ends, better


def _root(loss: float, best: float) -> float:
    """Signed root of the rise: nearly a straight line in the parameter, so that interpolation
    converges at once.
    """
    return math.sqrt(max(loss - best, 0.0)) if math.isfinite(loss) else 1e150


def _between(
    line: _Line, inside: tuple[float, float], outside: tuple[float, float], target: float, *, halve: bool = False, margin: float = 0.02
) -> float:
    low, high = (math.log(abs(inside[0])), math.log(abs(outside[0]))) if line.by_factor else (inside[0], outside[0])
    share = (target - inside[1]) / (outside[1] - inside[1]) if outside[1] > inside[1] and not halve else 0.5
    place = low + min(max(share, margin), 1.0 - margin) * (high - low)
    return math.copysign(math.exp(place), line.start) if line.by_factor else place


def _lower(before: tuple[Array, float] | None, loss: Array, found: Array, best: float) -> tuple[Array, float] | None:
    """The lowest of all fits so far that is below the best fit, if there is one."""
    index = int(np.argmin(loss))
    return (found[index], float(loss[index])) if loss[index] < (best if before is None else before[1]) else before


def _coordinates(solution: Solution) -> list[tuple[Problem, Array, list[str], bool]]:
    """For each group of parameters, the problem in which their own values for x as given are
    coordinates, and whether those go by factors. A parameter whose size hangs on an exponent is a
    coordinate only where x is not centred; all others are better off centred.
    """
    problem = solution.problem
    entangled = [name for name in problem.free if proportion(problem.law, name, problem.natural) is None]
    if not entangled or problem.scale == (1.0,) * len(problem.scale):
        alone = [name for name in problem.free if name not in entangled]
        return [(problem, solution.u, names, names is entangled) for names in (alone, entangled) if names]
    plain = problem.uncentred()
    u = plain.at({name: np.array([value]) for name, value in solution.params.items()})[0]
    with np.errstate(all="ignore"):
        fitted = plain.function(u[None]) if np.all(np.isfinite(u)) else np.full((1, len(problem.y)), np.nan)
    if not np.allclose(fitted, problem.function(solution.u[None]), rtol=1e-9, atol=0.0):
        return [(problem, solution.u, list(problem.free), False)]  # x is too far from 1 for doubles; ends are those of the centred law
    alone = [name for name in problem.free if name not in entangled]
    return [(problem, solution.u, alone, False), (plain, u, entangled, True)] if alone else [(plain, u, entangled, True)]


def _as_given(problem: Problem, name: str, low: float, high: float) -> tuple[float, float]:
    """Ends of a coordinate as ends of the parameter for x as given."""
    index = problem.law.names.index(name)
    box = problem.box
    ratio = proportion(problem.law, name, tuple(1.0 / factor for factor in problem.scale)) or 1.0
    if problem.logged[index]:
        ends = (0.0 if low <= box[0][index] else math.exp(low), math.inf if high >= box[1][index] else math.exp(high))
    else:
        ends = low * problem.sizes[index], high * problem.sizes[index]
        if low > high:
            ends = ends[1], ends[0]
    confined = problem.bounds.get(name, (-math.inf, math.inf))
    return min(max(ends[0] * ratio, confined[0]), confined[1]), max(min(ends[1] * ratio, confined[1]), confined[0])
