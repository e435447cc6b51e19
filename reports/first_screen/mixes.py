"""Which runs a line of the scaling plot may join: those of settings that every size of it has.

A mean over some settings at one size and over others at the next shows their difference as an
effect of the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.factorial.axes import Axis
from analysis.factorial.wording import among_level
from analysis.runs.matching import INTERMEDIATE
from reports.wording import joined

MOST_NAMED = 6
AXIS_OF = {"encoder_params": "encoder", "pretrain_image_passes": "pretrain_length"}
"""The setting that a size along the axis belongs to, where it is not that column itself."""


def alike(
    table: pd.DataFrame, x: str, line: NDArray[Any], keep: NDArray[np.bool_], settings: Sequence[str]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The rows to draw, shape (rows,): of each line the settings that are there at all of its sizes.
    The names of those that have none follow: all their rows are drawn, and no line joins them.
    """
    if not settings:
        return keep, ()
    kind = np.asarray(table.groupby(list(settings), dropna=False, sort=False).ngroup())
    sizes = table[x].to_numpy(dtype=float)
    drawn, apart = keep.copy(), []
    for name in dict.fromkeys(line[keep]):
        rows = np.flatnonzero(keep & (line == name) & (sizes > 0))
        there = [set(kind[rows[sizes[rows] == size]]) for size in np.unique(sizes[rows])]
        shared = set.intersection(*there) if there else set()
        if shared:
            drawn[rows[~np.isin(kind[rows], list(shared))]] = False
        elif there:
            apart.append(str(name))
    return drawn, tuple(apart)


def left_out_text(table: pd.DataFrame, axes: Sequence[Axis], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> str:
    """Which runs are drawn, where some are left out: 'at 100 fine-tuning steps'."""
    if np.array_equal(before, after):
        return ""
    words = []
    for axis in axes:
        if axis.column not in table.columns or axis.column in INTERMEDIATE[1:]:
            continue
        levels = [table.loc[rows, axis.column].dropna().unique() for rows in (before, after)]
        if len(levels[1]) == 1 < len(levels[0]):
            words.append(among_level(axis.column, axis.name, levels[1][0]))
    return " and ".join(words) or "of settings that every size has"


def apart_text(apart: Sequence[str]) -> str:
    """Which dots no line joins, since it would join different settings."""
    if not apart:
        return ""
    whose = "There is no line" if list(apart) == [""] else f"Dots of {joined(apart)} have no line" if len(apart) <= MOST_NAMED else ""
    return f" {whose or f'Dots of {len(apart)} levels have no line'}: runs of different sizes have different settings."


def spans(axis: Axis, x: NDArray[np.float64], keep: NDArray[np.bool_]) -> bool:
    """Whether at least two levels of an axis have runs at two sizes, and so a line."""
    lines = [len(np.unique(x[keep & (axis.code == place) & (x > 0)])) > 1 for place in range(len(axis.levels))]
    return sum(lines) > 1
