"""Finds the columns of a table that vary at equal x and that a fit would take for noise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pandas as pd

REPEATS: Final = re.compile(r"(^|_)(seed|trial|run|repeat|repetition|rep|fold|id|index|name)s?(_|$)", re.IGNORECASE)
"""Names of columns that tell equal runs apart."""


def taken_for_noise(table: pd.DataFrame, x: Sequence[str], used: Sequence[str], by: Sequence[str] = ()) -> str:
    """A caution that names the settings which vary at equal x and `by` and are not used; '' without
    any. A column of which most rows have a value of their own is a measurement, and no setting; one
    that another determines is not named beside it.
    """
    others = [name for name in table.columns if name not in {*x, *used, *by} and not REPEATS.search(str(name))]
    few = [name for name in others if 1 < table[name].nunique(dropna=False) <= len(table) / 2]
    found: list[str] = []
    for name in few:
        if _varies(table, [*x, *by], name) and all(_varies(table, [*by, one], name) for one in found):
            found.append(name)
    if not found:
        return ""
    varied = [f"'{name}'" for name in found]
    listed = varied[0] if len(varied) == 1 else f"{', '.join(varied[:-1])} and {varied[-1]}"
    verb = "varies" if len(varied) == 1 else "vary"
    return f"{listed} {verb} at equal {', '.join(x)}, and what that changes counts as noise here: give the rows of one group"


def _varies(table: pd.DataFrame, at: list[str], name: str) -> bool:
    """Whether a column takes several values where those of `at` are equal."""
    return bool((table.groupby(at, dropna=False)[name].nunique(dropna=False) > 1).any())
