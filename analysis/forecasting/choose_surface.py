"""Chooses a surface over several inputs by how it predicts larger budgets from smaller ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, finite
from analysis.fitting.fit import OwnLaw
from analysis.fitting.inputs import checked_level, checked_metric, checked_range, checked_weights, numbers
from analysis.fitting.own_law import is_own, resolved
from analysis.fitting.surface import checked_inputs, fit_surface
from analysis.forecasting.surface_choice import SurfaceCandidate, SurfaceChoice, shrunk_surface_error
from analysis.forecasting.surface_rolling import ALL_POINTS, PARTS, Part, RollingSurfaces, log_budget, rolling_surfaces
from analysis.laws import SURFACES, Law, find_law

Array = NDArray[np.float64]

CANDIDATES = ("chinchilla", "shared_exponent", "skaling")
FEWEST = 6
LEAST_SHARE = 0.5
"""Share of the average, relative to the largest, below which a law is not chosen however simple."""


def choose_surface(
    X: ArrayLike,
    y: ArrayLike,
    *,
    candidates: Sequence[str | OwnLaw] | None = None,
    window: float | None = None,
    weights: ArrayLike | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    metric: str | None = None,
    average_laws: bool = True,
    level: float = 0.95,
) -> SurfaceChoice:
    """Chooses a surface for X, shape (n, inputs), and y, shape (n,), by rolling-origin
    cross-validation over budgets, and forecasts by the average of the candidates.

    A point's budget is the product of its inputs, N D for model size and data. Each law is fitted
    to the points of smaller budgets and judged on the larger ones, from up to five origins; so are
    its fits without the smallest 30 and 55% of the budgets, and one in which points count ~
    budget^1.2, unless `window` says from which budget on points count. Forecasts are the average of
    all, weighted by (mean squared error)^-2; a fit that misses the largest budgets by more than
    noise, where the same law can follow them, loses its weight.
    `average_laws=False` forecasts by the law chosen: the simplest whose errors exceed those of the
    law of the largest weight by no more than one standard error over origins, and which has at
    least half of that weight. `candidates` are names in `analysis.SURFACES`,
    functions f(X, a, b) of your own, or `analysis.Law`s; by default chinchilla, shared_exponent and
    skaling. `y_range` and `metric` are as for `fit`: a y above zero keeps its floor at zero or above
    unless told otherwise. Errors are relative if all y > 0.

    Raises AnalysisError for points that no law can be fitted to.
    """
    checked_level(level)
    values = numbers("y", y)
    mass = checked_weights(weights if values.ndim == 1 else None, values.size)
    counts = mass > 0
    chosen_laws, own = checked_laws(candidates, X, values, mass)
    where = checked_inputs(next(iter(chosen_laws.values())), X)
    if values.shape != (len(where),):
        raise AnalysisError(f"X has {len(where)} rows and y has shape {values.shape}: give one y for each row.")
    if not np.all(np.isfinite(values)):
        raise AnalysisError(f"y[{np.flatnonzero(~np.isfinite(values))[0]}] is not finite: leave such points out before choosing.")
    if (number := int(np.sum(counts))) < FEWEST:
        raise AnalysisError(f"{number} points are too few to choose a surface by: measure at {FEWEST} or more.")
    logarithmic = bool(np.all(values[counts] > 0))
    given = checked_metric(metric, y_range)
    low, high = checked_range(given, values[counts])
    floor = 0.0 if logarithmic and given is None and metric is None else low
    inputs = next(iter(chosen_laws.values())).inputs
    used = log_budget(where[mass > 0], inputs)  # another point may have an input of 0, whose log is none
    budget = np.full(len(values), used.min())
    budget[mass > 0] = used
    left_out = np.zeros(len(values), dtype=bool)
    if window is not None:
        if not (np.isfinite(window) and window > 0):
            raise AnalysisError(f"window is {window!r}: give the budget, {' '.join(inputs)}, from which on points count.")
        left_out = (mass > 0) & (budget < np.log(window))
        if (within := int(np.sum((mass > 0) & ~left_out))) < FEWEST:
            raise AnalysisError(f"only {within} points have a budget of {window:g} or more: give a smaller window.")
    mass = np.where(left_out, 0.0, mass)
    found = rolling_surfaces(chosen_laws, where, values, mass, PARTS if window is None else (ALL_POINTS,), (floor, high), logarithmic=logarithmic)
    rows, law, start, part = _rows(found, chosen_laws)
    kept = (mass > 0) & (budget >= start - 1e-9)
    counted = mass * np.exp(part.recency * (budget - budget.max()))
    settings: dict[str, Any] = {"y_range": given, "metric": "any" if given is None and not logarithmic else None, "level": level, "bootstrap": 0}
    fitted = fit_surface(
        where, values, law=own.get(law, law), weights=np.where(kept, counted, 0.0), loss="log_huber" if logarithmic else "huber", **settings
    )
    return SurfaceChoice(
        law=law,
        fit=fitted.with_turn(mass > 0),  # also where y rises among the budgets that the law chosen leaves out
        averaged=average_laws,
        level=level,
        laws=rows,
        candidates=tuple(
            SurfaceCandidate(law=name, from_budget=float(np.exp(from_budget)), recency=one.recency, weight=float(weight), params=params)
            for (name, one), weight, params, from_budget in zip(found.candidates, found.weights, found.params, found.starts, strict=True)
        ),
        noise_sd=found.noise_sd,
        extrapolation_error=shrunk_surface_error(found.squared_error, found.errors.shape[1], 1.0 if logarithmic else float(np.ptp(values[counts]))),
        window=float(np.exp(start)),
        recency=part.recency,
        left_out=int(np.sum((mass > 0) & ~kept) + np.sum(left_out)),
        all_weights=tuple(mass.tolist()),
        own_laws={name: one for name, one in own.items() if name in {candidate for candidate, _ in found.candidates}},
    )


def checked_laws(candidates: Sequence[str | OwnLaw] | None, X: ArrayLike, y: Array, mass: Array) -> tuple[dict[str, Law], dict[str, Law]]:
    """All candidate laws by name, and those of the caller's own. Raises AnalysisError."""
    if candidates is None:
        return {name: SURFACES[name] for name in CANDIDATES}, {}
    if isinstance(candidates, str) or not isinstance(candidates, Sequence) or not len(candidates):
        raise AnalysisError(f"candidates is {candidates!r}: give a list of names of surfaces, such as ['chinchilla', 'skaling'].")
    laws = []
    for one in candidates:
        if isinstance(one, str):
            laws.append(find_law(one, SURFACES))
        else:
            laws.append(resolved(one, SURFACES, checked_inputs(one, X), y, mass))
    own = {law.name: law for law in laws if is_own(law, SURFACES)}
    for name in own:
        if name in SURFACES or sum(law.name == name for law in laws) > 1:
            raise AnalysisError(f"two candidates are named '{name}' (built-in surfaces included): rename your own.")
    widths = {len(law.inputs) for law in laws}
    if len(widths) > 1:
        raise AnalysisError("the candidates differ in their number of inputs: choose among laws of the same columns.")
    return {law.name: law for law in laws}, own


