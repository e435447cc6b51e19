"""The result of `choose_surface`: surfaces ranked by how they predict larger budgets, the one
chosen, and a forecast.
"""

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
from analysis.fitting.extrapolation_error import ExtrapolationErrorModel, normal_quantile
from analysis.fitting.prediction import Kind, Prediction, checked_kind
from analysis.fitting.surface import SurfaceFit, checked_inputs, fit_surface
from analysis.forecasting.surface_rolling import log_budget
from analysis.formatting import number_of, share_of_average
from analysis.laws import SURFACES, Law
from analysis.laws.own_function import restored, signature_of, stored_form
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Array = NDArray[np.float64]
FORMAT = 1
# As for curves: factors of the squared disagreement among the laws, the squared error per e-fold and
# the noise; and half-widths in normal quantiles.
SPLIT, GROWTH, NOISE, WIDTH = 1.0, 0.3, 0.7, 2.2 / 1.6448536269514722
TYPICAL, PRIOR_ORIGINS = 0.003, 0.7  # error of ln y per e-fold of the budget on the sets of docs/experiments.md, and its weight in origins
ALONE = 0.006  # the same where there are too few points for an origin


@dataclass(frozen=True, kw_only=True)
class SurfaceCandidate:
    """One candidate of the average: a law, and the budget from which on it was fitted."""

    law: str
    """Name of the law."""
    from_budget: float
    """Smallest budget among the points that it was fitted to."""
    recency: float
    """Those points count ~ budget^recency."""
    weight: float
    """Share in the average."""
    params: dict[str, float]
    """For X as given."""


