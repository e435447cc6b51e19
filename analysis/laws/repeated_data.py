"""The surface for data that is seen more than once."""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law, linear, positive
from analysis.laws.model_and_data import DELTA, surface_exponent


def data_constrained(X: Array, E: Array, A: Array, alpha: Array, B: Array, beta: Array, R: Array) -> Array:
    """y = E + A N^-alpha + B D'^-beta with D' = U (1 + R (1 - exp(-(D / U - 1) / R))); X has the
    columns N, D (samples seen) and U (unique samples, U <= D).

    D' is the fresh data that D samples of U unique ones are worth: repetitions lose their value
    after about R of them. Domain N, U > 0, D >= U; alpha, beta, R > 0. Source: Muennighoff et al.
    2023, arXiv:2305.16264, eq. 5 and 6, without the decay of excess parameters.
    """
    return np.asarray(E + A * np.power(X[..., 0], -alpha) + B * np.power(_effective(X, R), -beta))


def data_constrained_gradient(X: Array, E: Array, A: Array, alpha: Array, B: Array, beta: Array, R: Array) -> Array:
    """Derivatives of `data_constrained` by (E, A, alpha, B, beta, R)."""
    effective = _effective(X, R)
    repeats = np.maximum(X[..., 1] / X[..., 2] - 1.0, 0.0)
    lost = np.exp(-repeats / R)
    by_model, by_data = np.power(X[..., 0], -alpha), np.power(effective, -beta)
    by_decay = -B * beta * by_data / effective * X[..., 2] * (1.0 - lost - repeats / R * lost)
    return np.stack(
        [np.ones_like(by_model), by_model, -A * np.log(X[..., 0]) * by_model, by_data, -B * np.log(effective) * by_data, by_decay], axis=-1
    )


def _effective(X: Array, R: Array) -> Array:
    repeats = np.maximum(X[..., 1] / X[..., 2] - 1.0, 0.0)
    return np.asarray(X[..., 2] * (1.0 - R * np.expm1(-repeats / R)))


def _starts(X: Array, y: Array, weights: Array) -> dict[str, Array]:
    grid = np.array(list(itertools.product((0.1, 0.3, 0.8), (0.1, 0.3, 0.8), (0.5, 3.0, 15.0, 100.0))))
    return dict(zip(("alpha", "beta", "R"), grid.T, strict=True))


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    # D and U are centred by one factor (see `shared_scale`), or D / U would change its meaning
    return dict(params, A=params["A"] * factors[0] ** -params["alpha"], B=params["B"] * factors[1] ** -params["beta"])


DATA_CONSTRAINED = Law(
    name="data_constrained",
    formula="y = E + A N^-alpha + B D'^-beta, D' = U (1 + R (1 - exp(-(D/U - 1)/R)))",
    source="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 and 6",
    parameters=(
        linear("E"),
        linear("A", "of y N^alpha"),
        surface_exponent("alpha"),
        linear("B", "of y D^beta"),
        surface_exponent("beta"),
        positive("R", "repetitions", (), 1e-2, 1e4),
    ),
    function=data_constrained,
    gradient=data_constrained_gradient,
    rescale=_rescale,
    asymptote="E",
    inputs=("N", "D", "U"),
    shared_scale=((1, 2),),
    starts=_starts,
    delta=DELTA,
    limited_inputs=(("U", "D", "U counts the unique samples among the D that were seen"),),
)
