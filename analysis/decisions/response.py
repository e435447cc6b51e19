"""y as a function of several inputs, with draws of its parameters: a fitted surface, or several
curves whose gains are added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.draws import COUNT, draws_of
from analysis.decisions.validation import cautions_of, checked_curve, positive
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.curve import Fit
from analysis.fitting.surface import SurfaceFit
from analysis.formatting import digits
from analysis.laws import Law

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Response:
    """The y that a budget is split for. Made by `response_of` from a SurfaceFit, or by
    `combine_additive`.
    """

    inputs: tuple[str, ...]
    """Names of the columns of X."""
    zero_inputs: tuple[str, ...]
    """Those that may be zero."""
    measured: dict[str, tuple[float, float]]
    """Smallest and largest value measured of each input; the smallest above zero where zero was
    measured too.
    """
    level: float
    """Nominal coverage of intervals."""
    values: Callable[[Array], Array] = field(repr=False)
    """X of shape (..., inputs) to y of shape (...)."""
    drawn: Callable[[Array], Array] = field(repr=False)
    """X of shape (draws or 1, m, inputs) to y of each draw of the parameters, shape (draws, m)."""
    draws: int
    """How many draws of the parameters there are; 0 where there is no spread."""
    tail: float
    """Share of the draws beyond each end of an interval."""
    method: str
    """How the draws were made."""
    reason_no_interval: str
    """Why there are none; empty where there are."""
    cautions: tuple[str, ...]
    """Sentences that qualify what follows."""
    assumption: str
    """What is assumed of y, as a sentence."""
    from_zero: frozenset[str] = frozenset()
    """Inputs measured at zero too."""

    def outside(self, where: Array) -> NDArray[np.bool_]:
        """Which inputs, shape (..., inputs), lie outside the range measured: the same shape."""
        low, high = np.array([self.measured[name] for name in self.inputs]).T
        zero = np.array([name in self.from_zero for name in self.inputs])
        below, above = where < low * (1 - 1e-9), where > high * (1 + 1e-9)
        return np.asarray((below & ~(zero & (where == 0))) | above)


def response_of(model: Any, *, seed: int = 0) -> Response:
    """The response of a SurfaceFit, or the one given. Raises AnalysisError for anything else, and
    for a fit that is not determined.
    """
    if isinstance(model, Response):
        return model
    if not isinstance(model, SurfaceFit):
        what = "a curve, of one input alone: put several together with combine_additive" if isinstance(model, Fit) else f"a {type(model).__name__}"
        raise AnalysisError(f"the model is {what}; a split needs what fit_surface or combine_additive returns.")
    cautions = cautions_of(model, "the surface")
    draws = draws_of(model, seed=seed)
    columns = np.array(model.x)[np.array(model.weights) > 0]
    law = model.law_object
    for name, column in zip(model.inputs, columns.T, strict=True):
        if np.ptp(column) == 0:
            raise AnalysisError(
                f"{name} was {column[0]:g} at every point of the surface, so the effect of {name} is not known: measure it at more values, "
                f"or fit a curve of the others."
            )

    def values(X: Array) -> Array:
        with np.errstate(all="ignore"):
            y = law.function(X, **model.params)
        return _within_domain(law, X, y)

    def drawn(X: Array) -> Array:
        return _within_domain(law, X, model._values(X, draws.params))

    return Response(
        inputs=model.inputs,
        zero_inputs=law.zero_inputs,
        measured={
            name: (float(column[column > 0].min(initial=np.inf)), float(column.max())) for name, column in zip(model.inputs, columns.T, strict=True)
        },
        level=model.level,
        values=values,
        drawn=drawn,
        draws=draws.count,
        tail=draws.tail,
        method=draws.method,
        reason_no_interval=draws.reason,
        cautions=cautions,
        assumption=f"y follows {law.formula} everywhere",
        from_zero=frozenset(name for name, column in zip(model.inputs, columns.T, strict=True) if np.any(column == 0)),
    )


def combine_additive(fits: Mapping[str, Fit], baseline: Mapping[str, float], *, seed: int = 0) -> Response:
    """Several curves, each fitted along one input with all others at their baseline, as one
    response whose gains are added.

    y(x) = y0 + sum over inputs i of [f_i(x_i) - f_i(b_i)], with b the `baseline` (one value per
    input, in its unit) and y0 the mean of the f_i(b_i), which ought to be one number: all curves
    pass through the baseline cell. It assumes that no input changes the gain from another, which
    single-axis measurements cannot test; if you have a grid of two inputs, fit_surface it. The
    curves' errors are taken as independent.

    Raises AnalysisError for fewer than two curves, names that differ between fits and baseline, a
    baseline that is not positive, and differing levels.
    """
    if not isinstance(fits, Mapping) or len(fits) < 2:
        raise AnalysisError("combine_additive needs at least two curves by the name of their input, such as {'N': fit_n, 'D': fit_d}.")
    for name in baseline:
        if name not in fits:
            raise AnalysisError(f"the baseline names '{name}', for which there is no fit ({nearest_name(name, fits)}).")
    missing = [name for name in fits if name not in baseline]
    if missing:
        raise AnalysisError(f"the baseline leaves out {', '.join(missing)}: give the value at which each input stood while the others were varied.")
    cautions = [caution for name, fit in fits.items() for caution in checked_curve(fit, f"the fit of {name}")]
    levels = {round(fit.level, 9) for fit in fits.values()}
    if len(levels) > 1:
        raise AnalysisError(f"the fits have confidence levels {', '.join(f'{one:g}' for one in sorted(levels))}: fit all with one level.")
    names = tuple(fits)
    at = {name: np.array([positive(f"the baseline of {name}", baseline[name], "give a value above zero")]) for name in names}
    base = {name: fits[name].predict(at[name]) for name in names}
    y0 = float(np.mean([one.mean[0] for one in base.values()]))
    for name, one in base.items():
        if np.isfinite(one.low[0]) and not one.low[0] <= y0 <= one.high[0]:
            cautions.append(f"at the baseline the fit of {name} gives {digits(float(one.mean[0]))}, which does not agree with the mean {digits(y0)}")
        if one.extrapolated[0]:
            cautions.append(f"the baseline of {name} lies outside what its fit measured")
    draws = {name: draws_of(fit, seed=seed + place) for place, (name, fit) in enumerate(fits.items())}
    reason = next((f"{name}: {own.reason}" for name, own in draws.items() if own.reason), "")
    count = 0 if reason else COUNT
    random = np.random.default_rng(seed)
    picked: dict[str, dict[str, Array]] = {}
    if count:
        for name, own in draws.items():  # independent errors: any draw of one may meet any draw of another
            rows = random.permutation(np.arange(count) % own.count)
            picked[name] = {parameter: value[rows] for parameter, value in own.params.items()}

    def values(X: Array) -> Array:
        return np.asarray(y0 + sum(fit._values(X[..., column]) - base[name].mean[0] for column, (name, fit) in enumerate(fits.items())))

    def drawn(X: Array) -> Array:
        start = {name: fit._values(at[name], picked[name]) for name, fit in fits.items()}
        centre = sum(start.values()) / len(fits)
        return np.asarray(centre + sum(fit._values(X[..., column], picked[name]) - start[name] for column, (name, fit) in enumerate(fits.items())))

    return Response(
        inputs=names,
        zero_inputs=(),
        measured={name: (fit.x_min, fit.x_max) for name, fit in fits.items()},
        level=next(iter(fits.values())).level,
        values=values,
        drawn=drawn,
        draws=count,
        tail=min(one.tail for one in draws.values()),
        method="; ".join(f"{name}: {one.method}" for name, one in draws.items()) if count else "",
        reason_no_interval=reason,
        cautions=tuple(cautions),
        assumption=f"gains add up: the gain from {' or '.join(names)} over the baseline does not depend on the others, which was not tested",
    )


def _within_domain(law: Law, X: Array, y: Array) -> Array:
    """y, or NaN where the inputs break a limit of the law (`limited_inputs`)."""
    return np.where(law.above_limit(X, 1e-9), np.nan, y) if law.limited_inputs else np.asarray(y)
