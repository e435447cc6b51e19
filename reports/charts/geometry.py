"""Charts of patch tokens: similarity by distance, one measure by encoder, and attention distance by
layer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.charts.line_names import named, names_at_ends, names_fit
from reports.theme import GREY, NO_PRETRAINING, finish, padded_domain, styles, with_columns

SMALL = 220
ROW = 40
"""Height of an encoder's row, in pixels."""
INTERVAL = ["low", "high"]


def similarity_by_distance(
    points: pd.DataFrame, *, encoders: Sequence[str], title: str | None = None, y_domain: tuple[float, float] | None = None
) -> alt.LayerChart:
    """Mean cosine similarity of two patches by their Manhattan distance, a line an encoder, with a
    band where the table has intervals.

    Args:
        points: encoder, distance (patches), similarity; low and high where there are intervals,
            both NaN where one has none.
        encoders: every encoder in order.
        title: of the legend.
        y_domain: range of the vertical axis, for panels that share it; from zero where none is
            given.

    Raises:
        FigureError: if a column is missing, or a distance or similarity is not finite.
    """
    name = "similarity_by_distance"
    ends = INTERVAL if set(INTERVAL) <= set(points.columns) else []
    points = with_columns(points, name, columns=["encoder", "distance", "similarity", *ends], finite=["distance", "similarity"])
    colours, shapes = styles(encoders, set(points["encoder"]))
    x = alt.X("distance:O", title="Manhattan distance of two patches", axis=alt.Axis(labelAngle=0, grid=False))
    y_domain = padded_domain(points["similarity"], [0.0]) if y_domain is None else y_domain
    y_scale = alt.Scale(domain=list(y_domain), nice=False)
    y = alt.Y("similarity:Q", title="mean cosine similarity", scale=y_scale)
    order = [encoder for encoder in encoders if encoder in set(points["encoder"])]
    legend = None if names_fit(encoders, points, "encoder") else alt.Legend()
    colour = alt.Color("encoder:N", scale=colours, title=title, sort=order, legend=legend)
    shape = alt.Shape("encoder:N", scale=shapes, title=title, sort=order, legend=legend)
    tooltip = [alt.Tooltip("encoder:N", title=title or "encoder"), alt.Tooltip("distance:O"), alt.Tooltip("similarity:Q", format=".3f")]
    layers = []
    if ends:
        known = points.loc[np.isfinite(points[ends].to_numpy(dtype=float)).all(axis=1)]
        tooltip += [alt.Tooltip(f"{end}:Q", format=".3f") for end in ends]
        if len(known):
            band = alt.Chart(known).mark_area(opacity=0.2)
            low = alt.Y("low:Q", title="mean cosine similarity", scale=y_scale)
            layers.append(band.encode(x=x, y=low, y2="high:Q", color=colour))
    layers.append(alt.Chart(points).mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour))
    dots = alt.Chart(points).mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    names: list[alt.Chart] = []
    if legend is None:
        names = names_at_ends(
            points, series="encoder", x="distance", y="similarity", series_names=encoders, y_domain=y_domain, height=SMALL, unit="images"
        )
    return finish([*layers, dots, *names], labels=encoders, height=SMALL)


