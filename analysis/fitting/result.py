"""The result of a fit, of a curve or a surface: parameters, intervals, a status, methods used."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.extrapolation_error import ExtrapolationErrorModel
from analysis.fitting.lack_of_fit import LackOfFit
from analysis.fitting.losses import LOSSES, Loss
from analysis.fitting.problem import Problem
from analysis.fitting.surface_check import SurfaceCheck
from analysis.formatting import p_value, with_interval
from analysis.laws import LAWS, SURFACES, Law
from analysis.laws.own_function import restored, stored_form
from analysis.shown import Shown
from analysis.significance.cluster_resampling import jackknife_sd
from analysis.student import t_quantile

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Status = Literal["converged", "at bound", "not identified", "does not fit"]
Interval = tuple[float, float]
FORMAT = 3  # of the JSON text; raised when a field changes its meaning or name
SIGNIFICANT = 0.05  # p of the lack-of-fit test below which the summary says that the law does not fit
Kin = TypeVar("Kin", bound="FittedLaw")


@dataclass(frozen=True, kw_only=True, repr=False)
class FittedLaw(Shown):
    """A fitted law: read `status` before any number."""

    KIND: ClassVar[str] = "fit"

    law: str
    """Name of the law, such as 'power'."""
    params: dict[str, float]
    """Every parameter of the law by name, pinned ones included, for x as given."""
    intervals: dict[str, Interval | None]
    """(low, high) of every parameter; None for a pinned one, or where `reason_no_interval` says why
    not. An end may be infinite.
    """
    level: float
    """Confidence level of all intervals."""
    status: Status
    """'converged'; 'at bound' (a parameter lies on the edge of its range); 'not identified' (the
    data cannot tell the parameters); 'does not fit' (a surface that its own points contradict, or a
    y that turns at its end).
    """
    status_detail: str
    """A sentence about the status, which names the parameter; empty where there is nothing to add."""
    loss: str
    """Name of the loss, one of `analysis.LOSSES`."""
    delta: float | None
    """Residual beyond which a point counts as an outlier, in the unit of the residual; None where
    no point does.
    """
    y_range: tuple[float | None, float | None]
    """Ends of the metric, as the caller gave them; None for an open side. Predictions stay within."""
    objective: float
    """Sum of weights times losses at the optimum."""
    x: tuple[Any, ...]
    """The points' x, in the order given: numbers, or tuples of one number per input."""
    y: tuple[float, ...]
    """The points' y."""
    weights: tuple[float, ...]
    """The points' weights, with mean 1 over those that count; 0 where a point was left out. A fit of
    the last value holds the points that count alone, and has 0 where a later one was measured.
    """
    residual_sd: float | None
    """Residual standard deviation on the residual degrees of freedom: relative to y if the loss is
    logarithmic, else in its unit; None if there are no degrees of freedom.
    """
    correlation: dict[str, dict[str, float]] | None
    """Correlation of the free parameters, by name and name; None where there is no interval."""
    interval_method: str
    """How the intervals were computed; empty where there are none."""
    reason_no_interval: str
    """Why parameters have no interval; empty where they have."""
    pinned: tuple[str, ...]
    """Parameters that the caller fixed."""
    degrees_of_freedom: int
    """Of Student's t: points minus free parameters, or clusters minus one."""
    lack_of_fit: LackOfFit
    """Test of the law where x were measured more than once."""
    scale: tuple[float, ...]
    """What each input was divided by, so that parameters are least correlated; the covariance
    belongs to those.
    """
    covariance_names: tuple[str, ...]
    """Coordinates of `covariance_root`, in order."""
    covariance_root: tuple[tuple[float, ...], ...] | None
    """R with covariance R R^T of the coordinates (positive parameters as logs, the others divided by
    their `size`, for x / scale); None where the intervals come from clusters, or there are none.
    """
    replicates: dict[str, tuple[float, ...]] | None
    """Parameters, for x as given, of refits with one cluster left out or of bootstrap samples; None
    where there are none.
    """
    replicate_kind: str
    """'jackknife', 'bootstrap', or empty."""
    extrapolation_error: ExtrapolationErrorModel | None
    """Error of fits to the first part of the curve on the rest, which widens extrapolations; None
    where it could not be measured.
    """
    cluster: tuple[str, ...] | None = None
    """The points' clusters, in the order given; None where points count as independent."""
    defaults: tuple[str, ...] = ()
    """What was done where the caller said nothing: weights by recency, a floor at zero or above."""
    own_law: Law | None = field(default=None, compare=False, repr=False)
    """The caller's own law; None for one of the laws known by name."""
    x_name: str = "x"
    """What x is called: a column's name; for a surface the names of its inputs."""
    y_name: str = "y"
    """What y is called: a column's name."""

    @property
    def n(self) -> int:
        """Points that count: those given, but for the ones of weight zero."""
        return int(np.sum(self._counts()))

    @property
    def law_object(self) -> Law:
        """The law with its formula, parameters and function."""
        if self.own_law is not None:
            return self.own_law
        return LAWS[self.law] if self.law in LAWS else SURFACES[self.law]

    @property
    def logarithmic(self) -> bool:
        """Whether residuals are relative."""
        return self.loss.startswith("log")

    def standard_errors(self) -> dict[str, float]:
        """Standard deviation of the bootstrap replicates of each parameter. Raises AnalysisError
        without a bootstrap.
        """
        if self.replicate_kind != "bootstrap" or self.replicates is None:
            raise AnalysisError("this fit has no bootstrap: ask for one with bootstrap=1000.")
        return {name: float(np.std(self.replicates[name], ddof=1)) for name in self.params}

    def summary(self) -> str:
        """A few lines to read: the law, each parameter with its interval or the reason why it has
        none, the status; then the method.
        """
        return "\n".join([self._described(), *self._parameters(), self._status(), *self._method()])

    def _described(self) -> str:
        """The law, what y and x are, and the points."""
        named = [f"{letter} = {name}" for letter, name in self._letters() if name not in (letter, "X")]
        said = f" with {', '.join(named)}" if named else ""
        return f"{self.law_object.formula}{said}, {self._points_described()}"

    def _letters(self) -> list[tuple[str, str]]:
        return [("y", self.y_name), ("x", self.x_name)]

    def _parameters(self) -> list[str]:
        lines = []
        for name, value in self.params.items():
            interval = self.intervals[name]
            if name in self.pinned:
                lines.append(f"  {name} = {value:.6g} (pinned)")
            elif interval is None:
                lines.append(f"  {name} = {value:.4g} (no interval: {self.reason_no_interval})")
            else:
                lines.append(f"  {name} = {with_interval(value, *interval, level=self.level)}")
        return lines

    def _status(self) -> str:
        return f"  status: {self.status}" + (f": {self.status_detail}" if self.status_detail else "")

    def _method(self) -> list[str]:
        outlier = "" if self.delta is None else f", outliers beyond {self.delta:.3g}"
        lines = [f"  loss: {self.loss}, {LOSSES[self.loss].split(':')[0]}{outlier}"]
        if self.residual_sd is not None:
            lines.append(
                f"  residual standard deviation {100 * self.residual_sd:.3g}% of y"
                if self.logarithmic
                else f"  residual standard deviation {self.residual_sd:.3g}"
            )
        if self.interval_method:
            lines.append(f"  intervals: {self.interval_method}")
        if self.lack_of_fit.p is not None:
            wrong = self.lack_of_fit.p < SIGNIFICANT
            verdict = "the law does not fit the means at repeated x" if wrong else "no sign of lack of fit at repeated x"
            lines.append(f"  lack of fit: F = {self.lack_of_fit.statistic:.3g}, {p_value(self.lack_of_fit.p)}: {verdict}")
        if self.extrapolation_error is not None:
            lines.append(f"  {self.extrapolation_error.sentence()}")
        return [*lines, *(f"  by default: {one}" for one in self.defaults)]

    def shown_table(self) -> pd.DataFrame:
        """The parameters: name, value, low, high."""
        import pandas as pd

        rows = [(name, value, *(self.intervals[name] or (math.nan, math.nan))) for name, value in self.params.items()]
        return pd.DataFrame(rows, columns=["parameter", "value", "low", "high"])

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.params.items())
        return f"<{type(self).__name__} {self.law}: {values}; {self.n} points, {self.status}>"

    def to_json(self) -> str:
        """All fields as standard JSON. An infinite end of an interval, parameter or objective is
        written as null; of an own law the name and parameters are written, not its function.
        """
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "own_law"}
        fields: dict[str, Any] = {"format": FORMAT, "kind": self.KIND, **{name: _as_dict(value) for name, value in values.items()}}
        fields["own_law"] = None if self.own_law is None else stored_form(self.own_law)
        fields["intervals"] = {
            name: None if ends is None else [end if math.isfinite(end) else None for end in ends] for name, ends in self.intervals.items()
        }
        fields["params"] = {name: value if math.isfinite(value) else None for name, value in self.params.items()}
        fields["objective"] = self.objective if math.isfinite(self.objective) else None
        if self.replicates is not None:
            fields["replicates"] = {name: [_or_none(value) for value in values] for name, values in self.replicates.items()}
        return json.dumps(fields, allow_nan=False)

    @classmethod
    def from_json(cls: type[Kin], text: str, law: Law | Callable[..., Any] | None = None) -> Kin:
        """The fit that `to_json` wrote. A fit of a law of your own needs that `law`, the function or
        Law, again. Raises AnalysisError if the text is not such a fit.
        """
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise AnalysisError(f"this text is not a fit: it is not JSON ({error}); write one with to_json().") from None
        names = {field.name for field in dataclasses.fields(cls)}
        if isinstance(fields, dict):
            fields.setdefault("cluster", None)  # files of 0.2.0 and before have none
            fields.setdefault("defaults", [])
            if "check" in names:
                fields.setdefault("check", {"fits": True, "p": None, "runs_p": None, "bias": None, "region": ""})
        if isinstance(fields, dict) and fields.get("format") == 2:
            fields = _from_format_2(fields)
        if isinstance(fields, dict):  # fits written before names were kept
            fields = {"x_name": "x", "y_name": "y"} | fields
        known = isinstance(fields, dict) and fields.pop("format", None) == FORMAT and fields.pop("kind", None) == cls.KIND
        if not known or set(fields) != names:
            raise AnalysisError("this text is not a fit of this version: write it again with to_json().")
        fields["own_law"] = _own_law(fields["own_law"], law, cls.__name__)
        fields["intervals"] = {
            name: None if ends is None else (_end(ends[0], -math.inf), _end(ends[1], math.inf)) for name, ends in fields["intervals"].items()
        }
        fields["params"] = {name: _end(value, math.inf) for name, value in fields["params"].items()}
        fields["objective"] = _end(fields["objective"], math.inf)
        for name in ("x", "y", "y_range", "weights", "pinned", "scale", "covariance_names", "covariance_root", "cluster", "defaults"):
            fields[name] = _tuples(fields[name])
        if fields["replicates"] is not None:
            fields["replicates"] = {name: tuple(_end(value, math.nan) for value in values) for name, values in fields["replicates"].items()}
        if "check" in names:
            fields["check"] = SurfaceCheck(**fields["check"])
        test = fields["lack_of_fit"]
        fields["lack_of_fit"] = LackOfFit(**test | {"degrees_of_freedom": tuple(test["degrees_of_freedom"])})
        if fields["extrapolation_error"] is not None:
            fields["extrapolation_error"] = ExtrapolationErrorModel(**fields["extrapolation_error"])
        return cls(**fields)

    def _counts(self) -> NDArray[np.bool_]:
        """Which points count, shape (n,). The last value gives no weight to earlier points, yet they
        were measured.
        """
        return np.ones(len(self.y), dtype=bool) if self.law_object.baseline else np.array(self.weights) > 0

    def _measured(self) -> Array:
        """x of the points that count, shape (m,) or (m, inputs)."""
        return np.array(self.x, dtype=np.float64)[self._counts()]

    def _smallest(self) -> float:
        """The smallest y measured."""
        return float(np.min(np.array(self.y)[self._counts()]))

    def _points_described(self) -> str:
        raise NotImplementedError

    def _problem(self) -> Problem:
        """The problem in whose coordinates the covariance is; enough of it to evaluate the law and its
        gradient.
        """
        law = self.law_object
        return Problem(
            law=law,
            x=np.array(self.x),
            y=np.array(self.y),
            weights=np.array(self.weights),
            loss=Loss(logarithmic=self.logarithmic, robust=self.delta is not None),
            pinned={name: self.params[name] for name in self.pinned},
            bounds={},
            natural=self.scale,
            scale=self.scale,
        )

    def _values(self, where: Array, params: Mapping[str, Any] | None = None) -> Array:
        """The law at `where`, shape (m,); or at replicated parameters, shape (replicates, m)."""
        if params is None:
            params = self.params
        shaped = {name: np.asarray(value)[:, None] if np.ndim(value) else value for name, value in params.items()}
        with np.errstate(all="ignore"):
            return self.law_object.function(where, **shaped)

    def _error(self, terms: Sequence[tuple[float, Array]]) -> tuple[Array, Array]:
        """Value and standard error of a weighted sum of the law at several places, from the
        replicates or covariance of this fit.
        """
        mean = np.asarray(sum(weight * self._values(where) for weight, where in terms))
        if self.replicates is not None:
            replicated = np.asarray(sum(weight * self._values(where, self.replicates) for weight, where in terms))
            if self.replicate_kind == "jackknife":
                return mean, jackknife_sd(replicated, mean)
            return mean, _spread(replicated)
        if self.covariance_root is None:
            return mean, np.full(mean.shape, np.nan)
        if not self.covariance_names:  # every free parameter lies on a bound
            return mean, np.zeros(mean.shape)
        problem = self._problem()
        u = problem.at({name: np.array([value]) for name, value in self.params.items()})
        columns = [problem.law.names.index(name) for name in self.covariance_names]
        scale = self.scale[0] if len(self.scale) == 1 else np.array(self.scale)
        with np.errstate(all="ignore"):
            by = sum(
                (weight * problem.gradient_at(where / scale, u)[0][:, columns] for weight, where in terms), start=np.zeros((len(mean), len(columns)))
            )
            return mean, np.linalg.norm(by @ np.array(self.covariance_root).reshape(len(columns), -1), axis=1)

    def _band(self, mean: Array, half: Array) -> tuple[Array, Array, Array]:
        """Mean, low and high, from a half-width on the scale of the residuals, within the range of
        the metric.
        """
        with np.errstate(all="ignore"):
            # below zero there is no ln y: there the half-width is that of the smallest y measured
            unit = np.where(mean > 0, mean, self._smallest()) if self.logarithmic else 1.0
            low, high = mean - half * unit, mean + half * unit
            if self.logarithmic:
                low, high = np.where(mean > 0, mean * np.exp(-half), low), np.where(mean > 0, mean * np.exp(half), high)
        least, most = self._range()
        return np.clip(mean, least, most), np.clip(low, least, most), np.clip(high, least, most)

    def _range(self) -> tuple[float, float]:
        """Ends of the metric, infinite where open."""
        low, high = self.y_range
        return -np.inf if low is None else low, np.inf if high is None else high

    def _relative(self, mean: Array, error: Array) -> Array:
        """A standard error in the unit of y on the scale of the residuals."""
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(error / np.where(mean > 0, mean, self._smallest())) if self.logarithmic else error)

    def _quantile(self) -> float:
        return t_quantile(self.level, self.degrees_of_freedom)


def _as_dict(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _from_format_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as of format 3, which has other names for the extrapolation error, and own laws."""
    error = fields.pop("drift", None)
    if error is not None:
        error = {"per_efold": error["wander"], "origins": error["origins"], "last_residual": error["miss"]}
    return fields | {"format": FORMAT, "extrapolation_error": error, "own_law": None}


def _own_law(stored: dict[str, Any] | None, law: Law | Callable[..., Any] | None, kind: str) -> Law | None:
    if stored is None:
        return None
    if law is None:
        name = stored["name"]
        raise AnalysisError(
            f"this fit is of your own law '{name}', and JSON does not hold its function: give it again, {kind}.from_json(text, law={name})."
        )
    return restored(law, stored)


def _end(value: float | None, open_end: float) -> float:
    return open_end if value is None else float(value)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _spread(values: Array) -> Array:
    """Standard deviation over replicates, shape (m,); NaN where some left double precision."""
    with np.errstate(all="ignore"):
        return np.asarray(np.std(values, axis=0, ddof=1))
