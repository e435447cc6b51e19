"""The variance of a quantity after further runs, by the delta method on the Fisher information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.decisions.draws import root_of
from analysis.decisions.quantity import Quantity
from analysis.errors import AnalysisError
from analysis.fitting.result import FittedLaw
from analysis.significance.cluster_resampling import jackknife_sd

Array = NDArray[np.float64]

STEP = 1e-5
SINGULAR = 1e-10  # smallest eigenvalue of the scaled information, relative to the largest, below which the information is singular


@dataclass(frozen=True, kw_only=True)
class Information:
    """A quantity's variance as a function of the runs made, in units of the noise variance of one
    run.
    """

    inverse: Array
    """(J' W J)^-1 over the coordinates that move, shape (p, p)."""
    slope: Array
    """Derivatives of the quantity by them, shape (p,)."""
    standard_error: float
    """Of the quantity now, by the fit's own spread."""

    @property
    def variance(self) -> float:
        """Of the quantity by the points made so far."""
        return float(self.slope @ self.inverse @ self.slope)

    def variances_with(self, rows: Array, weight: float | Array) -> Array:
        """The same after one more run at each of `rows`, shape (m, p), of that weight, one for all or
        shape (m,): shape (m,).
        """
        turned = rows @ self.inverse
        gained = (turned @ self.slope) ** 2 / (1.0 / weight + np.sum(turned * rows, axis=1))
        return np.asarray(self.variance - gained)

    def with_run(self, row: Array, weight: float) -> Information:
        """After one more run, by the rank-one update of the inverse (Sherman and Morrison 1950)."""
        turned = self.inverse @ row
        inverse = self.inverse - np.outer(turned, turned) / (1.0 / weight + float(row @ turned))
        return Information(inverse=inverse, slope=self.slope, standard_error=self.standard_error)


def information_of(fit: FittedLaw, quantity: Quantity) -> Information:
    """Information of the fit's points about the quantity. Raises AnalysisError if there is none."""
    columns = _moving(fit)
    used = np.array(fit.weights) > 0
    J = rows_at(fit, np.array(fit.x)[used], columns) * np.sqrt(np.array(fit.weights)[used])[:, None]
    size = np.linalg.norm(J, axis=0)
    if not len(columns) or not np.all(np.isfinite(size)) or not np.all(size > 0):
        raise AnalysisError("the fit's points do not determine some of its parameters: pin those, and ask again.")
    values, turned = np.linalg.eigh((J / size).T @ (J / size))
    if values[0] < SINGULAR * values[-1]:
        raise AnalysisError("the fit's points do not tell its parameters apart, so the value of further runs is not known: pin one, and ask again.")
    half = turned / np.sqrt(values) / size[:, None]
    slope = _slope(fit, quantity, columns)
    return Information(inverse=half @ half.T, slope=slope, standard_error=_standard_error(fit, quantity, slope, columns))


def rows_at(fit: FittedLaw, where: Array, columns: list[int] | None = None) -> Array:
    """Derivatives of y (of ln y where the loss is logarithmic) by the coordinates that move, shape
    (m, p).
    """
    columns = _moving(fit) if columns is None else columns
    problem = fit._problem()
    scale = fit.scale[0] if len(fit.scale) == 1 else np.array(fit.scale)
    with np.errstate(all="ignore"):
        rows = problem.gradient_at(where / scale, _coordinates(fit))[0][:, columns]
        if fit.logarithmic:
            rows = rows / fit._values(where)[:, None]
    return np.asarray(rows)


def _moving(fit: FittedLaw) -> list[int]:
    """Columns of the free coordinates that do not lie on the edge of the law's own range."""
    names = fit.law_object.names
    if fit.covariance_names:
        return [names.index(name) for name in fit.covariance_names]
    u = _coordinates(fit)[0]
    low, high = fit._problem().box
    near = 1e-6 * (1.0 + np.abs(u))
    return [index for index, name in enumerate(names) if name not in fit.pinned and low[index] + near[index] < u[index] < high[index] - near[index]]


def _coordinates(fit: FittedLaw) -> Array:
    return fit._problem().at({name: np.array([value]) for name, value in fit.params.items()})


def _slope(fit: FittedLaw, quantity: Quantity, columns: list[int]) -> Array:
    """Central differences of the quantity by the coordinates."""
    u = _coordinates(fit)
    steps = STEP * (1.0 + np.abs(u[0, columns]))
    moved = np.repeat(u, 2 * len(columns), axis=0)
    for place, column in enumerate(columns):
        moved[2 * place, column] += steps[place]
        moved[2 * place + 1, column] -= steps[place]
    values = quantity.value(fit._problem().original(moved))
    return np.asarray((values[0::2] - values[1::2]) / (2.0 * steps))


def _standard_error(fit: FittedLaw, quantity: Quantity, slope: Array, columns: list[int]) -> float:
    if fit.replicates is not None:
        each = quantity.value({name: np.array(values) for name, values in fit.replicates.items()})
        if fit.replicate_kind == "bootstrap":
            return float(np.std(each, ddof=1))
        full = quantity.value({name: np.array([value]) for name, value in fit.params.items()})
        return float(jackknife_sd(each[:, None], full)[0])
    root, of_root = root_of(fit)
    return float(np.linalg.norm(slope[[columns.index(column) for column in of_root]] @ root))
