"""Hedges' g of two cells from their means and standard deviations, with the interval that the noncentral t gives."""

from __future__ import annotations

import math

from analysis.significance.noncentral import noncentral_t_below


def hedges_g(difference: float, sd: float, other_sd: float, n: float, other_n: float, *, level: float = 0.95) -> tuple[float, float, float]:
    """g, low, high: the difference in units of the pooled SD, without small-sample bias, and its exact interval under normal runs of one variance.

    g = J d with J = gamma(m/2) / (sqrt(m/2) gamma((m-1)/2)), m = n + other_n - 2 (Hedges 1981, J. Educ. Stat. 6, eq. 6e); the ends are J times
    those noncentralities under which the observed t lies at the tails (Steiger & Fouladi 1997). NaN where the pooled SD is zero.
    """
    m = n + other_n - 2.0
    pooled = math.sqrt(((n - 1.0) * sd**2 + (other_n - 1.0) * other_sd**2) / m) if m > 0 else 0.0
    if not pooled > 0.0:
        return math.nan, math.nan, math.nan
    scale = math.sqrt(1.0 / n + 1.0 / other_n)
    t = difference / pooled / scale
    unbiased = math.exp(math.lgamma(m / 2.0) - 0.5 * math.log(m / 2.0) - math.lgamma((m - 1.0) / 2.0)) if m > 1 else math.nan
    low, high = (unbiased * scale * _noncentrality(t, m, q) for q in (0.5 + level / 2.0, 0.5 - level / 2.0))
    return unbiased * t * scale, low, high


def _noncentrality(t: float, df: float, probability: float) -> float:
    """The noncentrality under which P(T < t) is the given probability."""
    from scipy.optimize import brentq

    def excess(nc: float) -> float:
        return noncentral_t_below(t, df, nc) - probability

    step = 4.0 + 4.0 * abs(t) / math.sqrt(df)
    low, high = t - step, t + step
    for _ in range(12):
        if excess(low) > 0.0 > excess(high):
            return float(brentq(excess, low, high, xtol=1e-11, rtol=1e-12))
        low, high, step = low - step, high + step, 2.0 * step
    return math.nan
