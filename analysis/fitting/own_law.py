"""A law of the caller's own, made ready for the search: what is linear, where to start, typical sizes.

Nothing is known of such a law but its function, so all of it is found by calling the function.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_bounds, checked_pins, checked_start_values
from analysis.laws import find_law
from analysis.laws.law import Law, Parameter
from analysis.laws.numerical_gradient import follows_complex
from analysis.laws.own_function import Given, OwnFunction, listed, own_law, signature_of, takes_batches

Array = NDArray[np.float64]
Bounds = Mapping[str, tuple[float | None, float | None]]

MAGNITUDES = (0.03, 0.1, 0.3, 1.0, 3.0)  # of a parameter without a start: a number without unit
PLACES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # or a place along x, or its inverse, in units of the geometric mean of x
BESIDE = (1.0, 0.3, 3.0)  # where the search starts around a value that is given
MOST_STARTS = 1000
PROBES = 40  # settings of the parameters at which the function is tried
MOST_LINEAR = 6
TRIED = 12  # settings at which linearity is tried
SEEN = 1e-6  # share of y below which a parameter has no effect at a setting
EXACT = 1e-9  # relative difference below which a function counts as linear in its parameters


def resolved(
    law: Given,
    known: Mapping[str, Law],
    x: Array,
    y: Array,
    weights: Array,
    *,
    fixed: Mapping[str, float] | None = None,
    bounds: Bounds | None = None,
    start: Mapping[str, float] | None = None,
) -> Law:
    """The law of that name, the Law given, or the law of a function f(x, a, b). x has shape (n,),
    or (n, inputs) for a surface. Raises AnalysisError for what is no law, or cannot be computed.
    """
    if isinstance(law, str):
        return find_law(law, known)
    used = weights > 0
    x, y, weights = x[used], y[used], weights[used]
    if isinstance(law, Law):
        return law if known.get(law.name) is law else _checked(law, x)
    if not callable(law):
        raise AnalysisError(f"law is {law!r}: give the name of a law, a function f(x, a, b), or a Law.")
    return _of_function(law, x, y, weights, fixed or {}, bounds or {}, start or {})


def is_own(law: Law, known: Mapping[str, Law]) -> bool:
    """Whether the law is the caller's own."""
    return known.get(law.name) is not law


@dataclass(frozen=True)
class Starts:
    """Where the search for the parameters of an own law starts: every combination of the axes, or
    some of them where there are too many.
    """

    axes: tuple[tuple[str, tuple[float, ...]], ...]

    def __call__(self, x: Array, y: Array, weights: Array) -> dict[str, Array]:
        """Searched parameters, shape (starts,) each."""
        if not self.axes:
            return {}
        count = math.prod(len(values) for _, values in self.axes)
        if count <= MOST_STARTS:
            rows = np.array(list(itertools.product(*(values for _, values in self.axes))))
        else:
            random = np.random.default_rng(0)
            rows = np.stack([random.choice(np.array(values), MOST_STARTS) for _, values in self.axes], axis=1)
            rows[0] = [values[0] for _, values in self.axes]
        return dict(zip((name for name, _ in self.axes), rows.T, strict=True))


def _checked(law: Law, x: Array) -> Law:
    """A Law of the caller's own, with starts for parameters that have none, after one call of its
    function. Raises AnalysisError.
    """
    bare = [name for name in law.searched if not law.parameter(name).grid]
    if bare and law.starts is None:
        scale = 1.0 if law.centres_x else _typical(x)
        axes = [(one.name, one.grid or _axis(scale, *one.bounds, positive=one.role == "positive")) for one in law.parameters if one.role != "linear"]
        law = dataclasses.replace(law, starts=Starts(tuple(axes)))
    rows = 2
    tried = {one.name: np.full((rows, 1), min(max(1.0, one.bounds[0]), one.bounds[1])) for one in law.parameters}
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(law.function(x, **tried))
            by = np.asarray(law.derivatives(x, **tried))
    except Exception as error:
        raise AnalysisError(
            f"the law '{law.name}' raised {type(error).__name__} at {listed({name: v[0] for name, v in tried.items()})}: {error}"
        ) from error
    wanted = (rows, len(x))
    if found.shape != wanted or by.shape != (*wanted, len(law.names)):
        raise AnalysisError(
            f"the law '{law.name}' returned y of shape {found.shape} and a gradient of shape {by.shape} for {len(x)} points and parameters of "
            f"shape ({rows}, 1): return {wanted} and {(*wanted, len(law.names))}, as numpy broadcasts them."
        )
    return law


