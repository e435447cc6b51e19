"""Checks the fits and settings that a decision is based on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.result import FittedLaw
from analysis.fitting.surface import SurfaceFit

Better = Literal["higher", "lower"]


def checked_curve(fit: Any, what: str = "fit") -> tuple[str, ...]:
    """Cautions about a curve. Raises AnalysisError if it is no curve, or too poorly determined to
    decide on.
    """
    if not isinstance(fit, Fit):
        other = "a surface: fix all inputs but one and fit a curve with analysis.fit" if isinstance(fit, SurfaceFit) else f"a {type(fit).__name__}"
        if isinstance(fit, Mapping) and fit and all(isinstance(one, Fit) for one in fit.values()):
            raise AnalysisError(f"{what} holds the fits of several groups: take one, such as fits['{next(iter(fit))}'].")
        raise AnalysisError(f"{what} is {other}; this needs what analysis.fit returns, such as fit(table, x='n_labels', y='acc').")
    if fit.law_object.baseline:
        raise AnalysisError(f"{what} has the law '{fit.law}', which is flat: no decision about x follows from it; fit another law.")
    return cautions_of(fit, what)


def cautions_of(fit: FittedLaw, what: str = "fit") -> tuple[str, ...]:
    """Cautions about a fit's status. Raises AnalysisError where its parameters are not determined."""
    if fit.status == "converged":
        return ()
    unusable = not all(np.isfinite(value) for value in fit.params.values()) or undetermined(fit)
    if unusable and (fit.status == "not identified" or not why_no_spread(fit)):
        raise AnalysisError(f"{what} is {fit.status}: {fit.status_detail}. Measure at more x, or pin a parameter, before deciding on it.")
    if fit.status == "does not fit":
        return (f"the law '{fit.law}' does not fit its points: {fit.status_detail}",)
    return (f"{what} is '{fit.status}': {fit.status_detail}",)


def undetermined(fit: FittedLaw) -> bool:
    """Whether the data leave a direction of the parameters open, so that intervals are too narrow."""
    if fit.replicates is not None:
        return False
    if fit.covariance_root is None:
        return True
    root = np.array(fit.covariance_root)
    return root.size == 0 or not np.all(np.isfinite(root)) or bool(np.any(np.all(root == 0.0, axis=0)))


def why_no_spread(fit: FittedLaw) -> str:
    """Why the fit has no standard errors; empty where it has."""
    if fit.replicates is None and fit.covariance_root is None:
        return fit.reason_no_interval or "the fit has no covariance"
    return ""


def positive(name: str, value: Any, advice: str) -> float:
    """The value as a float. Raises AnalysisError unless it is finite and above zero."""
    number = real(name, value, advice)
    if not number > 0:
        raise AnalysisError(f"{name} is {number:g}: {advice}.")
    return number


def real(name: str, value: Any, advice: str) -> float:
    """The value as a float. Raises AnalysisError unless it is a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise AnalysisError(f"{name} is {value!r}, which is no number: {advice}.") from None
    if not np.isfinite(number):
        raise AnalysisError(f"{name} is {number:g}: {advice}.")
    return number


def direction(better: str | None, first: float, last: float) -> Better:
    """Which y is better: as the caller says, else the way y goes as the inputs grow. Raises
    AnalysisError.
    """
    if better is None:
        return "higher" if last > first else "lower"
    if better not in ("higher", "lower"):
        raise AnalysisError(f"better is {better!r}: choose 'higher' (a score) or 'lower' (a loss), or leave it out.")
    return better  # type: ignore[return-value]
