"""What a fit returns: parameters with intervals, a status, and predictions that say where they extrapolate."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.jackknife import jackknife_sd
from analysis.laws import Law, find_law
from analysis.student import t_quantile
from analysis.wording import with_interval

Status = Literal["converged", "at bound", "not identified"]
Interval = tuple[float, float]
FORMAT = 1  # of the JSON text; raised when a field changes its meaning


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A law's mean at some x (or its change over a doubling of x), with the interval for the mean, not for a new
    point."""

    x: NDArray[np.float64]
    """Where, shape (m,), in the unit of the fitted x."""
    mean: NDArray[np.float64]
    """Value of the law, shape (m,), in the unit of the fitted y."""
    low: NDArray[np.float64]
    """Lower end of the interval, shape (m,); NaN where there is no interval."""
    high: NDArray[np.float64]
    """Upper end of the interval, shape (m,); NaN where there is no interval."""
    extrapolated: NDArray[np.bool_]
    """Whether it rests on the law outside the x that were measured, shape (m,)."""
    level: float
    """Nominal coverage of the interval."""

    def to_frame(self) -> pd.DataFrame:
        """One row per x, with the columns x, mean, low, high, extrapolated."""
        columns = ("x", "mean", "low", "high", "extrapolated")
        return pd.DataFrame({name: getattr(self, name) for name in columns})


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted law. Make one with `analysis.fit`; read `status` before any number."""

    law: str
    """Name of the law, such as 'power'."""
    params: dict[str, float]
    """Every parameter of the law by name, pinned ones included."""
    intervals: dict[str, Interval | None]
    """(low, high) of every parameter; None for a pinned one, or where `reason_no_interval` says why not. An end
    may be infinite."""
    level: float
    """Nominal coverage of all intervals."""
    status: Status
    """'converged'; 'at bound' (a parameter lies on the edge of its range); 'not identified' (the data cannot tell
    the parameters)."""
    status_detail: str
    """A sentence about the status; empty where there is nothing to add."""
    n: int
    """Points given."""
    n_distinct_x: int
    """Distinct x among them."""
    x_min: float
    """Smallest x measured: outside x_min to x_max a prediction is an extrapolation."""
    x_max: float
    """Largest x measured."""
    residual_sd: float | None
    """Residual standard deviation in the unit of y, on the residual degrees of freedom; None if there are none."""
    correlation: dict[str, dict[str, float]] | None
    """Correlation of the free parameters, by name and name; None where there is no interval."""
    interval_method: str
    """How the intervals were made; empty where there are none."""
    reason_no_interval: str
    """Why parameters have no interval; empty where they have."""
    pinned: tuple[str, ...]
    """Parameters that the caller fixed."""
    degrees_of_freedom: int
    """Of Student's t: points minus free parameters, or clusters minus one."""
    x_scale: float
    """Geometric mean of x (1 if A is pinned); `covariance_root` belongs to the law of x / x_scale, where parameters are least
    correlated."""
    covariance_root: tuple[tuple[float, ...], ...] | None
    """Matrix R, shape (free parameters,) * 2, with covariance R R^T; None where clusters or nothing give the
    intervals."""
    replicates: tuple[dict[str, float], ...] | None
    """Parameters with one cluster left out, one entry per cluster; None without clusters."""

    def predict(self, x: ArrayLike) -> Prediction:
        """The law at x, shape (m,) or a single number, with the interval for its mean.

        Delta method with Student's t, or delete-one-cluster jackknife if the fit had clusters. The interval takes
        the law for true: outside the measured range, where `extrapolated` is set, it is too narrow as far as the
        law is wrong. Raises AnalysisError for an x that is not positive and finite.
        """
        where = _positive(x)
        return self._contrast(where, ((1.0, where),), outside=(where < self.x_min) | (where > self.x_max))

    def doubling_gain(self, x: ArrayLike) -> Prediction:
        """Change of y from doubling x, f(2x) - f(x), shape (m,), with its interval: negative where y falls, as a loss
        does.

        It is flagged as extrapolated unless both x and 2x were inside the measured range.
        """
        where = _positive(x)
        outside = (where < self.x_min) | (2.0 * where > self.x_max)
        return self._contrast(where, ((1.0, 2.0 * where), (-1.0, where)), outside=outside)

    def summary(self) -> str:
        """A few lines to read: the law, each parameter with its interval or the reason why it has none, and the
        status."""
        law = find_law(self.law)
        noun = "point" if self.n == 1 else "points"
        lines = [f"{law.formula}, fitted to {self.n} {noun} at {self.n_distinct_x} distinct x from {self.x_min:,.6g} to {self.x_max:,.6g}"]
        for name, value in self.params.items():
            if name in self.pinned:
                lines.append(f"  {name} = {value:.6g} (pinned)")
                continue
            interval = self.intervals[name]
            if interval is None:
                lines.append(f"  {name} = {value:.4g} (no interval: {self.reason_no_interval})")
            else:
                lines.append(f"  {name} = {with_interval(value, *interval, level=self.level)}")
        if self.residual_sd is not None:
            lines.append(f"  residual standard deviation {self.residual_sd:.3g}")
        if self.interval_method:
            lines.append(f"  intervals: {self.interval_method}")
        lines.append(f"  status: {self.status}" + (f": {self.status_detail}" if self.status_detail else ""))
        return "\n".join(lines)

    def to_json(self) -> str:
        """All fields as standard JSON; an infinite end of an interval is written as null."""
        fields: dict[str, Any] = {"format": FORMAT, **dataclasses.asdict(self)}
        fields["intervals"] = {
            name: None if ends is None else [end if math.isfinite(end) else None for end in ends] for name, ends in self.intervals.items()
        }
        return json.dumps(fields, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Fit:
        """The Fit that `to_json` wrote. Raises AnalysisError if the text is no such thing."""
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise AnalysisError(f"this text is not a fit: it is not JSON ({error}); write one with Fit.to_json().") from None
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT or set(fields) != names:
            raise AnalysisError("this text is not a fit of this version: write it again with Fit.to_json().")
        fields["intervals"] = {
            name: None if ends is None else (_end(ends[0], -math.inf), _end(ends[1], math.inf)) for name, ends in fields["intervals"].items()
        }
        fields["pinned"] = tuple(fields["pinned"])
        for name in ("covariance_root", "replicates"):
            if fields[name] is not None:
                fields[name] = tuple(row if isinstance(row, dict) else tuple(row) for row in fields[name])
        return cls(**fields)

    def _contrast(
        self,
        where: NDArray[np.float64],
        terms: Sequence[tuple[float, NDArray[np.float64]]],
        *,
        outside: NDArray[np.bool_],
    ) -> Prediction:
        """The weighted sum of the law at several x, and its interval, by whichever spread this fit carries."""
        law = find_law(self.law)
        mean = _weighted_sum(law, self.params, terms)
        error = np.full(where.shape, np.nan)
        if self.replicates is not None:
            error = jackknife_sd(np.array([_weighted_sum(law, params, terms) for params in self.replicates]), mean)
        elif self.covariance_root is not None:
            centred = law.rescale(self.params, self.x_scale)
            free = [index for index, name in enumerate(law.parameters) if name not in self.pinned]
            gradient = sum(
                (weight * law.gradient(x / self.x_scale, **centred)[:, free] for weight, x in terms),
                start=np.zeros((len(where), len(free))),
            )
            error = np.linalg.norm(gradient @ np.array(self.covariance_root), axis=1)
        half = error * t_quantile(self.level, self.degrees_of_freedom)
        return Prediction(x=where, mean=mean, low=mean - half, high=mean + half, extrapolated=outside, level=self.level)


def _weighted_sum(law: Law, params: dict[str, float], terms: Sequence[tuple[float, NDArray[np.float64]]]) -> NDArray[np.float64]:
    total = np.zeros(terms[0][1].shape)
    for weight, x in terms:
        total = total + weight * law.function(x, **params)
    return total


def _end(value: float | None, open_end: float) -> float:
    return open_end if value is None else float(value)


def _positive(x: ArrayLike) -> NDArray[np.float64]:
    try:
        where = np.atleast_1d(np.asarray(x, dtype=np.float64))
    except (TypeError, ValueError):
        raise AnalysisError("the x to predict at hold something that is not a number: give numbers.") from None
    if where.ndim != 1:
        raise AnalysisError(f"the x to predict at have shape {where.shape}: give one number or a one-dimensional array.")
    wrong = ~(np.isfinite(where) & (where > 0))
    if wrong.any():
        value = where[wrong][0]
        raise AnalysisError(f"the x to predict at hold {value:g}: a law is defined for finite x above zero, so leave it out.")
    return where
