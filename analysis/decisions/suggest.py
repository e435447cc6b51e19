"""Suggests the runs that make a quantity most precise per GPU-hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.decisions.decision import NOT_WRITTEN, Decision, with_names
from analysis.decisions.information import Information, information_of, rows_at
from analysis.decisions.quantity import Quantity, Wanted, checked_quantities
from analysis.decisions.validation import checked_curve, positive, real, undetermined, why_no_spread
from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.inputs import numbers
from analysis.fitting.prediction import positive_x
from analysis.fitting.result import FittedLaw
from analysis.fitting.surface import SurfaceFit, checked_inputs
from analysis.forecasting.surface_choice import SurfaceChoice
from analysis.forecasting.surface_rolling import log_budget
from analysis.formatting import digits, number_of, percent
from analysis.student import t_quantile

Array = NDArray[np.float64]

LOPSIDED = 3.0  # one side of an interval relative to the other, beyond which the delta method is rough


@dataclass(frozen=True, kw_only=True)
class SuggestedRuns(Decision):
    """Which runs to make next. Make one with `suggest_runs`."""

    KIND: ClassVar[str] = "suggested_runs"

    quantity: str
    """The quantity to make more precise, for sentences."""
    unit: str
    """Of the half-widths; 'ln x' for an x, so that 0.1 is 10%."""
    half_width_now: float
    """Half-width of the quantity's interval as the fit stands."""
    table: pd.DataFrame
    """One row per candidate, in the order in which a single run would be chosen: its x (or inputs),
    cost_gpu_hours of one run, half_width_now, half_width_after one run there, reduction (share of the
    half-width that goes), reduction_per_gpu_hour, extrapolated, rank.
    """
    chosen: pd.DataFrame
    """The runs to make, one row each in order: the candidate, cost_gpu_hours, half_width_after it
    and all before, total_gpu_hours, extrapolated.
    """
    method: str
    """How the half-widths were predicted."""
    names: tuple[str, str] = field(default=("x", "y"), metadata=NOT_WRITTEN)
    """Names of x and y in sentences. The column of the tables is always x."""

    def sentence(self) -> str:
        """The suggestion as a sentence."""
        return with_names(self._claim(), *self.names)

    def _claim(self) -> str:
        if self.chosen.empty:
            return f"No run that the GPU-hours allow makes {self.quantity} more precise."
        places = self.chosen.drop(columns=["cost_gpu_hours", "half_width_after", "total_gpu_hours", "extrapolated"])
        counted: dict[str, int] = {}
        for row in places.to_dict("records"):
            place = ", ".join(f"{name} = {digits(float(value))}" for name, value in row.items())
            counted[place] = counted.get(place, 0) + 1
        runs = "; ".join(f"{count} at {place}" for place, count in counted.items())
        last = self.chosen.iloc[-1]
        after, hours = float(last["half_width_after"]), float(last["total_gpu_hours"])
        outside = " Some lie beyond what was measured, where the law may not hold." if self.chosen["extrapolated"].any() else ""
        unit = f" ({self.unit})" if self.unit else ""  # a law of the caller's own may have none
        return (
            f"To make {self.quantity} more precise, run next: {runs} ({digits(hours)} GPU-hours). If the law is right, its "
            f"{percent(self.level)} interval is expected to shrink from +-{digits(self.half_width_now)} to +-{digits(after)}{unit}.{outside}"
        )

    def plot_data(self) -> pd.DataFrame:
        """`table`."""
        return self.table


