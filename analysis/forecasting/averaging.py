"""Forecast a curve by an average of laws, each weighted by how well it predicted later points from
earlier ones.

All of it rests on rolling origins inside the curve: the first part is fitted, the rest of the curve
predicted, from several places. The constants were set on language-model, LCDB and simulated curves;
`benchmarks/fitting` says how and what they give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.rolling_origin import solve_many
from analysis.forecasting.candidates import FEWEST_EFFECTIVE, Curve, belief, effective, member_problem, member_weights

Array = NDArray[np.float64]

SHARES = (0.35, 0.45, 0.55, 0.65, 0.75, 0.87)  # of the points, at which an origin lies
FEWEST = 4  # points up to the first origin
RECENCY = 1.5  # an origin counts ~ x^1.5: later ones are more like the question
STEEPNESS = 2.0  # a member's weight ~ (mean squared error)^-2
NOISE_FLOOR = 0.3  # of the noise sd, below which a smaller rolling error is luck
ANCHOR, NEAR = 0.6, 0.05  # share of the last residuals that is believed to stay, and how near in ln x they have to be
UNWEIGHTED = 0.5  # prior weight of a member that fits early points as hard as late ones


@dataclass(frozen=True, kw_only=True)
class Average:
    """Members fitted to the whole curve, and what rolling origins said of them."""

    members: tuple[tuple[str, int], ...]
    """(law, k) of each."""
    weights: Array
    """Their weights, shape (members,), adding up to 1."""
    params: tuple[dict[str, float], ...]
    """Their parameters for x as given."""
    errors: Array
    """Mean squared error of each after each origin, on the scale of the errors, shape (members,
    origins).
    """
    origin_weights: Array
    """How much each origin counts, shape (origins,)."""
    ends: tuple[int, ...]
    """Points up to each origin."""
    anchor: float
    """What is added to the average, on the scale of the errors: the last residuals, in part."""
    wander: float
    """Mean squared error of the average beyond an origin per squared e-fold of x, noise taken off;
    NaN without origins.
    """


def average(curve: Curve, pool: tuple[tuple[str, int], ...], floor: tuple[float, float], *, falling: bool) -> Average:
    """Fit the members of the pool to the curve and to its first parts. Raises AnalysisError where
    no member can be fitted.
    """
    n = len(curve.x)
    ends = sorted({min(n - 1, max(FEWEST, round(n * share))) for share in SHARES}) if n > FEWEST else []
    fitted: dict[tuple[str, int], tuple[Array, dict[str, float]]] = {}
    for law_name, k in pool:
        if k == 2 and effective(curve.count * np.exp(k * curve.steps)) < FEWEST_EFFECTIVE:
            continue
        problem = member_problem(law_name, curve, floor)
        if n < min(3, len(problem.law.names)):
            continue
        rows = [*ends, n]
        found = solve_many(problem, member_weights(curve, k, rows), belief(problem.law, curve, rows, falling=falling))
        at = _on_scale(found.fitted, curve)
        if np.all(np.isfinite(at)):
            original = problem.original(found.u[-1:])
            fitted[law_name, k] = at, {name: float(value[0]) for name, value in original.items()}
    if not fitted:
        raise AnalysisError(f"none of the laws could be fitted to {n} distinct x: measure at more x.")
    members = tuple(fitted)
    at = np.array([fitted[member][0] for member in members])  # (members, origins + 1, n)
    weights, errors, origin_weights = _weights(curve, members, at, ends)
    mixed = np.tensordot(weights, at, 1)
    noise = curve.noise_sd**2
    up = down = 0.0
    for row, end in enumerate(ends):
        off = curve.t[end:] - mixed[row, end:] - _last_residual(curve, mixed[row], end)
        far = curve.steps[end:] - curve.steps[end - 1]
        up += origin_weights[row] * float(np.mean(np.maximum(off**2 - noise, 0.0)))
        down += origin_weights[row] * float(np.mean(far**2 + NEAR**2))
    return Average(
        members=members,
        weights=weights,
        params=tuple(fitted[member][1] for member in members),
        errors=errors,
        origin_weights=origin_weights,
        ends=tuple(ends),
        anchor=_last_residual(curve, mixed[-1], n),
        wander=up / down if ends else np.nan,
    )


def last_value_errors(curve: Curve, ends: tuple[int, ...]) -> Array:
    """Mean squared error after each origin of repeating the last value, shape (origins,)."""
    return np.array([float(np.mean((curve.t[end:] - curve.t[end - 1]) ** 2)) for end in ends])


def _weights(curve: Curve, members: tuple[tuple[str, int], ...], at: Array, ends: list[int]) -> tuple[Array, Array, Array]:
    if not ends:
        return np.full(len(members), 1.0 / len(members)), np.empty((len(members), 0)), np.empty(0)
    origin_weights = np.exp(RECENCY * curve.steps[np.array(ends) - 1])
    origin_weights /= origin_weights.sum()
    errors = np.array([[np.mean((curve.t[end:] - one[row, end:]) ** 2) for row, end in enumerate(ends)] for one in at])
    floor = (NOISE_FLOOR * curve.noise_sd) ** 2
    costs = []
    for (law_name, k), error in zip(members, errors, strict=True):
        size = len(member_problem(law_name, curve, (-np.inf, np.inf)).law.names)
        worth = effective(curve.count * np.exp(k * curve.steps))
        costs.append((float(origin_weights @ error) + floor) * (1.0 + 2.0 * size / worth))
    scaled = np.array(costs) / min(costs)
    weights = scaled**-STEEPNESS * np.array([UNWEIGHTED if k == 0 else 1.0 for _, k in members])
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
