"""One column of runs over another, coloured by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.formatting import format_setting
from analysis.plots.curves import APART, DARK_TO_LIGHT, HEIGHT, WIDTH, axis_title, quiet_axis

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


def scatter_chart(points: pd.DataFrame, x_name: str, y_name: str, within: Sequence[str] = ()) -> alt.LayerChart:
    """The runs as points, coloured by the columns of `within` together; 480 x 300 pixels.

    Args:
        points: a row a run, with the columns x_name, y_name and those of `within`.

    Returns a layered chart that composes with `+` and `|`.
    """
    import altair as alt

    names = [" ".join(format_setting(value) for value in row) for row in points[list(within)].itertuples(index=False, name=None)]
    table = points[[x_name, y_name]].set_axis(["x", "y"], axis="columns").assign(group=names or "all")
    groups = list(dict.fromkeys(table["group"]))
    x = alt.X("x:Q", title=axis_title(x_name), scale=alt.Scale(zero=False), axis=quiet_axis(alt, grid=False))
    y = alt.Y("y:Q", title=axis_title(y_name), scale=alt.Scale(zero=False), axis=quiet_axis(alt, grid=True))
    colour: Any = alt.value(DARK_TO_LIGHT[0])
    if len(groups) > 1:
        scale = alt.Scale(domain=groups, range=[APART[place % len(APART)] for place in range(len(groups))])
        colour = alt.Color("group:N", title=", ".join(axis_title(name) for name in within), scale=scale)
    tips = [alt.Tooltip("group:N", title=" "), alt.Tooltip("x:Q", title=axis_title(x_name)), alt.Tooltip("y:Q", title=axis_title(y_name))]
    dots = alt.Chart(table).mark_point(filled=True, size=45, opacity=0.8).encode(x=x, y=y, color=colour, tooltip=tips)
    return alt.LayerChart(layer=[dots], width=WIDTH, height=HEIGHT, view=alt.ViewBackground(stroke=None))
