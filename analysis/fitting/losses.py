"""Loss functions of a fit: squared or Huber's, on residuals of y or of ln y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, nearest_name

Array = NDArray[np.float64]

LOSSES: Final = {
    "log_huber": "Huber's loss of ln(fitted) - ln(y): relative errors, outliers count linearly",
    "log_squared": "squared ln(fitted) - ln(y): relative errors",
    "huber": "Huber's loss of fitted - y: outliers count linearly",
    "squared": "squared fitted - y: least squares",
}
"""Names of losses that `fit` takes, with their meaning."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss of a residual r, up to a factor: r^2 / 2 while |r| <= delta, delta (|r| - delta / 2)
    beyond (Huber 1964).
    """

    logarithmic: bool
    """Whether residuals are of ln y."""
    robust: bool
    """Whether there is a delta at all."""
    delta: float = np.inf
    """Where the loss turns linear, in the unit of the residual."""

    def residual(self, fitted: Array, y: Array) -> Array:
        """Residuals, infinite where ln(fitted) does not exist."""
        if not self.logarithmic:
            return fitted - y
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(fitted > 0, np.log(np.where(fitted > 0, fitted, 1.0) / y), np.inf)

    def value(self, residual: Array) -> Array:
        """Loss of each residual."""
        size = np.abs(residual)
        if not np.isfinite(self.delta):
            return 0.5 * size * size
        return np.where(size <= self.delta, 0.5 * size * size, self.delta * (size - 0.5 * self.delta))

    def slope(self, residual: Array) -> Array:
        """Derivative of the loss by the residual."""
        return residual if not np.isfinite(self.delta) else np.clip(residual, -self.delta, self.delta)

    def inside(self, residual: Array) -> Array:
        """Second derivative: 1 within delta, 0 beyond."""
        return np.asarray(np.abs(residual) <= self.delta, dtype=np.float64)

    def majorant(self, residual: Array) -> Array:
        """Weight of the parabola that touches the loss at this residual and lies above it
        everywhere.
        """
        if not np.isfinite(self.delta):
            return np.ones_like(residual)
        return self.delta / np.maximum(np.abs(residual), self.delta)


def find_loss(name: str, delta: float | None) -> Loss:
    """The loss of that name; with `delta` None it is set from the residuals. Raises
    AnalysisError.
    """
    if name not in LOSSES:
        raise AnalysisError(f"there is no loss '{name}' ({nearest_name(name, LOSSES)}): choose one of {', '.join(LOSSES)}.")
    robust = name.endswith("huber")
    if delta is not None and not robust:
        raise AnalysisError(f"delta is given and the loss '{name}' has none: leave it out, or choose 'log_huber' or 'huber'.")
    number = isinstance(delta, int | float | np.number) and not isinstance(delta, bool)
    if delta is not None and (not number or not (np.isfinite(delta) and delta > 0)):
        given = f"{delta:g}" if number else repr(delta)
        raise AnalysisError(f"delta is {given}: give the residual beyond which a point is an outlier, above zero.")
    return Loss(logarithmic=name.startswith("log"), robust=robust, delta=np.inf if delta is None else float(delta))
