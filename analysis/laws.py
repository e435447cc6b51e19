"""Formula functions, pure and vectorised, and the table of the laws that `fit` knows.

A law is linear in all of its parameters but one exponent, which is what lets `fit` solve the others exactly. To
add a law: write its function and gradient here, and one entry in LAWS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, nearest_name

Array = NDArray[np.float64]


def power(x: Array, E: float, A: float, b: float) -> Array:
    """y = E + A x^-b: a power law that levels off at the floor (or ceiling) E. Domain x > 0, b > 0, A of either sign.

    x has any shape, and so has the result. A > 0 falls towards E, as a loss does; A < 0 rises towards it, as mIoU
    does. Source: Hestness et al. 2017, arXiv:1712.00409, eq. 1 with an offset; Kaplan et al. 2020,
    arXiv:2001.08361; called M2 in Alabdulmohsin et al. 2022, arXiv:2209.06640.
    """
    return np.asarray(E + A * np.power(x, -b))


def power_gradient(x: Array, E: float, A: float, b: float) -> Array:
    """Derivatives of `power` by (E, A, b), shape (n, 3) for x of shape (n,)."""
    decay = np.power(x, -b)
    return np.stack([np.ones_like(decay), decay, -A * np.log(x) * decay], axis=-1)


def power_no_floor(x: Array, A: float, b: float) -> Array:
    """y = A x^-b: a straight line on log-log axes. Domain x > 0, b > 0. Called M1 in Alabdulmohsin et al. 2022,
    arXiv:2209.06640."""
    return np.asarray(A * np.power(x, -b))


def power_no_floor_gradient(x: Array, A: float, b: float) -> Array:
    """Derivatives of `power_no_floor` by (A, b), shape (n, 2) for x of shape (n,)."""
    decay = np.power(x, -b)
    return np.stack([decay, -A * np.log(x) * decay], axis=-1)


def last_value(x: Array, E: float) -> Array:
    """y = E at every x: the trivial answer that every law has to beat. Domain x > 0."""
    return np.full(np.shape(x), float(E))


def last_value_gradient(x: Array, E: float) -> Array:
    """Derivative of `last_value` by E, shape (n, 1) for x of shape (n,)."""
    return np.ones((*np.shape(x), 1))


@dataclass(frozen=True, kw_only=True)
class Law:
    """A law as `fit` sees it: its function, and which of its parameters enter how."""

    name: str
    """What the caller says: fit(x, y, law=name)."""
    formula: str
    """For people to read."""
    parameters: tuple[str, ...]
    """In the order of the function's arguments and of the gradient's columns."""
    exponent: str | None
    """The one parameter in which the law is not linear; None if there is none."""
    decaying: frozenset[str]
    """Linear parameters that multiply x^-exponent; the other linear ones multiply 1."""
    function: Callable[..., Array]
    """function(x, **parameters) -> y."""
    gradient: Callable[..., Array]
    """gradient(x, **parameters) -> shape (n, parameters)."""
    exponent_bounds: tuple[float, float] = (1e-3, 10.0)
    """Search range of the exponent. Below 0.001 the law is a straight line in log x to all purposes; above 10 it
    is a step."""
    largest_x_only: bool = False
    """Whether only the points at the largest x are used."""

    @property
    def linear(self) -> tuple[str, ...]:
        """Parameters that are solved exactly once the exponent is known."""
        return tuple(name for name in self.parameters if name != self.exponent)

    def rescale(self, params: Mapping[str, float], factor: float) -> dict[str, float]:
        """Parameters of the same curve as a function of x / factor."""
        if self.exponent is None:
            return dict(params)
        shrink = factor ** -params[self.exponent]
        return {name: value * shrink if name in self.decaying else value for name, value in params.items()}


LAWS: Final[dict[str, Law]] = {
    law.name: law
    for law in (
        Law(
            name="power",
            formula="y = E + A x^-b",
            parameters=("E", "A", "b"),
            exponent="b",
            decaying=frozenset({"A"}),
            function=power,
            gradient=power_gradient,
        ),
        Law(
            name="power_no_floor",
            formula="y = A x^-b",
            parameters=("A", "b"),
            exponent="b",
            decaying=frozenset({"A"}),
            function=power_no_floor,
            gradient=power_no_floor_gradient,
        ),
        Law(
            name="last_value",
            formula="y = E, the mean at the largest x",
            parameters=("E",),
            exponent=None,
            decaying=frozenset(),
            function=last_value,
            gradient=last_value_gradient,
            largest_x_only=True,
        ),
    )
}


def find_law(name: str) -> Law:
    """The law of that name. Raises AnalysisError that lists what exists."""
    try:
        return LAWS[name]
    except KeyError:
        hint = nearest_name(name, LAWS)
        raise AnalysisError(f"there is no law '{name}' ({hint}): choose one of {', '.join(LAWS)}.") from None
