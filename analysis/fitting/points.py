"""What is checked before a law is fitted: the points, the clusters and the level, each refused in a
sentence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError

LARGEST = {"x": 1e30, "X": 1e30, "y": 1e100}  # x to the power 10 then still is a double


def checked_points(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
            "zero is the baseline without pre-training, which has no place on a power law: leave it out and draw it apart"
            if value == 0
            else "a power law needs x > 0: leave it out"
        )
        raise AnalysisError(f"x[{wrong[0]}] is {value:g}: {advice}.")
    return arrays


def check_size(name: str, array: NDArray[np.float64]) -> None:
    """Raises AnalysisError for numbers whose powers leave double precision."""
    most = LARGEST[name[0]]
    size = np.abs(array)
    wrong = np.flatnonzero((size > most) | ((size < 1.0 / most) & (size > 0)))
    if len(wrong):
        raise AnalysisError(
            f"{name}[{wrong[0]}] is {array.ravel()[wrong[0]]:g}: outside 1/{most:g} to {most:g} powers overflow; give {name} in another unit."
        )


def checked_clusters(cluster: ArrayLike, n: int) -> NDArray[np.int64]:
    """Cluster labels as integers from 0, shape (n,). Raises AnalysisError for a missing label or
    another length.
    """
    import pandas as pd  # here, so that a fit without clusters does not wait for it

    # as objects: an array of text would turn a missing label into the label 'nan'
    labels = pd.Series(list(np.ravel(np.asarray(cluster, dtype=object))), dtype=object)
    if len(labels) != n:
        raise AnalysisError(f"cluster has {len(labels)} labels for {n} points: give one label per point.")
    missing = np.flatnonzero(labels.isna())
    if len(missing):
        raise AnalysisError(f"cluster[{missing[0]}] is missing: give every point a label, such as independent_groups(runs).")
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def checked_weights(weights: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """One weight per point with mean 1 over those above zero, shape (n,). Raises AnalysisError."""
    if weights is None:
        return np.ones(n)
    array = _one_each("weights", weights, n, lowest=0.0, need="a finite number, zero or above")
    if not np.any(array > 0):
        raise AnalysisError("all weights are zero, which leaves no point: give at least one a positive weight.")
    array = array / np.max(array)
    return np.asarray(array / np.mean(array[array > 0]))


def checked_sigma(sigma: ArrayLike | None, y: NDArray[np.float64], *, logarithmic: bool) -> NDArray[np.float64] | float:
    """What the residual of each point is measured in, shape (n,), from standard errors of y; 1 for
    a typical point. Raises AnalysisError.
    """
    if sigma is None:
        return 1.0
    array = _one_each("sigma", sigma, len(y), lowest=float(np.nextafter(0.0, 1.0)), need="a finite standard error above zero")
    relative = array / np.abs(y) if logarithmic else array
    if not np.max(relative) < 1e6 * np.min(relative):
        raise AnalysisError(
            "sigma spans more than a factor of a million, so that a few points would decide alone: leave the others out, or give larger errors."
        )
    inverse = np.min(relative) / relative
    return np.asarray(np.sqrt(np.mean(inverse**2)) / inverse)


def _one_each(name: str, values: ArrayLike, n: int, *, lowest: float, need: str) -> NDArray[np.float64]:
    array = numbers(name, values)
    if array.shape != (n,):
        raise AnalysisError(f"{name} has shape {array.shape} for {n} points: give one value per point.")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= lowest)))
    if len(wrong):
        raise AnalysisError(f"{name}[{wrong[0]}] is {array[wrong[0]]:g}: give {need}.")
    return array


def checked_y_for(y: NDArray[np.float64], loss: str) -> None:
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
        said = f"{level:g}" if isinstance(level, int | float | np.number) else repr(level)
        raise AnalysisError(f"level is {said}: give the coverage of the intervals as a share, such as 0.90.")


def numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Values as floats. Raises AnalysisError for what is no real number: text, dates, complex or
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
