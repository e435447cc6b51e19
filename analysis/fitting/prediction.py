"""A prediction: the mean at some x with an interval, and whether it is extrapolated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd


Array = NDArray[np.float64]
Kind = Literal["mean", "new run"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A law at some x, or its change, with an interval."""

    x: Array
    """Where, shape (m,), in the unit of the fitted x; shape (m, inputs) for a surface."""
    mean: Array
    """Value of the law, shape (m,), in the unit of the fitted y."""
    low: Array
    """Lower end of the interval, shape (m,); NaN where there is no interval."""
    high: Array
    """Upper end of the interval, shape (m,); NaN where there is no interval."""
    extrapolated: NDArray[np.bool_]
    """Whether x lies outside the measured range, shape (m,)."""
    level: float
    """Confidence level of the interval."""
    kind: str = "mean"
    """What the interval is for: 'mean' of many runs, one 'new run', or the change in 'marginal'."""
    x_names: tuple[str, ...] = ("x",)
    """What x is called, or each input of a surface: names of columns in `to_frame`."""

    def to_frame(self) -> pd.DataFrame:
        """One row per x: x by its name (or one column per input), mean, low, high, extrapolated."""
        import pandas as pd

        results = {name: getattr(self, name) for name in ("mean", "low", "high", "extrapolated")}
        columns = self.x.reshape(len(self.x), -1).T
        where = {f"{name} (x)" if name in results else name: column for name, column in zip(self.x_names, columns, strict=True)}
        return pd.DataFrame(where | results)


def positive_x(x: ArrayLike, what: str = "the x to predict at") -> Array:
    """x as a float array of shape (m,). Raises AnalysisError, about `what`, unless all are finite and
    above zero.
    """
    try:
        where = np.atleast_1d(np.asarray(x, dtype=np.float64))
    except (TypeError, ValueError):
        raise AnalysisError(f"{what} hold something that is not a number: give numbers.") from None
    if where.ndim != 1:
        raise AnalysisError(f"{what} have shape {where.shape}: give one number or a one-dimensional array.")
    wrong = ~(np.isfinite(where) & (where > 0))
    if wrong.any():
        value = where[wrong][0]
        raise AnalysisError(f"{what} hold {value:g}: a law is defined for finite x above zero, so leave it out.")
    return where


def checked_step(per: float | str, of: str) -> float | None:
    """How much more of the input named `of` a marginal takes; None for 'doubling'. Raises
    AnalysisError.
    """
    if isinstance(per, str) and per == "doubling":
        return None
    number = isinstance(per, int | float | np.number) and not isinstance(per, bool)
    if not number or not (np.isfinite(per) and per > 0):  # type: ignore[operator]
        given = f"{per:g}" if number else repr(per)
        raise AnalysisError(f"per is {given}: give 'doubling' or a positive number in the unit of {of}, such as 1000.")
    return float(per)


def checked_kind(kind: str) -> None:
    """Raises AnalysisError unless kind is 'mean' or 'new run'."""
    if kind not in ("mean", "new run"):
        raise AnalysisError(f"kind is {kind!r}: choose 'mean' (of many runs) or 'new run' (where one more run would fall).")
