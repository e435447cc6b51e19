"""What the fitting engine knows of a law: its function, its parameters, and where to look for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Role = Literal["linear", "positive", "real"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a law."""

    name: str
    """As in the formula and in the function's signature."""
    role: Role
    """'linear': y is linear in it, so it is solved exactly once the others are known; any sign.
    'positive': it is searched on a log scale. 'real': it is searched, and may have any sign.
    """
    unit: str
    """Its unit in words: 'of y', 'of x', 'none', or an expression of them."""
    grid: tuple[float, ...] = ()
    """Where the search starts, for x divided by its geometric mean; empty for a linear parameter."""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """Range of the search, for x divided by its geometric mean."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """A parametric curve y = f(x; parameters) or surface over several inputs."""

    name: str
    """What the caller says: fit(x, y, law=name)."""
    formula: str
    """For people to read."""
    source: str
    """Where it was published."""
    parameters: tuple[Parameter, ...]
    """In the order of the gradient's columns."""
    function: Callable[..., Array]
    """function(x, **parameters) -> y, broadcasting: x of shape (n,) (or (n, inputs) for a surface)
    and parameters of shape (batch, 1) give (batch, n).
    """
    gradient: Callable[..., Array]
    """gradient(x, **parameters) -> derivatives by the parameters, one more axis at the end."""
    rescale: Callable[[dict[str, Array], tuple[float, ...]], dict[str, Array]]
    """rescale(params, factors): parameters of the same curve as a function of x / factor."""
    inputs: tuple[str, ...] = ("x",)
    """Names of what it depends on."""
    asymptote: str | None = "E"
    """The parameter that y tends to as x grows, if there is one."""
    starts: Callable[[Array, Array, Array], dict[str, Array]] | None = None
    """starts(x, y, weights) -> searched parameters to start from, shape (starts,) each, for laws
    whose grid would be too large; x is centred.
    """
    shared_scale: tuple[tuple[int, ...], ...] = ()
    """Groups of inputs that are measured in one unit and have to be centred by one factor."""
    interchangeable: tuple[tuple[str, ...], ...] = ()
    """Groups of parameters that may change places without changing the curve, such as two bends; a
    fit puts them in ascending order of each group's first.
    """
    zero_inputs: tuple[str, ...] = ()
    """Inputs that may be zero, such as no pre-training."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the parameters that y is linear in."""
        return tuple(parameter.name for parameter in self.parameters if parameter.role == "linear")

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the others."""
        return tuple(parameter.name for parameter in self.parameters if parameter.role != "linear")

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name."""
        return self.parameters[self.names.index(name)]

    def __call__(self, x: Array, **params: float) -> Array:
        """The law at x, as its function gives it."""
        return self.function(np.asarray(x, dtype=np.float64), **params)


def linear(name: str, unit: str = "of y") -> Parameter:
    """A parameter that y is linear in."""
    return Parameter(name=name, role="linear", unit=unit)


def positive(name: str, unit: str, grid: tuple[float, ...], low: float, high: float) -> Parameter:
    """A positive parameter that is searched from `grid` within (low, high)."""
    return Parameter(name=name, role="positive", unit=unit, grid=grid, bounds=(low, high))


EXPONENT_GRID = (0.03, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.8)


def exponent(name: str, grid: tuple[float, ...] = EXPONENT_GRID) -> Parameter:
    """An exponent: below 0.001 a power is a straight line in log x to all purposes, above 10 it is
    a step.
    """
    return positive(name, "none", grid, 1e-3, 10.0)


def real(name: str, unit: str, low: float, high: float) -> Parameter:
    """A parameter of either sign that is searched within (low, high)."""
    return Parameter(name=name, role="real", unit=unit, bounds=(low, high))
