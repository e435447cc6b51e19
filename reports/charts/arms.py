"""Dot plot whose rows are the arms of a study, in the place of many panels of one or two points."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from reports.theme import GREY, NO_PRETRAINING, RAMP, finish, styles, value_scale, with_columns

LETTERS, LETTERS_OF_SERIES = 34, 42
"""Of a line of a row's name; a longer name has several lines."""
ROW: Final = 26
"""Height of a row whose name has one line, in pixels."""
LINE: Final = 14
"""Height of a line of a name, and of a point, in pixels."""


def values_by_arm(
    points: pd.DataFrame,
    *,
    arms: Sequence[str],
    series_names: Sequence[str],
    x_title: str,
    series_title: str = "pre-training images",
    x_domain: tuple[float, float] | None = None,
    rule: float | None = None,
    is_floor: bool = False,
    noise: float | None = None,
) -> alt.LayerChart:
    """Draws a value with its interval for each arm (a row) and series (a colour, side by side).

    Args:
        points: arm, series, value, low, high; low and high are NaN where there is no interval.
        arms: every row in order.
        series_names: every series of the study in order, so that all figures agree on colours.
        x_title: what the value is, with its unit.
        x_domain: range of the axis, for charts that share it.
        rule: where an upright stands, such as zero.
        is_floor: whether the upright is dashed, as a floor that is no zero.
        noise: half the width of a grey band about zero; None draws none.

    Raises:
        FigureError: if a column is missing, or a value is not finite.
    """
    name = "values_by_arm"
    points = with_columns(points, name, columns=["arm", "series", "value", "low", "high"], finite=["value"])
    there = [arm for arm in arms if arm in set(points["arm"])]
    present = [series for series in series_names if series in set(points["series"])]
    colours, shapes = styles(series_names, present)
    lines = {arm: wrapped(arm) for arm in there}
    label = alt.Axis(labelExpr=f"{json.dumps(lines, ensure_ascii=False)}[datum.label]", labelLimit=0, ticks=False, grid=True, tickBand="extent")
    y = alt.Y("arm:N", sort=there, title=None, axis=label, scale=alt.Scale(paddingInner=0.15, paddingOuter=0.1))
    several = len(present) > 1
    placed: dict[str, Any] = {"y": y}
    if several:
        placed["yOffset"] = alt.YOffset("series:N", sort=present, scale=alt.Scale(domain=present, paddingOuter=0.3))
    legend = alt.Legend() if several else None
    colour = alt.Color("series:N", scale=colours, title=series_title, sort=present, legend=legend)
    scale, axis = value_scale(x_domain), alt.Axis(tickCount=5, labelOverlap="greedy", labelSeparation=8)
    layers = []
    if noise is not None and np.isfinite(noise):
        band = alt.Chart(pd.DataFrame({"below": [-noise], "above": [noise]})).mark_rect(color=GREY, opacity=0.2, clip=True)
        layers.append(band.encode(x=alt.X("below:Q", scale=scale, title=x_title, axis=axis), x2="above:Q"))
    if rule is not None:
        upright = with_columns(pd.DataFrame({"rule": [rule]}), name, columns=["rule"], finite=["rule"])
        mark = alt.Chart(upright).mark_rule(color=GREY, strokeWidth=2 if is_floor else 1.5, strokeDash=[5, 4] if is_floor else [1, 0])
        layers.append(mark.encode(x=alt.X("rule:Q", scale=scale, title=x_title, axis=axis)))
    bars = points.dropna(subset=["low", "high"])
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2.5, opacity=0.7, clip=True)
        layers.append(bar.encode(**placed, x=alt.X("low:Q", scale=scale, title=x_title, axis=axis), x2="high:Q", color=colour))
    tooltip = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("value:Q", format=".4g", title=x_title),
        *(alt.Tooltip(f"{end}:Q", format=".4g") for end in ("low", "high")),
    ]
    shape = alt.Shape("series:N", scale=shapes, title=series_title, sort=present, legend=legend)
    dots = alt.Chart(points).mark_point(filled=True, size=60, opacity=1)
    layers.append(dots.encode(**placed, x=alt.X("value:Q", scale=scale, title=x_title, axis=axis), color=colour, shape=shape, tooltip=tooltip))
    row = max(LINE * len(present) + 8, LINE * max((len(one) for one in lines.values()), default=1) + 14)
    return finish(layers, labels=present, height=max(60, row * len(there)))


def wrapped(arm: str) -> list[str]:
    """The name of a row in lines: 'classification on intel-scenes,' and 'arm: scenes_cls'."""
    return _in_lines(arm.replace("intermediate stage: ", ""), LETTERS)


def row_lines(row: str) -> list[str]:
    """The name of a series as a row in lines; longer ones than those of an arm."""
    return _in_lines(row, LETTERS_OF_SERIES)


def _in_lines(name: str, letters: int) -> list[str]:
    """The name in lines of at most so many letters; 'arm: a' is not parted, nor any single word."""
    lines = textwrap.wrap(name.replace(": ", ":\u00a0"), letters, break_on_hyphens=False, break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines] or [""]


def rows_axis(rows: Sequence[str]) -> alt.Y:
    """The vertical axis of a chart with a row a series, in order; a row without data stays."""
    lines = json.dumps({row: row_lines(row) for row in rows}, ensure_ascii=False)
    axis = alt.Axis(grid=True, labelLimit=0, labelExpr=f"{lines}[datum.label]")
    return alt.Y("row:N", sort=list(rows), title=None, axis=axis, scale=alt.Scale(domain=list(rows)))


def rows_height(rows: Sequence[str]) -> int:
    """Height of a chart with a row a series, in pixels."""
    most = max((len(row_lines(row)) for row in rows), default=1)  # all rows are equally high
    return max(60, (ROW if most == 1 else LINE * most + 4) * len(rows))


def one_hue(series_names: Sequence[str]) -> alt.Color:
    """One colour for all series, which their rows tell apart, and grey for scratch."""
    colours = [GREY if series == NO_PRETRAINING else RAMP[3] for series in series_names]
    return alt.Color("series:N", scale=alt.Scale(domain=list(series_names), range=colours), legend=None)