@dataclass(frozen=True, kw_only=True, repr=False)
class SurfaceChoice(Shown):
    """Surfaces compared by rolling budgets, the one chosen, and a forecast by their average or by
    the one chosen. Make one with `analysis.choose_surface`.
    """

    law: str
    """The law chosen: the simplest whose rolling errors exceed the best's by no more than one
    standard error over origins.
    """
    fit: SurfaceFit
    """That law, fitted to the points from `window` on."""
    averaged: bool
    """Whether `predict` forecasts by the average of the candidates; else by `fit`."""
    level: float
    """Confidence level of all intervals."""
    laws: tuple[dict[str, Any], ...]
    """Rows of `table`."""
    candidates: tuple[SurfaceCandidate, ...]
    """The candidates of the average."""
    noise_sd: float
    """Standard deviation of points about the average, on the scale of the errors."""
    extrapolation_error: ExtrapolationErrorModel
    """Errors of such forecasts from smaller to larger budgets in these points."""
    window: float
    """Smallest budget, the product of the inputs, among the points that `fit` was fitted to."""
    recency: float
    """The points that `fit` was fitted to count ~ budget^recency: 0 is equally."""
    left_out: int
    """Points of smaller budgets that it leaves out, because without them later budgets are
    predicted better, or because the caller said so.
    """
    all_weights: tuple[float, ...]
    """Weight of every point in the choice; zero for those that the caller left out."""
    own_laws: dict[str, Law] = field(default_factory=dict, compare=False, repr=False)
    """Candidates of the caller's own, by name."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per law, best first: law, parameters (how many), rolling_error (root mean squared
        error of larger budgets, relative where y > 0), bias (measured minus fitted, likewise),
        from_budget (its best window), recency (there points count ~ budget^recency), weight in the
        average, chosen.
        """
        import pandas as pd

        columns = ["law", "parameters", "rolling_error", "bias", "from_budget", "recency", "weight", "chosen"]
        rows = [{name: np.nan if row[name] is None else row[name] for name in columns} for row in self.laws]
        return pd.DataFrame(rows, columns=columns)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The letters of the columns of X in the law's formula."""
        return self.fit.inputs

    @property
    def input_names(self) -> tuple[str, ...]:
        """What the columns of X are called: by a table, else by the law."""
        return self.fit.input_names

    @property
    def x(self) -> tuple[Any, ...]:
        """The points' inputs, in the order given."""
        return self.fit.x

    @property
    def y(self) -> tuple[float, ...]:
        """The points' y."""
        return self.fit.y

    @property
    def n(self) -> int:
        """Points that count, those that the law chosen leaves out among them."""
        return sum(weight > 0 for weight in self.all_weights)

    @property
    def x_name(self) -> str:
        """What the inputs are called."""
        return self.fit.x_name

    @property
    def y_name(self) -> str:
        """What y is called."""
        return self.fit.y_name

    @property
    def logarithmic(self) -> bool:
        """Whether errors are relative."""
        return self.fit.logarithmic

    def named(self, x_name: str, y_name: str) -> SurfaceChoice:
        """The same choice with names for the inputs and y."""
        return dataclasses.replace(self, fit=dataclasses.replace(self.fit, x_name=x_name, y_name=y_name))

    def predict(self, X: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The forecast at X, shape (m, inputs), with an interval for the mean or for one new run.

        The interval holds the disagreement among the candidates, the extrapolation error, which
        grows with the distance of the budget beyond the largest measured, or of an input beyond its
        range (there `extrapolated` is set), and for a new run the noise. Raises AnalysisError for an
        X that the law does not take.
        """
        checked_kind(kind)
        where = checked_inputs(self.fit.law_object, X)
        weights = np.array([one.weight for one in self.candidates])
        values = self._each(where)
        mean = weights @ values if self.averaged else self._scaled(self.fit._values(where))
        split = weights @ (values - mean) ** 2
        far = self._distance(where)
        variance = SPLIT * split + GROWTH * self.extrapolation_error.per_efold**2 * far**2
        leverage = min(sum(one.weight * len(one.params) for one in self.candidates) / max(self.n, 1), 1.0)
        variance = variance + NOISE * self.noise_sd**2 * (leverage + (kind == "new run"))
        half = WIDTH * normal_quantile(self.level) * np.sqrt(variance)
        ends = mean, mean - half, mean + half
        middle, low, high = (np.clip(np.exp(one) if self.logarithmic else one, *self.fit._range()) for one in ends)
        return Prediction(x=where, mean=middle, low=low, high=high, extrapolated=far > 1e-9, level=self.level, kind=kind, x_names=self.input_names)

    def _distance(self, where: Array) -> Array:
        """e-folds of the budget beyond the largest measured, or of any input beyond its range, shape
        (m,).
        """
        measured = np.array(self.fit.x, dtype=float)[np.array(self.all_weights) > 0]
        both = np.concatenate([measured, where])
        positive = np.all(both > 0, axis=0)
        budget = log_budget(both[:, positive], self.inputs)
        beyond = np.maximum(budget[len(measured) :] - budget[: len(measured)].max(), 0.0)
        logs = np.log(both[:, positive])
        low, high = logs[: len(measured)].min(axis=0), logs[: len(measured)].max(axis=0)
        outside = np.maximum(np.maximum(logs[len(measured) :] - high, low - logs[len(measured) :]), 0.0)
        return np.asarray(np.maximum(beyond, outside.max(axis=1)))

    def _each(self, where: Array) -> Array:
        """Each candidate at X, shape (candidates, m), on the scale of the errors."""
        with np.errstate(all="ignore"):
            values = np.array([self._law(one.law).function(where, **one.params) for one in self.candidates])
        return self._scaled(values)

    def _scaled(self, values: Array) -> Array:
        return np.asarray(np.log(np.maximum(values, 1e-300)) if self.logarithmic else values)

    def _law(self, name: str) -> Law:
        return self.own_laws[name] if name in self.own_laws else SURFACES[name]

    def fits_of_laws(self, least: float = 0.05) -> tuple[list[SurfaceFit], list[float], list[float]]:
        """Each law with at least that share in the average, fitted to the points of its best window
        as they count there; the shares, adding up to 1; and the power of the budget by which points
        count. Without laws whose parameters have no interval.
        """
        X, y, weights = np.array(self.fit.x, dtype=float), np.array(self.fit.y), np.array(self.all_weights)
        budget = log_budget(X[weights > 0], self.inputs)
        fits: list[SurfaceFit] = []
        shares: list[float] = []
        recencies: list[float] = []
        for row in self.laws:
            if row["weight"] < least:
                continue
            kept = weights.copy()
            kept[weights > 0] *= (budget >= np.log(row["from_budget"]) - 1e-9) * np.exp(row["recency"] * (budget - budget.max()))
            law = self._law(row["law"])
            given = law if row["law"] in self.own_laws else row["law"]
            fitted = fit_surface(
                X, y, law=given, weights=kept, loss=self.fit.loss, y_range=self.fit.y_range, level=self.level, bootstrap=0, delta=self._delta()
            )
            if fitted.covariance_root is not None:
                fits.append(fitted)
                shares.append(float(row["weight"]))
                recencies.append(float(row["recency"]))
        return fits, [one / sum(shares) for one in shares], recencies

    def _delta(self) -> float | None:
        """Where Huber's loss turns linear: 2.5 standard deviations of the noise."""
        return 2.5 * self.noise_sd if self.noise_sd > 0 else None

    def plot(self) -> alt.LayerChart:
        """Measured y over the forecast as an Altair chart, with the line on which they agree."""
        from analysis.plots.agreement import agreement_chart

        return agreement_chart(self)

    def shown_table(self) -> pd.DataFrame:
        """`table`."""
        return self.table

    def __repr__(self) -> str:
        return f"<SurfaceChoice of {len(self.laws)} laws: {self.law}; {self.n} points>"

    def summary(self) -> str:
        """The law chosen, the table of laws, what was left out, and what the forecast is."""
        lines = [f"surface chosen for {self.y_name}: '{self.law}', {self.fit.law_object.formula}"]
        lines.append(f"laws by their error at larger budgets ({'relative' if self.logarithmic else 'absolute'} error):")
        for row in self.laws:
            error = "no origin" if row["rolling_error"] is None else f"{row['rolling_error']:.3g} off"
            chosen = "  <- chosen" if row["chosen"] else ""
            many = number_of(row["parameters"], "parameter")
            lines.append(f"  {row['law']:<16} {many:<12}  {error:<14} {share_of_average(row['weight'])}{chosen}")
        heaviest = max(self.laws, key=lambda row: float(row["weight"]))["law"]
        if self.law != heaviest:
            lines.append(f"'{self.law}' is chosen, not '{heaviest}', which has more weight: it is simpler, and within one standard error")
        if self.left_out:
            what = " ".join(self.inputs)
            lines.append(f"{number_of(self.left_out, 'point')} with {what} below {self.window:.3g} left out of the law chosen: larger budgets decide")
        if self.recency:
            what = f"({' '.join(self.inputs)})^{self.recency:g}"
            lines.append(f"points count ~ {what} in the law chosen: where they count alike, it misses the largest budgets by more than noise")
        lines.append(f"status of '{self.law}': {self.fit.status}" + (f": {self.fit.status_detail}" if self.fit.status_detail else ""))
        forecast = "the average of the laws, weighted by these errors" if self.averaged else f"the law '{self.law}' alone"
        error_model = self.extrapolation_error
        origins = f"{number_of(error_model.origins, 'rolling origin')} in these points and " if error_model.origins else ""
        lines.append(
            f"forecasts are by {forecast}; extrapolation error {error_model.per_efold:.2g} per e-fold of the budget, from {origins}a prior from "
            f"other sets"
        )
        return "\n".join([*lines, *self.fit._parameters()])

    def to_json(self) -> str:
        """All fields as standard JSON; of own laws the names and parameters, not the functions."""
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        fields["fit"] = json.loads(self.fit.to_json())
        fields["candidates"] = [dataclasses.asdict(one) for one in self.candidates]
        fields["own_laws"] = {name: stored_form(law) for name, law in self.own_laws.items()}
        fields["extrapolation_error"] = dataclasses.asdict(self.extrapolation_error)
        return json.dumps({"format": FORMAT, "kind": "surface_choice", **fields}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, laws: Sequence[Law | Callable[..., Any]] = ()) -> SurfaceChoice:
        """The choice that `to_json` wrote. Candidates of your own have to be given again as `laws`.
        Raises AnalysisError if the text is not such a choice.
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise AnalysisError(f"this text is not a choice of surfaces: it is not JSON ({error}); write one with to_json().") from None
        names = {one.name for one in dataclasses.fields(cls)}
        known = isinstance(fields, dict) and fields.pop("format", None) == FORMAT and fields.pop("kind", None) == "surface_choice"
        if not known or set(fields) != names:
            raise AnalysisError("this text is not a choice of surfaces of this version: write it again with to_json().")
        given = {law.name if isinstance(law, Law) else signature_of(law).name: law for law in laws}
        missing = [name for name in fields["own_laws"] if name not in given]
        if missing:
            raise AnalysisError(
                f"this choice has your own law '{missing[0]}' among its candidates, and JSON does not hold its function: give it again, "
                f"SurfaceChoice.from_json(text, laws=[{', '.join(fields['own_laws'])}])."
            )
        fields["own_laws"] = {name: restored(given[name], stored) for name, stored in fields["own_laws"].items()}
        fields["fit"] = SurfaceFit.from_json(json.dumps(fields["fit"]), given.get(fields["fit"].get("law")))
        fields["candidates"] = tuple(SurfaceCandidate(**one) for one in fields["candidates"])
        fields["laws"] = tuple(fields["laws"])
        fields["all_weights"] = tuple(fields["all_weights"])
        fields["extrapolation_error"] = ExtrapolationErrorModel(**fields["extrapolation_error"])
        return cls(**fields)


def shrunk_surface_error(squared_error: float, origins: int, unit: float) -> ExtrapolationErrorModel:
    """These points' own mean squared error per squared e-fold of the budget, shrunk towards the
    typical one; `unit` is 1 for relative errors, else the size of y's range.
    """
    if not origins or not math.isfinite(squared_error):
        return ExtrapolationErrorModel(per_efold=ALONE * unit, origins=0)
    squared = (PRIOR_ORIGINS * (TYPICAL * unit) ** 2 + origins * squared_error) / (PRIOR_ORIGINS + origins)
    return ExtrapolationErrorModel(per_efold=math.sqrt(squared), origins=origins)
