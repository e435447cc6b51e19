"""Rows of charts of runs with equal labels: panels of one row each are rows of one chart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.series import panels_of
from reports.theme import NO_PRETRAINING


def are_one_chart(table: pd.DataFrame) -> bool:
    """Whether several panels have one series each, which are to be compared along one axis."""
    return bool(table["panel"].nunique() > 1 and (table.groupby("panel")["series"].nunique() == 1).all())


def as_rows(tables: Sequence[pd.DataFrame], panels: Sequence[str]) -> tuple[list[pd.DataFrame], list[str]]:
    """The tables with one panel, '', whose series are named after the panels that they stood in; and
    these names in the order of the panels. The first table has a row for every one of them.
    """
    series = tables[0].drop_duplicates("panel").set_index("panel")["series"].astype(str)
    names = {}
    for panel in panels_of(tables[0], panels):
        own = "from scratch" if series[panel] == NO_PRETRAINING else series[panel]
        names[panel] = panel if series.nunique() == 1 else f"{own}; {panel}"
    return [table.assign(series=table["panel"].map(names), panel="") for table in tables], list(names.values())