def suggest_runs(
    fit: Fit | SurfaceFit | SurfaceChoice | Sequence[Fit | SurfaceFit],
    candidates: ArrayLike,
    quantity: Wanted | Sequence[Wanted],
    cost: float | ArrayLike | Callable[[Array], ArrayLike],
    *,
    runs: int = 1,
    gpu_hours: float | None = None,
    weight: float = 1.0,
    cost_exponent: float = 1.0,
    once: bool = False,
    law_weights: Sequence[float] | None = None,
) -> SuggestedRuns:
    """Which of the candidate cells to run next, so that `quantity` becomes most precise per
    GPU-hour.

    `candidates`: x, shape (m,), or inputs of a surface, shape (m, inputs). `quantity`: a
    parameter's name, 'exponent' (b of a curve, the compute-optimal exponent of a surface),
    ('predict', x), ('marginal', x) for the gain of one doubling, or ('inverse', y) for the x at
    which a curve reaches y; a list of these, or several x at once, for all of them together: then
    the mean of their variances counts, each relative to what it is now. `cost`: GPU-hours of one
    run, a number for all, one per candidate, or a function of the candidates. `runs` are chosen one
    after another, a candidate as often as it pays or `once` at most, by how much each lowers the
    variance per GPU-hour^`cost_exponent`, within `gpu_hours` together where given: an exponent below
    1 makes fewer and larger runs. `weight` of one new run relative to the mean weight of the fit's
    points: 1/3 where those are means of 3 runs.

    `fit` may also be several fits of the same points by different laws, or what `choose_surface`
    returns: then gains are averaged over the laws, by `law_weights`, so that a run counts that
    tells much whichever law is right. Where points count by their budget in a law of such a choice,
    so do the runs.

    c-optimal design (Elfving 1952; Pukelsheim 2006, ch. 2), V-optimal for several places, one run at
    a time: variance of the quantity by the delta method from J'WJ with the run's row added; noise
    as the fit found it, extrapolation error left out. So each law is assumed to be correctly
    specified, and the design tends to the ends of the range. A run is counted as independent of all
    others; Student's t gains a degree of freedom by each. `run_in_rounds` makes runs, refits and
    suggests again.

    Raises AnalysisError for a quantity or candidates that the fit does not know, costs that are not
    positive, and a fit whose points leave a direction open.
    """
    fits, shares, recencies = _fits(fit, law_weights)
    cautions, where, names = _checked(fits[0], candidates)
    for other in fits[1:]:
        cautions = tuple(dict.fromkeys((*cautions, *_checked(other, candidates)[0])))
    targets = [checked_quantities(one, quantity) for one in fits]
    hours = checked_hours(cost, where)
    heavy = positive("weight", weight, "give the weight of one new run relative to the mean of those fitted, above zero")
    power = real("cost_exponent", cost_exponent, "give the power of the GPU-hours that a gain is divided by, such as 1 or 0.5")
    allowed = np.inf if gpu_hours is None else positive("gpu_hours", gpu_hours, "give the GPU-hours to spend, above zero")
    if isinstance(runs, bool) or not isinstance(runs, int | np.integer) or not 1 <= runs <= 10_000:
        raise AnalysisError(f"runs is {runs!r}: give how many runs to choose, 1 to 10,000.")
    views = [
        _view(one, share, wanted, where, heavy * _relative_weights(one, recency, where))
        for one, share, wanted, recency in zip(fits, shares, targets, recencies, strict=True)
        if share > 0
    ]
    first = fits[0]
    clustered = first.replicate_kind == "jackknife"
    freedom = first.degrees_of_freedom

    def half_width(ratio: Array | float, added: int) -> Array:
        quantile = t_quantile(first.level, freedom + (0 if clustered else added))
        return np.asarray(error * np.sqrt(np.maximum(ratio, 0.0)) * quantile)

    error = float(np.sqrt(sum(view.share * np.mean([one.standard_error**2 for one in view.targets]) for view in views)))
    now = error * t_quantile(first.level, freedom)
    lowered = _ratios_with(views)
    after = half_width(lowered, 1)
    frame = pd.DataFrame(where[:, None] if where.ndim == 1 else where, columns=list(names))
    outside = _outside(first, where)
    table = frame.assign(
        cost_gpu_hours=hours,
        half_width_now=now,
        half_width_after=after,
        reduction=1.0 - after / now,
        reduction_per_gpu_hour=(1.0 - after / now) / hours,
    )
    worth = np.argsort(-(1.0 - lowered) / hours**power, kind="stable")  # as runs are chosen: by the variance
    table = table.assign(extrapolated=outside).iloc[worth].reset_index(drop=True)
    order, ratios = _greedy(views, hours, runs, allowed, power=power, once=once)
    chosen = frame.iloc[order].reset_index(drop=True)
    chosen = chosen.assign(
        cost_gpu_hours=hours[order],
        half_width_after=[float(half_width(ratio, place + 1)) for place, ratio in enumerate(ratios)],
        total_gpu_hours=np.cumsum(hours[order]),
        extrapolated=outside[order],
    )
    cautions = (*cautions, *_lopsided(first, quantity))
    source = f"{first.replicate_kind} spread" if first.replicates is not None else "covariance"
    if clustered:
        cautions = (*cautions, "the fit's points come in clusters, and a new run is counted as if it were independent: give each a seed of its own")
    averaged = f", averaged over {len(views)} laws" if len(views) > 1 else ""
    return SuggestedRuns(
        level=first.level,
        cautions=cautions,
        quantity=_described(targets[0]),
        unit=targets[0][0].unit,
        half_width_now=now,
        table=table.assign(rank=np.arange(1, len(table) + 1)),
        chosen=chosen,
        method=f"delta method: the half-width now by the fit's {source}, reduced by the information of the added runs{averaged}",
        names=(first.x_name if isinstance(first, Fit) else "x", fit.y_name if isinstance(fit, SurfaceChoice) else first.y_name),
    )


