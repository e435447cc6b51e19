"""The result of `choose_law`: laws ranked by extrapolation error, the law chosen, and a forecast."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.extrapolation_error import ExtrapolationErrorModel, normal_quantile
from analysis.fitting.inverse import InversePrediction, inverse_prediction
from analysis.fitting.prediction import Kind, Prediction, checked_kind, positive_x
from analysis.forecasting.averaging import growth
from analysis.formatting import number_of, share_of_average
from analysis.laws import Law, find_law
from analysis.laws.own_function import restored, signature_of, stored_form
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


Array = NDArray[np.float64]
FORMAT = 3
# Variance of a forecast, chosen on half of the curves of docs/experiments.md by likelihood
# (Student's t, 4 degrees of freedom) and confirmed on the other half: factors of the squared
# disagreement among the laws, the squared extrapolation error and the noise; and half-widths in
# normal quantiles.
SPLIT, GROWTH, NOISE, WIDTH = 0.7, 0.44, 0.7, 2.2 / 1.6448536269514722
TYPICAL, PRIOR_ORIGINS = 0.02, 0.7  # error of ln y one e-fold out on those curves, and how many origins this prior counts as
ALONE = 0.07  # the same where a curve has too few points for an origin
FARTHEST = 7.0  # by how much a law's ln y may lie below the middle one: one that falls to zero must not take the average with it


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate law of the average, with its weighting of the points."""

    law: str
    """Name of the law."""
    weighting: int
    """k: points count ~ x^k."""
    weight: float
    """Share in the average."""
    params: dict[str, float]
    """For x as given, and for the mirrored y where there is a mirror."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LawChoice(Shown):
    """Laws compared by rolling origin, the one chosen, and a forecast by their average or by the
    one chosen.
    """

    law: str
    """The law chosen: the simplest whose rolling errors exceed the best law's by no more than one
    standard error. Where the table's choice is a power law without floor of the gap to a ceiling,
    this is what it is of y: `power` with E at the ceiling.
    """
    fit: Fit
    """That law, fitted to all points."""
    averaged: bool
    """Whether `predict` forecasts by the average of the candidates; else by `fit`."""
    levelled: bool
    """Whether nothing beats the last value and the average hardly moves beyond the largest x: then
    the forecast stays at the average's value there.
    """
    level: float
    """Confidence level of all intervals."""
    laws: tuple[dict[str, Any], ...]
    """Rows of `table`."""
    candidates: tuple[Candidate, ...]
    """The candidates of the average."""
    anchor: float
    """What is added to the average on the scale of the errors: the last residuals, in part."""
    noise_sd: float | None
    """Standard deviation of points about the average, on the scale of the errors; None where there
    are too few points to tell.
    """
    extrapolation_error: ExtrapolationErrorModel
    """Errors of such forecasts from rolling origins in these points."""
    mirror: float | None
    """If given, the laws are of mirror - y, which falls where y rises towards `mirror`."""
    x_min: float
    """Smallest x measured."""
    x_max: float
    """Largest x measured: beyond it a prediction is an extrapolation."""
    own_laws: dict[str, Law] = field(default_factory=dict, compare=False, repr=False)
    """Candidates of the caller's own, by name."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per law, best first: law, parameters (how many), rolling_error (root mean squared
        error of later points, relative where y > 0), standard_error (of its difference from the
        best law's, over origins), weight in the average, chosen.
        """
        import pandas as pd

        columns = ["law", "parameters", "rolling_error", "standard_error", "weight", "chosen"]
        rows = [{name: np.nan if row[name] is None else row[name] for name in columns} for row in self.laws]
        return pd.DataFrame(rows, columns=columns)

    @property
    def x_name(self) -> str:
        """What x is called."""
        return self.fit.x_name

    @property
    def y_name(self) -> str:
        """What y is called."""
        return self.fit.y_name

    def named(self, x_name: str, y_name: str) -> LawChoice:
        """The same choice with names for x and y."""
        return dataclasses.replace(self, fit=dataclasses.replace(self.fit, x_name=x_name, y_name=y_name))

    def points(self) -> tuple[Array, Array]:
        """x and y of all points given, each of shape (n,)."""
        return self.fit.points()

    def plot(self) -> alt.LayerChart:
        """Points, forecast and band as an Altair chart, as `Fit.plot`."""
        from analysis.plots.curves import curve_chart

        return curve_chart({"": self})

    def shown_table(self) -> pd.DataFrame:
        """`table`."""
        return self.table

    def __repr__(self) -> str:
        return f"<LawChoice of {len(self.laws)} laws: {self.law}; {self.fit.n} points>"

    @property
    def logarithmic(self) -> bool:
        """Whether errors are relative."""
        return self.fit.logarithmic

    def predict(self, x: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The forecast at x, shape (m,) or a single number, with an interval for the mean or for
        one new run.

        The interval holds the disagreement among the laws, the extrapolation error, which grows with
        the distance, and for a new run the noise. Raises AnalysisError for an x
        that is not positive and finite.
        """
        if not self.averaged:
            return self.fit.predict(x, kind)
        checked_kind(kind)
        where = positive_x(x)
        weights = np.array([one.weight for one in self.candidates])
        with np.errstate(all="ignore"):
            values = self._each(where)
            middle = weights @ values
            split = weights @ (values - middle) ** 2
            if self.levelled:
                middle = weights @ self._each(np.minimum(where, self.x_max))
            far = np.maximum(np.maximum(np.log(where / self.x_max), np.log(self.x_min / where)), 0.0)
            variance = SPLIT * split + GROWTH * self.extrapolation_error.per_efold**2 * growth(far)
            noise = np.nan if self.noise_sd is None else self.noise_sd
            # the leverage of a point is parameters / points on average, and so is the share of its
            # noise in a fitted mean
            leverage = min(sum(one.weight * len(one.params) for one in self.candidates) / self.fit.n, 1.0)
            variance = variance + NOISE * noise**2 * (leverage + (kind == "new run"))
            half = WIDTH * normal_quantile(self.level) * np.sqrt(variance)
            middle = middle + self.anchor
            mean, low, high = (np.exp(one) if self.logarithmic else one for one in (middle, middle - half, middle + half))
        if self.mirror is not None:
            mean, low, high = self.mirror - mean, self.mirror - high, self.mirror - low
        least, most = self.fit._range()
        mean, low, high = (np.clip(one, least, most) for one in (mean, low, high))
        outside = (where < self.x_min) | (where > self.x_max)
        return Prediction(x=where, mean=mean, low=low, high=high, extrapolated=outside, level=self.level, kind=kind, x_names=(self.x_name,))

    def inverse(self, y: float) -> InversePrediction:
        """The smallest x from which the forecast has reached y, with an interval."""
        reason = self.fit.reason_no_interval
        names = self.x_name, self.y_name
        x, values = self.fit.measured()
        return inverse_prediction(y, self.predict, x=x, y=values, level=self.level, reason_no_interval=reason, names=names)

    def summary(self) -> str:
        """The law chosen, the table of laws, the parameters, and what the forecast is."""
        error = next((row["rolling_error"] for row in self.laws if row["chosen"]), None)
        size = "" if error is None else f" ({error:.3g} off at later points)"
        lines = [f"law chosen for {self.y_name} over {self.x_name}: '{self.law}'{size}"]
        lines += [f"laws by their error at later points from rolling origins ({'relative' if self.logarithmic else 'absolute'} error):"]
        for row in self.laws:
            error = "no origin" if row["rolling_error"] is None else f"{row['rolling_error']:.3g}"
            if row["standard_error"] is not None:  # from one origin alone it is not known
                error += f" +- {row['standard_error']:.2g}"
            chosen = "  <- chosen" if row["chosen"] else ""
            many = number_of(row["parameters"], "parameter")
            lines.append(f"  {row['law']:<22} {many:<12}  {error:<20} {share_of_average(row['weight'])}{chosen}")
        if not size:
            lines.append(f"'{self.law}' stands, since there are too few x to predict later points from earlier ones")
        lines.append(self.fit.summary())
        weighed = "weighted by these errors" if size else "all alike"
        forecast = f"the average of the laws, {weighed}" if self.averaged else f"the law '{self.law}' alone"
        forecast = "the average's value at the largest x, since nothing beats the last value" if self.levelled else forecast
        lines.append(f"forecasts are by {forecast}; {self.extrapolation_error.sentence()}")
        return "\n".join(lines)

    def _each(self, where: Array) -> Array:
        """Each candidate at x, shape (candidates, m), on the scale of the errors."""
        values = np.array([self._law(one.law).function(where, **one.params) for one in self.candidates])
        if not self.logarithmic:
            return values
        values = np.log(np.maximum(values, 1e-300))
        order = np.argsort(values, axis=0, kind="stable")
        below = np.cumsum(np.array([one.weight for one in self.candidates])[order], axis=0)
        middle = np.take_along_axis(values, np.take_along_axis(order, np.argmax(below >= 0.5, axis=0)[None], axis=0), axis=0)
        return np.asarray(np.maximum(values, middle - FARTHEST))

    def _law(self, name: str) -> Law:
        return self.own_laws[name] if name in self.own_laws else find_law(name)

    def to_json(self) -> str:
        """All fields as standard JSON; of own laws the names and parameters, not the functions."""
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        fields["fit"] = json.loads(self.fit.to_json())
        fields["candidates"] = [dataclasses.asdict(one) for one in self.candidates]
        fields["own_laws"] = {name: stored_form(law) for name, law in self.own_laws.items()}
        fields["extrapolation_error"] = dataclasses.asdict(self.extrapolation_error)
        return json.dumps({"format": FORMAT, "kind": "choice", **fields}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, laws: Sequence[Law | Callable[..., Any]] = ()) -> LawChoice:
        """The choice that `to_json` wrote. Candidates of your own have to be given again as `laws`,
        functions or Laws. Raises AnalysisError if the text is not such a choice.
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise AnalysisError(f"this text is not a choice of laws: it is not JSON ({error}); write one with to_json().") from None
        names = {one.name for one in dataclasses.fields(cls)}
        if isinstance(fields, dict) and fields.get("format") == 1:
            fields = _from_format_1(fields)
        if isinstance(fields, dict) and fields.get("format") == 2:
            fields = _from_format_2(fields)
        if isinstance(fields, dict):
            fields.setdefault("levelled", False)  # files of 0.2.0 and before have none
        known = isinstance(fields, dict) and fields.pop("format", None) == FORMAT and fields.pop("kind", None) == "choice"
        if not known or set(fields) != names:
            raise AnalysisError("this text is not a choice of laws of this version: write it again with to_json().")
        given = {law.name if isinstance(law, Law) else signature_of(law).name: law for law in laws}
        missing = [name for name in fields["own_laws"] if name not in given]
        if missing:
            raise AnalysisError(
                f"this choice has your own law '{missing[0]}' among its candidates, and JSON does not hold its function: give it again, "
                f"LawChoice.from_json(text, laws=[{', '.join(fields['own_laws'])}])."
            )
        fields["own_laws"] = {name: restored(given[name], stored) for name, stored in fields["own_laws"].items()}
        fields["fit"] = Fit.from_json(json.dumps(fields["fit"]), given.get(fields["fit"].get("law")))
        fields["candidates"] = tuple(Candidate(**one) for one in fields["candidates"])
        fields["laws"] = tuple(fields["laws"])
        fields["extrapolation_error"] = ExtrapolationErrorModel(**fields["extrapolation_error"])
        return cls(**fields)


def _from_format_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as of format 2, which has other names for the candidates and the extrapolation error."""
    error = fields.pop("drift", None) or {"wander": 0.0, "origins": 0, "miss": 0.0}
    error = {"per_efold": error["wander"], "origins": error["origins"], "last_residual": error["miss"]}
    candidates = fields.pop("members", [])
    return fields | {"format": 2, "candidates": candidates, "extrapolation_error": error, "own_laws": {}}


def _from_format_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as of format 3, whose extrapolation error is that one e-fold out: the variance there is
    the same, 0.6 per_efold^2 then and GROWTH per_efold^2 now.
    """
    error = dict(fields.get("extrapolation_error") or {})
    if isinstance(error.get("per_efold"), float):
        error["per_efold"] *= math.sqrt(0.6 / GROWTH)
    return fields | {"format": FORMAT, "extrapolation_error": error}


def shrunk_curve_error(squared_error: float, origins: int, unit: float) -> ExtrapolationErrorModel:
    """A curve's own mean squared error one e-fold out, shrunk towards the typical one; `unit` is 1 for
    relative errors, else the size of y's range.
    """
    if not origins or not math.isfinite(squared_error):
        return ExtrapolationErrorModel(per_efold=ALONE * unit, origins=0)
    squared = (PRIOR_ORIGINS * (TYPICAL * unit) ** 2 + origins * squared_error) / (PRIOR_ORIGINS + origins)
    return ExtrapolationErrorModel(per_efold=math.sqrt(squared), origins=origins)
