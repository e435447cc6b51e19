"""The standard deviation of a single run, by which differences of single runs are judged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data_size.grid import SizeGrid, log_parameters
from analysis.errors import AnalysisError
from analysis.overfitting.series import labels_of

Array = NDArray[np.float64]
LARGEST = 1e150  # whose square, summed over runs, is still a float


@dataclass(frozen=True, kw_only=True)
class RunError:
    """Standard deviation of one run, and its source."""

    sd: float
    """In the unit of the outcome; what the runs of one pre-training series share is included."""
    degrees: float
    """Degrees of freedom; infinite where stated by the caller."""
    source: str
    """Where it comes from, as a clause."""


def run_error(runs: pd.DataFrame, grid: SizeGrid, *, run_sd: float | None = None, smooth: NDArray[np.bool_] | None = None) -> RunError:
    """The error of one run: as stated, else from seeds, else from the residuals of a smooth
    surface.

    From seeds: deviations from cell means, once each seed has its mean at each context (a label
    subset moves all sizes alike); degrees of freedom count pre-training series, not runs. From a
    surface (single runs): quadratic in log2 data, log2 length and log2 parameters with their
    products, separately between series and within them, var = (MS between + (m - 1) MS within) / m
    for m runs a series, Satterthwaite's degrees of freedom; what the surface misses adds to it, so
    intervals are rather too wide than too narrow. With `smooth`, a mask over rows of the grid, the
    surface is fitted to these runs alone if they are enough: where a model overfits no smooth
    surface is apt. Raises AnalysisError where too few runs are left.
    """
    if run_sd is not None:
        if not (np.isfinite(run_sd) and run_sd > 0.0):
            raise AnalysisError(f"run_sd is {run_sd}: give the standard deviation of one run, above zero.")
        return RunError(sd=float(run_sd), degrees=float("inf"), source=f"a stated SD of {run_sd:g} a run")
    found = _from_seeds(grid) if grid.seeds > 1 else None
    if found is not None:
        return found
    if smooth is not None and not smooth.all():
        try:
            return _from_surface(runs, dataclasses.replace(grid, frame=grid.frame[smooth].reset_index(drop=True)), " of the runs that do not overfit")
        except AnalysisError:
            pass  # too few of them: all runs, then
    return _from_surface(runs, grid)


def _from_seeds(grid: SizeGrid) -> RunError | None:
    frame = grid.frame
    cell = labels_of(frame, ["setting", "length", "context"])
    subset = labels_of(frame, ["seed", "context"])
    left = frame["y"].to_numpy() - _fitted([cell, subset], frame["y"].to_numpy())
    spent = len(np.unique(cell)) + len(np.unique(subset)) - frame["context"].nunique()
    if len(frame) - spent < 2:
        return None
    degrees = len(np.unique(labels_of(frame, ["setting", "seed"]))) - frame["setting"].nunique() - (grid.seeds - 1)
    if degrees < 1:
        return None
    variance = float(left @ left) / (len(frame) - spent)
    return RunError(sd=variance**0.5, degrees=float(degrees), source=f"the spread over {grid.seeds} seeds")


def _fitted(factors: list[NDArray[np.int64]], y: Array) -> Array:
    design = np.column_stack([(one[:, None] == np.unique(one)[None]).astype(float) for one in factors])
    return np.asarray(design @ np.linalg.lstsq(design, y, rcond=None)[0])


def _from_surface(runs: pd.DataFrame, grid: SizeGrid, of: str = "") -> RunError:
    frame = grid.frame
    d, length = (_scaled(np.log2(frame[name].to_numpy())) for name in ("size", "length"))
    logs = log_parameters(runs, grid)
    context = (frame["context"].to_numpy()[:, None] == np.unique(frame["context"])[None]).astype(float)
    if logs is not None:
        p = _scaled(logs)
        between = [d, p, d * d, p * p, d * p]
        within = [length, length**2, d * length, p * length, d * p * length, d * d * length, p * p * length]
    else:  # encoders are levels: each has its own intercept and its own line in log data
        encoder = (frame["encoder"].to_numpy()[:, None] == np.unique(frame["encoder"])[None]).astype(float)
        between = [d * d, *encoder.T, *(encoder * d[:, None]).T]
        within = [length, length**2, d * length, d * d * length, *(encoder * length[:, None]).T]
    series = frame["setting"].to_numpy()
    count = len(np.unique(series))
    m = len(frame) / count
    y = frame["y"].to_numpy()
    if float(np.abs(y).max()) > LARGEST:
        raise AnalysisError(f"the values of these runs reach {np.abs(y).max():.2g}, too large to be squared: give them in a larger unit.")
    means = _mean_of(y, series)
    outer = np.column_stack([np.ones(len(y)), *between, *(_mean_of(one, series) for one in within), *(_mean_of(one, series) for one in context.T)])
    outer_left, outer_rank = _residual(outer[np.unique(series, return_index=True)[1]], means[np.unique(series, return_index=True)[1]])
    inner = np.column_stack([*within, *context.T])
    inner_left, inner_rank = _residual(inner - np.column_stack([_mean_of(one, series) for one in inner.T]), y - means)
    outer_degrees, inner_degrees = count - outer_rank, len(y) - count - inner_rank
    if outer_degrees < 2 or (m > 1 and inner_degrees < 1):
        raise AnalysisError(
            f"{len(frame)} single runs of {count} series leave too few to estimate the error of one run from a smooth surface: give "
            f"run_sd=, the standard "
            f"deviation of one run, or run more seeds."
        )
    parts = [m * float(outer_left @ outer_left) / outer_degrees / m]
    degrees = [outer_degrees]
    if m > 1:
        parts.append((m - 1.0) * float(inner_left @ inner_left) / inner_degrees / m)
        degrees.append(inner_degrees)
    variance = sum(parts)
    if not variance > 0.0:
        raise AnalysisError("a smooth surface leaves no residual at all, which says nothing of the error of one run: give run_sd=.")
    free = variance**2 / sum(part**2 / one for part, one in zip(parts, degrees, strict=True))
    source = f"an estimated SD of {variance**0.5:.2g} a run, from what a smooth surface in size, length and parameters{of} leaves"
    return RunError(sd=variance**0.5, degrees=free, source=source)


def _mean_of(values: Array, series: NDArray[np.int64]) -> Array:
    return np.asarray(pd.Series(values).groupby(series).transform("mean").to_numpy())


def _residual(design: Array, y: Array) -> tuple[Array, int]:
    try:
        beta, _, rank, _ = np.linalg.lstsq(design, y, rcond=1e-9)
    except np.linalg.LinAlgError as error:  # of numbers near the largest that there are
        raise AnalysisError(f"no smooth surface can be fitted to these runs ({error}): give run_sd=.") from None
    return y - design @ beta, int(rank)


def _scaled(values: Array) -> Array:
    centred = values - values.mean()
    return np.asarray(centred / (np.abs(centred).max() or 1.0))