@dataclass(frozen=True, kw_only=True)
class _View:
    """The targets and candidates as one law sees them."""

    share: float
    targets: tuple[Information, ...]
    starts: tuple[float, ...]
    """Variance of each target before any run."""
    rows: Array
    """Derivatives at the candidates, shape (m, p)."""
    weights: Array
    """Of a run at each candidate, relative to the mean of the fit's points, shape (m,)."""

    def ratio(self) -> float:
        """Mean variance of the targets relative to that before any run."""
        return float(np.mean([one.variance / start for one, start in zip(self.targets, self.starts, strict=True)]))

    def ratios_with(self) -> Array:
        """The same after one more run at each candidate, shape (m,)."""
        ratios = [one.variances_with(self.rows, self.weights) / start for one, start in zip(self.targets, self.starts, strict=True)]
        return np.asarray(np.mean(ratios, axis=0))

    def with_run(self, place: int) -> _View:
        return replace(self, targets=tuple(one.with_run(self.rows[place], float(self.weights[place])) for one in self.targets))


def _fits(given: Any, law_weights: Sequence[float] | None) -> tuple[list[Fit | SurfaceFit], list[float], list[float]]:
    """The fits, their shares, adding up to 1, and the power of the budget by which points count in
    each. Raises AnalysisError.
    """
    if isinstance(given, SurfaceChoice):
        of_laws, shares, recencies = given.fits_of_laws()
        if not of_laws:
            raise AnalysisError("none of the laws of this choice has a fit with intervals, so the value of further runs is not known: measure more.")
        return list(of_laws), shares, recencies
    fits = list(given) if isinstance(given, list | tuple) else [given]
    if not fits:
        raise AnalysisError("fit is an empty list: give at least one fit.")
    shares = [1.0] * len(fits) if law_weights is None else [real("law_weights", one, "give one number per fit") for one in law_weights]
    if len(shares) != len(fits) or min(shares) < 0 or sum(shares) <= 0:
        raise AnalysisError(f"law_weights has {len(shares)} numbers for {len(fits)} fits: give one for each, zero or above, not all zero.")
    return fits, [one / sum(shares) for one in shares], [0.0] * len(fits)


def _relative_weights(fit: Fit | SurfaceFit, recency: float, where: Array) -> Array:
    """How much a run at each candidate would count in such a fit, relative to the mean of its
    points, shape (m,).
    """
    if not recency or not isinstance(fit, SurfaceFit):
        return np.ones(len(where))
    used = np.array(fit.x, dtype=float)[np.array(fit.weights) > 0]
    budget = log_budget(np.concatenate([used, where]), fit.inputs)
    measured, offered = np.split(budget, [len(used)])
    return np.asarray(np.exp(recency * (offered - measured.max())) / np.mean(np.exp(recency * (measured - measured.max()))))


def _view(fit: Fit | SurfaceFit, share: float, targets: tuple[Quantity, ...], where: Array, weights: Array) -> _View:
    """Raises AnalysisError where the law has no value at a candidate, or nothing moves a target."""
    informations = tuple(information_of(fit, one) for one in targets)
    rows = rows_at(fit, where)
    unsound = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(unsound):
        raise AnalysisError(f"candidate {unsound[0]} lies where the law has no value: leave it out.")
    for one, target in zip(informations, targets, strict=True):
        if not one.variance > 0 or not one.standard_error > 0:
            raise AnalysisError(
                f"{target.description} does not move with the fit's parameters, or lies on a bound, so that no run can tell more: ask for another."
            )
    return _View(share=share, targets=informations, starts=tuple(one.variance for one in informations), rows=rows, weights=weights)


