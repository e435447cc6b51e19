"""The score that an analysis is about by default, and its title."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.runs.columns import MAIN_SCORES, column_of, documented_scores, first_score


def outcome_of(table: Any, named: str | None = None) -> str:
    """The score to analyse: `named` if given, else the first documented score that has numbers.

    Without numbers the first that has a column, else miou.
    """
    if named is not None:
        return named
    if not isinstance(table, pd.DataFrame):
        return MAIN_SCORES[0]
    found = first_score(table)
    if found is not None:
        return found.name
    return next((column.name for column in documented_scores(table) if column.name in table.columns), MAIN_SCORES[0])


def title_of(name: str, table: Any = None) -> str:
    """A column's documented title, else its name."""
    return column_of(table, name).title
