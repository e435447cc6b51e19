"""Finds where the held-out loss of one training begins to rise, and tests the rise against noise.

The hypothesis is that the true curve never rises. The statistic is the largest rise between the
means of two windows of equal width, the later after the earlier, over all places and over widths 2,
4, 8, ...; each in standard errors, less sqrt(2 log(e n / width)) as in Duembgen and Spokoiny 2001
(Annals of Statistics 29, 124-152), so that narrow windows, of which there are most, do not decide
alone. Among all curves that never rise a flat one makes such rises largest, so its distribution,
simulated with the same estimate of the noise, bounds the error for every other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level, numbers
from analysis.formatting import format_setting, p_value

Array = NDArray[np.float64]
FEWEST = 6
MOST = 512  # points; longer curves are averaged in blocks
DRAWS = 3999
NORMAL_MEDIAN = 0.6744897501960817  # median of |N(0, 1)|


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """Overfitting of one learning curve. Make one with `change_point`."""

    overfitting: bool
    """Whether the loss rises by more than noise and tolerance explain."""
    p: float
    """How often a flat curve with this noise shows a rise as clear; the false-positive rate of
    calling at p <= 1 - level is at most 1 - level.
    """
    step: float
    """Step at which the rise begins: the bottom of the best curve that falls and then rises (least
    squares); NaN if not overfitting.
    """
    least_step: float
    """Step with the least measured loss."""
    rise: float
    """By how much the fitted curve ends above its bottom, in the unit of the loss."""
    noise_sd: float
    """Standard deviation of one measurement around a smooth curve, in the unit of the loss."""
    n: int
    """Measurements used."""
    note: str
    """Empty, or what qualifies the answer."""

    @property
    def sentence(self) -> str:
        """The result in a sentence."""
        if self.overfitting:
            return (
                f"The held-out loss rises from step {format_setting(self.step)} on, by {self.rise:.4g} up to the end ({p_value(self.p)}, "
                f"n = {self.n})."
            )
        if np.isnan(self.p):
            return f"Whether the held-out loss rises cannot be determined: {self.note}."
        return (
            f"The held-out loss shows no rise beyond its noise ({p_value(self.p)}, n = {self.n}); it is least at step "
            f"{format_setting(self.least_step)}."
        )


def change_point(
    steps: ArrayLike,
    losses: ArrayLike,
    *,
    level: float = 0.95,
    tolerance: float = 0.0,
    noise_sd: float | None = None,
    autocorrelation: float = 0.0,
) -> ChangePoint:
    """Tests a learning curve for overfitting; steps and losses have shape (n,), in any order.

    Missing losses are left out.

    Args:
        level: 1 - the rate at which curves that never rise may be called overfitting.
        tolerance: rise, in the unit of the loss, that the fitted curve must exceed besides.
        noise_sd: standard deviation of one measurement, if known (as from seeds); else it is
            estimated from second differences.
        autocorrelation: of the noise of neighbouring measurements, below 1. The default is
            independent noise; where it is not, as with a loss that is measured often, differences
            understate the noise, and the stated error rate holds only if the autocorrelation is
            given here.

    Raises AnalysisError for steps and losses of different length, a step that occurs twice, or
    numbers out of range.
    """
    checked_level(level)
    at, loss = numbers("steps", steps), numbers("losses", losses)
    if at.ndim != 1 or at.shape != loss.shape:
        raise AnalysisError(f"steps has shape {at.shape} and losses {loss.shape}: give one loss per step.")
    if not (np.isfinite(tolerance) and tolerance >= 0.0) or not 0.0 <= autocorrelation < 1.0 or (noise_sd is not None and not noise_sd > 0.0):
        raise AnalysisError(
            f"tolerance is {tolerance}, autocorrelation {autocorrelation} and noise_sd {noise_sd}: give a tolerance of zero or above, an "
            f"autocorrelation from 0 to below 1, and a noise above zero."
        )
    there = np.isfinite(at) & np.isfinite(loss)
    order = np.argsort(at[there], kind="stable")
    at, loss = at[there][order], loss[there][order]
    if len(np.unique(at)) < len(at):
        raise AnalysisError(f"step {format_setting(at[:-1][np.diff(at) == 0][0])} occurs twice: give one loss per step, such as the mean.")
    if len(at) < FEWEST:
        note = f"{len(at)} measurements, and noise cannot be distinguished from a rise with fewer than {FEWEST}"
        least = float(at[np.argmin(loss)]) if len(at) else float("nan")
        return _answer(False, float("nan"), least, at, loss, float("nan"), note)
    at, loss, noise_sd, note = _blocks(at, loss, noise_sd)
    sd = float(_noise(loss[None])[0]) if noise_sd is None else float(noise_sd)
    least = float(at[np.argmin(loss)])
    bottom, fitted = _falls_then_rises(loss)
    if not sd > 1e-12 * float(np.max(np.abs(loss))):
        rises = bool(np.any(np.diff(loss) > 0.0))
        p, note = (0.0 if rises else 1.0), "the losses show no noise, so every rise counts"
    else:
        statistic = float(_rise(loss[None], np.array([sd]))[0])
        flat = _flat(len(loss), autocorrelation, noise_sd is None)
        p = float((1 + np.sum(flat >= statistic)) / (len(flat) + 1))
    over = p <= 1.0 - level and fitted[-1] - fitted[bottom] > tolerance
    return _answer(over, p, least, at, fitted, sd, note, bottom)


def _answer(over: bool, p: float, least: float, at: Array, fitted: Array, sd: float, note: str, bottom: int = 0) -> ChangePoint:
    rise = float(fitted[-1] - fitted[bottom]) if np.isfinite(p) else float("nan")
    step = float(at[bottom]) if over else float("nan")
    return ChangePoint(overfitting=bool(over), p=p, step=step, least_step=least, rise=rise, noise_sd=sd, n=len(at), note=note)


def _blocks(at: Array, loss: Array, noise_sd: float | None) -> tuple[Array, Array, float | None, str]:
    width = -(-len(at) // MOST)
    if width == 1:
        return at, loss, noise_sd, ""
    whole = len(at) // width * width
    skipped = len(at) - whole  # the first ones: overfitting shows at the end
    at, loss = (values[skipped:].reshape(-1, width).mean(axis=1) for values in (at, loss))
    return at, loss, None if noise_sd is None else noise_sd / width**0.5, f"measurements averaged {width} at a time"


def _noise(losses: Array) -> Array:
    """Noise SD of each row of (m, n), from second differences.

    Their median, because they are large where a curve bends early; or their root mean square over
    the last two thirds if that is larger, because noise with heavy tails has a small median.
    """
    bends = np.diff(losses, n=2, axis=1)
    median = np.median(np.abs(bends), axis=1) / NORMAL_MEDIAN
    late = np.mean(bends[:, bends.shape[1] // 3 :] ** 2, axis=1) ** 0.5
    return np.asarray(np.maximum(median, late) / 6.0**0.5)


def _rise(losses: Array, sd: Array) -> Array:
    """The statistic of each row of (m, n), for noise sd (m,)."""
    n = losses.shape[1]
    total = np.concatenate([np.zeros((len(losses), 1)), np.cumsum(losses - losses[:, :1], axis=1)], axis=1)
    best = np.full(len(losses), -np.inf)
    width = 2
    while 2 * width <= n:
        means = (total[:, width:] - total[:, :-width]) / width
        rise = np.max(means[:, width:] - np.minimum.accumulate(means, axis=1)[:, :-width], axis=1)
        best = np.maximum(best, rise / sd * (width / 2.0) ** 0.5 - (2.0 * np.log(np.e * n / width)) ** 0.5)
        width *= 2
    return best


@lru_cache(maxsize=64)
def _flat(n: int, autocorrelation: float, estimated: bool) -> Array:
    """The statistic on flat curves of n points, shape (DRAWS,); the same draws at every call."""
    losses = np.random.default_rng(n).standard_normal((DRAWS, n))
    for index in range(1, n) if autocorrelation else ():
        losses[:, index] = autocorrelation * losses[:, index - 1] + (1.0 - autocorrelation**2) ** 0.5 * losses[:, index]
    return _rise(losses, _noise(losses) if estimated else np.ones(DRAWS))


def _falls_then_rises(loss: Array) -> tuple[int, Array]:
    """Bottom (an index) and values of the least-squares curve that falls, then rises."""
    from scipy.optimize import isotonic_regression

    best: tuple[float, int, Array] | None = None
    for bottom in range(1, len(loss) + 1):
        fitted = np.concatenate(
            [
                isotonic_regression(loss[:bottom], increasing=False).x,
                isotonic_regression(loss[bottom:]).x if bottom < len(loss) else np.empty(0),
            ]
        )
        error = float(np.sum((fitted - loss) ** 2))
        if best is None or error < best[0] - 1e-15:
            best = error, int(np.argmin(fitted)), fitted
    assert best is not None
    lowest = np.flatnonzero(best[2] <= best[2].min() + 1e-15)
    return int(lowest[-1]), best[2]
