"""The score of a study whose scores no columns.json documents: a column that differs between seeds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.runs.columns import OCCASIONAL_COLUMNS, RUN_COLUMNS, STAGE_COLUMNS, column_of, first_score

FALLING = re.compile(r"(?:^|_)(?:loss|error|err|rmse|mse|mae|rel|nll|perplexity|ppl|fid|wer|cer|regret)(?:_|$)", re.IGNORECASE)
"""Words in a name of which lower values are better."""
LAST_RESORT = "test_loss"
"""What a study is scored by if nothing else was measured."""


def with_assumed_score(runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The runs with a score documented in their attrs, and a sentence that says what was assumed;
    the runs as they are and '' where they have a score, or nothing that can be one.

    A score is a measurement: it takes several values, and differs between seeds of one cell where
    there are several. Of several such columns the first is taken.
    """
    if runs.empty or first_score(runs) is not None:
        return runs, ""
    known = {*RUN_COLUMNS, *OCCASIONAL_COLUMNS, *STAGE_COLUMNS, *runs.attrs.get("columns", {})}
    names = [str(name) for name in runs.columns if name not in known and _measured(runs, str(name))]
    names += [LAST_RESORT] if LAST_RESORT in runs.columns and _measured(runs, LAST_RESORT) else []
    if not names:
        return runs, ""
    name = names[0]
    lower = FALLING.search(name) is not None
    plain = column_of(runs, name)
    title = plain.title if plain.title != name else name.replace("_", " ")
    column = replace(plain, role="score", better="lower" if lower else "higher", title=title)
    marked = runs.copy(deep=False)
    marked.attrs = {**runs.attrs, "columns": {**runs.attrs.get("columns", {}), name: column.to_dict()}}
    remark = f"No score is documented, so '{name}' is taken for it, and {column.better} values count as better; "
    remark += "columns.json in the study folder can say otherwise."
    return marked, remark


def _measured(runs: pd.DataFrame, name: str) -> bool:
    """Whether a column holds numbers that differ, and differ within cells where cells have several
    runs.
    """
    if not pd.api.types.is_numeric_dtype(runs[name]) or pd.api.types.is_bool_dtype(runs[name]):
        return False
    values = runs[name].astype(float)
    finite = values[np.isfinite(values)]
    if finite.nunique() < 2:
        return False
    if "cell_id" not in runs.columns:
        return True
    cells = finite.groupby(runs.loc[finite.index, "cell_id"])
    several = cells.size() > 1
    return not several.any() or bool((cells.nunique()[several] > 1).any())
