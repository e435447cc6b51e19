"""Permutation test of a trend within groups."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST = 200_000  # arrangements listed one by one; beyond, DRAWS of them are drawn
DRAWS = 19_999
TIED = 1e-9


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Common slope within groups, with its permutation p."""

    slope: float
    """Least squares with one intercept a group: unit of y per unit of x; NaN where x or y never
    varies within a group.
    """
    p: float
    """Two-sided: share of arrangements whose slope is as far from zero or farther."""
    least_p: float
    """The smallest p that can come out with this many values."""
    units: int
    """Groups in which x varies."""
    note: str
    """Empty, or why there is no p."""


def trend_within(group: NDArray[np.generic], x: Array, y: Array, *, seed: int = 0) -> Trend:
    """Trend of y on x, both (n,), within the groups (n,).

    Counts all arrangements up to 200,000; beyond, draws 19,999 by `seed`.
    """
    nothing = float("nan")
    parts = [(x[group == one], y[group == one]) for one in np.unique(group)]
    parts = [(a - a.mean(), b - b.mean()) for a, b in parts if len(a) > 1 and np.ptp(a) > 0]
    total = sum(float(a @ a) for a, _ in parts)
    if not parts:
        return Trend(slope=nothing, p=nothing, least_p=nothing, units=0, note="nothing varies within a group")
    seen = sum(float(a @ b) for a, b in parts)
    if all(np.ptp(b) == 0 for _, b in parts):
        return Trend(
            slope=0.0, p=nothing, least_p=nothing, units=len(parts), note="the point is the same in all cells of a group, so nothing can be permuted"
        )
    count = math.prod(math.factorial(len(a)) for a, _ in parts)
    if count <= MOST:
        sums = np.zeros(1)
        for a, b in parts:
            sums = (sums[:, None] + np.array([a @ np.array(one) for one in itertools.permutations(b)])[None]).ravel()
    else:
        random = np.random.default_rng(seed)
        drawn = [random.permuted(np.tile(b, (DRAWS, 1)), axis=1) @ a for a, b in parts]
        sums = np.concatenate([[seen], np.sum(drawn, axis=0)])
    size = np.abs(sums)
    reached = float(np.mean(size >= abs(seen) - TIED * size.max()))
    least = float(np.mean(size >= size.max() * (1.0 - TIED)))
    note = f"{count} arrangements at most, so p cannot fall below {least:.2g}" if least > 0.05 else ""
    return Trend(slope=seen / total, p=reached, least_p=least, units=len(parts), note=note)
