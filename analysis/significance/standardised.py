"""Hedges' g of two cells from their means and standard deviations, with an exact interval."""

from __future__ import annotations

import math

from analysis.significance.noncentral import noncentrality


def small_sample_factor(degrees_of_freedom: float) -> float:
    """Hedges' exact J, which makes a standardised mean unbiased (Hedges 1981, J. Educ. Stat. 6)."""
    half = degrees_of_freedom / 2.0
    return math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half) if degrees_of_freedom > 1 else float("nan")


def hedges_g(difference: float, sd: float, other_sd: float, n: float, other_n: float, *, level: float = 0.95) -> tuple[float, float, float]:
    """Hedges' g of a difference, with the ends of its exact interval under normal runs of one
    variance.

    The difference is in units of the pooled SD, without small-sample bias.

    g = J d with J = gamma(m/2) / (sqrt(m/2) gamma((m-1)/2)), m = n + other_n - 2 (Hedges 1981, J.
    Educ. Stat. 6, eq. 6e); the ends are J times those noncentralities under which the observed t
    lies at the tails (Steiger & Fouladi 1997). NaN where the pooled SD is zero.
    """
    m = n + other_n - 2.0
    pooled = math.sqrt(((n - 1.0) * sd**2 + (other_n - 1.0) * other_sd**2) / m) if m > 0 else 0.0
    if not pooled > 0.0:
        return math.nan, math.nan, math.nan
    scale = math.sqrt(1.0 / n + 1.0 / other_n)
    t = difference / pooled / scale
    unbiased = small_sample_factor(m)
    low, high = (unbiased * scale * noncentrality(t, m, q) for q in (0.5 + level / 2.0, 0.5 - level / 2.0))
    return unbiased * t * scale, low, high
