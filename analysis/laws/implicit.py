"""M4, the law that is given only as an equation for y."""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law, exponent, linear, positive

NEWTON_STEPS = 60


def m4(x: Array, E: Array, A: Array, c: Array, b: Array, a: Array) -> Array:
    """y = E + A s with s / (1 - s)^a = (x / c)^-b, 0 < s < 1: from E + A at x = 0 to E. Domain x >
    0; c, b, a > 0.

    Source: M4 of Alabdulmohsin et al. 2022, arXiv:2209.06640, (y - E) / (E0 - y)^a = beta x^-b with
    E0 = E + A and beta = A^(1 - a) c^b. a = 1 is `mmf`; a -> 0 is a power law cut off at E0. s is
    found by Newton's method on its logit, on which the equation is monotone and convex or concave,
    so that it always converges.
    """
    return np.asarray(E + A * np.exp(_log_share(-b * np.log(x / c), a)))


def m4_gradient(x: Array, E: Array, A: Array, c: Array, b: Array, a: Array) -> Array:
    """Derivatives of `m4` by (E, A, c, b, a), from the implicit equation."""
    log_ratio = np.log(x / c)
    log_share = _log_share(-b * log_ratio, a)
    share = np.exp(log_share)
    rest = -np.expm1(log_share)
    # ln s - a ln(1 - s) = -b ln(x / c), so ds (1/s + a / (1 - s)) = d(right side) + ln(1 - s) da
    slope = A * share * rest / (rest + a * share)
    by_a = slope * np.log(np.maximum(rest, 1e-300))
    return np.stack([np.ones_like(share), share, slope * b / c, -slope * log_ratio, by_a], axis=-1)


def _log_share(target: Array, a: Array) -> Array:
    """ln s where ln s - a ln(1 - s) = target, elementwise."""
    # With z = logit s: g(z) = -softplus(-z) + a softplus(z). Both ends are straight lines, z =
    # target and z = target / a, and Newton's steps from the side where g bends away never overshoot
    # twice.
    target, a = np.broadcast_arrays(np.asarray(target, dtype=np.float64), np.asarray(a, dtype=np.float64))
    z = np.where(target < 0, target, target / a)
    for _ in range(NEWTON_STEPS):
        up, down = np.logaddexp(0.0, z), np.logaddexp(0.0, -z)
        share = np.exp(-down)
        step = (a * up - down - target) / (1.0 - share + a * share)
        z = z - step
        if np.max(np.abs(step), initial=0.0) < 1e-13 * (1.0 + np.max(np.abs(z), initial=0.0)):
            break
    return -np.logaddexp(0.0, -z)


def _rescale(params: dict[str, Array], factors: tuple[float, ...]) -> dict[str, Array]:
    return dict(params, c=params["c"] / factors[0])


M4 = Law(
    name="m4",
    formula="y = E + A s, s / (1 - s)^a = (x / c)^-b",
    source="M4 of Alabdulmohsin et al. 2022, arXiv:2209.06640",
    parameters=(
        linear("E"),
        linear("A"),
        positive("c", "of x", (1e-3, 0.03, 0.3, 1.0, 4.0), 1e-9, 1e9),
        exponent("b", (0.1, 0.25, 0.5, 1.0, 2.0)),
        positive("a", "none", (0.1, 0.5, 1.0, 3.0), 1e-2, 30.0),
    ),
    function=m4,
    gradient=m4_gradient,
    rescale=_rescale,
    asymptote="E",
    priors={"b": (np.log(0.5), 1.0), "c": (np.log(0.1), 2.0), "a": (0.0, 1.0)},
)
