"""Student's t, by scipy.special alone and imported where it is used.

`import analysis` takes under a second only because SciPy, whose parts take up to a second each,
waits for the first call.
"""

from __future__ import annotations

import math


def t_quantile(level: float, degrees_of_freedom: float) -> float:
    """Half-width in standard errors of a two-sided interval at that confidence level; NaN without
    degrees of freedom.
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + level / 2.0)) if degrees_of_freedom > 0 else math.nan


def t_p_value(statistic: float, degrees_of_freedom: float) -> float:
    """Two-sided p of a t statistic; NaN without degrees of freedom."""
    from scipy.special import stdtr

    return float(2.0 * stdtr(degrees_of_freedom, -abs(statistic))) if degrees_of_freedom > 0 else math.nan