def value_by_encoder(
    points: pd.DataFrame,
    *,
    encoders: Sequence[str],
    x_title: str,
    floor: float | None = None,
    x_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """One value for each encoder as a dot on a line from zero, or beside a dashed line at a floor;
    a bar where the table has intervals.

    Args:
        points: encoder, value; low and high where there are intervals, both NaN where one has none.
        encoders: every encoder in order.
        x_title: what the value is, with its unit.
        floor: what a dashed line marks; the axis then need not reach to zero.
        x_domain: range of the horizontal axis, for panels that share it.

    Raises:
        FigureError: if a column is missing, or a value or the floor is not finite.
    """
    ends = INTERVAL if set(INTERVAL) <= set(points.columns) else []
    points = with_columns(points, "value_by_encoder", columns=["encoder", "value", *ends], finite=["value"]).assign(zero=0.0)
    there = [encoder for encoder in encoders if encoder in set(points["encoder"])]
    colours, shapes = styles(encoders, there)
    texts = json.dumps({one: one if one == NO_PRETRAINING else named(one, "images") for one in there}, ensure_ascii=False)
    label = alt.Axis(labelExpr=f"split({texts}[datum.label], ', ')", labelLimit=0, ticks=False)
    y = alt.Y("encoder:N", sort=there, title=None, axis=label)
    colour = alt.Color("encoder:N", scale=colours, legend=None)
    x_scale = alt.Scale(zero=floor is None, nice=True) if x_domain is None else alt.Scale(domain=list(x_domain), nice=False)
    axis = alt.Axis(tickCount=5)
    layers = []
    if floor is None:
        stem = alt.Chart(points).mark_rule(strokeWidth=2)
        layers.append(stem.encode(y=y, x=alt.X("zero:Q", title=x_title, scale=x_scale, axis=axis), x2="value:Q", color=colour))
    else:
        line = with_columns(pd.DataFrame({"floor": [floor]}), "value_by_encoder", columns=["floor"], finite=["floor"])
        dashes = alt.Chart(line).mark_rule(strokeWidth=2, strokeDash=[5, 4], color=GREY)
        layers.append(dashes.encode(x=alt.X("floor:Q", title=x_title, scale=x_scale, axis=axis)))
    tooltip = [alt.Tooltip("encoder:N"), alt.Tooltip("value:Q", title=x_title, format=".4g")]
    if ends:
        known = points.loc[np.isfinite(points[ends].to_numpy(dtype=float)).all(axis=1)]
        tooltip += [alt.Tooltip(f"{end}:Q", format=".4g") for end in ends]
        if len(known):
            bar = alt.Chart(known).mark_rule(strokeWidth=5, opacity=0.35)
            layers.append(bar.encode(y=y, x=alt.X("low:Q", title=x_title, scale=x_scale, axis=axis), x2="high:Q", color=colour))
    dots = alt.Chart(points).mark_point(filled=True, size=70, opacity=1)
    shape = alt.Shape("encoder:N", scale=shapes, legend=None)
    x = alt.X("value:Q", title=x_title, scale=x_scale, axis=axis)
    layers.append(dots.encode(y=y, x=x, color=colour, shape=shape, tooltip=tooltip))
    return finish(layers, labels=encoders, height=ROW * max(len(there), 1))


def attention_by_layer(points: pd.DataFrame, *, encoders: Sequence[str], uniform: float, title: str | None = None) -> alt.LayerChart:
    """Draws the mean attention distance by layer, a line for each encoder; dashed: the distance of
    uniform attention.

    Args:
        points: encoder, layer (from 1), distance (pixels).
        encoders: every encoder in order.
        uniform: the distance of uniform attention, pixels.
        title: of the legend.

    Raises:
        FigureError: if a column is missing, or a value is not finite.
    """
    name = "attention_by_layer"
    points = with_columns(points, name, columns=["encoder", "layer", "distance"], finite=["layer", "distance"])
    line = with_columns(pd.DataFrame({"uniform": [uniform]}), name, columns=["uniform"], finite=["uniform"])
    colours, shapes = styles(encoders, set(points["encoder"]))
    order = [encoder for encoder in encoders if encoder in set(points["encoder"])]
    x = alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, grid=False, labelOverlap=True))
    y_domain = (0.0, 1.05 * max(float(points["distance"].max()), uniform))
    y = alt.Y("distance:Q", title="mean attention distance, px", scale=alt.Scale(domain=list(y_domain), nice=False))
    legend = None if names_fit(encoders, points, "encoder") else alt.Legend()
    colour = alt.Color("encoder:N", scale=colours, title=title, sort=order, legend=legend)
    shape = alt.Shape("encoder:N", scale=shapes, title=title, sort=order, legend=legend)
    tooltip = [alt.Tooltip("encoder:N", title=title or "encoder"), alt.Tooltip("layer:O"), alt.Tooltip("distance:Q", format=".1f")]
    rule = alt.Chart(line).mark_rule(strokeWidth=2, strokeDash=[5, 4], color=GREY).encode(y=alt.Y("uniform:Q"))
    lines = alt.Chart(points).mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour)
    dots = alt.Chart(points).mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    names: list[alt.Chart] = []
    if legend is None:
        names = names_at_ends(
            points, series="encoder", x="layer", y="distance", series_names=encoders, y_domain=y_domain, height=SMALL, unit="images"
        )
    return finish([rule, lines, dots, *names], labels=encoders, height=SMALL)