def _of_function(function: Any, x: Array, y: Array, weights: Array, fixed: Mapping[str, float], bounds: Bounds, start: Mapping[str, float]) -> Law:
    found = signature_of(function)
    inputs = ("x",) if x.ndim == 1 else tuple(f"x{column + 1}" for column in range(x.shape[1]))
    own = OwnFunction(function, found.name, len(inputs))
    plain = own_law(own, tuple(Parameter(name=name, role="real") for name in found.names), inputs, complex_step=False)
    pinned = checked_pins(plain, fixed)
    within = checked_bounds(plain, bounds, None, pinned)
    begin = found.defaults | checked_start_values(plain, start)
    ends = {name: within.get(name, (-np.inf, np.inf)) for name in found.names}
    axes = {
        name: (pinned[name],) if name in pinned else _axis(_typical(x), *ends[name], begin=begin.get(name), positive=ends[name][0] > 0)
        for name in found.names
    }
    rows = _probes(own, x, axes)
    own = dataclasses.replace(own, batched=takes_batches(own, x, {name: values[:3] for name, values in rows.items()}))
    linear = _linear(own, x, rows, tuple(name for name in found.names if name not in pinned))
    parameters = tuple(Parameter(name=name, role=_role(name, linear, ends[name]), bounds=ends[name]) for name in found.names)
    starts = Starts(tuple((name, axes[name]) for name in found.names if name not in linear))
    sizes = _sizes(own, starts(x, y, weights), linear, x, y, weights) | {name: abs(value) or 1.0 for name, value in pinned.items()}
    sized = tuple(dataclasses.replace(one, size=_power_of_two(sizes[one.name]) if one.role != "positive" else 1.0) for one in parameters)
    first = {name: values[:1, None] for name, values in rows.items()}
    complex_step = follows_complex(own, x, first, {one.name: one.size for one in sized})
    return own_law(own, sized, inputs, complex_step=complex_step, starts=starts)


def _role(name: str, linear: tuple[str, ...], ends: tuple[float, float]) -> Any:
    return "linear" if name in linear else "positive" if ends[0] > 0 else "real"


def _typical(x: Array) -> float:
    """Geometric mean of x; 1 for a surface, whose inputs have several."""
    return float(np.exp(np.mean(np.log(x)))) if x.ndim == 1 else 1.0


def _axis(scale: float, low: float, high: float, *, begin: float | None = None, positive: bool = False) -> tuple[float, ...]:
    """Values of a parameter to start from within its bounds, the likeliest first."""
    if begin is not None:
        values = [begin * factor for factor in BESIDE] if begin else [0.0, 0.1, -0.1, 1.0, -1.0]
    else:
        sizes = list(dict.fromkeys((1.0, *MAGNITUDES, *(scale * place for place in PLACES), *(place / scale for place in PLACES))))
        values = sizes if positive or low >= 0 else [sign * size for size in sizes for sign in (1.0, -1.0)]
    inside = [value for value in values if low < value < high]
    if begin is not None and low <= begin <= high:
        inside = list(dict.fromkeys([begin, *inside]))
    if len(inside) < 3:
        if np.isfinite(low) and np.isfinite(high):
            inside += np.linspace(low, high, 7)[1:-1].tolist()
        elif np.isfinite(low):
            inside += [low + (abs(low) or 1.0) * size for size in MAGNITUDES]
        elif np.isfinite(high):
            inside += [high - (abs(high) or 1.0) * size for size in MAGNITUDES]
    return tuple(inside)


def _probes(own: OwnFunction, x: Array, axes: Mapping[str, tuple[float, ...]]) -> dict[str, Array]:
    """Settings of all parameters at which the function has values, those given first. Raises
    AnalysisError where there are none.
    """
    random = np.random.default_rng(0)
    rows = {name: np.array([values[0], *random.choice(np.array(values), PROBES - 1)]) for name, values in axes.items()}
    sound = []
    problem: Exception | None = None
    for row in range(PROBES):
        params = {name: values[row] for name, values in rows.items()}
        y = own.one(x, params)
        sound.append(bool(np.all(np.isfinite(y))))
        if row == 0 and not sound[0]:
            try:
                with np.errstate(all="ignore"):
                    own.function(x, **params)
            except (ArithmeticError, ValueError) as error:
                problem = error
    if not any(sound):
        first = {name: values[0] for name, values in rows.items()}
        if problem is not None:
            raise own.failed(problem, first)
        raise AnalysisError(
            f"the law '{own.name}' is not finite at some x wherever it was tried, such as {listed(first)}: give start={{...}} and bounds={{...}} "
            f"where it is."
        )
    return {name: values[np.array(sound)] for name, values in rows.items()}


