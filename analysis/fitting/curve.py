"""A fitted curve: predictions, the gain from more x, and the x that a target needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.fitting.inverse import InversePrediction, inverse_prediction
from analysis.fitting.prediction import Kind, Prediction, checked_kind, checked_step, positive_x
from analysis.fitting.result import FittedLaw

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, repr=False)
class Fit(FittedLaw):
    """A fitted curve. Make one with `analysis.fit`; read `status` before any number."""

    KIND: ClassVar[str] = "curve"

    @property
    def x_min(self) -> float:
        """Smallest x measured."""
        return float(self._measured().min())

    @property
    def x_max(self) -> float:
        """Largest x measured: beyond it a prediction is an extrapolation."""
        return float(self._measured().max())

    @property
    def n_distinct_x(self) -> int:
        """Distinct x among the points."""
        return len(np.unique(self._measured()))

    def predict(self, x: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The law at x, shape (m,) or a single number, with an interval for its mean or for one new
        run.

        Inside the measured range: delta method with Student's t, delete-one-cluster jackknife, or
        bootstrap, whichever the fit has. Outside it the interval also holds the extrapolation
        error, and widens with the distance; where `extrapolation_error` is None the
        interval assumes that the law is correctly specified. A new run is one as noisy as a typical
        point: where `sigma` differed between points, the interval does not know that of the new
        one. Raises AnalysisError for an x that is not positive and finite.
        """
        checked_kind(kind)
        where = positive_x(x)
        mean, error = self._error(((1.0, where),))
        half = self._relative(mean, error) * self._quantile()
        if kind == "new run":
            half = np.hypot(half, (np.nan if self.residual_sd is None else self.residual_sd) * self._quantile())
        if self.extrapolation_error is not None:
            half = np.hypot(half, self.extrapolation_error.half_width(where, self.x_min, self.x_max, self.level))
        mean, low, high = self._band(mean, half)
        return Prediction(
            x=where,
            mean=mean,
            low=low,
            high=high,
            extrapolated=(where < self.x_min) | (where > self.x_max),
            level=self.level,
            kind=kind,
            x_names=(self.x_name,),
        )

    def marginal(self, x: ArrayLike, per: float | str = "doubling") -> Prediction:
        """The change of y at x from doubling x, or from `per` more of it, such as per=1000 images.

        Negative where y falls, as a loss does. The interval assumes that the law is correctly
        specified; it is flagged as extrapolated unless both ends of the step are inside the
        measured range. Raises AnalysisError for an x or a step that is not positive and finite.
        """
        where = positive_x(x)
        step = checked_step(per, "x")
        after = 2.0 * where if step is None else where + step
        mean, error = self._error(((1.0, after), (-1.0, where)))
        half = error * self._quantile()
        outside = (where < self.x_min) | (after > self.x_max)
        return Prediction(
            x=where, mean=mean, low=mean - half, high=mean + half, extrapolated=outside, level=self.level, kind="marginal", x_names=(self.x_name,)
        )

    def doubling_gain(self, x: ArrayLike) -> Prediction:
        """Change of y from doubling x: `marginal(x)`."""
        return self.marginal(x)

    def inverse(self, y: float) -> InversePrediction:
        """The smallest x from which the law has reached y, such as the data that a target needs, with
        an interval.

        'Never' where the law's floor (or ceiling) lies on the wrong side of y. Raises AnalysisError
        for a y that is not finite.
        """
        reason = self.reason_no_interval
        x, values = self.measured()
        return inverse_prediction(y, self.predict, x=x, y=values, level=self.level, reason_no_interval=reason, names=(self.x_name, self.y_name))

    def measured(self) -> tuple[Array, Array]:
        """x and y of the points that count, each of shape (m,)."""
        return self._measured(), np.array(self.y, dtype=np.float64)[self._counts()]

    def points(self) -> tuple[Array, Array]:
        """x and y of all points given, each of shape (n,)."""
        return np.array(self.x, dtype=np.float64), np.array(self.y, dtype=np.float64)

    def plot(self) -> alt.LayerChart:
        """Points, law and band as an Altair chart: dashed beyond the data, logarithmic axes where the
        data span a factor of eight or more.
        """
        from analysis.plots.curves import curve_chart

        return curve_chart({"": self})

    def plot_data(self, *, points: int = 100, beyond: float = 4.0) -> dict[str, pd.DataFrame]:
        """The data of a figure of this fit, for any plotting library: 'points' (x, y, weight, fitted,
        residual) and 'curve' (x, mean, low, high, extrapolated) from the smallest x to `beyond`
        times the largest.
        """
        import pandas as pd

        x = np.array(self.x)
        fitted = self._values(x)
        with np.errstate(all="ignore"):
            residual = np.log(np.array(self.y) / fitted) if self.logarithmic else np.array(self.y) - fitted
        measured = pd.DataFrame({"x": x, "y": self.y, "weight": self.weights, "fitted": fitted, "residual": residual})
        return {"points": measured, "curve": self.predict(np.geomspace(self.x_min, self.x_max * beyond, points)).to_frame()}

    def _points_described(self) -> str:
        noun = "point" if self.n == 1 else "points"
        return f"fitted to {self.n} {noun} at {self.n_distinct_x} distinct x from {self.x_min:,.6g} to {self.x_max:,.6g}"
