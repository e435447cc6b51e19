"""The panels of the scores: all groups in one, or of many one panel for each level of a column."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports.charts.curves import curves_by_size
from reports.page import Panel
from reports.table.question import GROUP, TableQuestion, stands_alone
from reports.wording import joined

MOST_LINES = 6
"""In one panel: there are as many colours."""


def panels_of(
    question: TableQuestion,
    points: pd.DataFrame,
    curves: pd.DataFrame,
    means: pd.DataFrame,
    *,
    lines: Mapping[str, str],
    y_domain: tuple[float, float],
) -> tuple[Panel, ...]:
    """The charts, with axes in common.

    Args:
        points: group, x, y, a row a run; curves and means as `curves_by_size` takes them.
        lines: what is to be said of each group, in the order of the groups.
    """
    groups = list(lines)
    levels = question.levels()
    column = panel_column(question)
    if column is None:
        parts = {"": groups}
        titles = joined([question.titles[name] for name in question.by])
    else:
        place = question.by.index(column)
        found = list(dict.fromkeys(levels[group][place] for group in groups))
        parts = {level: [group for group in groups if levels[group][place] == level] for level in found}
        titles = joined([question.titles[name] for name in question.by if name != column])
    names = {group: _name(question, levels.get(group, ()), column) or group for group in groups} if column else {group: group for group in groups}
    series = list(dict.fromkeys(names[group] for group in groups))
    panels = []
    for number, (level, mine) in enumerate(parts.items()):
        tables = [_renamed(table, mine, names) for table in (points, curves, means)]
        chart = curves_by_size(*tables, groups=series, group_title=titles, x_title=question.x_title, y_title=question.y_title, y_domain=y_domain)
        heading = "" if column is None else level if stands_alone(level) else f"{question.titles[column]} {level}"
        panels.append(Panel(identity=f"scores-{number}", chart=chart, heading=heading, alternative=" ".join(lines[group] for group in mine)))
    return tuple(panels)


def panel_column(question: TableQuestion) -> str | None:
    """The column whose levels get a panel each where there are many groups: the one that has fewest
    levels, the first of several; None where all groups stand in one panel.
    """
    if len(question.groups()) <= MOST_LINES or len(question.by) < 2:
        return None
    return min(question.by, key=lambda name: len(question.levels_of(name)))


def _name(question: TableQuestion, levels: tuple[str, ...], column: str) -> str:
    """A group within its panel: what the panel says already is left out. A column alone needs no name
    beside its levels, since the legend has it.
    """
    others = [(name, level) for name, level in zip(question.by, levels, strict=True) if name != column]
    return ", ".join(level if len(others) == 1 or stands_alone(level) else f"{question.titles[name]} {level}" for name, level in others)


def _renamed(table: pd.DataFrame, mine: list[str], names: Mapping[str, str]) -> pd.DataFrame:
    part = table.loc[table[GROUP].isin(mine)].reset_index(drop=True)
    return part.assign(**{GROUP: part[GROUP].map(names).astype(object)})
