"""Computes the intervals and the status of a solution."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.bins import binned_at, has_many_points
from analysis.fitting.bootstrap import Bootstrap, bootstrap, percentile_ends
from analysis.fitting.covariance import Noise, covariance_of, noise_of
from analysis.fitting.jackknife import Replicates, jackknife_intervals, leave_one_out
from analysis.fitting.problem import Problem, proportion
from analysis.fitting.profile import profile_intervals
from analysis.fitting.solving import Solution, solve
from analysis.formatting import percent
from analysis.student import t_quantile

Array = NDArray[np.float64]
Interval = tuple[float, float]
Status = Literal["converged", "at bound", "not identified"]

FEWEST_CLUSTERS = 3
EVER_BETTER = "the search finds ever better fits, so none of them can be called the best"
OPEN = 3.0  # how near an interval's end may come to the edge of the search, as a factor, for the interval to count as open
EXACT = 1e-24  # mean loss of points that lie on the law to rounding
AGAIN = 3  # times a profile may find a better optimum and start over


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The uncertainty of a fit: intervals, and the covariance or replicates behind them."""

    intervals: dict[str, Interval | None]
    reason: str = ""
    method: str = ""
    correlation: dict[str, dict[str, float]] | None = None
    degrees_of_freedom: int = 0
    covariance_names: tuple[str, ...] = ()
    covariance_root: tuple[tuple[float, ...], ...] | None = None
    replicates: dict[str, tuple[float, ...]] | None = None
    replicate_kind: str = ""
    lost: int = 0
    """Clusters without which a searched parameter ends on the edge of its range."""
    unseen: tuple[str, ...] = field(default=())
    """Parameters of a direction in which the fit does not change."""


def infer(
    problem: Problem, *, level: float, labels: NDArray[np.int64] | None, samples: int, seed: int, start: Array | None = None
) -> tuple[Solution, Spread]:
    """The best solution and its uncertainty: bootstrap if `samples` is above zero, else jackknife over
    clusters, else profile.
    """
    solution = solve(problem, starts=start)
    lost = ""
    if samples:
        spread = bootstrapped(solution, level, labels, samples, seed)
        if not spread.reason or labels is not None:
            return solution, spread
        lost = f" ({spread.reason})"
    if labels is not None:
        return solution, _clustered(solution, labels, level)
    for _ in range(AGAIN):
        spread, better = _profiled(solution, level)
        if better is None:
            return solution, dataclasses.replace(spread, method=spread.method + lost) if spread.method else spread
        solution = solve(solution.problem, starts=better[None])
    return solution, no_spread(problem, EVER_BETTER)


def no_spread(problem: Problem, reason: str, **more: object) -> Spread:
    """A spread without intervals, with the reason."""
    return Spread(intervals=dict.fromkeys(problem.law.names), reason=reason, **more)  # type: ignore[arg-type]


def status_of(solution: Solution, spread: Spread, level: float) -> tuple[Status, str]:
    """The status of the fit, and a sentence where its numbers are not reliable."""
    problem = solution.problem
    law, free = problem.law, problem.free
    searched = [name for name in law.searched if name in free]
    used = problem.weights > 0
    size = float(np.max(np.abs(problem.y[used])))
    if searched and float(np.ptp(problem.y[used])) <= 1e-12 * size and law.asymptote in free:
        return "not identified", f"y is the same at every x, so it does not determine {' and '.join(searched)}"
    if not np.isfinite(solution.objective):
        return "not identified", f"the law {law.name} cannot pass through these points: some would have no logarithm"
    if spread.lost:
        return "not identified", f"{spread.reason}; predictions keep their intervals"
    stuck = solution.at_bound
    if spread.unseen:
        return (
            "not identified",
            f"the points do not tell {_listed(spread.unseen)} apart: pin one with fixed={{...}} or choose a law with fewer parameters",
        )
    if spread.reason == EVER_BETTER:
        return "not identified", EVER_BETTER
    loose = [name for name in searched if _is_open(problem, name, spread.intervals.get(name))]
    if loose:
        return "not identified", f"every {_listed(tuple(loose))} fits the points about equally well at the {percent(level)} level"
    spare = int(np.sum(used)) - len(free)
    if spare <= 1 and not law.baseline:
        left = "no degrees of freedom" if spare <= 0 else "1 degree of freedom"
        return "not identified", f"{_counted(int(np.sum(used)), len(free))} leave {left} to judge the fit by"
    if law.asymptote in stuck and solution.objective <= EXACT * (1.0 if problem.loss.logarithmic else size) ** 2 * len(problem.y):
        stuck = {name: side for name, side in stuck.items() if name != law.asymptote}  # an asymptote of exactly zero
    if stuck:
        name, side = next(iter(stuck.items()))
        index = law.names.index(name)
        end = problem.box[0 if side == "lower" else 1][index]
        value = float(np.exp(end)) * _unit(problem, name) if problem.logged[index] else float(end) * problem.sizes[index]
        meaning = law.parameter(name).at_lower if side == "lower" else law.parameter(name).at_upper
        return "at bound", f"{name} ended on its {side} bound {value:.4g}" + (f": {meaning}" if meaning else "")
    if not solution.converged:
        return "not identified", f"the search had not settled after its last step: the points hardly determine {_listed(tuple(searched))}"
    return "converged", ""


