"""Fits many first parts of a curve at once, for rolling-origin cross-validation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.levenberg_marquardt import minimise
from analysis.fitting.problem import Problem
from analysis.fitting.solving import starting_points

Array = NDArray[np.float64]

STARTS = 6  # per origin that descend a little
SHORT, LONG = 8, 40  # steps of all starts, and of the best two
FINALISTS = 2
SETTLED = 1e-5


@dataclass(frozen=True, kw_only=True)
class ManyFits:
    """The same law fitted under several weightings."""

    u: Array
    """Coordinates, shape (weightings, p)."""
    fitted: Array
    """The law at every point of the problem, those of weight zero included, shape (weightings, n)."""


def solve_many(problem: Problem, weights: Array, prior: tuple[Array, Array] | None = None, *, steps: tuple[int, int] = (SHORT, LONG)) -> ManyFits:
    """Fit under each row of `weights`, shape (m, n), each from starts of its own; points of weight
    zero are predicted.

    `prior` is (centre, precision) of the coordinates, (p,) or (m, p) each, as `minimise` takes it;
    `steps` are those of all starts, and of the best two.
    """
    low, high = problem.box
    count = len(weights)
    pick: list[Array] = []
    for row in weights:
        starts = starting_points(dataclasses.replace(problem, weights=row))
        with np.errstate(all="ignore"):
            residual = problem.residual(starts)
            value = np.sum(np.where(row > 0, row * problem.loss.value(residual), 0.0), axis=1)
        order = np.argsort(np.where(np.isfinite(value), value, np.inf), kind="stable")
        pick.append(starts[order[np.arange(STARTS) % len(order)]])
    u = np.concatenate(pick)

    def go(u: Array, each: int, steps: int) -> tuple[Array, Array]:
        found = minimise(
            problem.function,
            problem.gradient,
            u,
            y=problem.y,
            weights=np.repeat(weights, each, axis=0),
            loss=problem.loss,
            free=problem.free_mask,
            linear=problem.linear_mask,
            lower=low,
            upper=high,
            steps=steps,
            settled=SETTLED,
            prior=None if prior is None else _repeated(prior, count, each),
            units=problem.units,
        )
        return found.u.reshape(count, each, -1), found.objective.reshape(count, each)

    rows = np.arange(count)[:, None]
    u, objective = go(u, STARTS, steps[0])
    best = np.argsort(objective, axis=1, kind="stable")[:, :FINALISTS]
    u, objective = go(u[rows, best].reshape(count * FINALISTS, -1), FINALISTS, steps[1])
    u = u[np.arange(count), np.argmin(objective, axis=1)]
    with np.errstate(all="ignore"):
        return ManyFits(u=u, fitted=problem.function(u))


def _repeated(prior: tuple[Array, Array], count: int, each: int) -> tuple[Array, Array]:
    centre, precision = (np.repeat(np.broadcast_to(one, (count, np.shape(one)[-1])), each, axis=0) for one in prior)
    return centre, precision
