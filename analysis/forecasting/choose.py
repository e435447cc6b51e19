"""Chooses a law by its extrapolation error, and forecasts by a weighted average of candidate laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, finite
from analysis.fitting.fit import OwnLaw, fit
from analysis.fitting.inputs import checked_clusters, checked_level, checked_points, checked_range, checked_sigma, checked_weights, units_of
from analysis.fitting.inverse import falls
from analysis.fitting.own_law import is_own, resolved
from analysis.forecasting.averaging import Average, average, last_value_errors
from analysis.forecasting.candidates import CANDIDATES, RISING_CANDIDATES, Curve, curve_of, effective
from analysis.forecasting.choice import Candidate, LawChoice, shrunk_curve_error
from analysis.laws import LAWS, Law

Array = NDArray[np.float64]

WEIGHTINGS = (0, 1, 2)
BASELINE = next(law.name for law in LAWS.values() if law.baseline)
AHEAD = 4.0  # times the largest x
SIMPLEST = "power"  # stands where nothing could be predicted from earlier points, and among equals


def choose_law(
    x: ArrayLike,
    y: ArrayLike,
    *,
    candidates: Sequence[str | OwnLaw] | None = None,
    weights: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    average_laws: bool = True,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
) -> LawChoice:
    """Chooses a law for the points (x, y), each of shape (n,), by rolling-origin cross-validation:
    each law is fitted to the first part of the curve and judged on the rest, from up to six
    origins, always beside repeating the last value.

    The law chosen is the simplest whose errors exceed the best law's, origin by origin, by no more
    than one standard error (after Breiman et al. 1984, section 3.4.3). Forecasts are the average of
    all candidates, weighted by (mean squared error)^-2, with part of the last residuals added: on
    other curves than these that was better than any one law. Where y still falls at its end, by
    more than about a tenth per e-fold of x, weights are less steep, laws with a flat tail count
    less, and laws of few parameters may follow the last points alone. `average_laws=False`
    forecasts by the law chosen alone. `candidates` are names in `analysis.LAWS`, functions
    f(x, a, b) of your own or `analysis.Law`s, by default the names in
    `analysis.forecasting.candidates`. Errors are relative if all y > 0. `y_range`, such as (0, 1)
    for an accuracy, says where the metric ends: a y that rises towards a known end is forecast by
    the gap that is left, unless a candidate is your own.
    `weights` and `sigma` are as for `fit`. `cluster` goes to the fit of the law chosen, whose
    parameters then have intervals over clusters.

    Raises AnalysisError for points that no law can be fitted to.
    """
    points_x, points_y = checked_points(x, y)
    checked_level(level)
    given = checked_weights(weights, len(points_x))
    used = given > 0
    curve_x, curve_y = points_x[used], points_y[used]
    positive = bool(np.all(curve_y > 0))
    curve_mass = given[used] / np.square(units_of(checked_sigma(sigma, used), curve_y, logarithmic=positive))
    curve_mass = curve_mass / np.mean(curve_mass)
    if cluster is not None:
        checked_clusters(cluster, used)
    if len(np.unique(curve_x)) < 3:
        raise AnalysisError(
            f"y is given at only {len(np.unique(curve_x))} distinct x, and a law is chosen by later points from earlier ones: measure at 3 x or more."
        )
    low, high = checked_range(y_range, curve_y)
    falling = falls(curve_x, curve_y)
    pool, own = _candidates(candidates, curve_x, curve_y, curve_mass)
    mirror = high if not falling and not own and np.isfinite(high) and np.all(curve_y < high) else None
    curve = curve_of(curve_x, curve_y if mirror is None else mirror - curve_y, curve_mass, logarithmic=positive or mirror is not None)
    down = falling or mirror is not None
    asymptote = (max(low, 0.0) if curve.logarithmic else low, high) if mirror is None else (0.0, mirror - max(low, 0.0 if positive else low))
    pool = pool or (CANDIDATES if down else RISING_CANDIDATES)
    laws = LAWS | own
    found = average(curve, pool, laws, asymptote, falling=down)
    # the gap to a ceiling may follow a law that y itself cannot: it takes part in the average, and
    # is not chosen as the law of y
    barred = {law for law, _ in found.candidates if mirror is not None and laws[law].asymptote is None and laws[law].law_of_y is None}
    most = len(np.unique(curve_x)) - 1
    rows, chosen = _rows(curve, found, laws, most=most, barred=barred)
    level_after = chosen == BASELINE and average_laws
    if level_after and _moves(curve, found, laws):  # a law that is named is the law that forecasts
        rows, chosen = _rows(curve, found, laws, most=most, barred=barred | {BASELINE})
        level_after = False
    weighting = _weighting(found, chosen)
    settings: dict[str, Any] = {"loss": "log_huber" if positive else "huber", "level": level, "cluster": cluster, "sigma": sigma}
    counted = given * np.minimum(points_x / curve_x.max(), 1.0) ** weighting
    law_of_y = laws[chosen].law_of_y
    if mirror is not None and law_of_y is not None:  # the law of the gap, written as the law of y with its asymptote at the ceiling
        fitted = fit(points_x, points_y, law=law_of_y[0], fixed={law_of_y[1]: mirror}, weights=counted, y_range=y_range, **settings)
    else:
        fitted = fit(points_x, points_y, law=own.get(chosen, chosen), weights=counted, y_range=y_range, **settings)
    return LawChoice(
        law=fitted.law,
        fit=fitted,
        averaged=average_laws,
        levelled=level_after,
        level=level,
        laws=rows,
        candidates=tuple(
            Candidate(law=law, weighting=k, weight=float(weight), params=params)
            for (law, k), weight, params in zip(found.candidates, found.weights, found.params, strict=True)
        ),
        anchor=found.anchor,
        noise_sd=_noise_sd(curve, laws, curve_x, curve_y if mirror is None else mirror - curve_y, curve_mass, found),
        extrapolation_error=shrunk_curve_error(found.squared_error, len(found.ends), 1.0 if curve.logarithmic else float(np.ptp(curve.y))),
        mirror=mirror,
        x_min=float(curve_x.min()),
        x_max=float(curve_x.max()),
        own_laws={name: law for name, law in own.items() if name in {one for one, _ in found.candidates}},
    )


def _candidates(candidates: Sequence[str | OwnLaw] | None, x: Array, y: Array, mass: Array) -> tuple[tuple[tuple[str, int], ...], dict[str, Law]]:
    """(law, k) of the candidates given, empty where none are; and those of the caller's own by name.
    Raises AnalysisError.
    """
    if candidates is None:
        return (), {}
    if isinstance(candidates, str) or not isinstance(candidates, Sequence) or not len(candidates):
        raise AnalysisError(f"candidates is {candidates!r}: give a list of names of laws, such as ['power', 'shifted_power'].")
    laws = [resolved(law, LAWS, x, y, mass) for law in candidates]
    own = {law.name: law for law in laws if is_own(law, LAWS)}
    for name in own:
        if name in LAWS or sum(law.name == name for law in laws) > 1:
            raise AnalysisError(f"two candidates are named '{name}' (built-in laws included): rename your own.")
    names = [name for name in dict.fromkeys(law.name for law in laws) if not (own | LAWS)[name].baseline]  # the baseline is always there
    if not names:
        raise AnalysisError("candidates names no law but last_value, which every law is compared with: name another.")
    return tuple((name, k) for name in names for k in WEIGHTINGS), own


def _rows(curve: Curve, found: Average, laws: Mapping[str, Law], *, most: int, barred: set[str]) -> tuple[tuple[dict[str, Any], ...], str]:
    """One row per law, best first, and the name of the law chosen, which has at most `most`
    parameters.
    """
    by_law: dict[str, Array] = {}
    share: dict[str, float] = {}
    for (law, _), errors, weight in zip(found.candidates, found.errors, found.weights, strict=True):
        share[law] = share.get(law, 0.0) + float(weight)
        if law not in by_law or found.origin_weights @ errors < found.origin_weights @ by_law[law]:
            by_law[law] = errors
    by_law[BASELINE] = last_value_errors(curve, found.ends)
    if not found.ends:  # nothing could be predicted from earlier points: the plain power law stands, whether it is averaged or not
        by_law.setdefault(SIMPLEST, np.empty(0))
        most += 1
    best = min((law for law in by_law), key=lambda law: float(found.origin_weights @ by_law[law]) if found.ends else 0.0)
    rows: list[dict[str, Any]] = []
    near: set[str] = set()
    for law, errors in by_law.items():
        mean = float(np.sqrt(found.origin_weights @ errors)) if found.ends else np.nan
        behind, error = _behind(errors, by_law[best])
        if law == best or not found.ends or behind <= error:
            near.add(law)
        rows.append(
            {
                "law": law,
                "parameters": len(laws[law].names),
                "rolling_error": finite(mean),
                "standard_error": finite(mean * error),
                "weight": share.get(law, 0.0),
                "chosen": False,
            }
        )
    rows.sort(key=lambda row: (row["rolling_error"] if found.ends else row["parameters"], row["law"] == BASELINE))
    enough = [row for row in rows if row["parameters"] <= most and row["law"] not in barred]
    # without an origin nothing was predicted, and the simplest law that is not trivial stands
    trivial = {BASELINE} if not found.ends and len(enough) > 1 else set()
    close = [row for row in enough if row["law"] in near and row["law"] not in trivial] or enough[:1]
    chosen = min(close, key=lambda row: (row["parameters"], row["rolling_error"] or 0.0, row["law"] != SIMPLEST))
    chosen["chosen"] = True
    return tuple(rows), str(chosen["law"])


def _behind(errors: Array, best: Array) -> tuple[float, float]:
    """By what share a law's errors exceed the best law's, on average over the same origins, and the
    standard error of that.

    Compared origin by origin: that all laws err more from early origins says nothing about which
    law is better.
    """
    if not len(errors):
        return 0.0, np.nan
    tiny = 1e-12 * float(np.max(best)) + 1e-300
    ratio = 0.5 * np.log((errors + tiny) / (best + tiny))
    spread = float(np.std(ratio, ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else np.nan
    return float(np.mean(ratio)), spread


def _moves(curve: Curve, found: Average, laws: Mapping[str, Law]) -> bool:
    """Whether the average goes on to move, over AHEAD times the largest x, by more than half the
    noise of one point.
    """
    x = curve.x[-1] * np.array([1.0, AHEAD])
    with np.errstate(all="ignore"):
        values = np.array([laws[law].function(x, **params) for (law, _), params in zip(found.candidates, found.params, strict=True)])
        middle = found.weights @ (np.log(np.maximum(values, 1e-300)) if curve.logarithmic else values)
    return bool(abs(middle[1] - middle[0]) > 0.5 * curve.noise_sd)


def _weighting(found: Average, law: str) -> int:
    """The k under which this law did best."""
    own = [(float(weight), k) for (name, k), weight in zip(found.candidates, found.weights, strict=True) if name == law]
    return max(own)[1] if own else 0


def _noise_sd(curve: Curve, laws: Mapping[str, Law], x: Array, y: Array, mass: Array, found: Average) -> float | None:
    """Spread of the points about the average, later points counting more, for it is the last ones
    whose noise goes on.
    """
    with np.errstate(all="ignore"):
        values = np.array([laws[law].function(x, **params) for (law, _), params in zip(found.candidates, found.params, strict=True)])
        if curve.logarithmic:
            values = np.log(np.maximum(values, 1e-300))
    residual = (np.log(y) if curve.logarithmic else y) - found.weights @ values
    weights = mass * x / x.max()
    worth = effective(weights)
    if worth <= 3.5:
        return curve.noise_sd
    return float(np.sqrt(np.sum(weights * residual**2) / weights.sum() * worth / (worth - 3.0)))
