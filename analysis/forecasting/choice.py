"""What `choose_law` returns: the laws by how they extrapolated, the law chosen, and a forecast."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.extrapolation_error import Drift, width
from analysis.fitting.inverse import Needed, needed_x
from analysis.fitting.prediction import Kind, Prediction, checked_kind, positive_x
from analysis.laws import find_law

if TYPE_CHECKING:
    import pandas as pd


Array = NDArray[np.float64]
FORMAT = 1
# Variance of a forecast: how many squared disagreements among the laws, and squared wanders one
# e-fold out. The disagreement carries much of what a single law's drift has to carry alone, so that
# less of the wander is left.
SPLIT, GROWTH = 2.0, 0.12


@dataclass(frozen=True, kw_only=True)
class Member:
    """One fit of the average."""

    law: str
    """Name of the law."""
    weighting: int
    """k: points count ~ x^k."""
    weight: float
    """Share in the average."""
    params: dict[str, float]
    """For x as given, and for the mirrored y where there is a mirror."""


@dataclass(frozen=True, kw_only=True)
class LawChoice:
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
    """Whether `predict` forecasts by the average of the members; else by `fit`."""
    level: float
    """Nominal coverage of all intervals."""
    laws: tuple[dict[str, Any], ...]
    """Rows of `table`."""
    members: tuple[Member, ...]
    """What the average is made of."""
    anchor: float
    """What is added to the average on the scale of the errors: the last residuals, in part."""
    noise_sd: float | None
    """Standard deviation of points about the average, on the scale of the errors; None where there
    are too few points to tell.
    """
    drift: Drift
    """How far such forecasts wandered from rolling origins in these points."""
    mirror: float | None
    """If given, the laws are of mirror - y, which falls where y rises towards `mirror`."""
    x_min: float
    """Smallest x measured."""
    x_max: float
    """Largest x measured: beyond it a prediction is an extrapolation."""

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
    def logarithmic(self) -> bool:
        """Whether errors are relative."""
        return self.fit.logarithmic

    def predict(self, x: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The forecast at x, shape (m,) or a single number, with an interval for the mean or for
        one new run.

        The interval holds the disagreement among the laws, the drift seen from rolling origins,
        which grows with the distance, and for a new run the noise. Raises AnalysisError for an x
        that is not positive and finite.
        """
        if not self.averaged:
            return self.fit.predict(x, kind)
        checked_kind(kind)
        where = positive_x(x)
        with np.errstate(all="ignore"):
            values = np.array([find_law(one.law).function(where, **one.params) for one in self.members])
            if self.logarithmic:
                values = np.log(np.maximum(values, 1e-300))
            weights = np.array([one.weight for one in self.members])
            middle = weights @ values
            split = weights @ (values - middle) ** 2
            far = np.maximum(np.maximum(np.log(where / self.x_max), np.log(self.x_min / where)), 0.0)
            variance = SPLIT * split + GROWTH * self.drift.wander**2 * far**2 * (1.0 + far)
            noise = np.nan if self.noise_sd is None else self.noise_sd
            # the leverage of a point is parameters / points on average, and so is the share of its
            # noise in a fitted mean
            leverage = min(sum(one.weight * len(one.params) for one in self.members) / self.fit.n, 1.0)
            variance = variance + noise**2 * (leverage + (kind == "new run"))
            half = width(self.level) * np.sqrt(variance)
            middle = middle + self.anchor
            mean, low, high = (np.exp(one) if self.logarithmic else one for one in (middle, middle - half, middle + half))
        if self.mirror is not None:
            mean, low, high = self.mirror - mean, self.mirror - high, self.mirror - low
        least, most = self.fit._range()
        mean, low, high = (np.clip(one, least, most) for one in (mean, low, high))
        outside = (where < self.x_min) | (where > self.x_max)
        return Prediction(x=where, mean=mean, low=low, high=high, extrapolated=outside, level=self.level, kind=kind)

    def inverse(self, y: float) -> Needed:
        """The smallest x from which the forecast has reached y, with the x around it at which y
        lies inside its interval.
        """
        reason = self.fit.reason_no_interval
        return needed_x(y, self.predict, x=np.array(self.fit.x), y=np.array(self.fit.y), level=self.level, reason_no_interval=reason)

    def summary(self) -> str:
        """The table, the law chosen with its parameters, and what the forecast is."""
        lines = [f"laws by how they predicted later points from earlier ones ({'relative' if self.logarithmic else 'absolute'} error):"]
        for row in self.laws:
            error = "no origin" if row["rolling_error"] is None else f"{row['rolling_error']:.3g} +- {row['standard_error'] or 0.0:.2g}"
            chosen = "  <- chosen" if row["chosen"] else ""
            lines.append(f"  {row['law']:<22} {row['parameters']} parameters  {error:<20} {100.0 * row['weight']:.0f}% of the average{chosen}")
        lines.append(self.fit.summary())
        forecast = "the average of the laws, weighted by these errors" if self.averaged else f"the law {self.law} alone"
        lines.append(f"forecasts are by {forecast}; {self.drift.sentence()}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """All fields as standard JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["fit"] = json.loads(self.fit.to_json())
        fields["members"] = [dataclasses.asdict(one) for one in self.members]
        fields["drift"] = dataclasses.asdict(self.drift)
        return json.dumps({"format": FORMAT, "kind": "choice", **fields}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> LawChoice:
        """The choice that `to_json` wrote. Raises AnalysisError if the text is no such thing."""
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise AnalysisError(f"this text is not a choice of laws: it is not JSON ({error}); write one with to_json().") from None
        names = {field.name for field in dataclasses.fields(cls)}
        known = isinstance(fields, dict) and fields.pop("format", None) == FORMAT and fields.pop("kind", None) == "choice"
        if not known or set(fields) != names:
            raise AnalysisError("this text is not a choice of laws of this version: write it again with to_json().")
        fields["fit"] = Fit.from_json(json.dumps(fields["fit"]))
        fields["members"] = tuple(Member(**one) for one in fields["members"])
        fields["laws"] = tuple(fields["laws"])
        fields["drift"] = Drift(**fields["drift"])
        return cls(**fields)
