"""Smoothly broken power laws: straight on log-log axes but for one to three bends."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from analysis.laws.law import EXPONENT_GRID, Array, Law, Parameter, exponent, linear, positive, real

CABALLERO = "Caballero et al. 2022, arXiv:2210.14891, eq. 1"
LINES = 48  # candidates that are handed on, half from either side of the points


def broken_power(x: Array, E: Array, A: Array, b: Array, **bends: Array) -> Array:
    """y = E + A x^-b (1 + (x / d1)^(1/f1))^(-c1 f1) ...: the local slope on log-log axes (of y - E)
    goes from -b to -b - c1 around x = d1, over f1 units of ln x, and so on for d2, d3. Domain x >
    0; b and c of either sign, d, f > 0.

    Source: Caballero et al. 2022, arXiv:2210.14891, eq. 1, whose a, b, c0 are E, A, b here.
    """
    return np.asarray(E + A * np.exp(_log_decay(x, b, bends)))


def broken_power_gradient(x: Array, E: Array, A: Array, b: Array, **bends: Array) -> Array:
    """Derivatives of `broken_power` by (E, A, b, c1, d1, f1, c2, ...)."""
    decay = np.exp(_log_decay(x, b, bends))
    columns = [np.ones_like(decay), decay, -A * decay * np.log(x)]
    for k in range(1, len(bends) // 3 + 1):
        c, d, f = (bends[f"{letter}{k}"] for letter in "cdf")
        log_ratio = np.log(x / d) / f
        soft = np.logaddexp(0.0, log_ratio)
        share = np.exp(log_ratio - soft)
        columns += [-A * decay * f * soft, A * decay * c / d * share, -A * decay * c * (soft - log_ratio * share)]
    return np.stack(columns, axis=-1)


def _log_decay(x: Array, b: Array, bends: dict[str, Array]) -> Array:
    total = -b * np.log(x)
    for k in range(1, len(bends) // 3 + 1):
        c, d, f = (bends[f"{letter}{k}"] for letter in "cdf")
        total = total - c * f * np.logaddexp(0.0, np.log(x / d) / f)
    return np.asarray(total)


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(
        params, A=params["A"] * factors[0] ** -params["b"], **{name: value / factors[0] for name, value in params.items() if name.startswith("d")}
    )


def falling_broken_power(x: Array, E: Array, A: Array, b: Array, g: Array, d: Array, f: Array) -> Array:
    """y = E + A x^-b (1 + (x / d)^(1/f))^(-(g - b) f): `broken_power` with one bend whose slopes,
    -b before x = d and -g after it, both go towards E. Domain x > 0; b, g, d, f > 0. Source:
    Caballero et al. 2022, eq. 1, with c1 = g - b.
    """
    return broken_power(x, E, A, b, c1=g - b, d1=d, f1=f)


def falling_broken_power_gradient(x: Array, E: Array, A: Array, b: Array, g: Array, d: Array, f: Array) -> Array:
    """Derivatives of `falling_broken_power` by (E, A, b, g, d, f)."""
    by = broken_power_gradient(x, E, A, b, c1=g - b, d1=d, f1=f)
    return np.stack([by[..., 0], by[..., 1], by[..., 2] - by[..., 3], by[..., 3], by[..., 4], by[..., 5]], axis=-1)


def _rescale_falling(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(params, A=params["A"] * factors[0] ** -params["b"], d=params["d"] / factors[0])


def _starts_falling(x: Array, y: Array, weights: Array) -> dict[str, Array]:
    log_x = np.log(np.unique(x))
    places = np.exp(np.quantile(log_x, [0.35, 0.75]))
    slopes = ((0.2, 0.6), (0.6, 0.2), (0.3, 0.3), (0.8, 0.8))
    grid = np.array([(b, g, d, f) for (b, g), d, f in itertools.product(slopes, places, (0.1, 0.4))])
    return dict(zip("bgdf", grid.T, strict=True))


def _starts(bends: int) -> Callable[[Array, Array, Array], dict[str, Array]]:
    """Starts for that many bends: with E and the places and widths of the bends from a grid, ln |y
    - E| is linear in all the rest.
    """

    def starts(x: Array, y: Array, weights: Array) -> dict[str, Array]:
        log_x = np.log(x)
        span = max(float(np.ptp(y)), 1e-12 * float(np.max(np.abs(y))), 1e-300)
        beyond = span * np.array([1e-3, 0.03, 0.2, 1.0, 4.0])
        floors = y.min() - beyond
        if y.min() > 0:
            floors = np.append(floors[floors > 0], 0.0)
        floors = np.concatenate([floors, y.max() + beyond])  # a curve may fall towards a floor as well as away from a ceiling
        places = np.exp(np.quantile(np.unique(log_x), np.linspace(0.1, 0.9, {1: 9, 2: 7, 3: 7}[bends])))
        widths = {1: (0.03, 0.1, 0.3, 1.0, 3.0), 2: (0.05, 0.3, 1.0), 3: (0.1, 0.5)}[bends]
        grid = list(
            itertools.product(
                floors, itertools.combinations(places, bends), itertools.product(widths, repeat=bends) if bends < 3 else [(w,) * 3 for w in widths]
            )
        )
        d = np.array([one[1] for one in grid])  # (candidates, bends)
        f = np.array([one[2] for one in grid])
        floor = np.array([one[0] for one in grid])[:, None]
        target = np.log(np.abs(y - floor))  # (candidates, n)
        soft = f[..., None] * np.logaddexp(0.0, (log_x - np.log(d)[..., None]) / f[..., None])  # (candidates, bends, n)
        design = np.concatenate([np.ones((len(grid), 1, len(x))), np.broadcast_to(-log_x, (len(grid), 1, len(x))), -soft], axis=1)
        heavy = weights * np.exp(2.0 * target)  # of ln |y - E|, so that the far tail does not decide
        normal = np.einsum("mkn,mn,mjn->mkj", design, heavy, design)
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(normal.shape[1])
        found = np.linalg.solve(normal, np.einsum("mkn,mn,mn->mk", design, heavy, target)[..., None])[..., 0]
        below = floor < y.min()
        fitted = floor + np.where(below, 1.0, -1.0) * np.exp(np.minimum(np.einsum("mkn,mk->mn", design, found), 300.0))
        squares = np.sum(weights * (fitted - y) ** 2, axis=1)
        best = np.concatenate(
            [side[np.argsort(squares[side], kind="stable")[: LINES // 2]] for side in (np.flatnonzero(below), np.flatnonzero(~below))]
        )
        out = {"b": found[best, 1]}
        for k in range(bends):
            out |= {f"c{k + 1}": found[best, 2 + k], f"d{k + 1}": d[best, k], f"f{k + 1}": f[best, k]}
        return out

    return starts


def _broken(bends: int) -> Law:
    """The law with that many bends."""
    parameters: list[Parameter] = [linear("E"), linear("A", "of y x^b"), real("b", "none", -10.0, 10.0)]
    for k in range(1, bends + 1):
        parameters += [
            real(f"c{k}", "none", -30.0, 30.0),
            positive(f"d{k}", "of x", (), 1e-6, 1e6),
            positive(f"f{k}", "of ln x", (), 1e-3, 30.0),
        ]
    return Law(
        name="broken_power" if bends == 1 else f"broken_power_{bends}",
        formula="y = E + A x^-b" + "".join(f" (1 + (x/d{k})^(1/f{k}))^(-c{k} f{k})" for k in range(1, bends + 1)),
        source=CABALLERO,
        parameters=tuple(parameters),
        function=broken_power,
        gradient=broken_power_gradient,
        rescale=_rescale,
        asymptote="E",
        starts=_starts(bends),
        aliases=("bnsl", "bnsl1") if bends == 1 else (f"bnsl{bends}",),
        priors={"b": (0.5, 0.5), "c1": (0.0, 0.6), "d1": (np.log(0.15), 1.5), "f1": (np.log(0.4), 0.5)} if bends == 1 else {},
        interchangeable=tuple((f"d{k}", f"c{k}", f"f{k}") for k in range(1, bends + 1)) if bends > 1 else (),
    )


BROKEN_POWERS = tuple(_broken(bends) for bends in (1, 2, 3))

FALLING_BROKEN_POWER = Law(
    name="falling_broken_power",
    formula="y = E + A x^-b (1 + (x/d)^(1/f))^(-(g - b) f)",
    source=f"{CABALLERO}, both slopes towards E",
    parameters=(
        linear("E"),
        linear("A", "of y x^b"),
        exponent("b"),
        positive("g", "none", EXPONENT_GRID, 1e-3, 10.0),
        positive("d", "of x", (), 1e-6, 1e6),
        positive("f", "of ln x", (), 1e-3, 30.0),
    ),
    function=falling_broken_power,
    gradient=falling_broken_power_gradient,
    rescale=_rescale_falling,
    asymptote="E",
    starts=_starts_falling,
    priors={"b": (np.log(0.4), 1.0), "g": (np.log(0.4), 1.0), "d": (np.log(0.15), 1.5), "f": (np.log(0.4), 0.5)},
)
