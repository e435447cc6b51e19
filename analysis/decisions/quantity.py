"""A number computed from a fit's parameters, which further runs are to make more precise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.decisions.exponent import fixes_exponent
from analysis.decisions.validation import real
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.curve import Fit
from analysis.fitting.prediction import positive_x
from analysis.fitting.result import FittedLaw
from analysis.fitting.surface import SurfaceFit, checked_inputs
from analysis.formatting import digits

Array = NDArray[np.float64]
Wanted = str | tuple[str, ArrayLike]

STEP = 1e-3  # of ln x, for slopes
KINDS = ("predict", "marginal", "inverse", "exponent")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity and its function of the parameters."""

    description: str
    """For sentences, such as 'y at x = 10,000'."""
    unit: str
    """Of its value and half-width: 'of y', 'ln x', or that of a parameter."""
    value: Callable[[Mapping[str, Any]], Array]
    """Parameters for x as given, each of shape (rows,), to values of shape (rows,)."""


def checked_quantity(fit: FittedLaw, wanted: Wanted) -> Quantity:
    """The quantity asked for: the name of a parameter; 'exponent'; ('predict', x), ('marginal', x)
    for one doubling, or ('inverse', y), the x at which a curve reaches y, counted in ln x. Raises
    AnalysisError.
    """
    kind, argument = (wanted, None) if isinstance(wanted, str) else _pair(wanted)
    law = fit.law_object
    if argument is None and kind in law.names:
        return _parameter(fit, kind)
    if kind == "exponent" and argument is None:
        if isinstance(fit, SurfaceFit):
            if law.compute_exponents is None or fixes_exponent(law):
                raise AnalysisError(f"the law '{fit.law}' has no compute-optimal exponent to make more precise: name one of {', '.join(law.names)}.")
            return Quantity(
                description="the compute-optimal exponent", unit="none", value=lambda params: np.asarray(law.compute_optimal_exponent(params))
            )
        if "b" not in law.names:
            raise AnalysisError(f"the law '{fit.law}' has no exponent b: name one of {', '.join(law.names)}.")
        return _parameter(fit, "b")
    if kind not in KINDS or argument is None:
        known = (*law.names, "exponent", "predict", "marginal", "inverse")
        raise AnalysisError(
            f"the quantity {wanted!r} is not known ({nearest_name(kind, known)}): give a parameter ({', '.join(law.names)}), 'exponent', "
            f"('predict', x), ('marginal', x) or ('inverse', y)."
        )
    if kind == "inverse":
        return _inverse(fit, argument)
    where = _place(fit, argument)
    if kind == "predict":
        return Quantity(description=f"y at {_place_described(fit, where)}", unit="of y", value=lambda params: fit._values(where, params)[:, 0])
    if isinstance(fit, SurfaceFit):
        raise AnalysisError("('marginal', x) is for curves: on a surface, ask for ('predict', inputs).")
    return Quantity(
        description=f"the gain of one doubling at {_place_described(fit, where)}",
        unit="of y",
        value=lambda params: (fit._values(2.0 * where, params) - fit._values(where, params))[:, 0],
    )


def checked_quantities(fit: FittedLaw, wanted: Wanted | Sequence[Wanted]) -> tuple[Quantity, ...]:
    """All quantities asked for: one, a list of them, or ('predict', places) with several places.
    Raises AnalysisError.
    """
    if isinstance(wanted, list):
        if not wanted:
            raise AnalysisError("the list of quantities is empty: give at least one, such as ('predict', x).")
        return tuple(one for each in wanted for one in checked_quantities(fit, each))
    if not isinstance(wanted, str):
        kind, argument = _pair(wanted)
        places = np.asarray(argument, dtype=object)
        if kind in ("predict", "marginal", "inverse") and places.ndim == (2 if isinstance(fit, SurfaceFit) else 1) and len(places) > 1:
            return tuple(checked_quantity(fit, (kind, place)) for place in argument)  # type: ignore[union-attr]
    return (checked_quantity(fit, wanted),)  # type: ignore[arg-type]  # mypy does not see that a list is gone


def _pair(wanted: Any) -> tuple[str, ArrayLike]:
    try:
        kind, argument = wanted
    except (TypeError, ValueError):
        raise AnalysisError(
            f"the quantity is {wanted!r}: give a parameter's name, 'exponent', ('predict', x), ('marginal', x) or ('inverse', y)."
        ) from None
    return str(kind), argument


def _parameter(fit: FittedLaw, name: str) -> Quantity:
    if name in fit.pinned:
        raise AnalysisError(f"{name} is pinned, so no run makes it more precise: free it, or ask for another quantity.")
    return Quantity(description=f"the parameter {name}", unit=fit.law_object.parameter(name).unit, value=lambda params: np.asarray(params[name]))


def _place(fit: FittedLaw, argument: ArrayLike) -> Array:
    """One place to evaluate the fit at: shape (1,), or (1, inputs) for a surface."""
    if isinstance(fit, SurfaceFit):
        places = checked_inputs(fit.law_object, np.atleast_2d(np.asarray(argument, dtype=np.float64)))
        if len(places) != 1:
            raise AnalysisError(f"the quantity asks for {len(places)} places: ask for one at a time.")
        return places
    where = positive_x(argument)
    if len(where) != 1:
        raise AnalysisError(f"the quantity asks for {len(where)} x: ask for one at a time.")
    return where


def _inverse(fit: FittedLaw, argument: ArrayLike) -> Quantity:
    if not isinstance(fit, Fit):
        raise AnalysisError("('inverse', y) is for curves: on a surface many inputs give one y, so ask for ('predict', inputs).")
    target = real("the target y", argument, "give a finite value of y")
    at = fit.inverse(target).x
    if not np.isfinite(at):
        raise AnalysisError(
            f"the curve never reaches y = {target:g}, so there is no x to make more precise: ask for its asymptote, or for a nearer y."
        )
    where = np.array([at])
    beside = at * np.exp([-STEP, STEP])
    slope = float(np.diff(fit._values(beside))[0]) / (2.0 * STEP)  # dy / d ln x

    def value(params: Mapping[str, Any]) -> Array:
        # to first order around the fit, which is all that the delta method uses
        return np.log(at) - (fit._values(where, params)[:, 0] - target) / slope

    return Quantity(description=f"the x at which y = {digits(target)}", unit="ln x", value=value)


def _place_described(fit: FittedLaw, where: Array) -> str:
    if where.ndim == 1:
        return f"x = {digits(float(where[0]))}"
    return ", ".join(f"{name} = {digits(float(value))}" for name, value in zip(fit.law_object.inputs, where[0], strict=True))
