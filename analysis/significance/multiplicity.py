"""Many tests at once: p-values corrected for the family they belong to.

The same numbers as statsmodels' multipletests (a test holds them together), which collects garbage
at every call: 30 ms and more for eight p-values.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from analysis.errors import AnalysisError

METHODS = ("holm", "bh")


def adjust(p: Any, method: Literal["holm", "bh"] = "holm") -> Any:
    """p-values corrected for their family, shape (m,); NaN stays NaN and does not count in the
    family.

    'holm' bounds the chance of any false claim (Holm 1979, Scand. J. Stat. 6); 'bh' bounds the
    expected share of false ones among the claims (Benjamini and Hochberg 1995, J. R. Stat. Soc. B
    57), under independence or positive dependence. Raises AnalysisError for another method.
    """
    if method not in METHODS:
        raise AnalysisError(f"method '{method}' is not a correction of p-values: give 'holm' or 'bh'.")
    corrected = np.array(p, dtype=np.float64)
    there = ~np.isnan(corrected)
    m = int(there.sum())
    order = np.argsort(corrected[there], kind="stable")
    raised = corrected[there][order] * (np.arange(m, 0, -1) if method == "holm" else m / np.arange(1, m + 1))
    # as monotone as the p-values themselves: stepping down for Holm, up for Benjamini and Hochberg
    stepped = np.maximum.accumulate(raised) if method == "holm" else np.minimum.accumulate(raised[::-1])[::-1]
    corrected[np.flatnonzero(there)[order]] = np.minimum(stepped, 1.0)
    return corrected


def holm(p: Any) -> Any:
    """`adjust` by Holm."""
    return adjust(p, "holm")
