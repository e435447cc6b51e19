"""Candidate surfaces fitted to the smaller budgets and judged on the larger ones.

A budget is the product of a point's inputs, N D for model and data. Each law is fitted to all
points, to those without the smallest budgets, and to all with weights that grow with the budget,
under weak priors on its exponents. What a candidate misses beyond several origins decides its
weight; one that the largest budgets contradict, because the law bends where they lie, loses it.
`benchmarks/fitting` measures it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.losses import Loss
from analysis.fitting.problem import Problem, make_problem
from analysis.fitting.rolling_origin import solve_many
from analysis.fitting.solving import OUTLIER, SIGMA_OF_MAD
from analysis.laws import Law

Array = NDArray[np.float64]

SHARES = (0.4, 0.55, 0.7, 0.82, 0.91)  # of the points by budget, at which an origin lies
SPARE = 3  # points beyond the parameters that a fit to a part needs
STEEPNESS = 2.0  # a candidate's weight ~ (mean squared error)^-2
NOISE_FLOOR = 0.5  # of the noise sd, below which a smaller rolling error is luck
RECENCY = 0.3  # an origin counts ~ budget^0.3
STEPS = (20, 150)  # of all starts, and of the best two: valleys of coupled laws are long
NEAR = 0.3  # e-folds of the budget within which an error is noise
RARELY = 0.3  # weight of fits by recency, before the points speak, relative to a fit to all points alike
ALLOWED = 0.5  # by how much chi2 about the largest budgets may be worse than that of the fit by recency, per parameter of the law
PRIORS = {"alpha": (np.log(0.35), 0.7), "beta": (np.log(0.35), 0.7), "k": (0.0, 0.5)}  # of ln: centre, sd


@dataclass(frozen=True)
class Part:
    """How much each point counts in a fit."""

    left_out: float = 0.0
    """Share of the points, smallest budgets first, that are left out."""
    recency: float = 0.0
    """The others count ~ budget^recency."""

    def weights(self, mass: Array, budget: Array, end: int) -> Array:
        """Weights of the points below `end`, ordered by ln `budget`, mean 1 over those that count."""
        first = round(self.left_out * end)
        weights = np.zeros(len(mass))
        weights[first:end] = mass[first:end] * np.exp(self.recency * (budget[first:end] - budget[end - 1]))
        return weights / max(float(np.mean(weights[first:end])), 1e-300)


ALL_POINTS = Part()
RECENT = Part(recency=1.2)
PARTS = (ALL_POINTS, Part(left_out=0.3), Part(left_out=0.55), RECENT)


@dataclass(frozen=True, kw_only=True)
class RollingSurfaces:
    """Candidates, each (law, part of the points), and their errors from rolling origins."""

    candidates: tuple[tuple[str, Part], ...]
    weights: Array
    """Shares in the average, shape (candidates,)."""
    params: tuple[dict[str, float], ...]
    """For X as given."""
    starts: Array
    """ln budget from which on each candidate was fitted, shape (candidates,)."""
    errors: Array
    """Mean squared error of each beyond each origin, shape (candidates, origins)."""
    origin_weights: Array
    """How much each origin counts, shape (origins,)."""
    bias: Array
    """Mean signed error of each, measured minus fitted, shape (candidates,); NaN without origins."""
    squared_error: float
    """Mean squared error of the average beyond an origin per squared e-fold of the budget, less the
    noise; NaN without origins.
    """
    noise_sd: float
    """Standard deviation of the points about the average, on the scale of the errors."""


def log_budget(X: Array, inputs: tuple[str, ...]) -> Array:
    """Sum of the logs of the inputs that are above zero everywhere, shape (n,). Raises AnalysisError
    if none is.
    """
    columns = [column for column in X.T if np.all(column > 0)]
    if not columns:
        raise AnalysisError(f"none of {', '.join(inputs)} is above zero at every point, so that budgets cannot be compared: leave the zeros out.")
    return np.asarray(np.sum(np.log(columns), axis=0))


def rolling_surfaces(
    laws: Mapping[str, Law], X: Array, y: Array, mass: Array, parts: Sequence[Part], asymptote: tuple[float, float], *, logarithmic: bool
) -> RollingSurfaces:
    """Fits every law of `laws` to the points of positive `mass` and to their parts. Raises
    AnalysisError where none can be fitted.
    """
    used = np.flatnonzero(mass > 0)
    first = next(iter(laws.values()))
    order = used[np.argsort(log_budget(X[used], first.inputs), kind="stable")]
    X, y, mass = X[order], y[order], mass[order] / np.mean(mass[order])
    budget = log_budget(X, first.inputs)
    n = len(y)
    most = max(len(law.names) for law in laws.values())
    ends = sorted({_boundary(budget, max(most + SPARE, round(share * n))) for share in SHARES} - {0, n}) if n > most + SPARE else []
    loss = _loss(laws, X, y, mass, asymptote, logarithmic=logarithmic)
    t = np.log(y) if logarithmic else y
    fitted: dict[tuple[str, Part], tuple[Array, dict[str, float], float]] = {}
    for name, law in laws.items():
        bounds = {law.asymptote: asymptote} if law.asymptote is not None else {}
        problem = make_problem(law, X, y, mass, loss, {}, bounds)
        rows: list[Array] = []
        kept: list[Part] = []
        for part in parts:
            weights = np.array([part.weights(mass, budget, end) for end in (*ends, n)])
            if min((weights > 0).sum(axis=1)) >= len(law.names) + SPARE or (part == ALL_POINTS and n >= len(law.names)):
                rows.append(weights)
                kept.append(part)
        if not rows:
            continue
        found = solve_many(problem, np.concatenate(rows), _prior(problem, loss), steps=STEPS)
        values = found.fitted
        if logarithmic:
            values = np.log(np.maximum(values, 1e-6 * float(y.min())))
        original = problem.original(found.u)
        for place, part in enumerate(kept):
            of_part = slice(place * (len(ends) + 1), (place + 1) * (len(ends) + 1))
            if np.all(np.isfinite(values[of_part])):
                last = of_part.stop - 1
                params = {key: float(value[last]) for key, value in original.items()}
                fitted[name, part] = values[of_part], params, float(budget[round(part.left_out * n)])
    if not fitted:
        raise AnalysisError(f"none of the laws could be fitted to {n} points: measure more.")
    return _weighed(fitted, laws, t, mass, budget, ends)


def _weighed(
    fitted: dict[tuple[str, Part], tuple[Array, dict[str, float], float]],
    laws: Mapping[str, Law],
    t: Array,
    mass: Array,
    budget: Array,
    ends: list[int],
) -> RollingSurfaces:
    n = len(t)
    kept = tuple(fitted)
    at = np.array([fitted[one][0] for one in kept])  # (candidates, origins + 1, n)
    first = {part: n // 2 if part.recency else round(part.left_out * n) for _, part in kept}  # points about which its noise is judged
    least = min(_spread(t[first[part] :] - fitted[name, part][0][-1, first[part] :], len(laws[name].names)) for name, part in kept)
    floor = (NOISE_FLOOR * least) ** 2 + 1e-14
    errors, bias, origin_weights = np.empty((len(kept), 0)), np.full(len(kept), np.nan), np.empty(0)
    if ends:
        origin_weights = np.exp(RECENCY * (budget[np.array(ends) - 1] - budget[-1]))
        origin_weights /= origin_weights.sum()
        errors = np.array([[_mean_square(t[end:] - one[row, end:], mass[end:]) for row, end in enumerate(ends)] for one in at])
        bias = np.array([origin_weights @ np.array([np.median(t[end:] - one[row, end:]) for row, end in enumerate(ends)]) for one in at])
    counted = [_effective(part.weights(mass, budget, n)) for _, part in kept]
    costs = np.array(
        [
            ((float(origin_weights @ error) if ends else 0.0) + floor) * (1.0 + 2.0 * len(laws[name].names) / points)
            for (name, _), error, points in zip(kept, errors, counted, strict=True)
        ]
    )
    weights = (costs / costs.min()) ** -STEEPNESS * np.array([RARELY if part.recency else 1.0 for _, part in kept])
    weights *= _not_contradicted({one: t - fitted[one][0][-1] for one in kept}, laws, mass, budget, max(least, 1e-7))
    weights /= weights.sum()
    mixed = np.tensordot(weights, at, 1)
    shape = sum(weight * len(laws[name].names) for weight, (name, _) in zip(weights, kept, strict=True))
    half = n // 2
    noise = _spread(t[half:] - mixed[-1, half:], min(round(shape * (n - half) / n), n - half - 1))
    up = down = 0.0
    for row, end in enumerate(ends):
        far = budget[end:] - budget[end - 1]
        up += origin_weights[row] * max(_mean_square(t[end:] - mixed[row, end:], mass[end:]) - noise**2, 0.0)
        down += origin_weights[row] * float(np.mean(far**2 + NEAR**2))
    return RollingSurfaces(
        candidates=kept,
        weights=weights,
        params=tuple(fitted[one][1] for one in kept),
        starts=np.array([fitted[one][2] for one in kept]),
        errors=errors,
        origin_weights=origin_weights,
        bias=bias,
        squared_error=up / down if ends else np.nan,
        noise_sd=noise,
    )


def _boundary(budget: Array, place: int) -> int:
    """The nearest place from `place` on where the budget rises, so that no budget is split; 0 if
    there is none.
    """
    rises = np.flatnonzero(np.diff(budget) > 1e-3 * (1.0 + np.ptp(budget))) + 1
    if not len(rises):
        return 0
    later = rises[rises >= place]
    return int(later[0]) if len(later) else 0


def _not_contradicted(residuals: dict[tuple[str, Part], Array], laws: Mapping[str, Law], mass: Array, budget: Array, noise_sd: float) -> Array:
    """Likelihood of each candidate about the largest budgets relative to the same law fitted to
    them, shape (candidates,): 1 where nothing speaks against it. Chi2 counts points ~ budget^recency
    as that fit does, outliers linearly.
    """
    near = mass * np.exp(RECENT.recency * (budget - budget[-1]))
    chi2 = {}
    for one, residual in residuals.items():
        sizes = np.abs(residual) / noise_sd
        chi2[one] = float(near @ np.where(sizes <= OUTLIER, sizes**2, 2.0 * OUTLIER * sizes - OUTLIER**2))
    excess = [chi2[name, part] - chi2.get((name, RECENT), np.inf) - ALLOWED * len(laws[name].names) for name, part in residuals]
    return np.asarray(np.exp(-0.5 * np.maximum(excess, 0.0)))


def _effective(weights: Array) -> float:
    """How many points of equal weight tell as much."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


