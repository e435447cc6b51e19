"""The point of diminishing returns: the x from which another doubling is not worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.decisions.crossing import below_for_good
from analysis.decisions.decision import NOT_WRITTEN, Decision, Interval, interval_or_none, with_digits, with_names
from analysis.decisions.validation import Better, checked_curve, direction, positive, why_no_spread
from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.formatting import digits
from analysis.student import t_quantile

Array = NDArray[np.float64]
Found = Literal["found", "already", "never"]
Gain = Callable[[Array], tuple[Array, Array, Array]]  # gain from more x, threshold, standard error of the difference

FAR = 1e12  # how many times the largest x is looked at before the answer is 'never'
STEPS = 1500
STEP = 1e-3  # of ln x, for slopes


@dataclass(frozen=True, kw_only=True)
class StoppingPoint:
    """The x from which the gain from more x stays below a threshold."""

    criterion: Literal["noise", "price"]
    """'noise': a doubling gains less than one run's noise. 'price': one more unit of x gains less y
    than its price.
    """
    status: Found
    """'found'; 'already' (so at the smallest x measured, so the true point lies at or below it);
    'never' (not up to 1e12 times the largest x).
    """
    x: float
    """From here on, in the unit of x; the smallest measured x if 'already', infinite if 'never'."""
    interval: Interval | None
    """Where the band of the gain crosses the threshold; an end at the smallest measured x
    means 'there or below', an infinite one 'never'.
    """
    reason_no_interval: str
    """Why there is no interval; empty where there is one."""
    gain: float | None
    """The gain from more x at `x`, counted positive for better: y per doubling, or y per unit of x for
    a price. None if 'never'.
    """
    threshold: float | None
    """The threshold there, in the same unit. None if 'never'."""
    extrapolated: bool
    """Whether x, or its doubling, lies outside the x that were measured."""


@dataclass(frozen=True, kw_only=True)
class DiminishingReturns(Decision):
    """The point of diminishing returns. Make one with `diminishing_returns`."""

    KIND: ClassVar[str] = "diminishing_returns"

    noise: StoppingPoint
    """Against the noise of one run."""
    price: StoppingPoint | None
    """Against the price; None where none was given."""
    better: Better
    """Which y is better."""
    noise_sd: float
    """Standard deviation of one run in the unit of y: as given, or the fit's residual at `noise.x`
    (at the largest x measured if 'never').
    """
    noise_from: str
    """Where the noise comes from, for sentences."""
    price_per_unit: float | None
    """y that one more unit of x must gain."""
    x_range: Interval
    """Smallest and largest x measured."""
    last_gain: float
    """The gain of the last doubling that was measured, from half the largest x to the largest,
    counted positive for better, in the unit of y.
    """
    last_gain_interval: Interval | None
    """Of `last_gain`; None where the fit has no spread."""
    curve: Fit = field(repr=False, metadata=NOT_WRITTEN)
    """The fit it is about."""

    def sentence(self) -> str:
        """Both stopping points as sentences."""
        parts = [
            self._described(
                self.noise, f"another doubling of x gains less than the noise of one run, {digits(self.noise_sd)} of y ({self.noise_from})"
            )
        ]
        if self.price is not None:
            parts.append(self._described(self.price, f"one more unit of x gains less than its price, {digits(self.price_per_unit or 0.0)} of y"))
        if self.noise.status != "already" and self.noise.extrapolated:
            last = with_digits(self.last_gain, self.last_gain_interval, level=self.level, reason=self.noise.reason_no_interval)
            parts.insert(1, f"The last doubling measured, to x = {digits(self.x_range[1])}, gains {last}.")
        return with_names(" ".join(parts), self.curve.x_name, self.curve.y_name)

    def plot_data(self, *, points: int = 100, beyond: float = 4.0) -> pd.DataFrame:
        """Columns x, gain (of a doubling, positive for better), low, high, threshold (one run's
        noise), extrapolated.
        """
        x = np.geomspace(self.x_range[0], self.x_range[1] * beyond, points)
        gained = self.curve.marginal(x)
        sign = 1.0 if self.better == "higher" else -1.0
        ends = np.sort(np.stack([sign * gained.low, sign * gained.high]), axis=0)
        threshold = self.noise_sd if self.noise_from == "given" else noise_at(self.curve, x)
        return pd.DataFrame(
            {"x": x, "gain": sign * gained.mean, "low": ends[0], "high": ends[1], "threshold": threshold, "extrapolated": gained.extrapolated}
        )

    def _described(self, point: StoppingPoint, what: str) -> str:
        if point.status == "never":
            least = "" if point.interval is None or np.isinf(point.interval[0]) else f"; the data allow it from x = {digits(point.interval[0])}"
            lacking = f" (no interval: {point.reason_no_interval})" if point.interval is None else ""
            return f"There is no x from which {what}, up to {FAR:.0e} times the largest x{least}{lacking}."
        if point.status == "already":
            until = (
                ""
                if point.interval is None or point.interval[1] <= point.x
                else f"; the data allow it to begin as late as {digits(point.interval[1])}"
            )
            return f"Already at the smallest x measured, {digits(point.x)}, {what}{until}."
        where = " This rests on the law beyond what was measured." if point.extrapolated else ""
        return f"From x = {with_digits(point.x, point.interval, level=self.level, reason=point.reason_no_interval)} on, {what}.{where}"


def diminishing_returns(fit: Fit, *, noise_sd: float | None = None, price: float | None = None, better: Better | None = None) -> DiminishingReturns:
    """Finds the x from which another doubling of it gains less than (a) the noise of one run and
    (b) its price.

    (a) y(2x) - y(x), counted positive for better, stays below `noise_sd`, in the unit of y: by
    default the fit's own residual standard deviation (times y(x) where the loss is logarithmic),
    whose own uncertainty then widens the interval. Residuals of a fit to means are those of means,
    and hold what the law misses: give the sd over seeds if it is known. (b) dy/dx stays below
    `price`, y per unit of x: what one more unit of x must gain to pay for itself. It is the cost of
    one more unit of x divided by what one unit of y is worth, both in the same money; y x worth - x
    cost is greatest there. If a label costs 0.30 and a point of mIoU is worth 50, price = 0.3 / 50
    = 0.006 points of mIoU a label.

    `better` says whether y is 'higher' (a score) or 'lower' (a loss) the better; by default the way
    the curve goes over the measured x. x is sought from the smallest measured to 1e12 times the
    largest. The interval is the x at which the band of the gain crosses the threshold, assuming
    that the law is correctly specified.

    Raises AnalysisError for a fit that is no curve or is not determined, a noise or price that is not
    above zero, and where the noise is not known.
    """
    cautions = checked_curve(fit)
    first, last = (float(value) for value in fit.predict([fit.x_min, fit.x_max]).mean)
    chosen = direction(better, first, last)
    sign = 1.0 if chosen == "higher" else -1.0
    if noise_sd is None and not fit.residual_sd:
        raise AnalysisError("the fit leaves no residual to tell the noise of one run from: give noise_sd, in the unit of y.")
    given = None if noise_sd is None else positive("noise_sd", noise_sd, "give the standard deviation of one run in the unit of y, above zero")
    # sd of a standard deviation relative to it, 1 / sqrt(2 df), for Gaussian residuals
    freedom = sum(weight > 0 for weight in fit.weights) - len(fit.params) + len(fit.pinned)
    loose = 0.0 if given is not None else 1.0 / np.sqrt(2.0 * max(freedom, 1))

    def by_doubling(x: Array) -> tuple[Array, Array, Array]:
        mean, error = fit._error(((sign, 2.0 * x), (-sign, x)))
        threshold = noise_at(fit, x) if given is None else np.full(x.shape, given)
        return mean, threshold, np.hypot(error, loose * threshold)

    noise = _point(fit, by_doubling, "noise", reach=2.0)
    paid = None
    if price is not None:
        must = positive("price", price, "give the y that one more unit of x must gain, above zero")

        def by_unit(x: Array) -> tuple[Array, Array, Array]:
            mean, error = fit._error(((sign, x * np.exp(STEP)), (-sign, x * np.exp(-STEP))))
            return mean / (2.0 * STEP * x), np.full(x.shape, must), error / (2.0 * STEP * x)

        paid = _point(fit, by_unit, "price", reach=1.0)
    last_one = fit.marginal([0.5 * fit.x_max])
    last_ends = sorted((sign * float(last_one.low[0]), sign * float(last_one.high[0])))
    at = noise.x if np.isfinite(noise.x) else fit.x_max
    return DiminishingReturns(
        level=fit.level,
        cautions=cautions,
        noise=noise,
        price=paid,
        better=chosen,
        noise_sd=float(noise_at(fit, np.array([at]))[0]) if given is None else given,
        noise_from="residual standard deviation of the fit" if given is None else "given",
        price_per_unit=None if price is None else float(price),
        x_range=(fit.x_min, fit.x_max),
        last_gain=sign * float(last_one.mean[0]),
        last_gain_interval=interval_or_none(*last_ends),
        curve=fit,
    )


def noise_at(fit: Fit, x: Array) -> Array:
    """Residual standard deviation of the fit at x, in the unit of y."""
    sd = float(fit.residual_sd or 0.0)
    return sd * np.abs(fit._values(x)) if fit.logarithmic else np.full(x.shape, sd)


def _point(fit: Fit, gain_of: Gain, criterion: Literal["noise", "price"], *, reach: float) -> StoppingPoint:
    """The x from which the gain stays below its threshold."""
    ladder = np.geomspace(fit.x_min, fit.x_max * FAR, STEPS)
    quantile = t_quantile(fit.level, fit.degrees_of_freedom)

    def gap(x: Array, side: float) -> Array:
        mean, threshold, error = gain_of(x)
        return np.asarray(mean - threshold + (side * quantile * error if side else 0.0))

    x = below_for_good(lambda x: gap(x, 0.0), ladder)
    reason = why_no_spread(fit)
    low = high = np.nan
    if not reason:
        low, high = below_for_good(lambda x: gap(x, -1.0), ladder), below_for_good(lambda x: gap(x, 1.0), ladder)
    status: Found = "never" if np.isinf(x) else "already" if x <= fit.x_min else "found"
    mean, threshold, _ = gain_of(np.array([x if np.isfinite(x) else fit.x_max]))
    interval = interval_or_none(low, high)
    return StoppingPoint(
        criterion=criterion,
        status=status,
        x=x,
        interval=interval,
        reason_no_interval="" if interval is not None else reason or "the band is not a number somewhere on the way",
        gain=None if status == "never" else float(mean[0]),
        threshold=None if status == "never" else float(threshold[0]),
        extrapolated=bool(np.isinf(x) or x * reach > fit.x_max * (1.0 + 1e-9)),
    )
