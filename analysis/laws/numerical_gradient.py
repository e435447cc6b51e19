"""Derivatives of a law's function by its parameters, where the law has no gradient of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]

TINY = 1e-30  # complex step, relative to the parameter: no difference is taken, so no digits are lost
STEP = 6e-6  # central differences: near the cube root of the rounding error, where truncation and rounding balance


def numerical_gradient(function: Callable[..., Any], x: Array, params: Mapping[str, Array], sizes: Mapping[str, float]) -> Array:
    """Central differences, one-sided where a step leaves the function's domain; `sizes` are typical
    magnitudes of the parameters.
    """
    columns = []
    with np.errstate(all="ignore"):
        middle = np.asarray(function(x, **params), dtype=np.float64)
        for name, value in params.items():
            step = STEP * np.maximum(np.abs(value), sizes[name] if np.all(np.asarray(value) == 0.0) else 0.0)
            step = np.where(step > 0, step, STEP * sizes[name])
            high, low = np.asarray(value + step), np.asarray(value - step)
            above, below = function(x, **{**params, name: high}), function(x, **{**params, name: low})
            slope = (above - below) / (high - low)
            slope = np.where(np.isfinite(slope), slope, (above - middle) / (high - value))
            columns.append(np.where(np.isfinite(slope), slope, (middle - below) / (value - low)))
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def complex_step_gradient(function: Callable[..., Any], x: Array, params: Mapping[str, Array], sizes: Mapping[str, float]) -> Array:
    """Derivatives to the last digit: Im f(p + ih) / h (Squire and Trapp 1998, SIAM Review 40, 110).

    Only for functions that keep complex numbers all the way; `follows_complex` tells.
    """
    columns = []
    with np.errstate(all="ignore"):
        for name, value in params.items():
            step = TINY * sizes[name]
            shifted = np.asarray(value, dtype=np.float64) + 1j * step
            columns.append(np.imag(np.asarray(function(x, **{**params, name: shifted}))) / step)
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def follows_complex(function: Callable[..., Any], x: Array, params: Mapping[str, Array], sizes: Mapping[str, float]) -> bool:
    """Whether the complex step agrees with differences at these parameters."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exact = complex_step_gradient(function, x, params, sizes)
    except (AnalysisError, ArithmeticError, AttributeError, IndexError, TypeError, ValueError, Warning):
        return False
    rough = numerical_gradient(function, x, params, sizes)
    sound = np.isfinite(rough)
    if exact.shape != rough.shape or not sound.any():
        return False
    largest = np.max(np.abs(np.where(sound, rough, 0.0)), axis=tuple(range(rough.ndim - 1)))
    return bool(np.all(np.abs(exact - rough)[sound] <= 1e-4 * np.broadcast_to(largest, rough.shape)[sound] + 1e-300))
