"""Finds the best split of a budget: a search over directions; along each, the inputs grow until the
budget is used up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.cost import Cost

Array = NDArray[np.float64]
Values = Callable[[Array], Array]  # X of shape (rows, m, inputs) to y of shape (rows, m)

WIDE = 25.0  # natural logs that one input may gain on another, relative to where they were measured
RUNGS = {1: 401, 2: 61, 3: 21}  # of the first grid along each direction, by their number
ROUNDS = 90
SHRINK = 0.45
STEPS = 90  # of the search for the scale that uses up the budget; a few do unless bounds get in the way
EXACT = 1e-13
LOG_RANGE = 110.0  # of ln scale
LARGEST = 230.0  # of ln of an input, so that a product of three stays a double


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """The inputs that use up a budget, within bounds."""

    cost: Cost
    budget: float
    """The budget, in the unit of the cost."""
    reference: Array
    """A usual value of each input, shape (inputs,): where directions are counted from."""
    low: Array
    """Smallest value allowed of each input, shape (inputs,)."""
    high: Array
    """Largest value allowed."""
    zero: NDArray[np.bool_]
    """Which inputs may be zero."""

    def spend(self, direction: Array) -> Array:
        """Inputs along directions, shape (..., inputs) of logs relative to the reference: scaled
        until the budget is used up, with bounds kept.

        An input at its bound stays there and the others take the rest. The cost rises with the
        scale: Newton's steps on ln cost against ln scale, exact for a product, with halving
        wherever a step leaves the bracket.
        """
        base = np.log(self.reference) + direction
        shape = direction.shape[:-1]
        bottom, top, scale = np.full(shape, -LOG_RANGE), np.full(shape, LOG_RANGE), np.zeros(shape)
        allowed = self.budget - self.cost.fixed
        for _ in range(STEPS):
            inputs = self._at(base, scale)
            spent = self.cost(inputs) - self.cost.fixed
            off = spent / allowed - 1.0
            if np.all((np.abs(off) < EXACT) | (top - bottom < EXACT)):
                break
            bottom, top = np.where(off <= 0, scale, bottom), np.where(off > 0, scale, top)
            with np.errstate(all="ignore"):
                rise = self.cost.rise(inputs, (inputs > self.low) & (inputs < self.high)) / spent
                newton = scale - np.log(spent / allowed) / rise
            inside = np.isfinite(newton) & (newton > bottom) & (newton < top)
            scale = np.where(np.abs(off) < EXACT, scale, np.where(inside, newton, 0.5 * (bottom + top)))
        return self._at(base, scale)

    def _at(self, base: Array, scale: Array) -> Array:
        return np.clip(np.exp(np.minimum(base + scale[..., None], LARGEST)), self.low, self.high)

    def held(self, column: int, value: float) -> BudgetLine:
        """The same with one input held."""
        low, high = self.low.copy(), self.high.copy()
        low[column] = high[column] = value
        return BudgetLine(cost=self.cost, budget=self.budget, reference=self.reference, low=low, high=high, zero=self.zero)


def best_inputs(line: BudgetLine, values: Values, rows: int, sign: float, *, near: Array | None = None) -> tuple[Array, NDArray[np.bool_]]:
    """The inputs on a budget line where sign * y is greatest, shape (rows, inputs), for each row of y
    that `values` gives; and which rows ran off to the edge of the search, shape (rows,).

    From a grid of directions, then by a compass search whose step shrinks whenever no neighbour is
    better. `near`, shape (inputs,), adds a direction to start from.
    """
    order = np.argsort(line.zero, kind="stable")  # the last direction is fixed at 0, so it has to be of an input that is not zero
    free = int(len(order) - 1)
    reference_column, moving = order[0], order[1:]
    axis = np.linspace(-WIDE, WIDE, RUNGS[min(free, 3)])
    axes = [np.append(axis, -np.inf) if line.zero[column] else axis for column in moving]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, free)
    if near is not None:
        with np.errstate(divide="ignore"):
            logs = np.log(near / line.reference)
        grid = np.concatenate([grid, (logs[moving] - logs[reference_column])[None]])

    def full(z: Array) -> Array:
        direction = np.zeros((*z.shape[:-1], len(order)))
        direction[..., moving] = z
        return direction

    def score(z: Array) -> Array:
        y = sign * values(line.spend(full(z)))
        return np.where(np.isnan(y), -np.inf, y)

    first = score(grid[None])
    z = grid[np.argmax(first, axis=1)]  # (rows, free)
    step = np.full(rows, axis[1] - axis[0])
    stencil = np.stack(np.meshgrid(*([[-1.0, 0.0, 1.0]] * free), indexing="ij"), axis=-1).reshape(-1, free)
    centre = len(stencil) // 2
    for _ in range(ROUNDS):
        around = z[:, None, :] + stencil[None] * step[:, None, None]
        y = score(around)
        y[:, centre] = np.nextafter(y[:, centre], np.inf)  # stay where nothing is better
        best = np.argmax(y, axis=1)
        z = around[np.arange(rows), best]
        step = np.where(best == centre, step * SHRINK, step)
        if np.all(step < 1e-9):
            break
    finite = np.where(np.isinf(z), 0.0, z)
    return line.spend(full(z)), np.any(np.abs(finite) >= WIDE - 1e-6, axis=1)
