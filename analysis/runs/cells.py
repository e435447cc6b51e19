"""Mean, spread and interval of each cell of a table: runs that differ in seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.runs.outcomes import outcome_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.student import t_quantile


@of_table
def summarise_cells(runs: pd.DataFrame, *, by: str | Sequence[str], outcome: str | None = None, level: float = 0.95) -> pd.DataFrame:
    """One row per combination of values of `by`: those columns, n, mean, sd, low, high, note; outcome
    in its own unit.

    low and high are Student's t interval for the mean over runs, as if they were independent; NaN
    where n is 1, with a note. Runs without the outcome are left out; a missing level of `by` is a
    level. Raises AnalysisError for missing columns.
    """
    names = [by] if isinstance(by, str) else list(by)
    if not names:
        raise AnalysisError("summarise_cells needs at least one column in `by`: name the settings that make a cell.")
    checked_level(level)
    outcome = outcome_of(runs, outcome)
    require_columns(runs, [*names, outcome], where="the runs table")
    values = numeric_column(runs, outcome, where="the runs table")
    kept = runs.loc[values.notna().to_numpy(), names].assign(**{outcome: values[values.notna()].to_numpy()})
    rows = []
    for key, cell in kept.groupby(names, dropna=False, sort=True)[outcome]:
        n, mean = len(cell), float(cell.mean())
        sd = float(cell.std(ddof=1)) if n > 1 else float("nan")
        half = t_quantile(level, n - 1) * sd / np.sqrt(n)
        note = "" if n > 1 else "one run: no spread, so no interval"
        rows.append((*key, n, mean, sd, mean - half, mean + half, note))
    return pd.DataFrame(rows, columns=[*names, "n", "mean", "sd", "low", "high", "note"])
