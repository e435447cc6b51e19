"""Fits a curve to points: finds the best optimum with no guess, and says how sure each number is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, finite
from analysis.fitting.covariance import noise_of
from analysis.fitting.curve import Fit
from analysis.fitting.extrapolation_error import extrapolation_error_of
from analysis.fitting.inference import Spread, infer, status_of
from analysis.fitting.inputs import (
    checked_bounds,
    checked_clusters,
    checked_level,
    checked_metric,
    checked_pins,
    checked_points,
    checked_range,
    checked_samples,
    checked_sigma,
    checked_start,
    checked_weights,
    checked_y_for,
    units_of,
)
from analysis.fitting.lack_of_fit import lack_of_fit
from analysis.fitting.losses import find_loss
from analysis.fitting.own_law import is_own, resolved
from analysis.fitting.problem import Problem, make_problem
from analysis.fitting.recency import recency_of
from analysis.fitting.solving import Solution, with_linear_solved
from analysis.fitting.turning import turn_of_curve, with_turn
from analysis.laws import LAWS, Law, find_law

Array = NDArray[np.float64]
OwnLaw = Law | Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that `fit` and `fit_surface` share, as the caller gave them."""

    weights: ArrayLike | str | None
    sigma: ArrayLike | None
    loss: str
    delta: float | None
    fixed: Mapping[str, float] | None
    bounds: Mapping[str, tuple[float | None, float | None]] | None
    y_range: tuple[float | None, float | None] | None
    metric: str | None
    cluster: ArrayLike | None
    bootstrap: int
    start: Mapping[str, float] | None
    level: float
    seed: int


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    law: str | OwnLaw = "power",
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | None = None,
    loss: str = "log_huber",
    delta: float | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    metric: str | None = None,
    cluster: ArrayLike | None = None,
    bootstrap: int = 0,
    start: Mapping[str, float] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Fit:
    """Fits `law` to the points (x, y), each of shape (n,); x > 0, in any unit.

    `law` is one of `analysis.LAWS`, such as 'power' (y = E + A x^-b); or a function f(x, a, b) of
    your own, whose parameters are named by its signature; or an `analysis.Law`. `loss` is one of
    `analysis.LOSSES`: by default Huber's on relative errors, whose `delta` is 2.5 robust standard
    deviations unless given (no point counts as an outlier with fewer than 6 degrees of freedom).
    `weights` multiply the loss of each point, "equal" for all alike; where neither they nor
    `sigma`, `fixed` or `bounds` are given, points count ~ x^k with the k of 0, 1 and 2 by which
    fits to the first parts of the curve predict the rest best: 0 unless another is clearly better,
    with fewer than 6 distinct x more than free parameters, and for a law of your own. `sigma`,
    standard errors of y up to a common factor, is what its residual is measured in (relative to y
    for a logarithmic loss), outliers included. `fixed` pins parameters, {"E": 0.1}; `bounds`
    confines them, {"b": (0.2, 0.5)}, None leaving a side open; `y_range`, (0, 1) for an accuracy,
    confines the asymptote of y, and so does `metric` by name: 'loss', 'error', 'accuracy',
    'percent', or 'any' for a y without
    ends. Unless told otherwise, a y that is above zero at every point keeps its asymptote at zero
    or above. The result's `defaults` say which of these were used. No start is needed;
    `start` replaces the search over starts (linear parameters are solved, so only the others
    count). For a function of your own, starts are also its defaults, and the search goes on around
    them.

    Intervals have the confidence level `level`. Independent points: profile likelihood with
    Student's t, or `bootstrap` samples of the points. `cluster`, shape (n,), labels points that are
    not independent, such as runs of one seed (see `independent_groups`): delete-one-cluster
    jackknife, or `bootstrap` samples of clusters. `benchmarks/coverage.py` and `benchmarks/fitting`
    measure the coverage.

    Raises AnalysisError for points or settings that no law can be fitted to, saying which. A fit
    whose numbers are not reliable is returned, and its `status` says so.
    """
    if isinstance(law, str):
        find_law(law)
    points_x, points_y = checked_points(x, y)
    settings = Settings(
        weights=weights,
        sigma=sigma,
        loss=loss,
        delta=delta,
        fixed=fixed,
        bounds=bounds,
        y_range=y_range,
        metric=metric,
        cluster=cluster,
        bootstrap=bootstrap,
        start=start,
        level=level,
        seed=seed,
    )
    solution, fields = fitted(law, LAWS, points_x, points_y, settings)
    found = Fit(**fields, extrapolation_error=extrapolation_error_of(solution))
    used = np.ones(len(points_y), dtype=bool) if weights is None or isinstance(weights, str) else checked_weights(weights, len(points_y)) > 0
    turned = turn_of_curve(points_x, points_y, used, found._values, found.law)
    return dataclasses.replace(found, **with_turn(found.status, found.status_detail, turned)) if turned else found


