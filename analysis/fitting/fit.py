"""Fit a curve to points, find the best optimum with no guess, and say how sure each number is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, finite
from analysis.fitting.curve import Fit
from analysis.fitting.extrapolation_error import drift_of
from analysis.fitting.inference import Spread, infer, status_of
from analysis.fitting.lack_of_fit import lack_of_fit
from analysis.fitting.losses import find_loss
from analysis.fitting.points import checked_clusters, checked_level, checked_points, checked_samples, checked_sigma, checked_weights, checked_y_for
from analysis.fitting.problem import Problem, make_problem
from analysis.fitting.settings import checked_bounds, checked_pins, checked_range, checked_start
from analysis.fitting.solving import Solution, with_linear_solved
from analysis.laws import find_law

Array = NDArray[np.float64]


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    law: str = "power",
    weights: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    loss: str = "log_huber",
    delta: float | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    cluster: ArrayLike | None = None,
    bootstrap: int = 0,
    start: Mapping[str, float] | None = None,
    level: float = 0.90,
    seed: int = 0,
) -> Fit:
    """Fit `law`, one of `analysis.LAWS` such as 'power' (y = E + A x^-b), to the points (x, y),
    each of shape (n,); x > 0, in any unit.

    `loss`, one of `analysis.LOSSES`: by default Huber's on relative errors, whose `delta` is 2.5
    robust standard deviations unless given (no point counts as an outlier with fewer than 6 degrees
    of freedom). `weights` multiply the loss of each point; `sigma`, standard errors of y up to a
    common factor, is what its residual is measured in (relative to y for a logarithmic loss),
    outliers included. `fixed` pins parameters, {"E": 0.1}; `bounds` confines them, {"b": (0.2,
    0.5)}, None leaving a side open; `y_range`, (0, 1) for an accuracy, confines the level that y
    tends to. No start is needed; `start` replaces the search over starts (linear parameters are
    solved, so only the others count).

    Intervals have nominal coverage `level`. Independent points: profile likelihood with Student's
    t, or `bootstrap` samples of the points. `cluster`, shape (n,), labels points that are not
    independent, such as runs of one seed (see `independent_groups`): delete-one-cluster jackknife,
    or `bootstrap` samples of clusters. `benchmarks/coverage.py` and `benchmarks/fitting.py` measure
    what they cover.

    Raises AnalysisError for points or settings that no law can be fitted to, saying which. A fit
    that can be made but not trusted is returned, and its `status` says so.
    """
    chosen = find_law(law)
    points_x, points_y = checked_points(x, y)
    checked_level(level)
    checked_samples(bootstrap, seed)
    kind = find_loss(loss, delta)
    checked_y_for(points_y, loss)
    ends = checked_range(y_range, points_y)
    mass = checked_weights(weights, len(points_x))
    units = checked_sigma(sigma, points_y, logarithmic=kind.logarithmic)
    if chosen.name == "last_value":
        mass = np.where(points_x == points_x[mass > 0].max(), mass, 0.0)
        mass = mass / np.mean(mass[mass > 0])
    labels = None if cluster is None else checked_clusters(cluster, len(points_x))
    pinned = checked_pins(chosen, fixed or {})
    problem = make_problem(chosen, points_x, points_y, mass, kind, pinned, checked_bounds(chosen, bounds or {}, y_range, pinned), units)
    check_enough(problem)
    begin = None if start is None else with_linear_solved(problem, checked_start(chosen, start, problem.free))
    solution, spread = infer(problem, level=level, labels=labels, samples=bootstrap, seed=seed, start=begin)
    fields = fields_of(solution, spread, level=level, loss=loss, clustered=labels is not None, y_range=ends)
    return Fit(**fields, drift=drift_of(solution))


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
    from analysis.fitting.covariance import noise_of

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
        "x": tuple(problem.x.tolist()) if problem.x.ndim == 1 else tuple(tuple(row) for row in problem.x.tolist()),
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
