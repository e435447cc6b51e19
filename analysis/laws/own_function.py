"""A function f(x, a, b, c) of the caller's own as the function of a law."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.laws.law import Law, Parameter
from analysis.laws.numerical_gradient import complex_step_gradient, numerical_gradient

Array = NDArray[np.float64]
Given = str | Law | Callable[..., Any]


@dataclass(frozen=True)
class Signature:
    """What the signature of a function says of its law."""

    name: str
    names: tuple[str, ...]
    """Its parameters: every argument after the first that has no default, or a number for one."""
    defaults: dict[str, float]
    """Where the search for them starts, for those with a default."""


def signature_of(function: Callable[..., Any]) -> Signature:
    """Name, parameters and starts of a function. Raises AnalysisError for one that is no law."""
    name = getattr(function, "__name__", "") or getattr(getattr(function, "func", None), "__name__", type(function).__name__)
    if name == "<lambda>":
        raise AnalysisError("the law is a lambda, which has no name to report it by: define the function with def.")
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise AnalysisError(f"the law '{name}' has no signature to read its parameters from: wrap it in a function f(x, a, b).") from None
    for one in arguments:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise AnalysisError(f"the law '{name}' takes {stars}{one.name}, which gives its parameters no names: name each, as in f(x, a, b).")
    arguments = arguments[1:]
    named = [one for one in arguments if one.default is one.empty or (isinstance(one.default, int | float) and not isinstance(one.default, bool))]
    if not named:
        raise AnalysisError(f"the law '{name}' has no parameters to fit: write it as f(x, a, b), x first.")
    for one in named:
        if one.kind is one.POSITIONAL_ONLY:
            raise AnalysisError(f"the law '{name}' takes {one.name} by position alone, and parameters are given by name: remove the '/'.")
    defaults = {one.name: float(one.default) for one in named if one.default is not one.empty}
    return Signature(name=name, names=tuple(one.name for one in named), defaults=defaults)


@dataclass(frozen=True)
class OwnFunction:
    """A caller's function with the broadcasting that the engine needs."""

    function: Callable[..., Any]
    name: str
    inputs: int
    """Columns of X; 1 for a curve."""
    batched: bool = False
    """Whether the function itself takes parameters of shape (batch, 1) with x of shape (n,)."""

    def __call__(self, x: Any, **params: Any) -> Any:
        """y for x of shape (..., n) or (..., n, inputs), parameters broadcasting with (..., n)."""
        x = np.asarray(x, dtype=np.float64)
        points = x.shape if self.inputs == 1 else x.shape[:-1]
        shapes = [np.shape(value) for value in params.values()]
        out = np.broadcast_shapes(points, *shapes)
        with np.errstate(all="ignore"):  # the search tries values that overflow
            if all(shape == () or np.prod(shape) == 1 for shape in shapes):
                flat = x.reshape(-1) if self.inputs == 1 else x.reshape(-1, self.inputs)
                scalars = {name: np.asarray(value).reshape(())[()] for name, value in params.items()}
                return np.broadcast_to(self.one(flat, scalars).reshape(points), out)
            if self.batched and len(points) == 1:
                return np.broadcast_to(np.asarray(self.function(x, **params)), out)
            return np.stack(list(self._rows(x, points, params, out))).reshape(out)

    def _rows(self, x: Array, points: tuple[int, ...], params: Mapping[str, Any], out: tuple[int, ...]) -> Iterator[Array]:
        """y of each row of a batch, one call each."""
        if any(np.ndim(value) and np.shape(value)[-1] != 1 for value in params.values()):
            raise AnalysisError(f"the law '{self.name}' was given one parameter value per point: give one value for all points.")
        lead = out[:-1]
        places = np.broadcast_to(x, (*lead, *x.shape[len(points) - 1 :])) if len(points) > 1 else None
        spread = {name: np.broadcast_to(value, (*lead, 1)) for name, value in params.items()}
        for index in np.ndindex(*lead):
            yield self.one(x if places is None else places[index], {name: value[index][0] for name, value in spread.items()})

    def one(self, x: Array, params: Mapping[str, Any]) -> Array:
        """y at one set of parameters, shape (n,). NaN where the function has no value there."""
        try:
            with np.errstate(all="ignore"):
                y = np.asarray(self.function(x, **params))
        except (ArithmeticError, ValueError):
            return np.full(len(x), np.nan)
        except Exception as error:
            raise self.failed(error, params) from error
        if y.shape not in ((), (len(x),)):
            raise AnalysisError(f"the law '{self.name}' returned shape {y.shape} for {len(x)} points: return one y for each x.")
        if y.dtype.kind not in "fciub":
            raise AnalysisError(f"the law '{self.name}' returned something that is not numbers: return one y for each x.")
        if y.dtype.kind == "c" and not any(np.iscomplexobj(value) for value in params.values()):  # such as (-1)**0.5
            y = np.where(y.imag == 0.0, y.real, np.nan)
        return np.broadcast_to(y, (len(x),))

    def failed(self, error: Exception, params: Mapping[str, Any]) -> AnalysisError:
        """The sentence for a function that raises."""
        return AnalysisError(f"the law '{self.name}' raised {type(error).__name__} at {listed(params)}: {error}")


