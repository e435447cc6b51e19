"""Inverse prediction: the x at which a law reaches a target y, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.prediction import Prediction
from analysis.formatting import digits, percent

Array = NDArray[np.float64]

NEAR, FAR = 1e-3, 1e12  # search from NEAR times the smallest x to FAR times the largest; beyond, a target counts as never reached
STEPS = 3000  # points of that search, on a log scale
HALVINGS = 80


@dataclass(frozen=True, kw_only=True)
class InversePrediction:
    """The x at which a law reaches a target."""

    target: float
    """The y asked for."""
    x: float
    """Where the law reaches it, in the unit of x; infinite if never."""
    low: float
    """From here on, up to `x`, the target lies within the interval of the law; infinite if it never
    does.
    """
    high: float
    """Up to here the target lies within the interval; infinite if the data cannot exclude that it
    is never reached. NaN, as `low`, where the fit has no intervals.
    """
    level: float
    """Confidence level of (low, high)."""
    extrapolated: bool
    """Whether x lies outside the measured range."""
    sentence: str
    """The result as a sentence."""


def inverse_prediction(
    y_wanted: float,
    predict: Callable[[Array], Prediction],
    *,
    x: Array,
    y: Array,
    level: float,
    reason_no_interval: str,
    names: tuple[str, str] = ("x", "y"),
) -> InversePrediction:
    """The smallest x from which `predict` has reached the target, and the x around it at which the
    target lies inside the interval.

    Whether y falls or rises, and which x count as measured, is read off the points that were fitted,
    (x, y) of shape (n,). 'Never' where the law's floor (or ceiling) lies on the wrong side of the
    target. Raises AnalysisError for a target that is not finite.
    """
    try:
        target = float(y_wanted)
    except (TypeError, ValueError):
        raise AnalysisError(f"the target {y_wanted!r} is no number: give a value of y.") from None
    if not np.isfinite(target):
        raise AnalysisError(f"the target is {target:g}: give a finite value of y.")
    x_min, x_max = float(x.min()), float(x.max())
    ladder = np.geomspace(x_min * NEAR, x_max * FAR, STEPS)
    sign = -1.0 if falls(x, y) else 1.0
    band = predict(ladder)
    better, worse = ("high", "low") if sign > 0 else ("low", "high")

    def short(side: str) -> Callable[[Array], Array]:
        return lambda x: sign * (getattr(predict(x), side) - target)

    at = _crossing(short("mean"), ladder, _reached(sign * (band.mean - target)))
    low = high = np.nan
    if not np.isnan(band.low).all():
        gaps = sign * (getattr(band, better) - target)
        # from the target downwards: far below the data the band is wide again, and would hold the
        # target there too
        below = np.flatnonzero((gaps < 0) & (ladder < at))
        low = _crossing(short(better), ladder, int(below[-1]) + 1 if len(below) else 0)
        after = sign * (getattr(band, worse) - target)
        high = _crossing(short(worse), ladder, _reached(np.where(ladder >= at, after, -1.0)))
    outside = not x_min <= at <= x_max
    sentence = _sentence(target, at, low, high, level, outside, reason_no_interval, first=float(ladder[0]), names=names)
    return InversePrediction(target=target, x=at, low=low, high=high, level=level, extrapolated=outside, sentence=sentence)


def falls(x: Array, y: Array) -> bool:
    """Whether y goes down with x, by ranks; a y that does neither counts as one that falls."""
    ranks_x, ranks_y = _ranks(x), _ranks(y)
    return bool(np.sum((ranks_x - ranks_x.mean()) * (ranks_y - ranks_y.mean())) <= 0)


def _ranks(values: Array) -> Array:
    """Ranks, tied values sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1.0))[place])


def _reached(gaps: Array) -> int:
    """Index of the first gap that is closed; the length if none is."""
    closed = np.flatnonzero(gaps >= 0)
    return int(closed[0]) if len(closed) else len(gaps)


def _crossing(gap: Callable[[Array], Array], ladder: Array, index: int) -> float:
    """Where the gap closes between rung index - 1 and rung index; infinite beyond the ladder, its
    first rung below it.
    """
    if index >= len(ladder):
        return float(np.inf)
    if index == 0:
        return float(ladder[0])
    low, high = np.log(ladder[index - 1]), np.log(ladder[index])
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if gap(np.array([np.exp(middle)]))[0] >= 0:
            high = middle
        else:
            low = middle
    return float(np.exp(high))


def _sentence(
    target: float, at: float, low: float, high: float, level: float, outside: bool, reason: str, *, first: float, names: tuple[str, str]
) -> str:
    def formatted(x: float) -> str:
        return f"{digits(x)} or less" if x <= first else digits(x)

    text = f"{names[1]} = {target:g} is " + (
        f"reached at {names[0]} = {formatted(at)}" if np.isfinite(at) else "never reached: the law levels off before it"
    )
    if np.isnan(low):
        return f"{text} (no interval: {reason})"
    text += f" ({percent(level)} interval {formatted(low)} to {formatted(high)})"
    return text + (", outside what was measured" if outside and np.isfinite(at) else "")
