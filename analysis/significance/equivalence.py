"""Equivalence: two one-sided t tests of an effect against a margin stated beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs.table import require_columns
from analysis.significance.mixed import MixedEffect
from analysis.significance.paired_effects import PairedEffects
from analysis.student import t_quantile

Verdict = Literal["equivalent", "differs", "undecided"]
NEEDED = ("estimate", "standard_error", "degrees_of_freedom")
SHORT = {"difference": "estimate", "se": "standard_error", "df": "degrees_of_freedom"}


@dataclass(frozen=True, kw_only=True)
class Tost:
    """Two one-sided tests of one estimate."""

    p_lower: float
    """One-sided p of an effect at or below -margin."""
    p_upper: float
    """One-sided p of an effect at or above +margin."""
    p_tost: float
    """The larger of the two: small where the effect lies within the margin."""
    low: float
    """Lower end of the (1 - 2 alpha) interval, in the outcome's unit."""
    high: float
    """Its upper end."""
    verdict: Verdict
    """'equivalent': the interval lies within the margin; 'differs': it lies wholly beyond it, on
    one side; 'undecided' otherwise.
    """


def tost(estimate: float, standard_error: float, degrees_of_freedom: float, *, margin: float, alpha: float = 0.05) -> Tost:
    """Two one-sided t tests of an estimate against -margin and +margin, in its own unit.

    Schuirmann 1987, J. Pharmacokin. Biopharm. 15.

    'equivalent' is claimed wrongly with probability at most alpha, and so is 'differs', which says
    more than that the effect is not zero: that it exceeds the margin. Degrees of freedom may be
    infinite (a z test). NaN, a zero standard error or no degrees of freedom are 'undecided' with
    NaN. Raises AnalysisError for a margin or alpha out of range.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise AnalysisError(f"margin is {margin:g}: state the largest effect that would not matter, above zero, in the outcome's unit.")
    if not 0 < alpha < 0.5:
        raise AnalysisError(f"alpha is {alpha:g}: give a rate between 0 and 0.5, such as 0.05.")
    nothing = float("nan")
    if not (np.isfinite(estimate) and standard_error > 0 and degrees_of_freedom > 0):
        return Tost(p_lower=nothing, p_upper=nothing, p_tost=nothing, low=nothing, high=nothing, verdict="undecided")
    lower = _below((estimate + margin) / standard_error, degrees_of_freedom)
    upper = _below((margin - estimate) / standard_error, degrees_of_freedom)
    half = _quantile(1.0 - 2.0 * alpha, degrees_of_freedom) * standard_error
    low, high = estimate - half, estimate + half
    verdict: Verdict = "equivalent" if -margin < low and high < margin else "differs" if low > margin or high < -margin else "undecided"
    return Tost(p_lower=lower, p_upper=upper, p_tost=max(lower, upper), low=low, high=high, verdict=verdict)


def equivalence(effects: PairedEffects | MixedEffect | pd.DataFrame, *, margin: float, alpha: float = 0.05) -> pd.DataFrame:
    """Applies `tost` to every row of paired effects, to a mixed model, or to a table of estimates.

    A DataFrame needs the columns estimate, standard_error and degrees_of_freedom (or difference, se
    and df); its others are kept. Adds margin, p_lower, p_upper, p_tost, low and high (the 1 - 2
    alpha interval), verdict, and to the note why a row has no verdict. Not corrected for the number
    of rows: see `adjust`. Raises AnalysisError for missing columns, or a margin that is not above
    zero.
    """
    table = _estimates(effects)
    require_columns(table, NEEDED, where="the table of estimates")
    tests = [tost(*(float(row[name]) for name in NEEDED), margin=margin, alpha=alpha) for _, row in table.iterrows()]
    columns = {name: [getattr(one, name) for one in tests] for name in ("p_lower", "p_upper", "p_tost", "low", "high", "verdict")}
    notes = table["note"].fillna("").astype(str) if "note" in table.columns else pd.Series([""] * len(table), index=table.index)
    why = [note or ("no spread is known" if np.isnan(one.p_tost) else "") for note, one in zip(notes, tests, strict=True)]
    kept = table.drop(columns=[name for name in (*columns, "note", "margin") if name in table.columns])
    return kept.assign(margin=margin, **columns, note=why)


def _estimates(effects: PairedEffects | MixedEffect | pd.DataFrame) -> pd.DataFrame:
    if isinstance(effects, pd.DataFrame):
        return effects.rename(columns={old: new for old, new in SHORT.items() if new not in effects.columns})
    if isinstance(effects, MixedEffect):
        shown = ("treatment", "estimate", "standard_error", "degrees_of_freedom", "note")
        return pd.DataFrame([{name: getattr(effects, name) for name in shown}])
    rows = []
    for row in effects.rows():
        means = effects.units(row)["difference"]
        error = float(means.std(ddof=1) / np.sqrt(len(means))) if not pd.isna(row["p"]) else float("nan")
        names = ["treatment", *(name for name in effects.by if name in row.index)]
        values = {"estimate": row["difference"], "standard_error": error, "degrees_of_freedom": float(len(means) - 1), "note": row["note"]}
        rows.append({name: row[name] for name in names} | values)
    return pd.DataFrame(rows, columns=["treatment", *effects.by, *NEEDED, "note"])


def _below(statistic: float, degrees_of_freedom: float) -> float:
    """Upper tail of Student's t, of the normal where the degrees of freedom are infinite."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-statistic) if np.isinf(degrees_of_freedom) else stdtr(degrees_of_freedom, -statistic))


def _quantile(level: float, degrees_of_freedom: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0)) if np.isinf(degrees_of_freedom) else t_quantile(level, degrees_of_freedom)