@dataclass(frozen=True)
class OwnGradient:
    """Derivatives of an own function: by complex step where it follows complex numbers."""

    function: OwnFunction
    sizes: tuple[tuple[str, float], ...]
    complex_step: bool

    def __call__(self, x: Any, **params: Any) -> Array:
        """Derivatives by the parameters, on one more axis at the end."""
        sizes = dict(self.sizes)
        return (complex_step_gradient if self.complex_step else numerical_gradient)(self.function, np.asarray(x), params, sizes)


def own_law(function: OwnFunction, parameters: tuple[Parameter, ...], inputs: tuple[str, ...], *, complex_step: bool, starts: Any = None) -> Law:
    """The law of an own function whose parameters are known."""
    sizes = tuple((parameter.name, parameter.size) for parameter in parameters)
    return Law(
        name=function.name,
        source="the caller's own function",
        parameters=parameters,
        function=function,
        gradient=OwnGradient(function, sizes, complex_step),
        inputs=inputs,
        zero_inputs=inputs if len(inputs) > 1 else (),
        starts=starts,
    )


def takes_batches(function: OwnFunction, x: Array, rows: dict[str, Array]) -> bool:
    """Whether the function gives the same y for a batch of parameters as for each set alone."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            together = np.asarray(function.function(x, **{name: values[:, None] for name, values in rows.items()}))
            alone = function(x, **{name: values[:, None] for name, values in rows.items()})
    except Exception:  # whatever it raises, it is called row by row instead
        return False
    return together.shape == alone.shape and bool(np.allclose(together, alone, rtol=1e-12, atol=0.0, equal_nan=True))


def restored(function: Any, stored: Mapping[str, Any]) -> Law:
    """The law that a stored fit was made with, from the caller's function or Law. Raises
    AnalysisError where it is another one.
    """
    if isinstance(function, Law):
        if function.name != stored["name"] or list(function.names) != [one["name"] for one in stored["parameters"]]:
            raise AnalysisError(f"this fit is of the law '{stored['name']}' and was given the law '{function.name}': give the law that was fitted.")
        return function
    found = signature_of(function)
    names = tuple(one["name"] for one in stored["parameters"])
    if found.name != stored["name"] or found.names != names:
        raise AnalysisError(
            f"this fit is of the law {stored['name']}(x, {', '.join(names)}) and was given {found.name}(x, {', '.join(found.names)}): "
            f"give the function that was fitted."
        )
    parameters = tuple(
        Parameter(
            name=one["name"],
            role=one["role"],
            size=one["size"],
            bounds=(-np.inf if one["low"] is None else one["low"], np.inf if one["high"] is None else one["high"]),
        )
        for one in stored["parameters"]
    )
    inputs = tuple(stored["inputs"])
    own = OwnFunction(function, found.name, len(inputs), batched=stored["batched"])
    return own_law(own, parameters, inputs, complex_step=stored["complex_step"])


def stored_form(law: Law) -> dict[str, Any]:
    """What `restored` needs besides the function, as JSON knows it."""
    gradient = law.gradient
    return {
        "name": law.name,
        "inputs": list(law.inputs),
        "parameters": [
            {"name": one.name, "role": one.role, "size": one.size}
            | {end: value if np.isfinite(value) else None for end, value in zip(("low", "high"), one.bounds, strict=True)}
            for one in law.parameters
        ],
        "batched": isinstance(law.function, OwnFunction) and law.function.batched,
        "complex_step": isinstance(gradient, OwnGradient) and gradient.complex_step,
    }


def listed(params: Mapping[str, Any]) -> str:
    """'a = 1, b = 0.3'."""
    return ", ".join(f"{name} = {np.real(value).item():.4g}" for name, value in params.items())
