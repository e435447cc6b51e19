"""Power laws: with a floor, without, and shifted."""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law, exponent, linear, positive

SHIFT_GRID = (1e-4, 0.03, 0.3, 1.0, 4.0)


def power(x: Array, E: Array, A: Array, b: Array) -> Array:
    """y = E + A x^-b: a power law that levels off at the floor (or ceiling) E. Domain x > 0, b > 0,
    A of either sign.

    A > 0 falls towards E, as a loss does; A < 0 rises towards it, as mIoU does. Source: Hestness et
    al. 2017, arXiv:1712.00409, eq. 1 with an offset; M2 of Alabdulmohsin et al. 2022,
    arXiv:2209.06640.
    """
    return np.asarray(E + A * np.power(x, -b))


def power_gradient(x: Array, E: Array, A: Array, b: Array) -> Array:
    """Derivatives of `power` by (E, A, b), on one more axis at the end."""
    decay = np.power(x, -b)
    return np.stack([np.ones_like(decay), decay, -A * np.log(x) * decay], axis=-1)


def power_no_floor(x: Array, A: Array, b: Array) -> Array:
    """y = A x^-b: a straight line on log-log axes. Domain x > 0, b > 0. M1 of Alabdulmohsin et al.
    2022.
    """
    return np.asarray(A * np.power(x, -b))


def power_no_floor_gradient(x: Array, A: Array, b: Array) -> Array:
    """Derivatives of `power_no_floor` by (A, b)."""
    decay = np.power(x, -b)
    return np.stack([decay, -A * np.log(x) * decay], axis=-1)


def shifted_power(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """y = E + A (x + c)^-b: a power law that is flat while x << c. Domain x > 0, b > 0, c > 0.

    c is the amount of data that an untrained model counts as, so that y stays finite at x = 0.
    Source: pow4 of Domhan et al. 2015 and of Viering and Loog 2023, arXiv:2103.10948.
    """
    return np.asarray(E + A * np.power(x + c, -b))


def shifted_power_gradient(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """Derivatives of `shifted_power` by (E, A, c, b)."""
    decay = np.power(x + c, -b)
    return np.stack([np.ones_like(decay), decay, -A * b * decay / (x + c), -A * np.log(x + c) * decay], axis=-1)


def levelling_power(x: Array, A: Array, c: Array, b: Array) -> Array:
    """y = A (1/x + 1/c)^b: a power law x^-b that levels off at A c^-b once x passes c. Domain x >
    0, b > 0, c > 0.

    Source: M3 of Alabdulmohsin et al. 2022, whose gamma is 1/c.
    """
    return np.asarray(A * np.power(1.0 / x + 1.0 / c, b))


def levelling_power_gradient(x: Array, A: Array, c: Array, b: Array) -> Array:
    """Derivatives of `levelling_power` by (A, c, b)."""
    inner = 1.0 / x + 1.0 / c
    decay = np.power(inner, b)
    return np.stack([decay, -A * b * decay / inner / c**2, A * np.log(inner) * decay], axis=-1)


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    """A x^-b = A f^-b (x / f)^-b, and a shift is measured in x."""
    moved = dict(params, A=params["A"] * factors[0] ** -params["b"])
    if "c" in params:
        moved["c"] = params["c"] / factors[0]
    return moved


ALABDULMOHSIN = "Alabdulmohsin et al. 2022, arXiv:2209.06640"

POWER = Law(
    name="power",
    formula="y = E + A x^-b",
    source=f"Hestness et al. 2017, arXiv:1712.00409; M2 of {ALABDULMOHSIN}",
    parameters=(linear("E"), linear("A", "of y x^b"), exponent("b")),
    function=power,
    gradient=power_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("m2", "pow3"),
    priors={"b": (np.log(0.5), 1.0)},
)
POWER_NO_FLOOR = Law(
    name="power_no_floor",
    formula="y = A x^-b",
    source=f"M1 of {ALABDULMOHSIN}",
    parameters=(linear("A", "of y x^b"), exponent("b", at_lower="y does not move towards its floor as x grows, as this law must")),
    function=power_no_floor,
    gradient=power_no_floor_gradient,
    rescale=_rescale,
    aliases=("m1", "pow2"),
    priors={"b": (np.log(0.3), 1.5)},
    law_of_y=("power", "E"),
)
SHIFTED_POWER = Law(
    name="shifted_power",
    formula="y = E + A (x + c)^-b",
    source="pow4 of Viering and Loog 2023, arXiv:2103.10948",
    parameters=(linear("E"), linear("A", "of y x^b"), positive("c", "of x", SHIFT_GRID, 1e-9, 1e6), exponent("b")),
    function=shifted_power,
    gradient=shifted_power_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("pow4",),
    priors={"b": (np.log(0.5), 1.0), "c": (np.log(0.03), 2.0)},
)
LEVELLING_POWER = Law(
    name="levelling_power",
    formula="y = A (1/x + 1/c)^b",
    source=f"M3 of {ALABDULMOHSIN}",
    parameters=(linear("A", "of y x^b"), positive("c", "of x", (0.25, 1.0, 3.0, 30.0, 1e4), 1e-6, 1e9), exponent("b")),
    function=levelling_power,
    gradient=levelling_power_gradient,
    rescale=_rescale,
    aliases=("m3",),
    priors={"b": (np.log(0.5), 1.0), "c": (0.0, 2.0)},
)
