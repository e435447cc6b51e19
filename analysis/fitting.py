"""Fit a law to points, find the global optimum with no guess, and say how sure each number is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.jackknife import Replicates, jackknife_intervals, leave_one_out
from analysis.laws import Law, find_law
from analysis.points import checked_clusters, checked_level, checked_points
from analysis.profile import profile_intervals
from analysis.projection import Array, Problem, Solution, gradient_at, solve
from analysis.result import Fit, Interval, Status
from analysis.student import t_quantile

FEWEST_CLUSTERS = 3
FLAT = 1e-12  # spread of y, relative to its size, below which it is rounding


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    law: str = "power",
    level: float = 0.90,
    cluster: ArrayLike | None = None,
    fixed: Mapping[str, float] | None = None,
) -> Fit:
    """Fit `law` to the points (x, y), each of shape (n,), by least squares; x > 0, in any unit.

    `law` is 'power' (y = E + A x^-b, falling or rising), 'power_no_floor' (y = A x^-b) or 'last_value' (the mean at
    the largest x). `fixed` pins parameters, such as {"E": 0.1}. `cluster`, shape (n,), labels points that are not
    independent, such as runs of one seed (see `independent_groups`). Intervals have nominal coverage `level`: profile
    likelihood with Student's t for parameters and the delta method for predictions if all points are independent, a
    delete-one-cluster jackknife with t on clusters - 1 if `cluster` is given. `benchmarks/coverage.py` measures both.

    Raises AnalysisError for points that no law can be fitted to: unequal lengths, missing values, x <= 0, or fewer
    distinct x than free parameters. A fit that can be made but not trusted is returned, and its `status` says so.
    """
    chosen = find_law(law)
    points_x, points_y = checked_points(x, y)
    checked_level(level)
    labels = None if cluster is None else checked_clusters(cluster, len(points_x))
    pinned = _checked_pins(chosen, fixed or {})
    used = points_x == points_x.max() if chosen.largest_x_only else np.ones(len(points_x), dtype=bool)
    problem = Problem(
        law=chosen,
        x=points_x[used],
        y=points_y[used],
        pinned=pinned,
        # A pinned coefficient belongs to x as given, so then nothing is rescaled.
        scale=1.0 if chosen.decaying & pinned.keys() else float(np.exp(np.mean(np.log(points_x[used])))),
    )
    _check_enough(problem)
    if labels is not None:
        labels = np.unique(labels[used], return_inverse=True)[1]
    solution = solve(problem)
    freedom = len(problem.x) - len(problem.free)
    variance = solution.squares / freedom if freedom > 0 else None
    spread = _clustered(problem, solution, labels, level) if labels is not None else _independent(problem, solution, variance, level)
    status, detail = _status(problem, solution, spread, level)
    return Fit(
        law=law,
        params=solution.params,
        level=level,
        status=status,
        status_detail=detail,
        n=len(points_x),
        n_distinct_x=len(np.unique(points_x)),
        x_min=float(points_x.min()),
        x_max=float(points_x.max()),
        residual_sd=None if variance is None else float(np.sqrt(variance)),
        pinned=tuple(pinned),
        x_scale=problem.scale,
        **{name: value for name, value in spread.items() if name != "wild"},
    )


def _independent(problem: Problem, solution: Solution, variance: float | None, level: float) -> dict[str, Any]:
    """The spread of a fit whose points are independent: the fields of Fit that speak of intervals."""
    freedom = len(problem.x) - len(problem.free)
    if variance is None:
        reason = _no_freedom(problem)
        return _no_spread(problem, reason)
    intervals = profile_intervals(problem, solution, variance=variance, quantile=t_quantile(level, freedom))
    root = np.sqrt(variance) * _inverse_root(gradient_at(problem, solution.params))
    # The correlation is that of the parameters for x as given, so undo the scaling: A = A_scaled * scale^b.
    turn = np.eye(len(problem.free))
    for index, name in enumerate(problem.free):
        if name in problem.law.decaying:
            turn[index, index] = problem.scale**solution.exponent
            if problem.exponent_is_free:
                turn[index, problem.free.index(str(problem.law.exponent))] = solution.params[name] * np.log(problem.scale)
    turned = turn @ root
    return {
        "intervals": _named(problem, intervals),
        "correlation": _correlation(problem, turned @ turned.T),
        "interval_method": f"profile likelihood for parameters, delta method for predictions; Student t on {freedom} degrees of freedom",
        "reason_no_interval": "",
        "degrees_of_freedom": freedom,
        "covariance_root": tuple(tuple(float(entry) for entry in row) for row in root),
        "replicates": None,
        "wild": 0,
    }


def _clustered(problem: Problem, solution: Solution, labels: NDArray[np.int64], level: float) -> dict[str, Any]:
    """The spread of a fit whose points come in clusters."""
    clusters = int(labels.max()) + 1
    if clusters < FEWEST_CLUSTERS:
        counted = "1 cluster" if clusters == 1 else f"{clusters} clusters"
        return _no_spread(problem, f"{counted} of points, and an interval needs at least {FEWEST_CLUSTERS}")
    replicates = leave_one_out(problem, labels)
    if not isinstance(replicates, Replicates):
        return _no_spread(problem, replicates)
    shared = {
        "degrees_of_freedom": clusters - 1,
        "covariance_root": None,
        "replicates": replicates.params,
        "wild": replicates.at_bound,
    }
    method = f"delete-one-cluster jackknife over {clusters} clusters, Student t on {clusters - 1} degrees of freedom"
    if replicates.at_bound or solution.bound:
        reason = "the exponent is lost, on the edge of its range, " + (
            f"in {replicates.at_bound} of the {clusters} fits that leave one cluster out" if replicates.at_bound else "in the fit"
        )
        return {**_no_spread(problem, reason), **shared, "interval_method": f"for predictions only: {method}"}
    intervals, covariance = jackknife_intervals(problem, solution.params, replicates, quantile=t_quantile(level, clusters - 1))
    return {
        "intervals": _named(problem, intervals),
        "correlation": _correlation(problem, covariance),
        "interval_method": method,
        "reason_no_interval": "",
        **shared,
    }


def _status(problem: Problem, solution: Solution, spread: dict[str, Any], level: float) -> tuple[Status, str]:
    """Whether the numbers may be believed, and a sentence if they may not."""
    if not problem.exponent_is_free:
        return "converged", ""
    name = str(problem.law.exponent)
    if "E" in problem.free and float(np.ptp(problem.y)) <= FLAT * float(np.max(np.abs(problem.y))):
        return "not identified", f"y is the same at every x, so it says nothing about {name}"
    if spread["wild"]:
        return "not identified", f"{spread['reason_no_interval']}; predictions keep their intervals"
    ends = spread["intervals"].get(name)
    if ends is not None and ends[0] <= 0.0 and np.isinf(ends[1]):
        return "not identified", f"every {name} fits the points about equally well at the {level:.0%} level"
    low, high = problem.law.exponent_bounds
    if solution.bound == "lower":
        look = (
            "the points look like a straight line in log x, and no floor can be told"
            if "E" in problem.free
            else "y does not move towards its floor as x grows, as this law must"
        )
        return "at bound", f"{name} ended on its lower bound {low:g}: {look}"
    if solution.bound == "upper":
        return "at bound", f"{name} ended on its upper bound {high:g}: the points look like a step after the smallest x"
    return "converged", ""


def _no_spread(problem: Problem, reason: str) -> dict[str, Any]:
    return {
        "intervals": dict.fromkeys(problem.law.parameters),
        "correlation": None,
        "interval_method": "",
        "reason_no_interval": reason,
        "degrees_of_freedom": 0,
        "covariance_root": None,
        "replicates": None,
        "wild": 0,
    }


def _named(problem: Problem, intervals: Mapping[str, Interval]) -> dict[str, Interval | None]:
    return {name: intervals.get(name) for name in problem.law.parameters}


def _inverse_root(gradient: Array) -> Array:
    """R with R R^T = (G^T G)^-1, by QR of the normalised columns so that nearly collinear ones keep their digits."""
    size = np.linalg.norm(gradient, axis=0)
    size = np.where(size > 0, size, 1.0)
    return np.linalg.pinv(np.linalg.qr(gradient / size)[1]) / size[:, None]


def _correlation(problem: Problem, covariance: Array) -> dict[str, dict[str, float]]:
    sd = np.sqrt(np.diag(covariance))
    scaled = covariance / np.where(sd > 0, np.outer(sd, sd), 1.0)
    return {row: {column: float(scaled[i, j]) for j, column in enumerate(problem.free)} for i, row in enumerate(problem.free)}


def _no_freedom(problem: Problem) -> str:
    if problem.law.largest_x_only:
        return "one point at the largest x, so nothing tells its spread"
    return f"{len(problem.x)} points for {len(problem.free)} free parameters leave nothing to tell the noise from"


def _checked_pins(law: Law, fixed: Mapping[str, float]) -> dict[str, float]:
    pinned: dict[str, float] = {}
    for name, value in fixed.items():
        if name not in law.parameters:
            hint = nearest_name(name, law.parameters)
            raise AnalysisError(
                f"fixed names '{name}', which is no parameter of the law '{law.name}' ({hint}): pin one of {', '.join(law.parameters)}."
            )
        if not np.isfinite(value):
            raise AnalysisError(f"fixed gives {name} = {value}: pin a parameter to a finite number.")
        if name == law.exponent and value <= 0:
            raise AnalysisError(f"fixed gives {name} = {value:g}, and the law '{law.name}' needs {name} > 0: pin it to a positive number.")
        pinned[name] = float(value)
    if len(pinned) == len(law.parameters):
        raise AnalysisError(f"fixed pins every parameter of the law '{law.name}': leave at least one to fit.")
    return {name: pinned[name] for name in law.parameters if name in pinned}


def _check_enough(problem: Problem) -> None:
    distinct, free = len(np.unique(problem.x)), problem.free
    if distinct < len(free):
        raise AnalysisError(
            f"the law '{problem.law.name}' has {len(free)} free parameters ({', '.join(free)}) and y is given at only "
            f"{distinct} distinct x: measure at more x, pin a parameter with "
            f"fixed={{...}}, or choose a law with fewer parameters."
        )
