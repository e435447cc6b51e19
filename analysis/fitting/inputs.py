"""Checks everything that a caller gives to a fit: points, weights, clusters, pins, bounds, starts.

Each check raises AnalysisError with a sentence that says where, what, and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.laws.law import Law

Array = NDArray[np.float64]

METRICS: Final[dict[str, tuple[float | None, float | None] | None]] = {
    "loss": (0.0, None),
    "error": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
    "percent": (0.0, 100.0),
    "any": None,
}
"""Ranges of y by the name of the metric."""
LARGEST = {"x": 1e30, "X": 1e30, "y": 1e100}  # x to the power 10 then still is a double


def checked_points(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """x and y as float arrays of one shape (n,), all finite and x above zero. Raises AnalysisError."""
    arrays = numbers("x", x), numbers("y", y)
    for name, array in zip("xy", arrays, strict=True):
        if array.ndim != 1:
            raise AnalysisError(f"{name} has shape {array.shape}: give one value per point, in one dimension.")
    if len(arrays[0]) != len(arrays[1]):
        raise AnalysisError(f"x has {len(arrays[0])} values and y has {len(arrays[1])}: give one y for each x.")
    if len(arrays[0]) == 0:
        raise AnalysisError("x and y are empty: give at least one point.")
    for name, array in zip("xy", arrays, strict=True):
        wrong = np.flatnonzero(~np.isfinite(array))
        if len(wrong):
            raise AnalysisError(
                f"{name}[{wrong[0]}] is {array[wrong[0]]:g} ({len(wrong)} of {len(array)} values are not finite): leave those points "
                f"out before fitting."
            )
    for name, array in zip("xy", arrays, strict=True):
        check_size(name, array)
    wrong = np.flatnonzero(arrays[0] <= 0)
    if len(wrong):
        value = arrays[0][wrong[0]]
        advice = (
            "zero is the baseline without pre-training, where a power law has no value: leave it out and draw it separately"
            if value == 0
            else "a power law needs x > 0: leave it out"
        )
        raise AnalysisError(f"x[{wrong[0]}] is {value:g}: {advice}.")
    return arrays


def check_size(name: str, array: Array) -> None:
    """Raises AnalysisError for numbers whose powers leave double precision."""
    most = LARGEST[name[0]]
    size = np.abs(array)
    wrong = np.flatnonzero((size > most) | ((size < 1.0 / most) & (size > 0)))
    if len(wrong):
        raise AnalysisError(
            f"{name}[{wrong[0]}] is {array.ravel()[wrong[0]]:g}: outside 1/{most:g} to {most:g} powers overflow; give {name} in another unit."
        )


def checked_clusters(cluster: ArrayLike, counts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Cluster labels of the points that count, a mask of shape (n,), as integers from 0. Raises
    AnalysisError for a missing label or another length.
    """
    n = len(counts)
    import pandas as pd  # here, so that a fit without clusters does not wait for it

    # as objects: an array of text would turn a missing label into the label 'nan'
    labels = pd.Series(list(np.ravel(np.asarray(cluster, dtype=object))), dtype=object)
    if len(labels) != n:
        raise AnalysisError(f"cluster has {len(labels)} labels for {n} points: give one label per point.")
    missing = np.flatnonzero(labels.isna())
    if len(missing):
        raise AnalysisError(f"cluster[{missing[0]}] is missing: give every point a label, such as independent_groups(runs).")
    return np.asarray(pd.factorize(labels[counts])[0], dtype=np.int64)


def checked_weights(weights: ArrayLike | None, n: int) -> Array:
    """One weight per point with mean 1 over those above zero, shape (n,). Raises AnalysisError."""
    if weights is None:
        return np.ones(n)
    array = _one_each("weights", weights, n, lowest=0.0, need="a finite number, zero or above")
    if not np.any(array > 0):
        raise AnalysisError("all weights are zero, which leaves no point: give at least one a positive weight.")
    array = array / np.max(array)
    return np.asarray(array / np.mean(array[array > 0]))


def checked_sigma(sigma: ArrayLike | None, counts: NDArray[np.bool_]) -> Array | None:
    """Standard errors of the points that count, a mask of shape (n,). Raises AnalysisError unless
    there is one above zero for each point.
    """
    if sigma is None:
        return None
    return _one_each("sigma", sigma, len(counts), lowest=float(np.nextafter(0.0, 1.0)), need="a finite standard error above zero")[counts]


