"""Fits a surface over several inputs, such as loss over model size and data, and predicts with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.far_points import far_points
from analysis.fitting.fit import OwnLaw, Settings, fitted
from analysis.fitting.inputs import check_size, checked_weights, numbers
from analysis.fitting.prediction import Kind, Prediction, checked_kind, checked_step
from analysis.fitting.result import FittedLaw
from analysis.fitting.surface_check import SurfaceCheck, check_surface
from analysis.fitting.turning import turn_of_surface, with_turn
from analysis.formatting import p_value
from analysis.laws import SURFACES, Law, find_law

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


Array = NDArray[np.float64]

SAMPLES = 400
RICHER = {"shared_exponent": ("chinchilla", "skaling"), "chinchilla": ("skaling",)}


@dataclass(frozen=True, kw_only=True, repr=False)
class SurfaceFit(FittedLaw):
    """A fitted surface. Make one with `analysis.fit_surface`; read `status` before any number."""

    KIND: ClassVar[str] = "surface"

    check: SurfaceCheck
    """Whether the law fits these points, judged without repeated measurements."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The letters of the columns of X in the law's formula."""
        return self.law_object.inputs

    @property
    def input_names(self) -> tuple[str, ...]:
        """What the columns of X are called: by a table, else by the law."""
        names = tuple(self.x_name.split(", "))
        return names if len(names) == len(self.inputs) else self.inputs

    def predict(self, X: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The surface at X, shape (m, inputs), with an interval for its mean or for one new run.

        The interval assumes that the law is correctly specified; `extrapolated` is set where any
        input lies outside the measured range.
        """
        checked_kind(kind)
        where = checked_inputs(self.law_object, X)
        mean, error = self._error(((1.0, where),))
        half = self._relative(mean, error) * self._quantile()
        if kind == "new run":
            half = np.hypot(half, (np.nan if self.residual_sd is None else self.residual_sd) * self._quantile())
        mean, low, high = self._band(mean, half)
        return Prediction(
            x=where, mean=mean, low=low, high=high, extrapolated=self._outside(where), level=self.level, kind=kind, x_names=self.input_names
        )

    def marginal(self, X: ArrayLike, by: str, per: float | str = "doubling") -> Prediction:
        """The change of y at X, shape (m, inputs), from doubling the input named `by`, or from `per`
        more of it.
        """
        where = checked_inputs(self.law_object, X)
        if by not in self.inputs:
            raise AnalysisError(
                f"by is '{by}', which is no input of '{self.law}' ({nearest_name(by, self.inputs)}): choose one of {', '.join(self.inputs)}."
            )
        after = where.copy()
        column = self.inputs.index(by)
        step = checked_step(per, by)
        after[:, column] += where[:, column] if step is None else step
        mean, error = self._error(((1.0, after), (-1.0, where)))
        half = error * self._quantile()
        outside = self._outside(where) | self._outside(after)
        return Prediction(
            x=where,
            mean=mean,
            low=mean - half,
            high=mean + half,
            extrapolated=outside,
            level=self.level,
            kind="marginal",
            x_names=self.input_names,
        )

    def plot_data(self) -> dict[str, pd.DataFrame]:
        """'points': the inputs, y, weight, fitted and residual of every point, for any plotting
        library.
        """
        import pandas as pd

        x = np.array(self.x)
        fitted = self._values(x)
        with np.errstate(all="ignore"):
            residual = np.log(np.array(self.y) / fitted) if self.logarithmic else np.array(self.y) - fitted
        columns = {name: x[:, index] for index, name in enumerate(self.inputs)}
        return {"points": pd.DataFrame(columns | {"y": self.y, "weight": self.weights, "fitted": fitted, "residual": residual})}

    def with_turn(self, used: NDArray[np.bool_]) -> SurfaceFit:
        """The same fit. Where y rises at the end of an input in the points `used`, shape (n,), and the
        law does not, its status says so.
        """
        turned = turn_of_surface(np.array(self.x, dtype=float), np.array(self.y), used, self.inputs, self._values, self.law)
        return replace(self, **with_turn(self.status, self.status_detail, turned)) if turned and turned not in self.status_detail else self

    def _outside(self, where: Array) -> NDArray[np.bool_]:
        x = self._measured()
        return np.asarray(((where < x.min(axis=0)) | (where > x.max(axis=0))).any(axis=1))

    def _letters(self) -> list[tuple[str, str]]:
        return [("y", self.y_name), *zip(self.inputs, self.input_names, strict=True)]

    def plot(self) -> alt.LayerChart:
        """Measured against fitted y as an Altair chart, with the line on which they agree."""
        from analysis.plots.agreement import agreement_chart

        return agreement_chart(self)

    def _points_described(self) -> str:
        x = self._measured()
        ranges = [f"{name} from {column.min():,.6g} to {column.max():,.6g}" for name, column in zip(self.inputs, x.T, strict=True)]
        return f"fitted to {self.n} points, {' and '.join(ranges)}"


def fit_surface(
    X: ArrayLike,
    y: ArrayLike,
    *,
    law: str | OwnLaw = "chinchilla",
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | None = None,
    loss: str = "log_huber",
    delta: float | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    metric: str | None = None,
    cluster: ArrayLike | None = None,
    bootstrap: int = SAMPLES,
    start: Mapping[str, float] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> SurfaceFit:
    """Fits `law` to X of shape (n, inputs) and y of shape (n,).

    `law` is one of `analysis.SURFACES`, such as 'chinchilla' (y = E + A N^-alpha + B D^-beta); or a
    function f(X, a, b) of your own; or an `analysis.Law`. The columns of X are the law's inputs in
    order (see `SURFACES[law].inputs`): N and D for model and data, P and F for pre-training and
    fine-tuning images. The loss is Huber's on relative errors; `delta`, unless given, is 1e-3 over
    N and D, as Hoffmann et al. 2022 (arXiv:2203.15556), eq. 3, and that of `fit` otherwise. The
    other settings are those of `fit`. Intervals come from `bootstrap` samples of the points, or of
    whole `cluster`s; bootstrap=0 gives profile likelihood, or the jackknife over clusters. The status
    'does not fit' says that the residuals bend with the inputs, where, and which law fits.

    Raises AnalysisError for points or settings that no law can be fitted to, saying which.
    """
    where = checked_inputs(find_law(law, SURFACES) if isinstance(law, str) else law, X)
    values = numbers("y", y)
    if values.shape != (len(where),):
        raise AnalysisError(f"X has {len(where)} rows and y has shape {values.shape}: give one y for each row.")
    if not np.all(np.isfinite(values)):
        wrong = np.flatnonzero(~np.isfinite(values))
        raise AnalysisError(
            f"y[{wrong[0]}] is {values[wrong[0]]:g} ({len(wrong)} of {len(values)} values are not finite): leave those points out before fitting."
        )
    check_size("y", values)
    settings = Settings(
        weights=weights,
        sigma=sigma,
        loss=loss,
        delta=delta,
        fixed=fixed,
        bounds=bounds,
        y_range=y_range,
        metric=metric,
        cluster=cluster,
        bootstrap=bootstrap,
        start=start,
        level=level,
        seed=seed,
    )
    solution, fields = fitted(law, SURFACES, where, values, settings)
    check = check_surface(solution)
    apart = None if check.fits else far_points(solution)
    if apart is not None:
        check = apart.check
        fields |= {"status_detail": "; ".join(one for one in (fields["status_detail"], apart.sentence) if one)}
    if not check.fits and fields["status"] in ("converged", "at bound"):
        before = f"; {fields['status']}: {fields['status_detail']}" if fields["status_detail"] else ""
        fields |= {"status": "does not fit", "status_detail": f"{_misfit(check)}{_advice(law, where, values, settings)}{before}"}
    found = SurfaceFit(**fields, extrapolation_error=None, check=check)
    return found.with_turn(
        np.ones(len(values), dtype=bool) if weights is None or isinstance(weights, str) else checked_weights(weights, len(values)) > 0
    )


def _misfit(check: SurfaceCheck) -> str:
    """What the residuals say, as a sentence."""
    beyond = f"; fits to smaller budgets miss the larger ones by {abs(check.bias):.2g} on average" if check.bias is not None else ""
    return f"the points lie {check.region} (F test against quadratic terms, {p_value(check.p or 0.0)}{beyond})"


def _advice(law: str | OwnLaw, X: Array, y: Array, settings: Settings) -> str:
    """Names a richer law of the same inputs that fits, if there is one."""
    if not isinstance(law, str) or find_law(law, SURFACES).name not in RICHER or settings.fixed or settings.bounds:
        return ""
    for name in RICHER[find_law(law, SURFACES).name]:
        solution, _ = fitted(name, SURFACES, X, y, replace(settings, bootstrap=0, start=None))
        if check_surface(solution).fits:
            return f": '{name}' fits these points, so use law='{name}' or choose_surface(X, y)"
    return ": no law of this library fits all points, so compare laws with choose_surface(X, y), which can leave the smallest budgets out"


def checked_inputs(law: OwnLaw, X: ArrayLike) -> Array:
    """X as floats of shape (n, inputs), each finite and in the law's domain. A function of the
    caller's takes any number of columns, zero included. Raises AnalysisError.
    """
    where = numbers("X", X)
    name_of_law = law.name if isinstance(law, Law) else getattr(law, "__name__", "law")
    names = law.inputs if isinstance(law, Law) else tuple(f"x{column + 1}" for column in range(where.shape[1] if where.ndim == 2 else 2))
    zero_inputs = law.zero_inputs if isinstance(law, Law) else names
    if where.ndim != 2 or where.shape[1] != len(names):
        raise AnalysisError(f"X has shape {where.shape}: the law '{name_of_law}' needs {len(names)} columns, {', '.join(names)}, one row per point.")
    if not len(where):
        raise AnalysisError("X and y are empty: give at least one point.")
    if len(names) < 2:
        raise AnalysisError("X has one column: fit a curve with analysis.fit, or give X two columns or more.")
    check_size("X", where)
    for name, column in zip(names, where.T, strict=True):
        may_be_zero = name in zero_inputs
        wrong = np.flatnonzero(~(np.isfinite(column) & ((column >= 0) if may_be_zero else (column > 0))))
        if len(wrong):
            need = "zero or above" if may_be_zero else "above zero"
            raise AnalysisError(f"{name} of X[{wrong[0]}] is {column[wrong[0]]:g}: the law '{name_of_law}' needs it finite and {need}.")
    if isinstance(law, Law):
        for row in np.flatnonzero(law.above_limit(where, 1e-12))[:1]:
            name, limit, reason = law.limited_inputs[0]
            raise AnalysisError(f"{name} of X[{row}] is above its {limit}: {reason}.")
    return where
