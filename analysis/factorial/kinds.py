"""Kinds of a treatment, each against none: the objectives of pre-training, the kinds of stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.factorial.axes import PRETRAINING, Axis
from analysis.formatting import in_order

OBJECTIVE = "pretrain_objective"


def in_kinds(axes: list[Axis], table: pd.DataFrame) -> list[Axis]:
    """The axes, where pre-training of several objectives and an intermediate stage of several kinds
    are an axis for each against none: a mean over unlike methods is none of them, and which of them
    differ most is known only afterwards. Objectives are read from the table: one that has a recipe of
    its own is no axis beside it.
    """
    made: list[Axis] = []
    for axis in axes:
        objectives = in_order(table.loc[axis.code == 1, OBJECTIVE].dropna().unique()) if axis.column == PRETRAINING and OBJECTIVE in table else []
        if len(objectives) > 1:
            for kind in objectives:
                code = np.where(axis.code == 0, 0, np.where((table[OBJECTIVE] == kind).to_numpy(), 1, -1))
                made.append(replace(axis, name=f"{axis.name} ({kind})", kind=str(kind), levels=("none", kind), code=code))
        elif axis.column == "intermediate" and len(axis.levels) > 2 and axis.levels[0] == "none":
            for place, kind in enumerate(axis.levels[1:], start=1):
                code = np.where(axis.code == place, 1, np.where(axis.code == 0, 0, -1))
                made.append(replace(axis, name=f"intermediate {kind} stage", kind=str(kind), levels=("none", kind), ordered=True, code=code))
        else:
            made.append(axis)
    return made
