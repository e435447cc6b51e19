"""Corrects p-values for the number of tests in their family.

Benjamini and Hochberg's is SciPy's. Holm's is the same as that of statsmodels' multipletests, which
SciPy lacks; statsmodels collects garbage at every call (30 ms and more for eight p-values), and
knows no missing p. Tests hold both facts.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from analysis.errors import AnalysisError

METHODS = ("holm", "bh")


def adjust(p: Any, method: Literal["holm", "bh"] = "holm") -> Any:
    """Corrected p-values, shape (m,); NaN stays NaN and does not count in the family.

    'holm' bounds the chance of any false claim (Holm 1979, Scand. J. Stat. 6); 'bh' bounds the
    expected share of false ones among the claims (Benjamini and Hochberg 1995, J. R. Stat. Soc. B
    57), under independence or positive dependence. Raises AnalysisError for another method.
    """
    if method not in METHODS:
        raise AnalysisError(f"method '{method}' is not a correction of p-values: give 'holm' or 'bh'.")
    try:
        corrected = np.array(p, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise AnalysisError("p holds something that is not a number: give p-values alone.") from None
    if corrected.ndim != 1:
        raise AnalysisError(f"p has shape {corrected.shape}: give p-values in one dimension.")
    there = np.flatnonzero(~np.isnan(corrected))
    if method == "bh":
        from scipy.stats import false_discovery_control

        corrected[there] = false_discovery_control(corrected[there])
        return corrected
    order = there[np.argsort(corrected[there], kind="stable")]
    corrected[order] = np.minimum(np.maximum.accumulate(corrected[order] * np.arange(len(order), 0, -1)), 1.0)
    return corrected


def holm(p: Any) -> Any:
    """Applies `adjust` with Holm's method."""
    return adjust(p, "holm")
