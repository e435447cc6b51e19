"""Finds the x at which a quantity changes sign: on a grid first, then refined."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gap = Callable[[Array], Array]

ROUNDS, RUNGS = 6, 40  # each round looks at RUNGS places between two neighbours: 40^6 times finer than the ladder


def below_for_good(gap: Gap, ladder: Array) -> float:
    """The smallest x from which `gap` stays below zero to the end of the ladder: the first rung if
    it is everywhere, infinite if it is not so at the end, NaN where the gap is not a number.
    """
    values = gap(ladder)
    if np.isnan(values).any():
        return float(np.nan)
    above = np.flatnonzero(values >= 0)
    if not len(above):
        return float(ladder[0])
    last = int(above[-1])
    if last == len(ladder) - 1:
        return float(np.inf)
    return refined(lambda x: -gap(x), ladder[last], ladder[last + 1])


def reached_from(gap: Gap, ladder: Array, place: float | None = None) -> tuple[float, bool]:
    """The smallest x from which `gap` is zero or above, and whether it lies below the whole ladder.

    Without `place`: the first on the ladder. With it: the end of that run of rungs where gap >= 0
    that holds `place`, or the first run after it; an interval is that run, not islands apart from
    it. Infinite if there is none.
    """
    values = np.nan_to_num(gap(ladder), nan=-1.0)
    start = 0 if place is None else int(np.searchsorted(ladder, place))
    reached = values >= 0
    after = np.flatnonzero(reached[start:])
    if not len(after):
        return float(np.inf), False
    first = start + int(after[0])
    if first == start and place is not None:
        missed = np.flatnonzero(~reached[:start])
        first = int(missed[-1]) + 1 if len(missed) else 0
    if first == 0:
        return float(ladder[0]), True
    return refined(gap, ladder[first - 1], ladder[first]), False


def refined(gap: Gap, low: float, high: float) -> float:
    """Where `gap` turns from below zero at `low` to zero or above at `high`."""
    for _ in range(ROUNDS):
        rungs = np.geomspace(low, high, RUNGS)
        values = np.nan_to_num(gap(rungs), nan=-1.0)
        first = max(1, int(np.argmax(values >= 0)) if np.any(values >= 0) else RUNGS - 1)
        low, high = float(rungs[first - 1]), float(rungs[first])
    return float(np.sqrt(low * high))