def fitted(law: str | OwnLaw, known: Mapping[str, Law], x: Array, y: Array, settings: Settings) -> tuple[Solution, dict[str, Any]]:
    """The solution, and the fields that a fitted curve and a fitted surface share. x has shape (n,)
    or (n, inputs). Raises AnalysisError.
    """
    level, loss, start = settings.level, settings.loss, settings.start
    checked_level(level)
    checked_samples(settings.bootstrap, settings.seed)
    find_loss(loss, settings.delta)
    mass = np.ones(len(y)) if isinstance(settings.weights, str) else checked_weights(settings.weights, len(y))
    if isinstance(settings.weights, str) and settings.weights != "equal":
        raise AnalysisError(f"weights is '{settings.weights}': give one number per point, or 'equal' for points that count alike.")
    given, counts = (x, y, mass), mass > 0  # from here on there are only the points that count
    sigma = checked_sigma(settings.sigma, counts)
    labels = None if settings.cluster is None else checked_clusters(settings.cluster, counts)
    named = None if settings.cluster is None else np.array([str(one) for one in np.ravel(np.asarray(settings.cluster, dtype=object))], dtype=object)
    checked_y_for(np.where(counts, y, 1.0), loss)
    x, y, mass = x[counts], y[counts], mass[counts]
    given_range = checked_metric(settings.metric, settings.y_range)
    ends = checked_range(given_range, y)
    chosen = resolved(law, known, x, y, mass, fixed=settings.fixed, bounds=settings.bounds, start=start)
    kind = find_loss(loss, chosen.delta if settings.delta is None and loss == "log_huber" else settings.delta)
    units = units_of(sigma, y, logarithmic=kind.logarithmic)
    if chosen.baseline:
        mass = np.where(x == x.max(), mass, 0.0)
        mass = mass / np.mean(mass[mass > 0])
    pinned = checked_pins(chosen, settings.fixed or {})
    within = checked_bounds(chosen, settings.bounds or {}, given_range, pinned)
    defaults: tuple[str, ...] = ()
    asymptote = chosen.asymptote
    kept_above = given_range is None and settings.metric is None and asymptote not in (None, *pinned, *within) and bool(np.all(y[mass > 0] > 0))
    if kept_above and not chosen.baseline:
        within |= {str(asymptote): (0.0, np.inf)}
        defaults = (f"{asymptote} is kept at 0 or above, as every y is (metric='any' lifts this)",)
    problem = make_problem(chosen, x, y, mass, kind, pinned, within, units)
    check_enough(problem)
    told = settings.weights is not None or settings.sigma is not None or settings.fixed or settings.bounds or is_own(chosen, known)
    if not told and (power := recency_of(problem)):
        mass = checked_weights((x / x.max()) ** power, len(y))
        problem = make_problem(chosen, x, y, mass, kind, pinned, within, units)
        defaults += (
            f"points weigh as {'x' if power == 1 else f'x^{power}'}: so fits to earlier points predict later ones best (weights='equal' lifts this)",
        )
    searched_from_start = start is not None and (isinstance(law, str | Law))
    begin = with_linear_solved(problem, checked_start(chosen, start or {}, problem.free)) if searched_from_start else None
    solution, spread = infer(problem, level=level, labels=labels, samples=settings.bootstrap, seed=settings.seed, start=begin)
    fields = fields_of(solution, spread, level=level, loss=loss, clustered=labels is not None, y_range=ends)
    if chosen.baseline:  # here a weight of zero says that a later point was measured
        named = None if named is None else named[counts]
    else:
        fields |= _as_given(fields["weights"], *given)
    fields |= {"own_law": chosen if is_own(chosen, known) else None, "cluster": None if named is None else tuple(named), "defaults": defaults}
    return solution, fields


def _as_given(masses: tuple[float, ...], x: Array, y: Array, mass: Array) -> dict[str, Any]:
    """The points as they were given, those that do not count with a weight of zero."""
    weights = np.zeros(len(y))
    weights[mass > 0] = masses
    return {"x": _points(x), "y": tuple(y.tolist()), "weights": tuple(weights.tolist())}


def _points(x: Array) -> tuple[Any, ...]:
    return tuple(x.tolist()) if x.ndim == 1 else tuple(tuple(row) for row in x.tolist())


def check_enough(problem: Problem) -> None:
    """Raises AnalysisError where there are fewer distinct x than free parameters."""
    used, free = problem.weights > 0, problem.free
    distinct = len(np.unique(problem.x[used], axis=0))
    if distinct < len(free):
        raise AnalysisError(
            f"the law '{problem.law.name}' has {len(free)} free parameters ({', '.join(free)}) and y is given at only "
            f"{distinct} distinct x: measure at more x, pin a parameter with "
            f"fixed={{...}}, or choose a law with fewer parameters."
        )


def fields_of(solution: Solution, spread: Spread, *, level: float, loss: str, clustered: bool, y_range: tuple[float, float]) -> dict[str, Any]:
    """What every result holds, of a curve or a surface."""
    problem = solution.problem
    status, detail = status_of(solution, spread, level)
    noise = noise_of(solution)
    delta = problem.loss.delta
    return {
        "law": problem.law.name,
        "params": solution.params,
        "intervals": spread.intervals,
        "level": level,
        "status": status,
        "status_detail": detail,
        "loss": loss,
        "delta": float(delta) if np.isfinite(delta) else None,
        "y_range": (finite(y_range[0]), finite(y_range[1])),
        "objective": solution.objective,
        "x": _points(problem.x),
        "y": tuple(problem.y.tolist()),
        "weights": tuple(problem.masses.tolist()),
        "residual_sd": None if noise is None else noise.sd,
        "correlation": spread.correlation,
        "interval_method": spread.method,
        "reason_no_interval": spread.reason,
        "pinned": tuple(problem.pinned),
        "degrees_of_freedom": spread.degrees_of_freedom,
        "lack_of_fit": lack_of_fit(solution, clustered=clustered),
        "scale": problem.scale,
        "covariance_names": spread.covariance_names,
        "covariance_root": spread.covariance_root,
        "replicates": spread.replicates,
        "replicate_kind": spread.replicate_kind,
    }