def _rows(found: RollingSurfaces, laws: dict[str, Law]) -> tuple[tuple[dict[str, Any], ...], str, float, Part]:
    """One row per law, best first; the law chosen, the ln budget from which on it is fitted, and
    how much the points count.
    """
    error = found.errors @ found.origin_weights if len(found.origin_weights) else np.full(len(found.candidates), np.nan)
    best_of: dict[str, int] = {}
    share: dict[str, float] = {}
    for place, (name, _) in enumerate(found.candidates):
        share[name] = share.get(name, 0.0) + float(found.weights[place])
        if name not in best_of or found.weights[place] > found.weights[best_of[name]]:
            best_of[name] = place
    heaviest = max(share, key=lambda name: share[name])
    best = best_of[heaviest]
    rows: list[dict[str, Any]] = []
    near: list[str] = []
    for name, place in best_of.items():
        ratio = 0.5 * np.log((found.errors[place] + 1e-300) / (found.errors[best] + 1e-300))
        spread = float(np.std(ratio, ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else 0.0
        alike = not len(ratio) or float(np.mean(ratio)) <= spread
        if place == best or (alike and share[name] >= LEAST_SHARE * share[heaviest]):
            near.append(name)
        rows.append(
            {
                "law": name,
                "parameters": len(laws[name].names),
                "rolling_error": finite(float(np.sqrt(error[place]))),
                "bias": finite(float(found.bias[place])),
                "from_budget": float(np.exp(found.starts[place])),
                "recency": found.candidates[place][1].recency,
                "weight": share[name],
                "chosen": False,
            }
        )
    rows.sort(key=lambda row: -row["weight"])
    chosen = min((row for row in rows if row["law"] in near), key=lambda row: (row["parameters"], row["rolling_error"] or 0.0))
    chosen["chosen"] = True
    place = best_of[str(chosen["law"])]
    return tuple(rows), str(chosen["law"]), float(found.starts[place]), found.candidates[place][1]