def _linear(own: OwnFunction, x: Array, rows: Mapping[str, Array], free: tuple[str, ...]) -> tuple[str, ...]:
    """The largest set of parameters in which y is linear without a remainder, whatever the others."""
    affine = tuple(name for name in free if _is_sum(own, x, rows, (name,), offset=True))[:MOST_LINEAR]
    for size in range(len(affine), 0, -1):
        for names in itertools.combinations(affine, size):
            if _is_sum(own, x, rows, names, offset=False):
                return names
    return ()


def _is_sum(own: OwnFunction, x: Array, rows: Mapping[str, Array], names: tuple[str, ...], *, offset: bool) -> bool:
    """Whether y is a sum of `names` times functions of the other parameters, with or without a
    remainder that holds none of them.
    """
    count = min(TRIED, len(next(iter(rows.values()))))
    values = {name: rows[name][:count, None] for name in names}
    others = {name: value[:count, None] for name, value in rows.items()}

    def at(**chosen: Any) -> Array:
        return np.asarray(own(x, **{**others, **{name: np.zeros((count, 1)) for name in names}, **chosen}))

    with np.errstate(all="ignore"):
        remainder = at() if offset else 0.0
        terms = [value * (at(**{name: np.ones((count, 1))}) - remainder) for name, value in values.items()]
        whole = at(**values)
        size = np.maximum(sum(np.abs(term) for term in terms) + np.abs(remainder), np.abs(whole))
        off = np.abs(whole - sum(terms) - remainder)
    sound = np.isfinite(off) & np.isfinite(size)
    if not all(np.any(np.abs(term)[sound] > SEEN * size[sound]) for term in terms):  # a sum of nothing is no sum
        return False
    return bool(sound.any() and not np.any(np.isfinite(whole) & ~sound) and np.all(off[sound] <= EXACT * size[sound] + 1e-300))


def _sizes(own: OwnFunction, starts: dict[str, Array], linear: tuple[str, ...], x: Array, y: Array, weights: Array) -> dict[str, float]:
    """Magnitudes of the parameters at the best of the starts, the linear ones solved there."""
    count = len(next(iter(starts.values()))) if starts else 1
    shaped = {name: value[:, None] for name, value in starts.items()}
    zeros = {name: np.zeros((count, 1)) for name in linear}
    root = np.sqrt(weights) / (y if np.all(y > 0) else 1.0)
    with np.errstate(all="ignore"):
        if linear:
            columns = np.stack([own(x, **shaped, **zeros | {name: np.ones((count, 1))}) for name in linear], axis=-1)
            columns = np.nan_to_num(columns * root[:, None], posinf=1e150, neginf=-1e150)
            length = np.maximum(np.linalg.norm(columns, axis=1, keepdims=True), 1e-150)
            solved = np.einsum("mkn,n->mk", np.linalg.pinv(columns / length, rcond=1e-12), y * root)
            squares = np.sum((np.einsum("mnk,mk->mn", columns / length, solved) - y * root) ** 2, axis=1)
        else:
            squares = np.sum(((own(x, **shaped) - y) * root) ** 2, axis=1)
    best = int(np.argmin(np.where(np.isfinite(squares), squares, np.inf)))
    sizes = {name: abs(float(value[best])) or 1.0 for name, value in starts.items()}
    if linear:
        unit = np.linalg.norm(y * root) / length[best, 0]
        sizes |= {name: max(abs(float(solved[best, place])) / length[best, 0, place], 1e-6 * float(unit[place])) for place, name in enumerate(linear)}
    return sizes


def _power_of_two(size: float) -> float:
    """The nearest power of two: dividing by it loses no digits."""
    return float(2.0 ** np.clip(np.round(np.log2(size)), -400, 400)) if size > 0 and math.isfinite(size) else 1.0
