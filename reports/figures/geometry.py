"""Geometry of patch tokens: how alike patches are at each distance, and one measure for each encoder."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from reports.theme import finish, styles, with_columns

SMALL = 220


def similarity_by_distance(points: pd.DataFrame, *, encoders: Sequence[str]) -> alt.LayerChart:
    """Mean cosine similarity of two patches by their Manhattan distance, a line an encoder; one value each, so no interval.

    Args:
        points: encoder, distance (patches), similarity.
        encoders: every encoder in order.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    points = with_columns(points, "similarity_by_distance", columns=["encoder", "distance", "similarity"], finite=["distance", "similarity"])
    colours, shapes = styles(encoders)
    x = alt.X("distance:O", title="Manhattan distance of two patches", axis=alt.Axis(labelAngle=0, grid=False))
    y = alt.Y("similarity:Q", title="mean cosine similarity", scale=alt.Scale(zero=True))
    colour = alt.Color("encoder:N", scale=colours, title=None, sort=list(encoders))
    shape = alt.Shape("encoder:N", scale=shapes, title=None, sort=list(encoders))
    line = alt.Chart(points).mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour)
    tooltip = [alt.Tooltip("encoder:N"), alt.Tooltip("distance:O"), alt.Tooltip("similarity:Q", format=".3f")]
    dots = alt.Chart(points).mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    return finish([line, dots], labels=encoders, height=SMALL)


def value_by_encoder(points: pd.DataFrame, *, encoders: Sequence[str], x_title: str) -> alt.LayerChart:
    """One value for each encoder as a dot on a line from zero.

    Args:
        points: encoder, value.
        encoders: every encoder in order.
        x_title: what the value is, with its unit.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    points = with_columns(points, "value_by_encoder", columns=["encoder", "value"], finite=["value"]).assign(zero=0.0)
    colours, shapes = styles(encoders)
    y = alt.Y("encoder:N", sort=list(encoders), title=None, axis=alt.Axis(labelExpr="split(datum.label, ', ')", labelLimit=0, ticks=False))
    colour = alt.Color("encoder:N", scale=colours, legend=None)
    x_scale = alt.Scale(zero=True, nice=True)
    stem = alt.Chart(points).mark_rule(strokeWidth=2).encode(y=y, x=alt.X("zero:Q", title=x_title, scale=x_scale), x2="value:Q", color=colour)
    tooltip = [alt.Tooltip("encoder:N"), alt.Tooltip("value:Q", title=x_title)]
    dots = alt.Chart(points).mark_point(filled=True, size=70, opacity=1)
    shape = alt.Shape("encoder:N", scale=shapes, legend=None)
    return finish([stem, dots.encode(y=y, x=alt.X("value:Q", title=x_title, scale=x_scale), color=colour, shape=shape, tooltip=tooltip)],
                  labels=encoders, height=40 * len(encoders))  # fmt: skip
