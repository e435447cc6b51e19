"""Wording that several claims share."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Verdict
from analysis.formatting import format_setting
from analysis.runs.columns import RUN_COLUMNS

NAMES = {
    "encoder": "",
    "pretrain_images": "{} pre-training images",
    "finetune_images": "{} labels",
    "pretrain_length": "{}",
    "intermediate": "intermediate {}",
}

ORDER = ("encoder", "pretrain_images", "finetune_images", "intermediate")  # named first, and always where they vary
COLUMNS = {"equal finetune_images": "equal numbers of labels", **{name: column.title for name, column in RUN_COLUMNS.items() if "_" in name}}


def describe_cell(cells: pd.DataFrame, cell: int, *, without: Sequence[str] = ()) -> str:
    """A cell's distinguishing settings that are not in `without`: '45,000 pre-training images, 250
    labels'.
    """
    parts = []
    for name in distinguishing_settings(cells):
        value = cells[name].loc[cell]
        if name in without or value != value:
            continue
        if name == "pretrain_images" and value == 0:
            parts.append("from scratch")
        elif name == "intermediate" and value == "none":
            continue
        else:
            parts.append((NAMES.get(name) or "{}").format(format_setting(value)) if name in NAMES else f"{name} {format_setting(value)}")
    return ", ".join(parts) or "all cells"


def distinguishing_settings(cells: pd.DataFrame) -> list[str]:
    """The settings that distinguish cells.

    Leaves out those that never vary where they are given, and those that follow from one already
    named.
    """
    chosen: list[str] = []
    for name in sorted(cells.columns, key=lambda column: ORDER.index(column) if column in ORDER else len(ORDER)):
        given = cells[name].dropna()
        given = given[given != 0] if name.startswith("intermediate_") else given
        if given.nunique() < 2:
            continue
        inside = cells.loc[given.index].groupby(chosen, dropna=False)[name].nunique() if chosen else pd.Series([2])
        if name in ORDER or int(inside.max()) > 1:
            chosen.append(name)
    return chosen


def both_readings(verdicts: Sequence[tuple[str, Verdict]], study: ClaimTable) -> tuple[Verdict, str, str]:
    """Combines the verdicts under each reading of the spread.

    Returns the verdict, the reading that the numbers use, and a clause on the other reading.

    Where the readings disagree the claim is open: the table does not say which of them is meant.
    """
    if study.kind == "runs":
        return verdicts[0][1], "", ""
    (first, one), *others = verdicts
    if all(other == one for _, other in others):
        return one, f"{first}; the verdict is the same with {' or '.join(name for name, _ in others)}", f" ({first}; the other reading agrees)"
    listed = "; ".join(f"{name}: {verdict}" for name, verdict in verdicts)
    return "open", f"{first}; the readings disagree ({listed})", f" ({listed})"


def cleaned(text: str) -> str:
    """Replaces column names by titles, says a unit once ('changes mIoU by +0.01'), and fixes plurals
    of one, spaces and the full stop.
    """
    for column, title in COLUMNS.items():
        text = re.sub(rf"\b{column}\b", title, text)
    text = re.sub(r"\b(changes?) ([^.,;:()]{1,60}?) by ([+-]?[\d.,]*\d) \2(?![\w-])", r"\1 \2 by \3", text)
    text = re.sub(r"(?<![\w.,+-])1 (pair|seed|group|unit|cell|run|step|cluster)s\b", r"1 \1", text)
    return re.sub(r"\s+", " ", text.replace("+-", "±")).strip().rstrip(".") + "."
