"""How much of the variance of the scores each axis explains."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.factorial.axes import Axis

Array = NDArray[np.float64]
MOST_AXES: Final = 10  # 2^10 fits; more axes get the share that they add to all others


def shares_of_variance(axes: list[Axis], y: Array, cell: NDArray[np.int64]) -> tuple[list[float], float, float]:
    """Each axis's share of the variance of y, the share of interactions, and that of noise within
    cells; they add up to 1.

    An axis's share is its average gain in R^2 over all orders in which the axes can enter an
    additive model (Lindeman, Merenda and Gold 1980; Shapley 1953), so axes that overlap in an
    incomplete grid split what they explain together. Interactions are what cells explain beyond
    that model.
    """
    total = float(((y - y.mean()) ** 2).sum())
    if total <= 0.0 or not axes:
        return [0.0] * len(axes), 0.0, 0.0
    dummies = [_dummies(axis) for axis in axes]
    explained: dict[tuple[int, ...], float] = {(): 0.0}

    def r2(chosen: tuple[int, ...]) -> float:
        if chosen not in explained:
            design = np.hstack([np.ones((len(y), 1)), *[dummies[place] for place in chosen]])
            left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
            explained[chosen] = 1.0 - float((left**2).sum()) / total
        return explained[chosen]

    everything = tuple(range(len(axes)))
    shares = []
    for place in everything:
        others = tuple(one for one in everything if one != place)
        if len(axes) > MOST_AXES:
            shares.append(r2(everything) - r2(others))
            continue
        share = 0.0
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(axes))
            for chosen in combinations(others, size):
                share += weight * (r2(tuple(sorted((*chosen, place)))) - r2(chosen))
        shares.append(share)
    means = np.bincount(cell, weights=y) / np.bincount(cell)
    within = float(((y - means[cell]) ** 2).sum()) / total
    return shares, max(0.0, 1.0 - within - r2(everything)), within


def _dummies(axis: Axis) -> Array:
    """Levels against the first, shape (rows, levels - 1); zero where the axis does not apply."""
    return (axis.code[:, None] == np.arange(1, len(axis.levels))[None, :]).astype(float)