def units_of(sigma: Array | None, y: Array, *, logarithmic: bool) -> Array | float:
    """The unit of each point's residual, shape (n,), from standard errors of y; 1 for
    a typical point. Raises AnalysisError.
    """
    if sigma is None:
        return 1.0
    relative = sigma / np.abs(y) if logarithmic else sigma
    if not np.max(relative) < 1e6 * np.min(relative):
        raise AnalysisError(
            "sigma spans more than a factor of a million, so a few points would decide the fit alone: leave the others out, or give larger errors."
        )
    inverse = np.min(relative) / relative
    return np.asarray(np.sqrt(np.mean(inverse**2)) / inverse)


def _one_each(name: str, values: ArrayLike, n: int, *, lowest: float, need: str) -> Array:
    array = numbers(name, values)
    if array.shape != (n,):
        raise AnalysisError(f"{name} has shape {array.shape} for {n} points: give one value per point.")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= lowest)))
    if len(wrong):
        raise AnalysisError(f"{name}[{wrong[0]}] is {array[wrong[0]]:g}: give {need}.")
    return array


def checked_y_for(y: Array, loss: str) -> None:
    """Raises AnalysisError where a logarithmic loss meets a y that has no logarithm."""
    wrong = np.flatnonzero(y <= 0)
    if loss.startswith("log") and len(wrong):
        raise AnalysisError(
            f"y[{wrong[0]}] is {y[wrong[0]]:g} and the loss '{loss}' takes logarithms ({len(wrong)} of {len(y)} values are not above zero): "
            f"choose loss='{loss.removeprefix('log_')}', or leave those points out."
        )


def checked_samples(bootstrap: int, seed: int) -> None:
    """Raises AnalysisError unless bootstrap is 0 or at least 50, and seed a whole number, zero or
    above.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise AnalysisError(f"seed is {seed!r}: give a whole number, zero or above.")
    if isinstance(bootstrap, bool) or not isinstance(bootstrap, int | np.integer) or (bootstrap != 0 and not 50 <= bootstrap <= 1_000_000):
        raise AnalysisError(f"bootstrap is {bootstrap!r}: give the number of samples, 0 for none, else 50 to 1,000,000, such as 1000.")


def checked_level(level: float) -> None:
    """Raises AnalysisError unless 0 < level < 1."""
    if isinstance(level, bool) or not isinstance(level, int | float | np.number) or not 0.0 < level < 1.0:
        given = f"{level:g}" if isinstance(level, int | float | np.number) else repr(level)
        raise AnalysisError(f"level is {given}: give the confidence level of the intervals as a share, such as 0.95.")


def numbers(name: str, values: ArrayLike) -> Array:
    """Values as floats. Raises AnalysisError for anything but real numbers: text, dates, complex or
    masked values.
    """
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise AnalysisError(f"{name} is masked in places, and what is masked would be fitted: leave those points out with .compressed().")
    try:
        array = np.asarray(values)
        if array.dtype.kind in "cMm":
            raise TypeError
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise AnalysisError(f"{name} holds something that is not a number: give numbers alone.") from None


def checked_range(y_range: tuple[float | None, float | None] | None, y: Array) -> tuple[float, float]:
    """The range of the metric, with open sides as infinities. Raises AnalysisError for a y outside
    it.
    """
    if y_range is None:
        return -np.inf, np.inf
    low, high = _ends("y_range is", y_range)
    outside = np.flatnonzero((y < low) | (y > high))
    if len(outside):
        raise AnalysisError(f"y holds {y[outside[0]]:g}, outside the y_range {low:g} to {high:g}: correct the range or the points.")
    return low, high


def checked_metric(metric: str | None, y_range: tuple[float | None, float | None] | None) -> tuple[float | None, float | None] | None:
    """The range of a metric named by `metric`, or the range given. Raises AnalysisError for both, and
    for an unknown name.
    """
    if metric is None:
        return y_range
    if not isinstance(metric, str) or metric not in METRICS:
        raise AnalysisError(f"metric is {metric!r} ({nearest_name(str(metric), METRICS)}): choose one of {', '.join(METRICS)}, or give a y_range.")
    if y_range is not None:
        raise AnalysisError("metric and y_range both say where y ends: give one of them.")
    return METRICS[metric]


def checked_pins(law: Law, fixed: Mapping[str, float]) -> dict[str, float]:
    """Pinned values in the law's order. Raises AnalysisError."""
    pinned: dict[str, float] = {}
    for name, value in _mapping("fixed", fixed, '{"E": 0.1}').items():
        _check_name(law, name, "fixed", "pin")
        number = _number(f"fixed gives {name}", value)
        if not np.isfinite(number):
            raise AnalysisError(f"fixed gives {name} = {value}: pin a parameter to a finite number.")
        if law.parameter(name).role == "positive" and number <= 0:
            raise AnalysisError(f"fixed gives {name} = {number:g}, and the law '{law.name}' needs {name} > 0: pin it to a positive number.")
        pinned[name] = number
    if len(pinned) == len(law.names):
        raise AnalysisError(f"fixed pins every parameter of the law '{law.name}': leave at least one to fit.")
    return {name: pinned[name] for name in law.names if name in pinned}


