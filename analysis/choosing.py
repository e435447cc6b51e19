"""Choose a law by how well it extrapolates, and forecast by the average of those that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.averaging import Average, average, last_value_errors
from analysis.choice import LawChoice, Member, finite
from analysis.drift import shrunk
from analysis.errors import AnalysisError
from analysis.fitting import fit
from analysis.laws import find_law
from analysis.members import POOL, RISING_POOL, Curve, curve_of, effective
from analysis.points import checked_clusters, checked_level, checked_points, checked_weights

Array = NDArray[np.float64]

WEIGHTINGS = (0, 1, 2)


def choose_law(
    x: ArrayLike,
    y: ArrayLike,
    *,
    candidates: Sequence[str] | None = None,
    weights: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    average_laws: bool = True,
    cluster: ArrayLike | None = None,
    level: float = 0.90,
) -> LawChoice:
    """Compare laws on the points (x, y), each of shape (n,), by rolling origin: each is fitted to the first part of the curve and judged on the rest,
    from up to six places, always beside repeating the last value.

    The law chosen is the simplest within one standard error of the smallest error (Breiman et al. 1984, section 3.4.3). Forecasts are the
    average of all laws, weighted by (mean squared error)^-2, with part of the last residuals added: on other curves than these that was
    better than any one law; `average_laws=False` forecasts by the law chosen alone. `candidates` are names in `analysis.LAWS`, by default
    those of `analysis.members`. Errors are relative if all y > 0. `y_range`, such as (0, 1) for an accuracy, says where the metric ends:
    a y that rises towards a known end is forecast by the gap that is left. `weights` and `sigma` are as for `fit`. `cluster` goes to the
    fit of the law chosen, whose parameters then have intervals over clusters.

    Raises AnalysisError for points that no law can be fitted to.
    """
    points_x, points_y = checked_points(x, y)
    checked_level(level)
    positive = bool(np.all(points_y > 0))
    mass = checked_weights(weights, sigma, points_y, logarithmic=positive)
    if cluster is not None:
        checked_clusters(cluster, len(points_x))
    used = mass > 0
    curve_x, curve_y, curve_mass = points_x[used], points_y[used], mass[used] / np.mean(mass[used])
    if len(np.unique(curve_x)) < 3:
        raise AnalysisError(
            f"y is given at only {len(np.unique(curve_x))} distinct x, and a law is chosen by later points from earlier ones: measure at 3 x or more."
        )
    low, high = _range(y_range, curve_y)
    falling = _falls(curve_x, curve_y)
    mirror = high if not falling and np.isfinite(high) and np.all(curve_y < high) else None
    curve = curve_of(curve_x, curve_y if mirror is None else mirror - curve_y, curve_mass, logarithmic=positive or mirror is not None)
    down = falling or mirror is not None
    floor = (max(low, 0.0) if curve.logarithmic else low, high) if mirror is None else (0.0, mirror - max(low, 0.0 if positive else low))
    pool = _pool(candidates, down)
    found = average(curve, pool, floor, falling=down)
    # the gap to a ceiling has laws that no y rising from below has: those take part in the average, and cannot be the law of y
    barred = {law for law, _ in found.members if mirror is not None and find_law(law).asymptote is None and law != "power_no_floor"}
    rows, chosen = _rows(curve, found, most=len(np.unique(curve_x)) - 1, barred=barred)
    weighting = _weighting(found, chosen)
    settings: dict[str, Any] = {"loss": "log_huber" if positive else "huber", "level": level, "cluster": cluster}
    counted = mass * (points_x / points_x.max()) ** weighting
    if mirror is not None and chosen == "power_no_floor":  # of the gap: a power law of y that ends where the metric does
        fitted = fit(points_x, points_y, law="power", fixed={"E": mirror}, weights=counted, **settings)
    else:
        fitted = fit(points_x, points_y, law=chosen, weights=counted, y_range=y_range, **settings)
    return LawChoice(
        law=fitted.law,
        fit=fitted,
        averaged=average_laws,
        level=level,
        laws=rows,
        members=tuple(
            Member(law=law, weighting=k, weight=float(weight), params=params)
            for (law, k), weight, params in zip(found.members, found.weights, found.params, strict=True)
        ),
        anchor=found.anchor,
        noise_sd=_noise_sd(curve, curve_x, curve_y if mirror is None else mirror - curve_y, curve_mass, found),
        drift=shrunk(found.wander, len(found.ends), 1.0 if curve.logarithmic else float(np.ptp(curve.y))),
        mirror=mirror,
        x_min=float(curve_x.min()),
        x_max=float(curve_x.max()),
    )


def _pool(candidates: Sequence[str] | None, down: bool) -> tuple[tuple[str, int], ...]:
    if candidates is None:
        return POOL if down else RISING_POOL
    if isinstance(candidates, str) or not len(candidates):
        raise AnalysisError(f"candidates is {candidates!r}: give a list of names of laws, such as ['power', 'shifted_power'].")
    names = dict.fromkeys(find_law(name).name for name in candidates)
    names.pop("last_value", None)  # it is always there
    if not names:
        raise AnalysisError("candidates names no law but last_value, which every law is compared with: name another.")
    return tuple((name, k) for name in names for k in WEIGHTINGS)


def _rows(curve: Curve, found: Average, *, most: int, barred: set[str]) -> tuple[tuple[dict[str, Any], ...], str]:
    """One row per law, best first, and the name of the law chosen, which has at most `most` parameters."""
    by_law: dict[str, Array] = {}
    share: dict[str, float] = {}
    for (law, _), errors, weight in zip(found.members, found.errors, found.weights, strict=True):
        share[law] = share.get(law, 0.0) + float(weight)
        if law not in by_law or found.origin_weights @ errors < found.origin_weights @ by_law[law]:
            by_law[law] = errors
    by_law["last_value"] = last_value_errors(curve, found.ends)
    rows: list[dict[str, Any]] = []
    for law, errors in by_law.items():
        mean, error = _mean_and_error(errors, found.origin_weights)
        rows.append(
            {
                "law": law,
                "parameters": len(find_law(law).names),
                "rolling_error": finite(mean),
                "standard_error": finite(error),
                "weight": share.get(law, 0.0),
                "chosen": False,
            }
        )
    rows.sort(key=lambda row: (row["rolling_error"] if found.ends else row["parameters"], row["law"] == "last_value"))
    enough = [row for row in rows if row["parameters"] <= most and row["law"] not in barred]
    # without an origin nothing was predicted, and the simplest law that is not trivial stands
    limit = np.inf if not found.ends else enough[0]["rolling_error"] + (enough[0]["standard_error"] or 0.0)
    trivial = {"last_value"} if not found.ends and len(enough) > 1 else set()
    chosen = min(
        (row for row in enough if row["law"] not in trivial and (not found.ends or row["rolling_error"] <= limit)),
        key=lambda row: (row["parameters"], row["rolling_error"] or 0.0),
    )
    chosen["chosen"] = True
    return tuple(rows), str(chosen["law"])


def _mean_and_error(errors: Array, weights: Array) -> tuple[float, float]:
    """Root of the weighted mean squared error, and its standard error over origins."""
    if not len(errors):
        return np.nan, np.nan
    mean = float(weights @ errors)
    if len(errors) < 2 or mean <= 0:
        return float(np.sqrt(max(mean, 0.0))), np.nan
    spread = float(weights @ (errors - mean) ** 2) / (effective(weights) - 1.0) if effective(weights) > 1.0 else np.nan
    return float(np.sqrt(mean)), float(0.5 * np.sqrt(spread / mean))


def _weighting(found: Average, law: str) -> int:
    """The k under which this law did best."""
    own = [(float(weight), k) for (name, k), weight in zip(found.members, found.weights, strict=True) if name == law]
    return max(own)[1] if own else 0


def _noise_sd(curve: Curve, x: Array, y: Array, mass: Array, found: Average) -> float | None:
    """Spread of the points about the average, later points counting more, for it is the last ones whose noise goes on."""
    with np.errstate(all="ignore"):
        values = np.array([find_law(law).function(x, **params) for (law, _), params in zip(found.members, found.params, strict=True)])
        if curve.logarithmic:
            values = np.log(np.maximum(values, 1e-300))
    residual = (np.log(y) if curve.logarithmic else y) - found.weights @ values
    weights = mass * x / x.max()
    worth = effective(weights)
    if worth <= 3.5:
        return curve.noise_sd
    return float(np.sqrt(np.sum(weights * residual**2) / weights.sum() * worth / (worth - 3.0)))


def _falls(x: Array, y: Array) -> bool:
    """Whether y goes down with x, by ranks."""
    return bool(np.cov(_ranks(x), _ranks(y))[0, 1] <= 0)


def _ranks(values: Array) -> Array:
    """Ranks, tied values sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1.0))[place])


def _range(y_range: tuple[float | None, float | None] | None, y: Array) -> tuple[float, float]:
    low, high = (
        (-np.inf, np.inf)
        if y_range is None
        else tuple(end if given is None else float(given) for given, end in zip(y_range, (-np.inf, np.inf), strict=True))
    )
    outside = np.flatnonzero((y < low) | (y > high))
    if not low < high:
        raise AnalysisError(f"y_range is ({low:g}, {high:g}): give a low end below the high end.")
    if len(outside):
        raise AnalysisError(f"y holds {y[outside[0]]:g}, outside the y_range {low:g} to {high:g}: correct the range or the points.")
    return low, high
