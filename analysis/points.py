"""What is checked before a law is fitted: the points, the clusters and the level, each refused in a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError


def checked_points(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y as float arrays of one shape (n,), all finite and x above zero. Raises AnalysisError."""
    arrays = _numbers("x", x), _numbers("y", y)
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


def checked_clusters(cluster: ArrayLike, n: int) -> NDArray[np.int64]:
    """Cluster labels as integers from 0, shape (n,). Raises AnalysisError for a missing label or another length."""
    labels = pd.Series(np.asarray(cluster).ravel())
    if len(labels) != n:
        raise AnalysisError(f"cluster has {len(labels)} labels for {n} points: give one label per point.")
    missing = np.flatnonzero(labels.isna())
    if len(missing):
        raise AnalysisError(f"cluster[{missing[0]}] is missing: give every point a label, such as independent_groups(runs).")
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def checked_level(level: float) -> None:
    """Raises AnalysisError unless 0 < level < 1."""
    if not 0.0 < level < 1.0:
        raise AnalysisError(f"level is {level:g}: give the coverage of the intervals as a share, such as 0.90.")


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise AnalysisError(f"{name} holds something that is not a number: give numbers alone.") from None