def checked_bounds(
    law: Law,
    bounds: Mapping[str, tuple[float | None, float | None]],
    y_range: tuple[float | None, float | None] | None,
    pinned: Mapping[str, float],
) -> dict[str, tuple[float, float]]:
    """Bounds of free parameters, with open sides as infinities. Raises AnalysisError."""
    found: dict[str, tuple[float, float]] = {}
    for name, ends in _mapping("bounds", bounds, '{"b": (0.2, 0.5)}').items():
        _check_name(law, name, "bounds", "confine")
        if name in pinned:
            raise AnalysisError(f"{name} is both pinned by fixed and confined by bounds: choose one.")
        found[name] = _ends(f"bounds of {name} are", ends)
    if y_range is not None:
        low, high = _ends("y_range is", y_range)
        if law.asymptote is not None and law.asymptote not in pinned:
            before = found.get(law.asymptote, (-np.inf, np.inf))
            found[law.asymptote] = (max(low, before[0]), min(high, before[1]))
    for name, (low, high) in found.items():
        if law.parameter(name).role == "positive" and high <= 0:
            raise AnalysisError(f"bounds of {name} end at {high:g}, and the law '{law.name}' needs {name} > 0: raise the upper bound.")
        least, most = law.parameter(name).bounds
        if law.parameter(name).unit == "none" and (high <= least or low >= most):
            raise AnalysisError(
                f"bounds of {name} are ({low:g}, {high:g}), and the law '{law.name}' is searched from {least:g} to {most:g}: let them overlap."
            )
    return found


def checked_start(law: Law, start: Mapping[str, float], free: tuple[str, ...]) -> dict[str, Array]:
    """Searched parameters to start from, shape (1,) each. Raises AnalysisError."""
    given = checked_start_values(law, start)
    missing = [name for name in law.searched if name in free and name not in given]
    if missing:
        rest = f"every parameter but {', '.join(law.linear)}" if law.linear else "every parameter"
        raise AnalysisError(f"start leaves out {', '.join(missing)}: give {rest}, or no start at all.")
    return {name: np.array([given[name]]) for name in law.searched if name in given}


def checked_start_values(law: Law, start: Mapping[str, float]) -> dict[str, float]:
    """The parameters named in a start, as numbers. Raises AnalysisError."""
    for name in _mapping("start", start, '{"b": 0.3}'):
        _check_name(law, name, "start", "start from")
    found = {name: _number(f"start gives {name}", value) for name, value in start.items() if law.parameter(name).role != "linear"}
    for name, value in found.items():
        positive = law.parameter(name).role == "positive"
        if not np.isfinite(value) or (positive and value <= 0):
            raise AnalysisError(f"start gives {name} = {value:g}: give a finite number{' above zero' if positive else ''}.")
    return found


def _mapping(setting: str, given: object, example: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise AnalysisError(f"{setting} is {given!r}: give names with values, such as {example}.")
    return given


def _check_name(law: Law, name: str, setting: str, verb: str) -> None:
    if name not in law.names:
        hint = nearest_name(name, law.names)
        raise AnalysisError(
            f"{setting} names '{name}', which is no parameter of the law '{law.name}' ({hint}): {verb} one of {', '.join(law.names)}."
        )


def _number(what: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise AnalysisError(f"{what} = {value!r}, which is no number: give a number.") from None


def _ends(what: str, ends: tuple[float | None, float | None]) -> tuple[float, float]:
    try:
        low, high = ends
    except (TypeError, ValueError):
        raise AnalysisError(f"{what} {ends!r}: give a pair (low, high), with None for an open side.") from None
    first = -np.inf if low is None else _number(f"{what}: low", low)
    last = np.inf if high is None else _number(f"{what}: high", high)
    if not first < last:
        raise AnalysisError(f"{what} ({first:g}, {last:g}): give a low end below the high end.")
    return first, last
