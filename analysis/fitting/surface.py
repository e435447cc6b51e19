"""Fit a surface over several inputs, such as loss over model size and data, and predict with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.fit import check_enough, fields_of
from analysis.fitting.inference import infer
from analysis.fitting.losses import find_loss
from analysis.fitting.points import (
    check_size,
    checked_clusters,
    checked_level,
    checked_samples,
    checked_sigma,
    checked_weights,
    checked_y_for,
    numbers,
)
from analysis.fitting.prediction import Kind, Prediction, checked_kind
from analysis.fitting.problem import make_problem
from analysis.fitting.result import FittedLaw
from analysis.fitting.settings import checked_bounds, checked_pins, checked_range, checked_start
from analysis.fitting.solving import with_linear_solved
from analysis.laws import SURFACES, Law, find_law

if TYPE_CHECKING:
    import pandas as pd


Array = NDArray[np.float64]

DELTA = 1e-3  # of surfaces over N and D: Hoffmann et al. 2022, arXiv:2203.15556, eq. 3
SAMPLES = 400


@dataclass(frozen=True, kw_only=True)
class SurfaceFit(FittedLaw):
    """A fitted surface. Make one with `analysis.fit_surface`; read `status` before any number."""

    KIND: ClassVar[str] = "surface"

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the columns of X are."""
        return self.law_object.inputs

    def predict(self, X: ArrayLike, kind: Kind = "mean") -> Prediction:
        """The surface at X, shape (m, inputs), with an interval for its mean or for one new run.

        The interval takes the law for true; `extrapolated` is set where any input lies outside the
        range that was measured.
        """
        checked_kind(kind)
        where = checked_inputs(self.law_object, X)
        mean, error = self._error(((1.0, where),))
        half = self._relative(mean, error) * self._quantile()
        if kind == "new run":
            half = np.hypot(half, (np.nan if self.residual_sd is None else self.residual_sd) * self._quantile())
        mean, low, high = self._band(mean, half)
        return Prediction(x=where, mean=mean, low=low, high=high, extrapolated=self._outside(where), level=self.level, kind=kind)

    def marginal(self, X: ArrayLike, by: str, per: float | str = "doubling") -> Prediction:
        """What more of one input buys at X, shape (m, inputs): the change of y from doubling the
        input named `by`, or from `per` more of it.
        """
        where = checked_inputs(self.law_object, X)
        if by not in self.inputs:
            raise AnalysisError(
                f"by is '{by}', which is no input of '{self.law}' ({nearest_name(by, self.inputs)}): choose one of {', '.join(self.inputs)}."
            )
        after = where.copy()
        column = self.inputs.index(by)
        if isinstance(per, str):
            if per != "doubling":
                raise AnalysisError(f"per is {per!r}: give 'doubling' or a number in the unit of {by}, such as 1000.")
            after[:, column] *= 2.0
        elif np.isfinite(per) and per > 0:
            after[:, column] += float(per)
        else:
            raise AnalysisError(f"per is {per:g}: give 'doubling' or a positive number in the unit of {by}, such as 1000.")
        mean, error = self._error(((1.0, after), (-1.0, where)))
        half = error * self._quantile()
        outside = self._outside(where) | self._outside(after)
        return Prediction(x=where, mean=mean, low=mean - half, high=mean + half, extrapolated=outside, level=self.level, kind="marginal")

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

    def _outside(self, where: Array) -> NDArray[np.bool_]:
        x = self._measured()
        return np.asarray(((where < x.min(axis=0)) | (where > x.max(axis=0))).any(axis=1))

    def _points_said(self) -> str:
        x = np.array(self.x)
        ranges = [f"{name} from {column.min():,.6g} to {column.max():,.6g}" for name, column in zip(self.inputs, x.T, strict=True)]
        return f"fitted to {self.n} points, {' and '.join(ranges)}"


