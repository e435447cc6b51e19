"""Profile-likelihood intervals: every value of a parameter that the data do not reject, the other parameters being
free.

A value is kept while the best residual sum of squares with it pinned stays below S_min + s^2 t^2, t being
Student's quantile on n - p degrees of freedom (Bates and Watts 1988, section 6.1.2). Unlike +-1.96 standard errors
this follows the curvature of the law.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.projection import Problem, Solution, project

Array = NDArray[np.float64]

POINTS = 61  # exponents across the interval, and across each zoom, on which a linear parameter's end is sought
ZOOMS = 5  # each narrows the crossing 60-fold, so five reach 1e-10 of an exponent
SETTLED = 0.02  # an end that moves less than this (relative to the estimate's distance) over the last half of the range has converged


def profile_intervals(problem: Problem, solution: Solution, *, variance: float, quantile: float) -> dict[str, tuple[float, float]]:
    """Intervals of the free parameters. An end is infinite (0 for the exponent's lower end) where the data do not
    bound it."""
    rounding = (1e-15 * float(np.max(np.abs(problem.y)))) ** 2
    threshold = solution.squares + max(variance, rounding) * quantile**2
    intervals: dict[str, tuple[float, float]] = {}
    low = high = solution.exponent
    if problem.exponent_is_free:
        low, high = _exponent_interval(problem, solution, threshold)
        floor, ceiling = problem.law.exponent_bounds
        intervals[str(problem.law.exponent)] = (0.0 if low <= floor else low, math.inf if high >= ceiling else high)
    for index, name in enumerate(problem.free_linear):
        ends = [_linear_end(problem, index, name, low, high, threshold, side) for side in (-1.0, 1.0)]
        intervals[name] = (ends[0], ends[1])
    return {name: intervals[name] for name in problem.free}


def _exponent_interval(problem: Problem, solution: Solution, threshold: float) -> tuple[float, float]:
    """Outermost crossings of the threshold; the search range's own ends where it is not crossed."""

    grid = problem.exponents()
    logs = np.sort(np.append(np.log(grid), math.log(solution.exponent)))
    kept = np.flatnonzero(project(problem, np.exp(logs)).squares <= threshold)
    first, last = (int(kept[0]), int(kept[-1])) if len(kept) else (int(np.argmin(abs(logs - math.log(solution.exponent)))),) * 2
    low = float(grid[0]) if first == 0 else _crossing(problem, threshold, logs[first], logs[first - 1])
    high = float(grid[-1]) if last == len(logs) - 1 else _crossing(problem, threshold, logs[last], logs[last + 1])
    return low, high


def _crossing(problem: Problem, threshold: float, inside: float, outside: float) -> float:
    """The exponent at which the sum of squares crosses the threshold, between two logs of exponents."""
    for _ in range(ZOOMS):
        logs = np.linspace(inside, outside, POINTS)
        above = np.flatnonzero(project(problem, np.exp(logs)).squares > threshold)
        first = max(1, int(above[0])) if len(above) else POINTS - 1
        inside, outside = float(logs[first - 1]), float(logs[first])
    return math.exp(inside)


def _linear_end(problem: Problem, index: int, name: str, low: float, high: float, threshold: float, side: float) -> float:
    """The largest (side 1) or smallest (side -1) value of a linear parameter over all exponents kept.

    Given the exponent the sum of squares is a parabola in the parameter, so its end there is exact; what is left
    is a maximum over the exponent.
    """

    def ends(exponents: Array) -> Array:
        projected = project(problem, exponents)
        room = np.sqrt(np.maximum(threshold - projected.squares, 0.0) * projected.variance[:, index])
        value = projected.linear[:, index] + side * room
        return side * value * (problem.scale**exponents if name in problem.law.decaying else 1.0)

    if high <= low:
        return float(side * ends(np.array([low]))[0])
    exponents = np.geomspace(low, high, POINTS)
    values = ends(exponents)
    best = int(np.argmax(values))
    floor, ceiling = problem.law.exponent_bounds
    if (best == 0 and low <= floor) or (best == POINTS - 1 and high >= ceiling):
        inward = values[POINTS // 2] if best else values[-1 - POINTS // 2]
        if abs(values[best] - inward) > SETTLED * max(abs(values[best]), abs(inward)):
            return side * math.inf
    for _ in range(3):
        exponents = np.geomspace(exponents[max(0, best - 1)], exponents[min(len(exponents) - 1, best + 1)], POINTS)
        values = ends(exponents)
        best = int(np.argmax(values))
    return float(side * values[best])
