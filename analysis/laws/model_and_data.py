"""Surfaces over model size N and training data D."""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import EXPONENT_GRID, Array, Law, Parameter, linear, positive

SURFACE_EXPONENTS = (0.05, 0.2, 0.5, 1.2)
DELTA = 1e-3  # Hoffmann et al. 2022, arXiv:2203.15556, eq. 3


def chinchilla(X: Array, E: Array, A: Array, alpha: Array, B: Array, beta: Array) -> Array:
    """y = E + A N^-alpha + B D^-beta; X has the columns N and D. Domain N, D > 0; alpha, beta > 0.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 2.
    """
    return np.asarray(E + A * np.power(X[..., 0], -alpha) + B * np.power(X[..., 1], -beta))


def chinchilla_gradient(X: Array, E: Array, A: Array, alpha: Array, B: Array, beta: Array) -> Array:
    """Derivatives of `chinchilla` by (E, A, alpha, B, beta)."""
    by_model, by_data = np.power(X[..., 0], -alpha), np.power(X[..., 1], -beta)
    return np.stack([np.ones_like(by_model), by_model, -A * np.log(X[..., 0]) * by_model, by_data, -B * np.log(X[..., 1]) * by_data], axis=-1)


def shared_exponent(X: Array, E: Array, A: Array, B: Array, alpha: Array) -> Array:
    """y = E + A N^-alpha + B D^-alpha: model and data diminish alike. Domain N, D > 0; alpha > 0.

    Source: `chinchilla` with beta = alpha, as Muennighoff et al. 2023, arXiv:2305.16264, appendix
    A.
    """
    return chinchilla(X, E, A, alpha, B, alpha)


def shared_exponent_gradient(X: Array, E: Array, A: Array, B: Array, alpha: Array) -> Array:
    """Derivatives of `shared_exponent` by (E, A, B, alpha)."""
    by = chinchilla_gradient(X, E, A, alpha, B, alpha)
    return np.stack([by[..., 0], by[..., 1], by[..., 3], by[..., 2] + by[..., 4]], axis=-1)


def skaling(X: Array, E: Array, A: Array, alpha: Array, r: Array, beta: Array, k: Array) -> Array:
    """y = E + A (N^-alpha + r D^-beta)^k: one exponent k couples model and data. Domain N, D > 0;
    alpha, beta, r, k > 0.

    k = 1 is `chinchilla` with B = A r; E = 0, beta = 1 is Kaplan et al. 2020, arXiv:2001.08361, eq.
    1.5. Source: Videau et al. 2026, arXiv:2608.07222 (the idea is read from its abstract; the
    parametrisation is ours).
    """
    return np.asarray(E + A * np.power(_inner(X, alpha, r, beta), k))


def skaling_gradient(X: Array, E: Array, A: Array, alpha: Array, r: Array, beta: Array, k: Array) -> Array:
    """Derivatives of `skaling` by (E, A, alpha, r, beta, k)."""
    inner = _inner(X, alpha, r, beta)
    by_model, by_data = np.power(X[..., 0], -alpha), np.power(X[..., 1], -beta)
    decay = np.power(inner, k)
    slope = A * k * decay / inner
    return np.stack(
        [
            np.ones_like(decay),
            decay,
            -slope * np.log(X[..., 0]) * by_model,
            slope * by_data,
            -slope * r * np.log(X[..., 1]) * by_data,
            A * decay * np.log(inner),
        ],
        axis=-1,
    )


def _inner(X: Array, alpha: Array, r: Array, beta: Array) -> Array:
    return np.asarray(np.power(X[..., 0], -alpha) + r * np.power(X[..., 1], -beta))


def _skaling_starts(X: Array, y: Array, weights: Array) -> dict[str, Array]:
    grid = np.array(list(itertools.product((0.1, 0.3, 0.8), (0.1, 1.0, 10.0), (0.1, 0.3, 0.8), (0.4, 1.0, 2.5))))
    return dict(zip(("alpha", "r", "beta", "k"), grid.T, strict=True))


def _rescale_chinchilla(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    beta = params.get("beta", params["alpha"])
    return dict(params, A=params["A"] * factors[0] ** -params["alpha"], B=params["B"] * factors[1] ** -beta)


def _rescale_skaling(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    model, data = factors[0] ** -params["alpha"], factors[1] ** -params["beta"]
    return dict(params, A=params["A"] * model ** params["k"], r=params["r"] * data / model)


def surface_exponent(name: str) -> Parameter:
    """An exponent of a surface: a coarser grid, for there are two of them."""
    return positive(name, "none", SURFACE_EXPONENTS, 1e-3, 10.0)


CHINCHILLA = Law(
    name="chinchilla",
    formula="y = E + A N^-alpha + B D^-beta",
    source="Hoffmann et al. 2022, arXiv:2203.15556, eq. 2",
    parameters=(linear("E"), linear("A", "of y N^alpha"), surface_exponent("alpha"), linear("B", "of y D^beta"), surface_exponent("beta")),
    function=chinchilla,
    gradient=chinchilla_gradient,
    rescale=_rescale_chinchilla,
    asymptote="E",
    inputs=("N", "D"),
    delta=DELTA,
    compute_exponents=("alpha", "beta"),
)
SHARED_EXPONENT = Law(
    name="shared_exponent",
    formula="y = E + A N^-alpha + B D^-alpha",
    source="chinchilla with one exponent; Muennighoff et al. 2023, arXiv:2305.16264",
    parameters=(linear("E"), linear("A", "of y N^alpha"), linear("B", "of y D^alpha"), positive("alpha", "none", EXPONENT_GRID, 1e-3, 10.0)),
    function=shared_exponent,
    gradient=shared_exponent_gradient,
    rescale=_rescale_chinchilla,
    asymptote="E",
    inputs=("N", "D"),
    delta=DELTA,
    compute_exponents=("alpha", "alpha"),
)
SKALING = Law(
    name="skaling",
    formula="y = E + A (N^-alpha + r D^-beta)^k",
    source="Videau et al. 2026, arXiv:2608.07222; Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5",
    parameters=(
        linear("E"),
        linear("A", "of y N^(alpha k)"),
        surface_exponent("alpha"),
        positive("r", "of D^beta / N^alpha", (), 1e-6, 1e6),
        surface_exponent("beta"),
        positive("k", "none", (), 1e-2, 50.0),
    ),
    function=skaling,
    gradient=skaling_gradient,
    rescale=_rescale_skaling,
    asymptote="E",
    inputs=("N", "D"),
    starts=_skaling_starts,
    delta=DELTA,
    compute_exponents=("alpha", "beta"),
)