def _is_open(problem: Problem, name: str, ends: Interval | None) -> bool:
    """Whether an interval covers about the whole range of the search."""
    index = problem.law.names.index(name)
    if ends is None or name in problem.bounds or not problem.logged[index]:
        return False
    with np.errstate(over="ignore"):
        low, high = (float(np.exp(end[index])) * _unit(problem, name) for end in problem.box)
    return ends[0] <= OPEN * low and ends[1] >= high / OPEN


def _unit(problem: Problem, name: str) -> float:
    """What a searched parameter is multiplied by for x as given: the search divides x by its size."""
    return proportion(problem.law, name, tuple(1.0 / factor for factor in problem.scale)) or 1.0


def _profiled(solution: Solution, level: float) -> tuple[Spread, Array | None]:
    """The spread of a fit whose points are independent, or the coordinates of a better fit."""
    problem = solution.problem
    noise = noise_of(solution)
    if not np.isfinite(solution.objective):
        return no_spread(problem, "the law cannot pass through these points"), None
    if noise is None:
        return no_spread(problem, _no_freedom(problem)), None
    freedom = noise.degrees_of_freedom
    shape, over = solution, ""
    if has_many_points(problem):
        shape = solve(binned_at(problem, solution.u), starts=solution.u[None])
        over = f" over {len(shape.problem.y)} bins of {int(np.sum(problem.weights > 0)):,} points"
    profile = profile_intervals(shape, noise, t_quantile(level, freedom))
    if profile.better is not None:
        return no_spread(problem, ""), profile.better
    covariance = covariance_of(solution, noise.variance)
    return (
        Spread(
            intervals=_holding(solution, profile.intervals),
            method=f"profile likelihood{over} for parameters, delta method for predictions; Student t on {freedom} degrees of freedom",
            correlation=_given_correlation(solution, noise),
            degrees_of_freedom=freedom,
            covariance_names=covariance.names,
            covariance_root=tuple(tuple(float(entry) for entry in row) for row in covariance.root),
            unseen=covariance.unseen,
        ),
        None,
    )


def _clustered(solution: Solution, labels: NDArray[np.int64], level: float) -> Spread:
    """The spread of a fit whose points come in clusters."""
    problem = solution.problem
    labels = np.unique(np.where(problem.weights > 0, labels, -1), return_inverse=True)[1] - int(np.any(problem.weights <= 0))
    clusters = int(labels.max()) + 1
    if clusters < FEWEST_CLUSTERS:
        counted = "1 cluster" if clusters == 1 else f"{clusters} clusters"
        return no_spread(problem, f"{counted} of points, and an interval needs at least {FEWEST_CLUSTERS}")
    replicates = leave_one_out(solution, labels)
    if not isinstance(replicates, Replicates):
        return no_spread(problem, replicates)
    groups = len(replicates.u)
    counted = f"{clusters} clusters" if groups == clusters else f"{groups} groups of {clusters} clusters"
    method = f"delete-one-cluster jackknife over {counted}, Student t on {groups - 1} degrees of freedom"
    found = {name: tuple(float(value) for value in values) for name, values in problem.original(replicates.u).items()}
    shared = {"degrees_of_freedom": groups - 1, "replicates": found, "replicate_kind": "jackknife"}
    edge = [name for name in solution.at_bound if name in problem.law.searched]
    if replicates.at_bound or edge:
        name = edge[0] if edge else problem.law.searched[-1]
        one = "cluster" if groups == clusters else "group of clusters"
        where = f"in {replicates.at_bound} of the {groups} fits that leave one {one} out" if replicates.at_bound else "in the fit"
        reason = f"{name} is on the edge of its range {where}"
        return no_spread(problem, reason, **shared, method=f"for predictions only: {method}", lost=replicates.at_bound)
    intervals, covariance = jackknife_intervals(solution, replicates, quantile=t_quantile(level, groups - 1))
    return Spread(
        intervals=_within_bounds(problem, _holding(solution, intervals)),
        method=method,
        correlation=_named(problem.free, covariance),
        **shared,  # type: ignore[arg-type]
    )