def fit_surface(
    X: ArrayLike,
    y: ArrayLike,
    *,
    law: str = "chinchilla",
    weights: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    loss: str = "log_huber",
    delta: float | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    y_range: tuple[float | None, float | None] | None = None,
    cluster: ArrayLike | None = None,
    bootstrap: int = SAMPLES,
    start: Mapping[str, float] | None = None,
    level: float = 0.90,
    seed: int = 0,
) -> SurfaceFit:
    """Fit `law`, one of `analysis.SURFACES` such as 'chinchilla' (y = E + A N^-alpha + B D^-beta),
    to X of shape (n, inputs) and y of shape (n,).

    The columns of X are the law's inputs in order (see `SURFACES[law].inputs`): N and D for model
    and data, P and F for pre-training and fine-tuning images. The loss is Huber's on relative
    errors; `delta`, unless given, is 1e-3 over N and D, as Hoffmann et al. 2022 (arXiv:2203.15556),
    eq. 3, and that of `fit` over P and F. The other settings are those of `fit`. Intervals come
    from `bootstrap` samples of the points, or of whole `cluster`s; bootstrap=0 gives profile
    likelihood, or the jackknife over clusters.

    Raises AnalysisError for points or settings that no law can be fitted to, saying which.
    """
    chosen = find_law(law, SURFACES)
    where = checked_inputs(chosen, X)
    values = numbers("y", y)
    if values.shape != (len(where),):
        raise AnalysisError(f"X has {len(where)} rows and y has shape {values.shape}: give one y for each row.")
    if not np.all(np.isfinite(values)):
        wrong = np.flatnonzero(~np.isfinite(values))
        raise AnalysisError(
            f"y[{wrong[0]}] is {values[wrong[0]]:g} ({len(wrong)} of {len(values)} values are not finite): leave those points out before fitting."
        )
    check_size("y", values)
    checked_level(level)
    checked_samples(bootstrap, seed)
    published = delta is None and loss == "log_huber" and chosen.inputs[:2] == ("N", "D")
    kind = find_loss(loss, DELTA if published else delta)
    checked_y_for(values, loss)
    ends = checked_range(y_range, values)
    mass = checked_weights(weights, len(values))
    units = checked_sigma(sigma, values, logarithmic=kind.logarithmic)
    labels = None if cluster is None else checked_clusters(cluster, len(where))
    pinned = checked_pins(chosen, fixed or {})
    problem = make_problem(chosen, where, values, mass, kind, pinned, checked_bounds(chosen, bounds or {}, y_range, pinned), units)
    check_enough(problem)
    begin = None if start is None else with_linear_solved(problem, checked_start(chosen, start, problem.free))
    solution, spread = infer(problem, level=level, labels=labels, samples=bootstrap, seed=seed, start=begin)
    return SurfaceFit(**fields_of(solution, spread, level=level, loss=loss, clustered=labels is not None, y_range=ends), drift=None)


def checked_inputs(law: Law, X: ArrayLike) -> Array:
    """X as floats of shape (n, inputs), each finite and in the law's domain. Raises AnalysisError."""
    where = numbers("X", X)
    names = law.inputs
    if where.ndim != 2 or where.shape[1] != len(names):
        raise AnalysisError(f"X has shape {where.shape}: the law '{law.name}' needs {len(names)} columns, {', '.join(names)}, one row per point.")
    if not len(where):
        raise AnalysisError("X and y are empty: give at least one point.")
    check_size("X", where)
    for name, column in zip(names, where.T, strict=True):
        may_be_zero = name in law.zero_inputs
        wrong = np.flatnonzero(~(np.isfinite(column) & ((column >= 0) if may_be_zero else (column > 0))))
        if len(wrong):
            need = "zero or above" if may_be_zero else "above zero"
            raise AnalysisError(f"{name} of X[{wrong[0]}] is {column[wrong[0]]:g}: the law '{law.name}' needs it finite and {need}.")
    if law.name == "data_constrained" and np.any(where[:, 2] > where[:, 1] * (1 + 1e-12)):
        row = int(np.flatnonzero(where[:, 2] > where[:, 1] * (1 + 1e-12))[0])
        raise AnalysisError(f"U of X[{row}] is above its D: U counts the unique samples among the D that were seen.")
    return where
