"""Finds the x at which one curve has the y of another, with an interval: for exchange rates and
speed-ups.

The interval inverts the band of the difference of the two curves, as Fieller 1954 does for a ratio.
Where the curves are independent, the ends of the two bands are put together by MOVER (Zou and
Donner 2008, Stat. Med. 27, 1693-1702): it keeps bands that are not symmetric as they are, the
extrapolation error included. Where both were jackknifed over the same clusters, the difference is
jackknifed.

The interval of curves with clusters is that of the curves corrected by the means at the measured x
(see `law_error`), extended to hold the laws' own answer, so that it is not too narrow where a law is
wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.crossing import Gap, reached_from
from analysis.decisions.decision import Interval
from analysis.decisions.law_error import JackknifedCurve, clusters_of, law_corrected, law_itself, order_of
from analysis.decisions.validation import why_no_spread
from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.significance.cluster_resampling import jackknife_sd
from analysis.student import t_quantile

Array = NDArray[np.float64]
Found = Literal["found", "never", "below"]

CORRECTED = "; of the curves corrected by the means at the measured x, and extended to hold the answer of the laws"
NEAR, FAR, STEPS = 1e-6, 1e12, 2400  # the ladder goes from NEAR times the smallest x to FAR times the largest


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Where a curve reaches a y."""

    status: Found
    """'found'; 'never' (it levels off before); 'below' (already at a millionth of its smallest x)."""
    x: float
    """In the unit of x; infinite if 'never', a millionth of the smallest x measured if 'below'."""
    interval: Interval | None
    """An infinite end means that the data do not exclude 'never'."""
    reason_no_interval: str
    """Why there is no interval; empty where there is one."""
    method: str
    """How the interval was made; empty where there is none."""


def ladder_of(fit: Fit) -> Array:
    """Where x is looked for."""
    return np.geomspace(fit.x_min * NEAR, fit.x_max * FAR, STEPS)


def band(fit: Fit, x: Array, sign: float, version: JackknifedCurve | None = None) -> tuple[Array, Array, Array]:
    """Mean of sign * y at x, and how far the band of the mean reaches above and below it, each of
    shape (m,). With a `version` whose y is not that of the law, the band is that of its jackknife.
    """
    if version is not None and version.values != fit._values:
        half = t_quantile(fit.level, fit.degrees_of_freedom) * jackknife_sd(version.replicates(x), version.values(x))
        half = np.hypot(half, _extrapolation_half_width(fit, x, sign))
        return sign * version.values(x), half, half
    at = fit.predict(x)
    ends = np.sort(np.stack([sign * at.low, sign * at.high]), axis=0)
    mean = sign * at.mean
    return mean, ends[1] - mean, mean - ends[0]


def checked_pairing(one: Fit, other: Fit, paired: bool | None) -> bool:
    """Whether two fits are paired by cluster: as asked, else where they have the same clusters.

    Raises AnalysisError where they cannot be paired and were to be.
    """
    if paired is None:
        names = clusters_of(one)
        return names is not None and order_of(other, names) is not None
    if not paired:
        return False
    for fit in (one, other):
        if fit.replicate_kind != "jackknife":
            raise AnalysisError("paired=True needs both curves fitted with cluster=..., without a bootstrap: fit them so, or leave paired out.")
    counts = [len(next(iter(fit.replicates.values()))) for fit in (one, other) if fit.replicates]
    if counts[0] != counts[1]:
        raise AnalysisError(
            f"paired=True needs the same clusters in both curves, in the same order, and they have {counts[0]} and {counts[1]}: "
            f"fit both on the seeds they share, or leave paired out."
        )
    return True


def versions_of(one: Fit, other: Fit) -> tuple[tuple[JackknifedCurve, JackknifedCurve], bool]:
    """Both curves, corrected where that is possible, with refits in the same order; and whether one
    is corrected.
    """
    names = clusters_of(one)
    order = None if names is None else order_of(other, names)
    corrected = law_corrected(one), law_corrected(other, order)
    pair = corrected[0] or law_itself(one), corrected[1] or law_itself(other, order)
    return pair, corrected[0] is not None or corrected[1] is not None


def no_interval(*fits: Fit) -> str:
    """Why the first of the fits without a spread has none; empty if all have one."""
    return next((reason for fit in fits if (reason := why_no_spread(fit))), "")


@np.errstate(over="ignore", invalid="ignore")  # a band without an end overflows on the way to it
def matching(curve: Fit, other: Fit, at: float, sign: float, *, paired: bool) -> Matched:
    """The smallest x from which `curve` is as good as `other` is at x = `at`; sign is 1 where
    higher is better, else -1.
    """
    there = np.array([at])
    ladder = ladder_of(curve)
    reference = sign * float(other._values(there)[0])

    def gap(x: Array) -> Array:
        return sign * curve._values(x) - reference

    reason = no_interval(curve, other)
    if reason:
        return _matched(gap, None, None, ladder, reason, "")
    pair, corrected = versions_of(curve, other)
    hopeful, doubtful = (_paired_sides if paired else _independent_sides)(curve, other, pair, there, sign)
    how = "band of the difference of two independent curves (MOVER), inverted"
    if paired:
        how = f"band of the difference, jackknifed over the {curve.degrees_of_freedom + 1} clusters that both curves share, inverted"
    found = _matched(gap, hopeful, doubtful, ladder, "", how)
    if not corrected:
        return found
    beside = sign * float(pair[1].values(there)[0])
    inside = _matched(lambda x: sign * pair[0].values(x) - beside, hopeful, doubtful, ladder, "", how).interval
    return replace(found, interval=extended(inside, found.x), method=how + CORRECTED)