def _holding(solution: Solution, intervals: dict[str, Interval]) -> dict[str, Interval | None]:
    """Intervals of all parameters, each holding its estimate, which rounding or a flat loss can
    leave just outside.
    """
    params = solution.params
    return {name: None if (ends := intervals.get(name)) is None else (min(ends[0], value), max(ends[1], value)) for name, value in params.items()}


def _within_bounds(problem: Problem, intervals: dict[str, Interval | None]) -> dict[str, Interval | None]:
    """The intervals, none reaching beyond the bounds of its parameter."""
    confined = dict(intervals)
    for name, (least, most) in problem.bounds.items():
        if (ends := confined.get(name)) is not None:
            confined[name] = max(ends[0], least), min(ends[1], most)
    return confined


def bootstrapped(solution: Solution, level: float, labels: NDArray[np.int64] | None, samples: int, seed: int) -> Spread:
    """The spread by refitting samples of the points, or of the clusters."""
    problem = solution.problem
    drawn = bootstrap(solution, samples, labels=labels, seed=seed)
    if not isinstance(drawn, Bootstrap):
        return no_spread(problem, drawn)
    used = problem.weights > 0
    units = int(np.sum(used)) if labels is None else len(np.unique(labels[used]))
    freedom = units - (len(problem.free) if labels is None else 1)
    if freedom <= 0:
        return no_spread(problem, _no_freedom(problem))
    found, params = problem.original(drawn.u), solution.params
    intervals: dict[str, Interval | None] = {
        name: percentile_ends(found[name], params[name], level, freedom, logged=logged) if name in problem.free else None
        for name, logged in zip(problem.law.names, problem.logged, strict=True)
    }
    what = "points" if labels is None else "clusters"
    return Spread(
        intervals=_within_bounds(problem, intervals),
        method=f"bootstrap of {units} {what}, {len(drawn.u)} samples, percentiles stretched to Student t on {freedom} degrees of freedom",
        correlation=_named(problem.free, np.cov(drawn.u[:, problem.free_mask].T).reshape(len(problem.free), -1)),
        degrees_of_freedom=freedom,
        replicates={name: tuple(float(value) for value in values) for name, values in found.items()},
        replicate_kind="bootstrap",
        unseen=covariance_of(solution, 1.0).unseen,
    )


def _given_correlation(solution: Solution, noise: Noise) -> dict[str, dict[str, float]]:
    """Correlation of the parameters for x as given: the coordinates' covariance carried over by
    finite differences.
    """
    problem = solution.problem
    covariance = covariance_of(solution, noise.variance)
    steps = 1e-6 * (1.0 + np.abs(solution.u))
    columns = [problem.law.names.index(name) for name in covariance.names]
    moved = np.repeat(solution.u[None], 2 * len(columns), axis=0)
    for place, column in enumerate(columns):
        moved[2 * place, column] += steps[column]
        moved[2 * place + 1, column] -= steps[column]
    values = problem.original(moved)
    with np.errstate(all="ignore"):
        turn = np.array(
            [[(values[name][2 * k] - values[name][2 * k + 1]) / (2 * steps[c]) for k, c in enumerate(columns)] for name in covariance.names]
        )
        turned = np.nan_to_num(turn.reshape(len(columns), len(columns)), posinf=0.0, neginf=0.0) @ covariance.root
        return _named(covariance.names, turned @ turned.T)


def _named(names: tuple[str, ...], covariance: Array) -> dict[str, dict[str, float]]:
    """Correlations by name; those with a parameter that does not vary are zero."""
    sd = np.sqrt(np.diag(covariance)) if len(names) else np.empty(0)
    safe = np.where(sd > 0, sd, 1.0)
    with np.errstate(all="ignore"):
        matrix = np.nan_to_num(covariance / safe[:, None] / safe, nan=0.0, posinf=0.0, neginf=0.0)
    return {one: {other: 1.0 if i == j else float(matrix[i, j]) for j, other in enumerate(names)} for i, one in enumerate(names)}


def _no_freedom(problem: Problem) -> str:
    used = int(np.sum(problem.weights > 0))
    if problem.law.baseline and used == 1:
        return "one point at the largest x, so its spread is not known"
    noun = "point" if used == 1 else "points"
    return f"{used} {noun} for {len(problem.free)} free parameters leave no degrees of freedom to estimate the noise"


def _counted(points: int, free: int) -> str:
    return f"{points} {'point' if points == 1 else 'points'} for {free} free parameter{'' if free == 1 else 's'}"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else " and ".join([", ".join(names[:-1]), names[-1]])
