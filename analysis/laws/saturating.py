"""Laws that go from a start value to an asymptote (exponential, MMF, Weibull, generalised logistic),
and two without a bend: the logarithm and the last value.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import STEP, STRAIGHT, Array, Law, linear, positive

SHAPE_GRID = (0.25, 0.5, 1.0, 2.0)
PLACE_GRID = (0.01, 0.1, 0.5, 2.0, 10.0, 100.0)
DOMHAN = "Domhan et al. 2015 (IJCAI)"


def exponential(x: Array, E: Array, A: Array, c: Array) -> Array:
    """y = E + A exp(-x / c): levels off at E within a few c. Domain x > 0, c > 0. Source: exp3 of
    Viering and Loog 2023, arXiv:2103.10948.
    """
    return np.asarray(E + A * np.exp(-x / c))


def exponential_gradient(x: Array, E: Array, A: Array, c: Array) -> Array:
    """Derivatives of `exponential` by (E, A, c)."""
    decay = np.exp(-x / c)
    return np.stack([np.ones_like(decay), decay, A * decay * x / c**2], axis=-1)


def logarithmic(x: Array, A: Array, B: Array) -> Array:
    """y = A + B ln x: every doubling gains the same. Domain x > 0. Source: log2 of Viering and Loog
    2023.
    """
    return np.asarray(A + B * np.log(x))


def logarithmic_gradient(x: Array, A: Array, B: Array) -> Array:
    """Derivatives of `logarithmic` by (A, B)."""
    log_x = np.broadcast_to(np.log(x), np.broadcast_shapes(np.shape(x), np.shape(A))).astype(np.float64)
    return np.stack([np.ones_like(log_x), log_x], axis=-1)


def mmf(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """y = E + A / (1 + (x / c)^b): from E + A at x = 0 to E, half-way at x = c. Domain x > 0, c >
    0, b > 0.

    Source: Morgan, Mercer and Flodin 1975 (PNAS 72, 4327); MMF4 of Viering and Loog 2023.
    """
    return np.asarray(E + A * np.exp(-_softplus(b * np.log(x / c))))


def mmf_gradient(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """Derivatives of `mmf` by (E, A, c, b)."""
    log_ratio = np.log(x / c)
    decay = np.exp(-_softplus(b * log_ratio))
    slope = A * decay * (1.0 - decay)
    return np.stack([np.ones_like(decay), decay, slope * b / c, -slope * log_ratio], axis=-1)


def weibull(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """y = E + A exp(-(x / c)^b): a stretched exponential from E + A to E. Domain x > 0, c > 0, b >
    0. Source: WBL4 of Viering and Loog 2023.
    """
    return np.asarray(E + A * np.exp(-_exp(b * np.log(x / c))))


def weibull_gradient(x: Array, E: Array, A: Array, c: Array, b: Array) -> Array:
    """Derivatives of `weibull` by (E, A, c, b)."""
    log_ratio = np.log(x / c)
    hazard = _exp(b * log_ratio)
    decay = np.exp(-hazard)
    slope = A * decay * hazard
    return np.stack([np.ones_like(decay), decay, slope * b / c, -slope * log_ratio], axis=-1)


def generalised_logistic(x: Array, E: Array, A: Array, c: Array, b: Array, s: Array) -> Array:
    """y = E + A (1 + (x / c)^b)^-s: a generalised logistic in ln x, from E + A to E. Domain x > 0;
    c, b, s > 0.

    b = 1 is `shifted_power`, s = 1 is `mmf`; for x >> c it falls as x^(-b s). Source: Richards 1959
    (J. Exp. Botany 10, 290), in ln x.
    """
    return np.asarray(E + A * np.exp(-s * _softplus(b * np.log(x / c))))


def generalised_logistic_gradient(x: Array, E: Array, A: Array, c: Array, b: Array, s: Array) -> Array:
    """Derivatives of `generalised_logistic` by (E, A, c, b, s)."""
    log_ratio = np.log(x / c)
    soft = _softplus(b * log_ratio)
    decay = np.exp(-s * soft)
    slope = A * decay * s * (1.0 - np.exp(-soft))
    return np.stack([np.ones_like(decay), decay, slope * b / c, -slope * log_ratio, -A * decay * soft], axis=-1)


def last_value(x: Array, E: Array) -> Array:
    """y = E at every x: the baseline that every law is compared with. Domain x > 0."""
    return np.asarray(E + 0.0 * x)


def last_value_gradient(x: Array, E: Array) -> Array:
    """Derivative of `last_value` by E."""
    return np.ones((*np.broadcast_shapes(np.shape(x), np.shape(E)), 1))


def _softplus(z: Array) -> Array:
    """ln(1 + e^z) without overflow."""
    return np.asarray(np.logaddexp(0.0, z))


def _exp(z: Array) -> Array:
    """e^z, held below overflow: beyond e^700 the decay is zero to the last digit all the same."""
    return np.asarray(np.exp(np.minimum(z, 700.0)))


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(params, c=params["c"] / factors[0])


def _rescale_logarithmic(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(params, A=params["A"] + params["B"] * np.log(factors[0]))


def _same(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(params)


PLACE = positive("c", "of x", PLACE_GRID, 1e-9, 1e9)
VIERING = "Viering and Loog 2023, arXiv:2103.10948"

EXPONENTIAL = Law(
    name="exponential",
    formula="y = E + A exp(-x / c)",
    source=f"exp3 of {VIERING}",
    parameters=(linear("E"), linear("A"), positive("c", "of x", (0.05, 0.2, 0.6, 2.0, 6.0, 30.0), 1e-3, 1e4)),
    function=exponential,
    gradient=exponential_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("exp3",),
    priors={"c": (np.log(0.3), 1.0)},
)
LOGARITHMIC = Law(
    name="logarithmic",
    formula="y = A + B ln x",
    source=f"log2 of {VIERING}",
    parameters=(linear("A"), linear("B")),
    function=logarithmic,
    gradient=logarithmic_gradient,
    rescale=_rescale_logarithmic,
    aliases=("log2",),
)
MMF = Law(
    name="mmf",
    formula="y = E + A / (1 + (x / c)^b)",
    source=f"Morgan, Mercer and Flodin 1975; MMF4 of {VIERING}",
    parameters=(linear("E"), linear("A"), PLACE, positive("b", "none", SHAPE_GRID, 1e-2, 20.0, at_lower=STRAIGHT, at_upper=STEP)),
    function=mmf,
    gradient=mmf_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("mmf4",),
    priors={"b": (np.log(0.8), 0.7), "c": (np.log(0.1), 2.0)},
)
WEIBULL = Law(
    name="weibull",
    formula="y = E + A exp(-(x / c)^b)",
    source=f"WBL4 of {VIERING}",
    parameters=(linear("E"), linear("A"), PLACE, positive("b", "none", SHAPE_GRID, 1e-2, 20.0, at_lower=STRAIGHT, at_upper=STEP)),
    function=weibull,
    gradient=weibull_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("wbl4",),
    priors={"b": (np.log(0.4), 0.8), "c": (-1.7, 3.0)},
)
GENERALISED_LOGISTIC = Law(
    name="generalised_logistic",
    formula="y = E + A (1 + (x / c)^b)^-s",
    source="Richards 1959 (J. Exp. Botany 10, 290), in ln x",
    parameters=(
        linear("E"),
        linear("A"),
        PLACE,
        positive("b", "none", (0.5, 1.0, 2.0, 4.0), 1e-2, 20.0, at_lower=STRAIGHT, at_upper=STEP),
        positive("s", "none", (0.1, 0.3, 1.0, 3.0), 1e-3, 50.0),
    ),
    function=generalised_logistic,
    gradient=generalised_logistic_gradient,
    rescale=_rescale,
    asymptote="E",
    aliases=("glogistic",),
    priors={"b": (0.0, 0.5), "c": (np.log(0.05), 2.0), "s": (np.log(0.7), 0.8)},
)
LAST_VALUE = Law(
    name="last_value",
    formula="y = E, the mean at the largest x",
    source="the baseline of every law",
    parameters=(linear("E"),),
    function=last_value,
    gradient=last_value_gradient,
    rescale=_same,
    asymptote="E",
    baseline=True,
)