def extended(interval: Interval | None, value: float) -> Interval | None:
    """The interval, and what lies between it and the value."""
    return None if interval is None else (min(interval[0], value), max(interval[1], value))


def _independent_sides(curve: Fit, other: Fit, version: tuple[JackknifedCurve, JackknifedCurve], there: Array, sign: float) -> tuple[Gap, Gap]:
    """Upper and lower side of the band of the difference of two curves that share nothing."""
    reference, above, below = (float(part[0]) for part in band(other, there, sign, version[1]))

    def hopeful(x: Array) -> Array:
        mean, up, _ = band(curve, x, sign, version[0])
        return mean - reference + np.hypot(up, below)

    def doubtful(x: Array) -> Array:
        mean, _, down = band(curve, x, sign, version[0])
        return mean - reference - np.hypot(down, above)

    return hopeful, doubtful


def _paired_sides(curve: Fit, other: Fit, version: tuple[JackknifedCurve, JackknifedCurve], there: Array, sign: float) -> tuple[Gap, Gap]:
    """Upper and lower side of the band of the difference, jackknifed over shared clusters."""
    quantile = t_quantile(curve.level, curve.degrees_of_freedom)
    beside, reference = version[1].replicates(there), version[1].values(there)
    wider = _extrapolation_half_width(other, there, sign)

    def sides(x: Array) -> tuple[Array, Array]:
        difference = version[0].values(x) - reference
        error = jackknife_sd(version[0].replicates(x) - beside, difference)
        return sign * difference, np.sqrt((quantile * error) ** 2 + _extrapolation_half_width(curve, x, sign) ** 2 + wider**2)

    return lambda x: np.add(*sides(x)), lambda x: np.subtract(*sides(x))


@np.errstate(over="ignore", invalid="ignore")  # a band without an end overflows on the way to it
def reaching(curve: Fit, y: float, sign: float, version: JackknifedCurve | None = None) -> Matched:
    """The smallest x from which the curve is as good as y."""
    reason = no_interval(curve)
    values = curve._values if version is None else version.values

    def gap(x: Array) -> Array:
        return sign * (values(x) - y)

    def side(x: Array, upper: bool) -> Array:
        mean, up, down = band(curve, x, sign, version)
        return mean - sign * y + (up if upper else -down)

    if reason:
        return _matched(gap, None, None, ladder_of(curve), reason, "")
    return _matched(gap, lambda x: side(x, True), lambda x: side(x, False), ladder_of(curve), "", "band of the curve, inverted")


@np.errstate(over="ignore", invalid="ignore")  # a band without an end overflows on the way to it
def reaching_of_replicates(curve: Fit, version: JackknifedCurve, y: float, sign: float) -> Array:
    """ln x at which each of the refits reaches y, shape (replicates,); infinite where one never
    does.
    """
    count = len(version.replicates(np.array([curve.x_min])))
    found = [reached_from(lambda x, row=row: sign * (version.replicates(x)[row] - y), ladder_of(curve))[0] for row in range(count)]  # type: ignore[misc]
    return np.log(np.array(found))


def _matched(gap: Gap, hopeful: Gap | None, doubtful: Gap | None, ladder: Array, reason: str, method: str) -> Matched:
    x, under = reached_from(gap, ladder)
    status: Found = "below" if under else "never" if np.isinf(x) else "found"
    if hopeful is None or doubtful is None:
        return Matched(status=status, x=x, interval=None, reason_no_interval=reason, method="")
    low = (
        reached_from(hopeful, ladder, place=min(x, float(ladder[-1])))[0]
        if np.isfinite(x)
        else reached_from(hopeful, ladder, place=_last_miss(hopeful, ladder))[0]
    )
    high = np.inf if np.isinf(x) else reached_from(lambda at: np.where(at < x, -1.0, doubtful(at)), ladder)[0]
    return Matched(status=status, x=x, interval=(float(low), float(high)), reason_no_interval="", method=method)


def _last_miss(hopeful: Gap, ladder: Array) -> float:
    """For a target that the curve never reaches: the last rung that even the hopeful side of the
    band misses.
    """
    missed = np.flatnonzero(~(np.nan_to_num(hopeful(ladder), nan=-1.0) >= 0))
    return float(ladder[missed[-1]]) if len(missed) else float(ladder[0])


def _extrapolation_half_width(fit: Fit, x: Array, sign: float) -> Array:
    """Half-width that the extrapolation error adds, in quadrature, to the band."""
    if fit.extrapolation_error is None:
        return np.zeros(x.shape)
    _, up, down = band(fit, x, sign)
    plain = t_quantile(fit.level, fit.degrees_of_freedom) * fit._error(((1.0, x),))[1]
    half = 0.5 * (up + down)
    # As a product of sum and difference: the squares of a huge half-width would overflow.
    return np.sqrt(np.maximum(half - plain, 0.0)) * np.sqrt(np.maximum(half + plain, 0.0))
