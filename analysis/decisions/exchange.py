"""The x that an advantage saves: labels by a pre-training, or a factor between two arms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from analysis.decisions.decision import NOT_WRITTEN, Decision, Interval, with_digits, with_names
from analysis.decisions.law_error import JackknifedCurve
from analysis.decisions.same_y import (
    CORRECTED,
    Found,
    checked_pairing,
    extended,
    matching,
    no_interval,
    reaching,
    reaching_of_replicates,
    versions_of,
)
from analysis.decisions.validation import Better, checked_curve, direction, positive, real
from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.result import SIGNIFICANT
from analysis.formatting import digits, p_value, percent
from analysis.significance.cluster_resampling import jackknife_sd
from analysis.student import t_quantile

TITLES = {"with_fit": "the curve with it", "without_fit": "the curve without it", "arm_a": "arm a", "arm_b": "arm b"}
TOO_WIDE = 100.0  # ratio of the ends beyond which an interval that holds 'no gain' identifies no rate
SAME = 1e-9  # relative difference below which two nominal coverages are one


@dataclass(frozen=True, kw_only=True)
class ExchangeRate(Decision):
    """How much x without an advantage is worth x with it. Make one with `exchange_rate`."""

    KIND: ClassVar[str] = "exchange_rate"

    x: float
    """x with the advantage, such as labels after pre-training."""
    y: float
    """The y of the curve with the advantage there."""
    matched_x: float
    """x without the advantage that gives the same y; infinite if never, and an upper bound if
    `status` is 'below'.
    """
    interval: Interval | None
    """Of `matched_x`; an infinite end means that the data do not exclude 'never'. x itself is
    exact, so extra and ratio have the same interval.
    """
    reason_no_interval: str
    """Why there is no interval; empty where there is one."""
    status: Found
    """'found'; 'never' (without the advantage no x gives this y); 'below' (a millionth of the
    smallest x without does).
    """
    extra: float
    """matched_x - x: how much x the advantage is worth; negative where it harms."""
    ratio: float
    """matched_x / x."""
    extrapolated: bool
    """Whether x or matched_x lies outside what was measured of its curve."""
    better: Better
    """Which y is better."""
    method: str
    """How the interval was computed."""
    curves: tuple[Fit, Fit] = field(repr=False, metadata=NOT_WRITTEN)
    """With and without the advantage."""
    paired: bool = False
    """Whether the curves were paired by cluster, such as the seeds that both share."""
    names: tuple[str, str] = ("with it", "without it")
    """What sentences and charts call the two curves."""

    @property
    def extra_interval(self) -> Interval | None:
        """Of `extra`."""
        return None if self.interval is None else (self.interval[0] - self.x, self.interval[1] - self.x)

    @property
    def ratio_interval(self) -> Interval | None:
        """Of `ratio`."""
        return None if self.interval is None else (self.interval[0] / self.x, self.interval[1] / self.x)

    @property
    def not_identified(self) -> str:
        """Why the rate is not identified: a curve is not, or the ends of the interval are farther
        apart than a factor of 100 and do not tell a gain from a loss; '' where it is.
        """
        return _why_unidentified(self.curves, self.ratio_interval)

    def sentence(self) -> str:
        """The exchange rate as a sentence, with what qualifies it: first of all whether it is
        identified.
        """
        text = with_names(self._claim(), self.curves[0].x_name, self.curves[0].y_name)
        return _qualified(text, self.not_identified, self.cautions)

    def _claim(self) -> str:
        (ahead, behind), default = self.names, self.names == ("with it", "without it")
        with_it, without_it = ("with it", "without it") if default else (f"with '{ahead}'", f"with '{behind}'")
        begin = f"x = {digits(self.x)} {with_it} gives y = {digits(self.y)}"
        if self.status == "never":
            least = "" if self.interval is None else f" (with {percent(self.level)} confidence x = {digits(self.interval[0])} at the least)"
            return f"{begin}, which no x {without_it} gives, for that curve levels off before{least}."
        if self.status == "below":
            return f"{begin}, worse than the curve {without_it} at any x: it harms."
        without = with_digits(self.matched_x, self.interval, level=self.level, reason=self.reason_no_interval)
        sided = (
            ""
            if self.interval is None or self.interval[0] > self.x or self.interval[1] < self.x
            else ", which does not exclude that it is worth nothing"
        )
        where = " This rests on a law beyond what was measured." if self.extrapolated else ""
        return f"{begin}, as x = {without} does {without_it}: worth {digits(self.extra)} extra, a factor of {digits(self.ratio)}{sided}.{where}"

    def plot_data(self, *, points: int = 25) -> pd.DataFrame:
        """Columns x, y, matched_x, low, high, extra, ratio, status, extrapolated over the measured
        x with the advantage.
        """
        with_fit, without_fit = self.curves
        rows = []
        for x in np.geomspace(with_fit.x_min, with_fit.x_max, points):
            one = exchange_rate(with_fit, without_fit, float(x), paired=self.paired, better=self.better)
            low, high = one.interval or (np.nan, np.nan)
            rows.append((one.x, one.y, one.matched_x, low, high, one.extra, one.ratio, one.status, one.extrapolated))
        return pd.DataFrame(rows, columns=["x", "y", "matched_x", "low", "high", "extra", "ratio", "status", "extrapolated"])


@dataclass(frozen=True, kw_only=True)
class SpeedUp(Decision):
    """How many times less x one arm needs than another. Make one with `speed_up`."""

    KIND: ClassVar[str] = "speed_up"

    y: float
    """The y that both arms are to reach."""
    x_a: float
    """x at which arm a reaches it; infinite if never."""
    x_b: float
    """x at which arm b reaches it; infinite if never."""
    ratio: float
    """x_b / x_a: above 1, arm a is faster. Infinite if only b never reaches y, 0 if only a never
    does, NaN if neither.
    """
    interval: Interval | None
    """Of `ratio`."""
    reason_no_interval: str
    """Why there is no interval; empty where there is one."""
    status: Literal["found", "a never", "b never", "neither", "below"]
    """Which arm never reaches y; 'below' where one reaches it far below all x that were measured."""
    extrapolated: bool
    """Whether x_a or x_b lies outside what was measured of its arm."""
    better: Better
    """Which y is better."""
    method: str
    """How the interval was computed."""
    curves: tuple[Fit, Fit] = field(repr=False, metadata=NOT_WRITTEN)
    """Arm a and arm b."""
    paired: bool = False
    """Whether the arms were paired by cluster, such as the seeds that both share."""
    names: tuple[str, str] = ("arm a", "arm b")
    """What sentences and charts call the two arms."""

    @property
    def not_identified(self) -> str:
        """As `ExchangeRate.not_identified`."""
        return _why_unidentified(self.curves, self.interval)

    def sentence(self) -> str:
        """The speed-up as a sentence, first of all whether it is identified; then its cautions."""
        text = with_names(self._claim(), self.curves[0].x_name, self.curves[0].y_name)
        return _qualified(text, self.not_identified, self.cautions)

    def _claim(self) -> str:
        a, b = (f"in {name}" if name in ("arm a", "arm b") else f"with '{name}'" for name in self.names)
        start = f"y = {digits(self.y)} takes x = {digits(self.x_a)} {a} and {digits(self.x_b)} {b}"
        if self.status == "neither":
            return f"y = {digits(self.y)} is reached by neither arm: both level off before it."
        ratio = with_digits(self.ratio, self.interval, level=self.level, reason=self.reason_no_interval, never="without limit")
        open_question = "" if self.interval is None or not self.interval[0] <= 1.0 <= self.interval[1] else ", which does not tell the arms apart"
        where = " This rests on a law beyond what was measured." if self.extrapolated else ""
        return f"{start}: a speed-up of {ratio}{open_question}.{where}"


def _why_unidentified(curves: tuple[Fit, Fit], ratio: Interval | None) -> str:
    if any(fit.status == "not identified" for fit in curves):
        return "the data do not determine the parameters of a curve"
    if ratio is None or not ratio[0] <= 1.0 <= ratio[1] or ratio[1] <= TOO_WIDE * ratio[0]:
        return ""
    high = f"a factor of {digits(ratio[1])}" if np.isfinite(ratio[1]) else "any factor"
    return f"the data allow a factor of {digits(ratio[0])} as well as {high}"


def _qualified(claim: str, unidentified: str, cautions: tuple[str, ...]) -> str:
    """The sentence, after whether it is identified and before its cautions."""
    first = f"Not identified: {unidentified}. As fitted, {claim}" if unidentified else claim
    return " ".join([first, *(f"Caution: {one.rstrip('.')}." for one in cautions)])


def exchange_rate(with_fit: Fit, without_fit: Fit, at_x: float, *, paired: bool | None = None, better: Better | None = None) -> ExchangeRate:
    """How much x the advantage of `with_fit` over `without_fit` is worth at x = `at_x`, such as
    labels that a pre-training saves.

    Finds the smallest x' where the curve without has the y that the curve with has at `at_x`. The
    interval is made as `same_y` explains. Where both were fitted with the same clusters, such as
    seeds, it comes from the jackknife of the difference over them; else from both bands taken as
    independent. paired=False takes them as independent even so, and paired=True asserts that
    clusters of other names are the same and first appear in the same order. Clusters that share
    nothing but their names do no harm. Where there are clusters the interval is widened by what the
    laws miss at the measured x. `better` as in `diminishing_returns`.

    Raises AnalysisError for fits that are no curves, are not determined, run in opposite
    directions, or have different confidence levels, and for an x that is not positive.
    """
    cautions, sign = _compared(with_fit, without_fit, better, ("with_fit", "without_fit"))
    together = checked_pairing(with_fit, without_fit, paired)
    x = positive("at_x", at_x, "give an x above zero, such as a number of labels")
    y = float(with_fit.predict([x]).mean[0])
    if not np.isfinite(y):
        raise AnalysisError(f"with_fit has no y at x = {x:g}: give an x nearer to those measured, {with_fit.x_min:g} to {with_fit.x_max:g}.")
    found = matching(without_fit, with_fit, x, sign, paired=together)
    outside = not (with_fit.x_min <= x <= with_fit.x_max and without_fit.x_min <= found.x <= without_fit.x_max)
    return ExchangeRate(
        level=with_fit.level,
        cautions=cautions,
        x=x,
        y=y,
        matched_x=found.x,
        interval=found.interval,
        reason_no_interval=found.reason_no_interval,
        status=found.status,
        extra=found.x - x,
        ratio=found.x / x,
        extrapolated=outside,
        better="higher" if sign > 0 else "lower",
        method=found.method,
        curves=(with_fit, without_fit),
        paired=together,
    )


def speed_up(
    arm_a: Fit, arm_b: Fit, *, at_y: float | None = None, at_x: float | None = None, paired: bool | None = None, better: Better | None = None
) -> SpeedUp:
    """How many times more x arm b needs than arm a for the same y: either y = `at_y`, or the y that
    arm a has at x = `at_x`.

    At `at_x` this is the ratio of `exchange_rate`. At `at_y` both x are uncertain: their intervals,
    each the inverted band of its arm, are put together on the log scale by MOVER, or the log ratio
    is jackknifed over clusters that both arms share (`paired` as in `exchange_rate`).

    Raises AnalysisError as `exchange_rate`, and unless exactly one of at_y and at_x is given.
    """
    if (at_y is None) == (at_x is None):
        raise AnalysisError("give exactly one of at_y (the y that both arms are to reach) and at_x (the x of arm a), as in speed_up(a, b, at_y=0.8).")
    cautions, sign = _compared(arm_a, arm_b, better, ("arm_a", "arm_b"))
    together = checked_pairing(arm_a, arm_b, paired)
    shared = {"level": arm_a.level, "cautions": cautions, "better": "higher" if sign > 0 else "lower", "curves": (arm_a, arm_b), "paired": together}
    if at_x is not None:
        rate = exchange_rate(arm_a, arm_b, at_x, paired=paired, better=better)
        return SpeedUp(
            **shared,  # type: ignore[arg-type]
            y=rate.y,
            x_a=rate.x,
            x_b=rate.matched_x,
            ratio=rate.ratio,
            interval=rate.ratio_interval,
            reason_no_interval=rate.reason_no_interval,
            status="b never" if rate.status == "never" else rate.status,
            extrapolated=rate.extrapolated,
            method=rate.method,
        )
    y = real("at_y", at_y, "give a finite value of y")
    a, b = reaching(arm_a, y, sign), reaching(arm_b, y, sign)
    statuses = (a.status, b.status)
    never = (
        {("never", "never"): "neither"}
        | {("never", one): "a never" for one in ("found", "below")}
        | {(one, "never"): "b never" for one in ("found", "below")}
    )
    with np.errstate(all="ignore"):
        ratio = float(np.divide(b.x, a.x))
    interval, reason, method = _of_ratio(arm_a, arm_b, y, sign, together)
    return SpeedUp(
        **shared,  # type: ignore[arg-type]
        y=y,
        x_a=a.x,
        x_b=b.x,
        ratio=ratio,
        interval=interval,
        reason_no_interval=reason,
        status=never.get(statuses, "below" if "below" in statuses else "found"),  # type: ignore[arg-type]
        extrapolated=not (arm_a.x_min <= a.x <= arm_a.x_max and arm_b.x_min <= b.x <= arm_b.x_max),
        method=method,
    )


def _of_ratio(arm_a: Fit, arm_b: Fit, y: float, sign: float, paired: bool) -> tuple[Interval | None, str, str]:
    """Interval of x_b / x_a at a given y, why there is none, and how it was made."""
    if reaching(arm_a, y, sign).status == reaching(arm_b, y, sign).status == "never":
        return None, "neither arm reaches this y", ""
    reason = no_interval(arm_a, arm_b)
    if reason:
        return None, reason, ""
    pair, corrected = versions_of(arm_a, arm_b)
    found = (_paired_ratio if paired else _independent_ratio)(arm_a, arm_b, pair, y, sign)
    if found is None:
        return None, "without one of the clusters an arm never reaches this y", ""
    how = "inverted bands of two independent arms, put together on the log scale (MOVER)"
    if paired:
        how = f"log ratio jackknifed over {arm_a.degrees_of_freedom + 1} clusters that both arms share"
    with np.errstate(all="ignore"):
        law = float(np.divide(reaching(arm_b, y, sign).x, reaching(arm_a, y, sign).x))
    return (extended(found, law), "", how + CORRECTED) if corrected and not np.isnan(law) else (found, "", how)


def _paired_ratio(arm_a: Fit, arm_b: Fit, version: tuple[JackknifedCurve, JackknifedCurve], y: float, sign: float) -> Interval | None:
    with np.errstate(all="ignore"):
        each = reaching_of_replicates(arm_b, version[1], y, sign) - reaching_of_replicates(arm_a, version[0], y, sign)
        centre = np.log(reaching(arm_b, y, sign, version[1]).x) - np.log(reaching(arm_a, y, sign, version[0]).x)
    if not (np.isfinite(each).all() and np.isfinite(centre)):
        return None
    half = t_quantile(arm_a.level, arm_a.degrees_of_freedom) * float(jackknife_sd(each[:, None], np.array([centre]))[0])
    return float(np.exp(centre - half)), float(np.exp(centre + half))


def _independent_ratio(arm_a: Fit, arm_b: Fit, version: tuple[JackknifedCurve, JackknifedCurve], y: float, sign: float) -> Interval | None:
    a, b = reaching(arm_a, y, sign, version[0]), reaching(arm_b, y, sign, version[1])
    if a.status == b.status == "never" or a.interval is None or b.interval is None:
        return None
    with np.errstate(all="ignore"):
        centre = np.log(b.x) - np.log(a.x)
        (a_low, a_high), (b_low, b_high) = np.log(a.interval), np.log(b.interval)
        if np.isinf(centre):  # one arm never gets there: only the other side is bounded
            low, high = (np.exp(b_low - a_high), np.inf) if np.isinf(b.x) else (0.0, np.exp(b_high - a_low))
        else:
            low = np.exp(centre - np.hypot(np.log(b.x) - b_low, a_high - np.log(a.x)))
            high = np.exp(centre + np.hypot(b_high - np.log(b.x), np.log(a.x) - a_low))
    return float(low), float(high)


def _compared(one: Fit, other: Fit, better: Better | None, names: tuple[str, str]) -> tuple[tuple[str, ...], float]:
    """Cautions about two curves, and 1 where higher is better, else -1. Raises AnalysisError where
    they cannot be compared.
    """
    cautions: tuple[str, ...] = ()
    for fit, name in ((one, names[0]), (other, names[1])):
        said = [caution.replace(name, TITLES[name]) for caution in checked_curve(fit, name)]
        if fit.lack_of_fit.p is not None and fit.lack_of_fit.p < SIGNIFICANT:
            said.append(f"{TITLES[name]} misses the means at repeated x ({p_value(fit.lack_of_fit.p)}), so the interval is too narrow")
        cautions += tuple(said)
    if abs(one.level - other.level) > SAME:
        raise AnalysisError(f"the intervals of {names[0]} have level {one.level:g} and those of {names[1]} {other.level:g}: fit both with one level.")
    ways = [direction(better, *(float(value) for value in fit._values(np.array([fit.x_min, fit.x_max])))) for fit in (one, other)]
    if ways[0] != ways[1]:
        raise AnalysisError(
            f"y {'rises' if ways[0] == 'higher' else 'falls'} with x in {names[0]} and {'rises' if ways[1] == 'higher' else 'falls'} in {names[1]}: "
            f"give both the same measure, or say which y is better with better='higher' or 'lower'."
        )
    return cautions, 1.0 if ways[0] == "higher" else -1.0
