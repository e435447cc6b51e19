"""Where labels stand that would lie on each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def apart(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places as near as may be to those wanted, at least `gap` from each other, between `low` and
    `high` where all have room.
    """
    order = np.argsort(wanted, kind="stable")
    placed = [float(wanted[place]) for place in order]
    for _ in range(200):
        moved = False
        for first in range(len(placed) - 1):
            short = gap - (placed[first + 1] - placed[first])
            if short > 1e-6:
                placed[first] -= short / 2
                placed[first + 1] += short / 2
                moved = True
        for place, value in enumerate(placed):
            kept = min(max(value, low + gap * place), max(high - gap * (len(placed) - 1 - place), low + gap * place))
            moved = moved or abs(kept - value) > 1e-6
            placed[place] = kept
        if not moved:
            break
    result = [0.0] * len(placed)
    for place, value in zip(order, placed, strict=True):
        result[int(place)] = value
    return result
