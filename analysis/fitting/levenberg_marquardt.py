"""Levenberg-Marquardt on many problems of one shape at once: several starts, bootstrap samples,
pinned values, origins.

They share the points and differ in weights, free parameters and starting values, so that thousands
of fits are a few dozen array operations. Steps follow Moré 1978; bounds are kept by projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.losses import Loss

Array = NDArray[np.float64]

STEPS = 300
SETTLED = 1e-9  # a step, relative to the parameter, below which a fit has converged
DAMPED_OUT = 1e13  # damping beyond which no direction descends
UNDAMPED = 1e-4  # damping below which the predicted decrease of a step is nearly all that is left to gain
CURVED = 0.05  # share of an outlier's majorant curvature that is kept: Huber's own is zero, and the step would not be bounded


@dataclass(frozen=True, kw_only=True)
class Descent:
    """The result of each problem."""

    u: Array
    """Parameters, shape (batch, p)."""
    objective: Array
    """Sum of weighted losses, shape (batch,); infinite where even the start was impossible."""
    converged: NDArray[np.bool_]
    """Whether the steps had become negligible, shape (batch,)."""


def minimise(
    function: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
    u: Array,
    *,
    y: Array,
    weights: Array,
    loss: Loss,
    free: NDArray[np.bool_],
    lower: Array,
    upper: Array,
    linear: NDArray[np.bool_] | None = None,
    steps: int = STEPS,
    settled: float = SETTLED,
    enough: float = 0.0,
    prior: tuple[Array, Array] | None = None,
    units: Array | float = 1.0,
) -> Descent:
    """Minimise sum_i w_i loss(residual_i) from every start, to within about `enough` of the
    minimum.

    u has shape (batch, p); `function` takes (m, p) to fitted values (m, n), `gradient` to (m, n,
    p). y is (n,); weights are (n,) or (batch, n), and `free` (p,) or (batch, p); lower and upper
    bounds are (p,). `prior` is (centre, precision), each (p,) or (batch, p): it adds precision (u -
    centre)^2 / 2 to the objective. Residuals are measured in `units`, (n,). `linear`, (p,), marks
    coordinates in which the fitted values are linear: they are solved anew after each step of the
    others (variable projection, Golub and Pereyra 1973), which follows the curved valleys of such
    laws.
    """
    u = np.clip(np.array(u, dtype=np.float64), lower, upper)
    batch, size = u.shape
    weights = np.broadcast_to(weights, (batch, len(y)))
    free = np.broadcast_to(free, (batch, size))
    used = weights > 0
    centre, precision = (np.broadcast_to(one, (batch, size)) for one in prior or (np.zeros(size), np.zeros(size)))

    def residual_of(at: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            residual = loss.residual(function(at), y) / units
            residual = np.where(used[rows], residual, 0.0)
            value = np.sum(weights[rows] * loss.value(residual), axis=1)
            value += 0.5 * np.sum(precision[rows] * (at - centre[rows]) ** 2, axis=1)
        return residual, np.where(np.isfinite(value), value, np.inf)

    projected = np.flatnonzero(linear) if linear is not None and linear.any() and (free & ~linear).any() and prior is None else None
    everything = np.arange(batch)
    residual, objective = residual_of(u, everything)
    damping = np.full(batch, 1e-3)
    converged = np.zeros(batch, dtype=bool)
    active = np.flatnonzero(np.isfinite(objective))
    shrink = np.full(batch, CURVED if np.isfinite(loss.delta) else 1.0)
    scale = np.zeros((batch, size))
    held = np.zeros((batch, size, size)), np.zeros((batch, size))
    stale = np.ones(batch, dtype=bool)
    for _ in range(steps):
        if not len(active):
            break
        fresh = active[stale[active]]
        if len(fresh):
            held[0][fresh], held[1][fresh] = _normal(gradient, loss, u[fresh], residual[fresh], y, units, weights[fresh], used[fresh], shrink[fresh])
            if prior is not None:
                held[0][fresh] += precision[fresh][:, :, None] * np.eye(size)
                held[1][fresh] += precision[fresh] * (u[fresh] - centre[fresh])
            stale[fresh] = False
        matrix, slope = held[0][active], held[1][active]
        here, moving = u[active], free[active]
        moving = moving & ~((here <= lower) & (slope > 0)) & ~((here >= upper) & (slope < 0))
        scale[active] = np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 0.3 * scale[active])
        step = _step(matrix, slope, scale[active], damping[active], moving)
        trial = np.clip(here + step, lower, upper)
        stopped = moving & (trial != here + step)
        if stopped.any():  # the other steps assumed that these would not be stopped by a bound
            short = np.where(stopped, trial - here, 0.0)
            rest = _step(matrix, slope + np.einsum("mij,mj->mi", matrix, short), scale[active], damping[active], moving & ~stopped)
            trial = np.clip(here + short + rest, lower, upper)
        step = damped = trial - here
        trial_residual, trial_objective = residual_of(trial, active)
        if projected is not None:
            along = moving[:, projected]
            solved = _linear_solved(gradient, loss, trial, trial_residual, y, units, weights[active], used[active], projected, along, lower, upper)
            solved_residual, solved_objective = residual_of(solved, active)
            lower_still = solved_objective < trial_objective
            trial = np.where(lower_still[:, None], solved, trial)
            trial_residual = np.where(lower_still[:, None], solved_residual, trial_residual)
            trial_objective = np.where(lower_still, solved_objective, trial_objective)
            step = trial - here
        better = trial_objective < objective[active]
        moved = np.max(np.where(moving, np.abs(step) / (np.abs(here) + 1e-3), 0.0), axis=1)
        with np.errstate(all="ignore"):
            predicted = -(np.sum(slope * damped, axis=1) + 0.5 * np.einsum("mi,mij,mj->m", damped, matrix, damped))
            ratio = np.where(predicted > 0, (objective[active] - trial_objective) / predicted, 0.0)
            tiny = ((predicted >= 0) & (predicted <= 1e-15 * objective[active])) | (
                (predicted >= 0) & (predicted <= enough) & (damping[active] <= UNDAMPED)
            )
        rows = active[better]
        u[rows], residual[rows], objective[rows] = trial[better], trial_residual[better], trial_objective[better]
        stale[rows] = True
        damping[active] = np.where(better, np.where(ratio > 0.5, damping[active] * 0.2, damping[active]), damping[active] * 6.0)
        damping[active] = np.maximum(damping[active], 1e-14)
        # where the reduced curvature predicted too much, go back towards the majorant, which always
        # descends
        shrink[active] = np.where(better, shrink[active], np.minimum(1.0, shrink[active] * 2.0))
        done = (moved < settled) | tiny | (damping[active] > DAMPED_OUT) | ~moving.any(axis=1)
        converged[active[done]] = True
        active = active[~done]
    return Descent(u=u, objective=objective, converged=converged & np.isfinite(objective))


def _normal(
    gradient: Callable[[Array], Array],
    loss: Loss,
    u: Array,
    residual: Array,
    y: Array,
    units: Array | float,
    weights: Array,
    used: NDArray[np.bool_],
    shrink: Array,
) -> tuple[Array, Array]:
    """Matrix and slope of the local parabola: shapes (m, p, p) and (m, p)."""
    with np.errstate(all="ignore"):
        by = _residual_slopes(gradient(u), loss, residual, y, units, used)
        curvature = weights
        if np.isfinite(loss.delta):
            curvature = weights * np.maximum(loss.inside(residual), shrink[:, None] * loss.majorant(residual))
        heavy = by * curvature[..., None]
        matrix = np.swapaxes(heavy, 1, 2) @ by
        slope = np.einsum("mnp,mn->mp", by, weights * loss.slope(residual))
    return np.nan_to_num(matrix, posinf=1e300, neginf=-1e300), np.nan_to_num(slope, posinf=1e300, neginf=-1e300)


def _residual_slopes(by: Array, loss: Loss, residual: Array, y: Array, units: Array | float, used: NDArray[np.bool_]) -> Array:
    """Derivatives of the residuals from those of the fitted values, shape (m, n, p); zero for
    points that are not used.
    """
    by = by / np.asarray(units)[..., None]
    if loss.logarithmic:  # d ln f = df / f, and f = y exp(residual)
        by = by / (y * np.exp(residual * units))[..., None]
    return np.where(used[..., None] & np.isfinite(by), by, 0.0)


def _step(matrix: Array, slope: Array, scale: Array, damping: Array, moving: NDArray[np.bool_]) -> Array:
    """Damped Newton steps in units in which the matrix has a unit diagonal; zero along what does
    not move.
    """
    size = matrix.shape[1]
    unit = 1.0 / np.sqrt(np.where(scale > 0, scale, 1.0))
    both = moving[:, :, None] & moving[:, None, :]
    scaled = np.where(both, matrix * unit[:, :, None] * unit[:, None, :], 0.0)
    scaled += np.eye(size) * (np.where(moving, damping[:, None], 1.0) + 1e-15)[:, None, :]
    right = np.where(moving, -slope * unit, 0.0)
    try:
        found = np.linalg.solve(scaled, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        found = np.einsum("mij,mj->mi", np.linalg.pinv(scaled), right)
    return np.where(moving & np.isfinite(found), found * unit, 0.0)


def _linear_solved(
    gradient: Callable[[Array], Array],
    loss: Loss,
    u: Array,
    residual: Array,
    y: Array,
    units: Array | float,
    weights: Array,
    used: NDArray[np.bool_],
    columns: NDArray[np.int64],
    moving: NDArray[np.bool_],
    lower: Array,
    upper: Array,
) -> Array:
    """u with the linear coordinates `columns` moved to the least squares of the loss linearised
    at u; exact for squared residuals.
    """
    with np.errstate(all="ignore"):
        by = _residual_slopes(gradient(u)[..., columns], loss, residual, y, units, used & np.isfinite(residual))
        heavy = weights * loss.majorant(residual)
        weighted = by * heavy[..., None]
        matrix = np.swapaxes(weighted, 1, 2) @ by
        slope = np.einsum("mnp,mn->mp", weighted, np.where(np.isfinite(residual), residual, 0.0))
    matrix, slope = np.nan_to_num(matrix, posinf=1e300, neginf=-1e300), np.nan_to_num(slope, posinf=1e300, neginf=-1e300)
    found = u.copy()
    found[:, columns] += _step(matrix, slope, np.diagonal(matrix, axis1=1, axis2=2), np.zeros(len(u)), moving)
    return np.clip(found, lower, upper)
