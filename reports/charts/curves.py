"""Chart of a score over any size: a point for each run, a law with its band for each group."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.charts.line_names import names_at_ends, names_fit
from reports.theme import CHART_HEIGHT, SIZES, finish, styles, value_scale, which_run, with_columns

LOG_FROM = 5.0
"""Ratio of the largest size to the smallest from which the axis is logarithmic."""


def curves_by_size(
    points: pd.DataFrame,
    curves: pd.DataFrame,
    means: pd.DataFrame,
    *,
    groups: Sequence[str],
    group_title: str,
    x_title: str,
    y_title: str,
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """The score against a size (log axis where the sizes span a factor of 5), by group.

    Args:
        points: one row a run: group, x, y; and seed for its tooltip, where there is one.
        curves: the law of each group that has one: group, x, mean, low, high, extrapolated; low and
            high may be NaN.
        means: for the groups without a law, the mean at each size: group, x, mean, low, high.
        groups: every group in order.
        group_title: what divides the rows into groups.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    name = "curves_by_size"
    points = with_columns(points, name, columns=["group", "x", "y", *which_run(points)], finite=["x", "y"])
    band = ["group", "x", "mean", "low", "high"]
    curves = with_columns(curves, name, columns=[*band, "extrapolated"], finite=["x", "mean"])
    means = with_columns(means, name, columns=band, finite=["x", "mean"])
    colours, shapes = styles(groups)
    reach = np.concatenate([points["x"], curves["x"]]).astype(float)
    low, high = float(reach.min()), float(reach.max())
    logarithmic = low > 0 and float(points["x"].max()) >= LOG_FROM * low
    form = "~s" if low >= 1 else "~g"
    values = sorted({float(size) for size in points["x"]}) if points["x"].nunique() <= 12 else None
    axis = alt.Axis(title=x_title, format=form, **SIZES, values=values if values and logarithmic else alt.Undefined)
    margin = 0.03 * (high - low)
    scale = (
        alt.Scale(type="log", nice=False, domain=[low * 0.93, high * 1.07])
        if logarithmic
        else alt.Scale(nice=False, zero=False, domain=[low - margin, high + margin])
    )
    x = alt.X("x:Q", scale=scale, axis=axis)
    y_scale = value_scale(y_domain)
    lines = pd.concat([one[["group", "x", "mean"]] for one in (curves, means) if len(one)] or [curves[["group", "x", "mean"]]], ignore_index=True)
    named = y_domain is not None and set(lines["group"]) == set(points["group"]) and names_fit(groups, lines, "group")
    legend = alt.Legend() if len(groups) > 1 and not named else None
    colour = alt.Color("group:N", scale=colours, sort=list(groups), title=group_title, legend=legend)
    shape = alt.Shape("group:N", scale=shapes, sort=list(groups), title=group_title, legend=legend)
    layers = []
    for table, opacity in ((curves, 0.15),):
        bands = table.dropna(subset=["low", "high"])
        if len(bands):
            area = alt.Chart(bands).mark_area(opacity=opacity, clip=True)
            layers.append(area.encode(x=x, y=alt.Y("low:Q", scale=y_scale, title=y_title), y2="high:Q", color=colour))
    y_mean = alt.Y("mean:Q", scale=y_scale, title=y_title)
    for beyond, dash in ((False, [1, 0]), (True, [5, 4])):
        part = curves.loc[curves["extrapolated"].astype(bool) == beyond]
        if len(part):
            layers.append(alt.Chart(part).mark_line(strokeDash=dash, strokeWidth=2, clip=True).encode(x=x, y=y_mean, color=colour))
    if len(means):
        layers.append(alt.Chart(means).mark_line(strokeWidth=1).encode(x=x, y=y_mean, color=colour))
        bars = means.dropna(subset=["low", "high"])
        if len(bars):
            low_end = alt.Y("low:Q", scale=y_scale, title=y_title)
            layers.append(alt.Chart(bars).mark_rule(strokeWidth=2, clip=True).encode(x=x, y=low_end, y2="high:Q", color=colour))
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", format=",~g", title=x_title),
        alt.Tooltip("y:Q", format=".4~g", title=y_title),
        *(alt.Tooltip(f"{column}:N", title=column) for column in which_run(points)),
    ]
    dots = alt.Chart(points).mark_point(filled=True, size=45, opacity=0.75)
    layers.append(dots.encode(x=x, y=alt.Y("y:Q", scale=y_scale, title=y_title), color=colour, shape=shape, tooltip=tooltip))
    if named and y_domain is not None:
        layers += names_at_ends(lines, series="group", x="x", y="mean", series_names=groups, y_domain=y_domain, height=CHART_HEIGHT)
    return finish(layers, labels=groups)
