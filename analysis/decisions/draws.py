"""Draws of a fit's parameters from their distribution, to repeat an optimum or other function over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.decision import Interval
from analysis.decisions.validation import why_no_spread
from analysis.fitting.result import FittedLaw
from analysis.student import t_quantile

Array = NDArray[np.float64]

COUNT = 400


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws of the parameters."""

    params: dict[str, Array]
    """Each of shape (draws,), for x as given; empty where there is no spread."""
    tail: float
    """Share of the draws to leave out at each end of an interval."""
    method: str
    """How they were drawn; empty where there are none."""
    reason: str
    """Why there are none; empty where there are."""

    @property
    def count(self) -> int:
        """How many."""
        return len(next(iter(self.params.values()))) if self.params else 0


def draws_of(fit: FittedLaw, *, count: int = COUNT, seed: int = 0) -> Draws:
    """The bootstrap replicates as they are; else `count` draws of a multivariate Student t with the
    fit's covariance, of the profile's optimum or of the jackknife, in the coordinates of the search
    (positive parameters as logs, where their likelihood is closest to normal).

    A bootstrap's intervals are expanded percentiles, as those of the fit (Hesterberg 2015,
    arXiv:1411.5279).
    """
    from scipy.special import ndtr

    tail = 0.5 - fit.level / 2.0
    reason = why_no_spread(fit)
    if reason:
        return Draws(params={}, tail=tail, method="", reason=reason)
    if fit.replicate_kind == "bootstrap" and fit.replicates is not None:
        units = fit.degrees_of_freedom + 1
        expanded = float(ndtr(-np.sqrt(units / (units - 1.0)) * t_quantile(fit.level, units - 1)))
        found = {name: np.array(values) for name, values in fit.replicates.items()}
        return Draws(params=found, tail=expanded, method=f"{len(next(iter(found.values())))} bootstrap samples, expanded percentiles", reason="")
    root, columns = root_of(fit)
    problem = fit._problem()
    u = problem.at({name: np.array([value]) for name, value in fit.params.items()})
    random = np.random.default_rng(seed)
    freedom = fit.degrees_of_freedom
    scatter = random.standard_normal((count, root.shape[1])) * np.sqrt(freedom / random.chisquare(freedom, count))[:, None]
    moved = np.repeat(u, count, axis=0)
    moved[:, columns] += scatter @ root.T
    with np.errstate(all="ignore"):
        params = problem.original(moved)
    sound = np.all([np.isfinite(value) for value in params.values()], axis=0)
    origin = "jackknife" if fit.replicates is not None else "profile's optimum"
    method = f"{int(sound.sum())} draws of Student t on {freedom} degrees of freedom with the covariance of the {origin}, percentiles"
    return Draws(params={name: value[sound] for name, value in params.items()}, tail=tail, method=method, reason="")


def root_of(fit: FittedLaw) -> tuple[Array, list[int]]:
    """R with covariance R R^T, shape (coordinates, any), and the columns of the problem's
    coordinates that it belongs to.
    """
    names = fit.law_object.names
    if fit.replicates is None:
        columns = [names.index(name) for name in fit.covariance_names]
        return np.array(fit.covariance_root).reshape(len(columns), -1), columns
    columns = [index for index, name in enumerate(names) if name not in fit.pinned]
    problem = fit._problem()
    every = problem.at({name: np.array([fit.params[name], *fit.replicates[name]]) for name in names})[:, columns]
    count = len(every) - 1
    share = (count - 1) / count if fit.replicate_kind == "jackknife" else 1.0 / (count - 1)
    return np.sqrt(share) * (every[1:] - every[0]).T, columns


def ends(values: Array, tail: float) -> Interval | None:
    """Percentile interval of values, shape (draws,), some of which may be infinite; None where more
    than the tail are not numbers.
    """
    unknown = np.isnan(values)
    if not len(values) or unknown.mean() > tail:
        return None
    known = np.sort(values[~unknown])
    last = len(known) - 1
    return float(known[round(tail * last)]), float(known[round((1.0 - tail) * last)])
