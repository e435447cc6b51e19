"""A forest of effects: one row each, with its interval and a line at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.plots.curves import DARK_TO_LIGHT, quiet_axis

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

WIDTH, ROW_HEIGHT = 360, 26
GREY = "#767c83"
LABEL_PX = 320


def forest_chart(rows: pd.DataFrame, *, x_title: str) -> alt.LayerChart:
    """Effects with intervals; hollow and grey where the interval holds zero or there is none.

    Args:
        rows: label, estimate, low, high, in the order to draw from the top; low and high are NaN
            where there is no interval.
        x_title: what an effect is, with its unit.

    Returns a layered chart, 360 pixels wide and 26 a row, that composes with `+` and `|`.
    """
    import altair as alt

    drawn = rows.assign(told=(rows["low"] > 0) | (rows["high"] < 0))
    y = alt.Y("label:N", sort=list(rows["label"]), title=None, axis=quiet_axis(alt, grid=False, ticks=False, domain=False, labelLimit=LABEL_PX))
    scale = alt.Scale(zero=True, padding=8)
    x_axis = quiet_axis(alt, grid=True, tickCount=5)
    x = alt.X("estimate:Q", title=x_title, scale=scale, axis=x_axis)
    colour = alt.condition("datum.told", alt.value(DARK_TO_LIGHT[0]), alt.value(GREY))
    tips = [alt.Tooltip("label:N", title=" "), *(alt.Tooltip(f"{name}:Q", format="+.4~g") for name in ("estimate", "low", "high"))]
    zero = (
        alt.Chart(rows.head(1).assign(zero=0.0))
        .mark_rule(color=GREY, strokeWidth=1)
        .encode(x=alt.X("zero:Q", scale=scale, title=x_title, axis=x_axis))
    )
    bars = alt.Chart(drawn.dropna(subset=["low", "high"])).mark_rule(strokeWidth=2.5)
    low = alt.X("low:Q", title=x_title, scale=scale, axis=x_axis)
    layers = [zero, bars.encode(x=low, x2="high:Q", y=y, color=colour, tooltip=tips)]
    for told in (True, False):
        dots = alt.Chart(drawn[drawn["told"] == told]).mark_point(size=70, strokeWidth=2, opacity=1, fill=DARK_TO_LIGHT[0] if told else "white")
        layers.append(dots.encode(x=x, y=y, stroke=colour, tooltip=tips))
    return alt.LayerChart(layer=layers, width=WIDTH, height=ROW_HEIGHT * max(len(rows), 1), view=alt.ViewBackground(stroke=None))
