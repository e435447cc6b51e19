"""A law as the fitting engine sees it: a function, its parameters, and where to search for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.laws.numerical_gradient import numerical_gradient

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
    unit: str = ""
    """Its unit in words: 'of y', 'of x', 'none', or an expression of them; empty if not known."""
    grid: tuple[float, ...] = ()
    """Where the search starts, for x divided by its geometric mean; empty for a linear parameter."""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """Range of the search, for x divided by its geometric mean."""
    size: float = 1.0
    """A typical magnitude. The search divides a linear or real parameter by it."""
    at_lower: str = ""
    """What it means that a fit ends on the lower bound; empty where there is nothing to add."""
    at_upper: str = ""
    """What it means that a fit ends on the upper bound; empty where there is nothing to add."""


def unscaled(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    """The `rescale` of a law that is not known to keep its form in another unit of x."""
    return dict(params)


@dataclass(frozen=True, kw_only=True)
class Law:
    """A parametric curve y = f(x; parameters) or surface over several inputs.

    A law of your own needs a name, its parameters and a function; the rest has defaults.
    """

    name: str
    """As in fit(x, y, law=name) and in every result."""
    parameters: tuple[Parameter, ...]
    """In the order of the gradient's columns."""
    function: Callable[..., Array]
    """function(x, **parameters) -> y, broadcasting: x of shape (n,) (or (n, inputs) for a surface)
    and parameters of shape (batch, 1) give (batch, n).
    """
    formula: str = ""
    """For people to read; the name and parameters where empty."""
    source: str = "the caller's own"
    """Where it was published."""
    aliases: tuple[str, ...] = ()
    """Other names in the literature."""
    gradient: Callable[..., Array] | None = None
    """gradient(x, **parameters) -> derivatives by the parameters, one more axis at the end; None
    for numerical derivatives.
    """
    rescale: Callable[[dict[str, Array], tuple[float, ...]], dict[str, Array]] = unscaled
    """rescale(params, factors): parameters of the same curve as a function of x / factor. With the
    default, x is not centred for the search.
    """
    inputs: tuple[str, ...] = ("x",)
    """Names of what it depends on."""
    asymptote: str | None = None
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
    limited_inputs: tuple[tuple[str, str, str], ...] = ()
    """(input, limit, reason): the input must not be above the other input `limit`."""
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    """Centre and standard deviation of searched coordinates (logs of positive parameters) for
    x / largest x: the weak normal priors under which `choose_law` fits its candidates.
    """
    baseline: bool = False
    """Whether it repeats the last value: fitted to the points at the largest x alone, and compared
    with every other law.
    """
    law_of_y: tuple[str, str] | None = None
    """For a law of the gap between y and a ceiling: the law that y then follows, and its parameter
    that equals the ceiling.
    """
    delta: float | None = None
    """Where Huber's loss of relative errors turns linear unless the caller says so; None to set it
    from the residuals.
    """
    compute_exponents: tuple[str, str] | None = None
    """Names of the exponents of model size and of data, for laws with a compute-optimal model size
    N ~ C^a, a = beta / (alpha + beta).
    """

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise AnalysisError(f"the law '{self.name}' has no parameters, so there is nothing to fit: give it at least one.")
        if len(set(names)) < len(names):
            raise AnalysisError(f"the law '{self.name}' has two parameters of one name ({', '.join(names)}): rename one.")
        if self.asymptote is not None and self.asymptote not in names:
            raise AnalysisError(f"the law '{self.name}' has no parameter '{self.asymptote}' to be its asymptote: choose one of {', '.join(names)}.")
        if not self.formula:
            object.__setattr__(self, "formula", f"y = {self.name}({', '.join((*self.inputs, *names))})")

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

    @property
    def centres_x(self) -> bool:
        """Whether x may be divided by a factor for the search."""
        return self.rescale is not unscaled

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name."""
        return self.parameters[self.names.index(name)]

    def derivatives(self, x: Array, **params: Array) -> Array:
        """Derivatives of y by the parameters, on one more axis at the end."""
        if self.gradient is not None:
            return self.gradient(x, **params)
        sizes = {parameter.name: parameter.size for parameter in self.parameters}
        return numerical_gradient(self.function, x, params, sizes)

    def above_limit(self, where: Array, tolerance: float) -> NDArray[np.bool_]:
        """Which rows of inputs, shape (..., inputs), break a limit of `limited_inputs`."""
        broken = np.zeros(where.shape[: -1 if len(self.inputs) > 1 else None], dtype=bool)
        for name, limit, _ in self.limited_inputs:
            broken |= where[..., self.inputs.index(name)] > where[..., self.inputs.index(limit)] * (1 + tolerance)
        return broken

    def compute_optimal_exponent(self, params: Mapping[str, Any]) -> Any:
        """a = beta / (alpha + beta), from Hoffmann et al. 2022, arXiv:2203.15556, eq. 4, for params
        of any shape. Raises AnalysisError for a law without such exponents.
        """
        if self.compute_exponents is None:
            raise AnalysisError(
                f"the law '{self.name}' has no compute-optimal exponent: fit a law of model size N and data D with one exponent each, "
                f"such as 'chinchilla'."
            )
        model, data = (params[name] for name in self.compute_exponents)
        return data / (model + data)

    def __call__(self, x: Array, **params: float) -> Array:
        """The law at x, as its function gives it."""
        return self.function(np.asarray(x, dtype=np.float64), **params)


def linear(name: str, unit: str = "of y") -> Parameter:
    """A parameter that y is linear in."""
    return Parameter(name=name, role="linear", unit=unit)


def positive(name: str, unit: str, grid: tuple[float, ...], low: float, high: float, *, at_lower: str = "", at_upper: str = "") -> Parameter:
    """A positive parameter that is searched from `grid` within (low, high)."""
    return Parameter(name=name, role="positive", unit=unit, grid=grid, bounds=(low, high), at_lower=at_lower, at_upper=at_upper)


EXPONENT_GRID = (0.03, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.8)
STRAIGHT = "the points look like a straight line in log x, so they do not show a floor"
STEP = "the points look like a step after the smallest x"


def exponent(name: str, grid: tuple[float, ...] = EXPONENT_GRID, *, at_lower: str = STRAIGHT) -> Parameter:
    """An exponent of a curve: below 0.001 a power is a straight line in log x to all purposes,
    above 10 it is a step.
    """
    return positive(name, "none", grid, 1e-3, 10.0, at_lower=at_lower, at_upper=STEP)


def real(name: str, unit: str, low: float, high: float) -> Parameter:
    """A parameter of either sign that is searched within (low, high)."""
    return Parameter(name=name, role="real", unit=unit, bounds=(low, high))
