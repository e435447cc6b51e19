"""What a caller may set of a law's parameters: pinned values, bounds and a start, each checked in a
sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.laws import Law

Array = NDArray[np.float64]


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
    for name in _mapping("start", start, '{"b": 0.3}'):
        _check_name(law, name, "start", "start from")
    missing = [name for name in law.searched if name in free and name not in start]
    if missing:
        raise AnalysisError(f"start leaves out {', '.join(missing)}: give every parameter but {', '.join(law.linear)}, or no start at all.")
    found = {name: _number(f"start gives {name}", start[name]) for name in law.searched if name in start}
    for name, value in found.items():
        if not np.isfinite(value) or (law.parameter(name).role == "positive" and value <= 0):
            raise AnalysisError(f"start gives {name} = {value:g}: give a finite number{' above zero' if value <= 0 else ''}.")
    return {name: np.array([value]) for name, value in found.items()}


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