def _ratios_with(views: list[_View]) -> Array:
    return np.asarray(sum(view.share * view.ratios_with() for view in views))


def _described(targets: tuple[Quantity, ...]) -> str:
    names = [one.description for one in targets]
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 3 else " and ".join(names)


def _greedy(views: list[_View], hours: Array, runs: int, allowed: float, *, power: float, once: bool) -> tuple[list[int], list[float]]:
    """Candidates in the order in which they are taken, and the mean relative variance after each."""
    order: list[int] = []
    ratios: list[float] = []
    left = allowed
    open_to = np.ones(len(hours), dtype=bool)
    for _ in range(runs):
        ratio = sum(view.share * view.ratio() for view in views)
        gained = (ratio - _ratios_with(views)) / hours**power
        gained = np.where(open_to & (hours <= left * (1 + 1e-12)), gained, -np.inf)
        best = int(np.argmax(gained))
        if not gained[best] > 0:
            break
        views = [view.with_run(best) for view in views]
        left -= float(hours[best])
        open_to[best] = not once
        order.append(best)
        ratios.append(float(sum(view.share * view.ratio() for view in views)))
    return order, ratios


def _checked(fit: Any, candidates: ArrayLike) -> tuple[tuple[str, ...], Array, tuple[str, ...]]:
    """Cautions, the candidates and the names of their columns. Raises AnalysisError."""
    if not isinstance(fit, FittedLaw):
        raise AnalysisError(f"fit is a {type(fit).__name__}; this needs what analysis.fit or fit_surface returns.")
    if isinstance(fit, Fit):
        checked_curve(fit)
    reason = why_no_spread(fit)
    if reason or undetermined(fit):
        raise AnalysisError(f"the fit has no spread to shrink ({reason or fit.status_detail}): pin a parameter or measure at more x first.")
    rough = "so the predicted half-widths are rough"
    cautions = () if fit.status == "converged" else (f"the fit is '{fit.status}' ({fit.status_detail}), {rough}",)
    if fit.status == "does not fit":
        cautions = (f"the law '{fit.law}' does not fit its points ({fit.status_detail}), {rough}",)
    if isinstance(fit, SurfaceFit):
        return cautions, checked_inputs(fit.law_object, np.atleast_2d(numbers("candidates", candidates))), fit.inputs
    where = positive_x(candidates, "candidates")
    if not len(where):
        raise AnalysisError("candidates are empty: give at least one x to run at.")
    return cautions, where, ("x",)


def _lopsided(fit: FittedLaw, quantity: Wanted | Sequence[Wanted]) -> tuple[str, ...]:
    """A caution where the parameter's own interval shows that the delta method is rough."""
    interval = fit.intervals.get(quantity) if isinstance(quantity, str) else None
    if interval is None:
        return ()
    down, up = fit.params[str(quantity)] - interval[0], interval[1] - fit.params[str(quantity)]
    if np.isfinite(down + up) and max(down, up) <= LOPSIDED * min(down, up):
        return ()
    return (f"the interval of {quantity} is lopsided, {digits(interval[0])} to {digits(interval[1])}, so the predicted half-widths are rough",)


def checked_hours(cost: Any, where: Array) -> Array:
    """GPU-hours of each candidate, shape (m,). Raises AnalysisError."""
    given = numbers("cost", cost(where) if callable(cost) else cost)
    if given.shape not in ((), (len(where),)):
        many = number_of(len(where), "candidate")
        raise AnalysisError(f"cost has shape {given.shape} for {many}: give one number of GPU-hours for all, or one for each.")
    hours = np.broadcast_to(given, (len(where),)).astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(hours) & (hours > 0)))
    if len(wrong):
        raise AnalysisError(f"cost[{wrong[0]}] is {hours[wrong[0]]:g}: give the GPU-hours of one run, above zero.")
    return hours


def _outside(fit: Fit | SurfaceFit, where: Array) -> NDArray[np.bool_]:
    if isinstance(fit, SurfaceFit):
        return fit._outside(where)
    return np.asarray((where < fit.x_min) | (where > fit.x_max))
