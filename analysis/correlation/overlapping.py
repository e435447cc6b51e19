"""Published tests of two correlations that share a variable, for rows that are independent.

r1 = corr(y, x1), r2 = corr(y, x2), between = corr(x1, x2), n rows. Formulas as collected by
Diedenhofen and Musch 2015 (PLoS ONE 10(4): e0121945, R package cocor). Steiger 1980 and Hittner,
May and Silver 2003 recommend Williams' t for few rows.
"""

from __future__ import annotations

import math

from analysis.student import t_p_value


def williams(r1: float, r2: float, between: float, n: int) -> tuple[float, float]:
    """Williams' t (1959; Steiger 1980, eq. 7), on n - 3 degrees of freedom, and its two-sided p.
    NaN where n < 4 or x1 is x2.
    """
    determinant = 1.0 - r1**2 - r2**2 - between**2 + 2.0 * r1 * r2 * between
    middle = (r1 + r2) / 2.0
    size = 2.0 * (n - 1) / (n - 3) * determinant + middle**2 * (1.0 - between) ** 3 if n > 3 else 0.0
    if not size > 1e-14:
        return math.nan, math.nan
    t = (r1 - r2) * math.sqrt((n - 1) * (1.0 + between) / size)
    return t, t_p_value(t, n - 3)


def steiger(r1: float, r2: float, between: float, n: int) -> tuple[float, float]:
    """Steiger's z (1980, eq. 14, with the mean of the two correlations in the covariance) and its
    two-sided p.
    """
    square = ((r1 + r2) / 2.0) ** 2
    if not (n > 3 and square < 1.0):
        return math.nan, math.nan
    covariance = (between * (1.0 - 2.0 * square) - 0.5 * square * (1.0 - 2.0 * square - between**2)) / (1.0 - square) ** 2
    return _normal(_z(r1) - _z(r2), (2.0 - 2.0 * covariance) / (n - 3))


def meng(r1: float, r2: float, between: float, n: int) -> tuple[float, float]:
    """Meng, Rosenthal and Rubin's z (1992, Psychological Bulletin 111, eq. 1) and its two-sided p."""
    if not (n > 3 and max(abs(r1), abs(r2)) < 1.0):
        return math.nan, math.nan
    square = (r1**2 + r2**2) / 2.0
    f = min(1.0, (1.0 - between) / (2.0 * (1.0 - square)))
    return _normal(_z(r1) - _z(r2), 2.0 * (1.0 - between) * (1.0 - f * square) / (1.0 - square) / (n - 3))


def zou_interval(r1: float, r2: float, between: float, n: int, *, level: float) -> tuple[float, float]:
    """Zou's interval of r1 - r2 (2007, Psychological Methods 12, p. 409). NaN where n < 4 or a
    correlation is 1.
    """
    from scipy.special import ndtri

    if not (n > 3 and max(abs(r1), abs(r2)) < 1.0):
        return math.nan, math.nan
    half = float(ndtri(0.5 + level / 2.0)) / math.sqrt(n - 3)
    (low1, high1), (low2, high2) = ((math.tanh(_z(r) - half), math.tanh(_z(r) + half)) for r in (r1, r2))
    covariance = ((between - 0.5 * r1 * r2) * (1.0 - r1**2 - r2**2 - between**2) + between**3) / ((1.0 - r1**2) * (1.0 - r2**2))
    below = (r1 - low1) ** 2 + (high2 - r2) ** 2 - 2.0 * covariance * (r1 - low1) * (high2 - r2)
    above = (high1 - r1) ** 2 + (r2 - low2) ** 2 - 2.0 * covariance * (high1 - r1) * (r2 - low2)
    return r1 - r2 - math.sqrt(max(below, 0.0)), r1 - r2 + math.sqrt(max(above, 0.0))


def _z(r: float) -> float:
    return math.atanh(min(max(r, -1.0 + 1e-12), 1.0 - 1e-12))


def _normal(difference: float, variance: float) -> tuple[float, float]:
    if not variance > 0.0:
        return math.nan, math.nan
    z = difference / math.sqrt(variance)
    return z, math.erfc(abs(z) / math.sqrt(2.0))
