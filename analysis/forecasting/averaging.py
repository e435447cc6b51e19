"""Forecasts a curve by an average of candidate laws, weighted by rolling-origin cross-validation.

Each candidate is fitted to the first part of the curve and predicts the rest, from several origins.
The constants were set on language-model, LCDB and simulated curves; `benchmarks/fitting` shows how
and what they give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.rolling_origin import solve_many
from analysis.forecasting.candidates import FEWEST_EFFECTIVE, Curve, candidate_problem, candidate_weights, effective, prior_of
from analysis.laws import Law

Array = NDArray[np.float64]

SHARES = (0.35, 0.45, 0.55, 0.65, 0.75, 0.87)  # of the points, at which an origin lies
FEWEST = 4  # points up to the first origin
RECENCY = 1.5  # an origin counts ~ x^1.5: later ones are nearer to the forecast
STEEPNESS = 2.0  # a candidate's weight ~ (mean squared error)^-2
NOISE_FLOOR = 0.3  # of the noise sd, below which a smaller rolling error is luck
ANCHOR, NEAR = 0.6, 0.05  # share of the last residuals that is assumed to stay, and how near in ln x they have to be
ONSET = 0.00125  # variance at no distance, relative to that one e-fold out, in the errors after an origin
UNWEIGHTED = 0.5  # prior weight of a candidate that gives early points the weight of late ones
# A curve that still falls at its end: rolling errors favour laws with a flat tail, which fail later,
# and laws of few parameters through its last points forecast well.
SLOPE = (0.08, 0.16)  # -d ln y / d ln x at the end, from which on and up to which a curve counts more and more as falling
FEWEST_FALLING = 7  # distinct x below which its slope at the end is not known
LOCAL = ("power", "power_no_floor", "shifted_power")  # laws that may then follow a few last points, with weights ~ x^2
FLAT_TAIL, FLAT_WEIGHT = ("weibull",), 0.3  # laws with a flat tail, and their prior weight then
QUIET = (0.02, 0.04)  # noise sd below which that holds in full, and from which on not at all: the slope of a noisy end tells little
LESS_STEEP = 0.5  # by how much the weights are then less steep


@dataclass(frozen=True, kw_only=True)
class Average:
    """Candidates fitted to the whole curve, and their errors from rolling origins."""

    candidates: tuple[tuple[str, int], ...]
    """(law, k) of each."""
    weights: Array
    """Their weights, shape (candidates,), adding up to 1."""
    params: tuple[dict[str, float], ...]
    """Their parameters for x as given."""
    errors: Array
    """Mean squared error of each after each origin, on the scale of the errors, shape (candidates,
    origins).
    """
    origin_weights: Array
    """How much each origin counts, shape (origins,)."""
    ends: tuple[int, ...]
    """Points up to each origin."""
    anchor: float
    """What is added to the average, on the scale of the errors: the last residuals, in part."""
    squared_error: float
    """Mean squared error of the average one e-fold of x beyond an origin, less the noise; it grows
    with the distance as `growth` says. NaN without origins.
    """


def growth(far: Array) -> Array:
    """Variance of a forecast `far` e-folds of x out, relative to that one e-fold out."""
    return 0.5 * far**2 * (1.0 + far)


def average(
    curve: Curve, candidates: tuple[tuple[str, int], ...], laws: Mapping[str, Law], asymptote: tuple[float, float], *, falling: bool
) -> Average:
    """Fits the candidates, each (law, k), to the curve and to its first parts; `laws` has each law by
    its name. Raises AnalysisError where no candidate can be fitted.
    """
    n = len(curve.x)
    ends = sorted({min(n - 1, max(FEWEST, round(n * share))) for share in SHARES}) if n > FEWEST else []
    fitted: dict[tuple[str, int], tuple[Array, dict[str, float]]] = {}
    still = still_falling(curve) if falling else 0.0
    for law_name, k in candidates:
        if _few_points(curve, k) and not (still and law_name in LOCAL):
            continue
        problem = candidate_problem(laws[law_name], curve, asymptote)
        if n < min(3, len(problem.law.names)):
            continue
        rows = [*ends, n]
        found = solve_many(problem, candidate_weights(curve, k, rows), prior_of(problem.law, curve, rows, falling=falling))
        at = _on_scale(found.fitted, curve)
        if np.all(np.isfinite(at)):
            original = problem.original(found.u[-1:])
            fitted[law_name, k] = at, {name: float(value[0]) for name, value in original.items()}
    if not fitted:
        raise AnalysisError(f"none of the laws could be fitted to {n} distinct x: measure at more x.")
    kept = tuple(fitted)
    at = np.array([fitted[candidate][0] for candidate in kept])  # (candidates, origins + 1, n)
    weights, errors, origin_weights = _weights(curve, kept, laws, at, ends, still)
    mixed = np.tensordot(weights, at, 1)
    noise = curve.noise_sd**2
    up = down = 0.0
    for row, end in enumerate(ends):
        off = curve.t[end:] - mixed[row, end:] - _last_residual(curve, mixed[row], end)
        far = curve.steps[end:] - curve.steps[end - 1]
        up += origin_weights[row] * float(np.mean(np.maximum(off**2 - noise, 0.0)))
        down += origin_weights[row] * float(np.mean(growth(far) + ONSET))
    return Average(
        candidates=kept,
        weights=weights,
        params=tuple(fitted[candidate][1] for candidate in kept),
        errors=errors,
        origin_weights=origin_weights,
        ends=tuple(ends),
        anchor=_last_residual(curve, mixed[-1], n),
        squared_error=up / down if ends else np.nan,
    )


def last_value_errors(curve: Curve, ends: tuple[int, ...]) -> Array:
    """Mean squared error after each origin of repeating the last value, shape (origins,)."""
    return np.array([float(np.mean((curve.t[end:] - curve.t[end - 1]) ** 2)) for end in ends])


def still_falling(curve: Curve) -> float:
    """How far a curve of relative errors counts as still falling at its end, from 0 to 1: by its
    slope on log axes, later points counting more (~ x).
    """
    if not curve.logarithmic or len(curve.x) < FEWEST_FALLING:
        return 0.0
    weights = curve.count * np.exp(curve.steps)
    centred = curve.steps - weights @ curve.steps / weights.sum()
    slope = -float(weights @ (centred * curve.t)) / float(weights @ centred**2)
    return float(np.clip((slope - SLOPE[0]) / (SLOPE[1] - SLOPE[0]), 0.0, 1.0))


def _few_points(curve: Curve, k: int) -> bool:
    """Whether weights ~ x^2 leave too few points in effect."""
    return k == 2 and effective(curve.count * np.exp(k * curve.steps)) < FEWEST_EFFECTIVE


def _weights(
    curve: Curve, candidates: tuple[tuple[str, int], ...], laws: Mapping[str, Law], at: Array, ends: list[int], still: float
) -> tuple[Array, Array, Array]:
    if not ends:
        return np.full(len(candidates), 1.0 / len(candidates)), np.empty((len(candidates), 0)), np.empty(0)
    origin_weights = np.exp(RECENCY * curve.steps[np.array(ends) - 1])
    origin_weights /= origin_weights.sum()
    errors = np.array([[np.mean((curve.t[end:] - one[row, end:]) ** 2) for row, end in enumerate(ends)] for one in at])
    floor = (NOISE_FLOOR * curve.noise_sd) ** 2
    costs = []
    for (law_name, k), error in zip(candidates, errors, strict=True):
        size = len(laws[law_name].names)
        worth = effective(curve.count * np.exp(k * curve.steps))
        costs.append((float(origin_weights @ error) + floor) * (1.0 + 2.0 * size / worth))
    scaled = np.array(costs) / min(costs)
    prior = np.array([UNWEIGHTED if k == 0 else still if _few_points(curve, k) else 1.0 for _, k in candidates])
    quiet = float(np.clip((QUIET[1] - curve.noise_sd) / (QUIET[1] - QUIET[0]), 0.0, 1.0))
    prior *= np.array([FLAT_WEIGHT ** (still * quiet) if law_name in FLAT_TAIL else 1.0 for law_name, _ in candidates])
    weights = scaled ** -(STEEPNESS - LESS_STEEP * still) * prior
    return weights / weights.sum(), errors, origin_weights


def _last_residual(curve: Curve, fitted: Array, end: int) -> float:
    near = np.exp((curve.steps[:end] - curve.steps[end - 1]) / NEAR) * curve.count[:end]
    worth = effective(near)
    return float(ANCHOR * worth / (worth + 1.0) * np.sum(near * (curve.t[:end] - fitted[:end])) / near.sum())


def _on_scale(fitted: Array, curve: Curve) -> Array:
    if not curve.logarithmic:
        return fitted
    tiny = 1e-6 * float(np.min(curve.y))  # a law that goes below zero early on is wrong, not impossible
    return np.asarray(np.log(np.maximum(fitted, tiny)))
