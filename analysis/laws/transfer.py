"""Surfaces over pre-training images P and fine-tuning images F, for scores and losses after
fine-tuning. P may be zero: training from scratch.
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law, exponent, linear, positive, real
from analysis.laws.model_and_data import surface_exponent


def additive(X: Array, E: Array, A: Array, c: Array, alpha: Array, B: Array, beta: Array) -> Array:
    """y = E + A (1 + P / c)^-alpha + B F^-beta: pre-training gains the same at every number of
    labels.

    X has the columns P >= 0 and F > 0; c, alpha, beta > 0. At P = 0 the second term is A. Source:
    `chinchilla` in P and F, with P shifted so that training from scratch has a place.
    """
    return np.asarray(E + A * np.power(1.0 + X[..., 0] / c, -alpha) + B * np.power(X[..., 1], -beta))


def additive_gradient(X: Array, E: Array, A: Array, c: Array, alpha: Array, B: Array, beta: Array) -> Array:
    """Derivatives of `additive` by (E, A, c, alpha, B, beta)."""
    inner = 1.0 + X[..., 0] / c
    before, after = np.power(inner, -alpha), np.power(X[..., 1], -beta)
    return np.stack(
        [
            np.ones_like(before),
            before,
            A * alpha * before / inner * X[..., 0] / c**2,
            -A * np.log(inner) * before,
            after,
            -B * np.log(X[..., 1]) * after,
        ],
        axis=-1,
    )


def multiplicative(X: Array, E: Array, A: Array, c: Array, alpha: Array, beta: Array) -> Array:
    """y = E + A (1 + P / c)^-alpha F^-beta: pre-training removes the same share of the error that
    labels leave.

    X has the columns P >= 0 and F > 0; c, alpha, beta > 0. Source: the product form of Mikami et
    al. 2021, arXiv:2108.11018, with P shifted.
    """
    return np.asarray(E + A * np.power(1.0 + X[..., 0] / c, -alpha) * np.power(X[..., 1], -beta))


def multiplicative_gradient(X: Array, E: Array, A: Array, c: Array, alpha: Array, beta: Array) -> Array:
    """Derivatives of `multiplicative` by (E, A, c, alpha, beta)."""
    inner = 1.0 + X[..., 0] / c
    decay = np.power(inner, -alpha) * np.power(X[..., 1], -beta)
    return np.stack(
        [
            np.ones_like(decay),
            decay,
            A * alpha * decay / inner * X[..., 0] / c**2,
            -A * np.log(inner) * decay,
            -A * np.log(X[..., 1]) * decay,
        ],
        axis=-1,
    )


def effective_data(X: Array, E: Array, A: Array, b: Array, k: Array, alpha: Array, beta: Array) -> Array:
    """y = E + A (F + k P^alpha F^beta)^-b: pre-training is worth D_T = k P^alpha F^beta extra
    labels.

    X has the columns P >= 0 and F > 0; b, k, alpha > 0, beta of either sign. Source: Hernandez et
    al. 2021, arXiv:2102.01293, eq. 1, effective data transferred D_T = k D_F^a N^b, with
    pre-training images in the place of model size.
    """
    return np.asarray(E + A * np.power(X[..., 1] + _transferred(X, k, alpha, beta), -b))


def effective_data_gradient(X: Array, E: Array, A: Array, b: Array, k: Array, alpha: Array, beta: Array) -> Array:
    """Derivatives of `effective_data` by (E, A, b, k, alpha, beta)."""
    transferred = _transferred(X, k, alpha, beta)
    total = X[..., 1] + transferred
    decay = np.power(total, -b)
    slope = -A * b * decay / total * transferred
    log_before = np.log(np.where(X[..., 0] > 0, X[..., 0], 1.0))  # nothing is transferred at P = 0, whatever alpha is
    return np.stack([np.ones_like(decay), decay, -A * np.log(total) * decay, slope / k, slope * log_before, slope * np.log(X[..., 1])], axis=-1)


def _transferred(X: Array, k: Array, alpha: Array, beta: Array) -> Array:
    return np.asarray(k * np.power(X[..., 0], alpha) * np.power(X[..., 1], beta))


def _grid(**axes: tuple[float, ...]) -> dict[str, Array]:
    return dict(zip(axes, np.array(list(itertools.product(*axes.values()))).T, strict=True))


def _additive_starts(X: Array, y: Array, weights: Array) -> dict[str, Array]:
    return _grid(c=(0.02, 0.3, 3.0), alpha=(0.1, 0.4, 1.2), beta=(0.05, 0.2, 0.5, 1.2))


def _effective_starts(X: Array, y: Array, weights: Array) -> dict[str, Array]:
    return _grid(b=(0.1, 0.3, 0.8), k=(0.1, 1.0, 10.0), alpha=(0.1, 0.4, 1.0), beta=(0.0, 0.5))


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    moved = dict(params, c=params["c"] / factors[0])
    name = "B" if "B" in params else "A"
    moved[name] = params[name] * factors[1] ** -params["beta"]
    return moved


def _rescale_effective(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    before, after = factors
    return dict(params, A=params["A"] * after ** -params["b"], k=params["k"] * before ** params["alpha"] * after ** (params["beta"] - 1.0))


ADDITIVE = Law(
    name="additive",
    formula="y = E + A (1 + P/c)^-alpha + B F^-beta",
    source="chinchilla in pre-training and fine-tuning images, P shifted",
    parameters=(
        linear("E"),
        linear("A"),
        positive("c", "of P", (), 1e-6, 1e6),
        surface_exponent("alpha"),
        linear("B", "of y F^beta"),
        surface_exponent("beta"),
    ),
    function=additive,
    gradient=additive_gradient,
    rescale=_rescale,
    asymptote="E",
    inputs=("P", "F"),
    zero_inputs=("P",),
    starts=_additive_starts,
)
MULTIPLICATIVE = Law(
    name="multiplicative",
    formula="y = E + A (1 + P/c)^-alpha F^-beta",
    source="Mikami et al. 2021, arXiv:2108.11018, P shifted",
    parameters=(linear("E"), linear("A", "of y F^beta"), positive("c", "of P", (), 1e-6, 1e6), surface_exponent("alpha"), surface_exponent("beta")),
    function=multiplicative,
    gradient=multiplicative_gradient,
    rescale=_rescale,
    asymptote="E",
    inputs=("P", "F"),
    zero_inputs=("P",),
    starts=_additive_starts,
)
EFFECTIVE_DATA = Law(
    name="effective_data",
    formula="y = E + A (F + k P^alpha F^beta)^-b",
    source="Hernandez et al. 2021, arXiv:2102.01293, eq. 1",
    parameters=(
        linear("E"),
        linear("A", "of y F^b"),
        exponent("b"),
        positive("k", "of F^(1 - beta) / P^alpha", (), 1e-8, 1e6),
        surface_exponent("alpha"),
        real("beta", "none", -3.0, 3.0),
    ),
    function=effective_data,
    gradient=effective_data_gradient,
    rescale=_rescale_effective,
    asymptote="E",
    inputs=("P", "F"),
    zero_inputs=("P",),
    starts=_effective_starts,
)