def _loss(laws: Mapping[str, Law], X: Array, y: Array, mass: Array, asymptote: tuple[float, float], *, logarithmic: bool) -> Loss:
    """Huber's loss with the delta of the least-squares fit that leaves the smallest residuals."""
    plain = Loss(logarithmic=logarithmic, robust=False)
    spreads = []
    for law in laws.values():
        bounds = {law.asymptote: asymptote} if law.asymptote is not None else {}
        problem = make_problem(law, X, y, mass, plain, {}, bounds)
        with np.errstate(all="ignore"):
            residual = plain.residual(solve_many(problem, mass[None], steps=STEPS).fitted[0], y)
        if np.all(np.isfinite(residual)):
            spreads.append(_spread(residual, len(law.names)))
    unit = 1.0 if logarithmic else float(np.ptp(y))
    return dataclasses.replace(plain, robust=True, delta=OUTLIER * max(min(spreads, default=unit), 1e-4 * unit))


def _prior(problem: Problem, loss: Loss) -> tuple[Array, Array]:
    centre, precision = np.zeros(len(problem.law.names)), np.zeros(len(problem.law.names))
    for index, name in enumerate(problem.law.names):
        if name in PRIORS and problem.logged[index]:
            centre[index], precision[index] = PRIORS[name][0], (loss.delta / OUTLIER) ** 2 / PRIORS[name][1] ** 2
    return centre, precision


def _spread(residual: Array, free: int) -> float:
    """Standard deviation from the median absolute residual, leaving out as many of the smallest as
    there are parameters.
    """
    sizes = np.sort(np.abs(residual))
    return float(np.median(sizes[min(free, len(sizes) - 1) :]) / SIGMA_OF_MAD) if len(sizes) else 0.0


def _mean_square(off: Array, mass: Array) -> float:
    return float(np.sum(mass * off**2) / np.sum(mass))
