"""Charts of training: losses, their gap and accuracies by images shown, as means with the range
over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.charts.line_names import names_at_ends, names_fit
from reports.theme import GREY, PALETTE, SIZES, finish, log_ticks, positive, styles, value_scale, with_columns

TRAINING, HELD_OUT = "training images", "held-out images"
BAND = ["image_passes", "mean", "low", "high"]


def training_and_held_out(
    curves: pd.DataFrame, turns: pd.DataFrame, *, y_title: str = "MIM loss", x_domain: tuple[float, float] | None = None,
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:  # fmt: skip
    """Draws the loss on training and on held-out images by images shown (log axis), with a line
    where the held-out loss turns.

    Args:
        curves: kind (TRAINING or HELD_OUT), image_passes (above zero), mean, low, high: the mean
            over trainings, and their range.
        turns: image_passes where a training's held-out loss begins to rise; may be empty.
        y_title: what the loss is.
        x_domain, y_domain: ranges of the axes, for panels that share them.

    Raises:
        FigureError: if a column is missing, a value is not finite, or image_passes is not positive.
    """
    name = "training_and_held_out"
    curves = with_columns(curves, name, columns=["kind", *BAND], finite=BAND)
    turns = with_columns(turns, name, columns=["image_passes"], finite=["image_passes"])
    positive(curves, name, "image_passes")
    positive(turns, name, "image_passes")
    kinds = [kind for kind in (TRAINING, HELD_OUT) if kind in set(curves["kind"])]
    looks: dict[str, tuple[str, list[int]]] = {TRAINING: (PALETTE[1], [5, 3]), HELD_OUT: (PALETTE[0], [1, 0])}
    scale = alt.Scale(domain=kinds, range=[looks[kind][0] for kind in kinds])
    x = _passes(x_domain, curves["image_passes"])
    y = alt.Y("mean:Q", scale=value_scale(y_domain), title=y_title)
    colour = alt.Color("kind:N", scale=scale, title="loss on")
    layers = []
    if len(turns):
        layers.append(alt.Chart(turns).mark_rule(color=GREY, strokeWidth=1.5, strokeDash=[2, 3]).encode(x=x))
    layers.append(_band(curves, x, colour, y_domain, y_title))
    for kind in kinds:
        # The dash belongs to the mark: as an encoding it would make the legend's symbols
        # unreadable.
        line = alt.Chart(curves.loc[curves["kind"] == kind]).mark_line(strokeWidth=1.8, strokeDash=looks[kind][1], clip=True)
        layers.append(line.encode(x=x, y=y, color=colour))
    dots = alt.Chart(curves.loc[curves["kind"] == HELD_OUT]).mark_point(filled=True, size=40, opacity=1, clip=True)
    tooltip = [alt.Tooltip("kind:N", title="loss on"), *_tooltip(y_title)]
    layers.append(dots.encode(x=x, y=y, color=colour, tooltip=tooltip))
    return finish(layers, labels=kinds, height=220)


def learning_curves(
    curves: pd.DataFrame, *, series_names: Sequence[str], y_title: str, series_title: str = "pre-training images", zero_line: bool = False,
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:  # fmt: skip
    """Draws what was measured during training by images shown (log axis): the mean and range over
    the runs of each series.

    Args:
        curves: series, image_passes (above zero), mean, low, high.
        series: every series of the study in order.
        y_title: what was measured, with its unit.
        zero_line: whether a line marks zero.
        y_domain: range of the y axis, for panels that share it.

    Raises:
        FigureError: if a column is missing, a value is not finite, or image_passes is not positive.
    """
    name = "learning_curves"
    curves = with_columns(curves, name, columns=["series", *BAND], finite=BAND)
    positive(curves, name, "image_passes")
    present = [series for series in series_names if series in set(curves["series"])]
    colours, shapes = styles(series_names, present)
    x = _passes(None, curves["image_passes"])
    y = alt.Y("mean:Q", scale=value_scale(y_domain), title=y_title)
    named = y_domain is not None and names_fit(present, curves, "series")
    legend = None if named else alt.Legend()
    colour = alt.Color("series:N", scale=colours, title=series_title, legend=legend)
    layers = [_band(curves, x, colour, y_domain, y_title)]
    if zero_line:
        rule = alt.Chart(pd.DataFrame({"mean": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5)
        layers.append(rule.encode(y=y))
    layers.append(alt.Chart(curves).mark_line(strokeWidth=1.8, clip=True).encode(x=x, y=y, color=colour))
    # One shape here and there tells the lines apart without colour; at every point they would hide
    # the line.
    order = curves.sort_values(["series", "image_passes"], kind="stable")
    steps = order.groupby("series", sort=False).cumcount().to_numpy()
    sizes = order.groupby("series", sort=False)["mean"].transform("size").to_numpy()
    marked = order.loc[(steps % np.maximum(sizes // 6, 1) == 0) | (steps == sizes - 1)]
    dots = alt.Chart(marked).mark_point(filled=True, size=50, opacity=1, clip=True)
    shape = alt.Shape("series:N", scale=shapes, title=series_title, legend=legend)
    layers.append(dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=[alt.Tooltip("series:N", title=series_title), *_tooltip(y_title)]))
    if named and y_domain is not None:
        layers += names_at_ends(
            curves, series="series", x="image_passes", y="mean", series_names=series_names, y_domain=y_domain, height=220, unit="images"
        )
    return finish(layers, labels=present, height=220)


def _passes(domain: tuple[float, float] | None, passes: pd.Series) -> alt.X:
    low, high = domain or (float(passes.min()), float(passes.max()))
    scale = alt.Scale(type="log", nice=False, domain=list(domain)) if domain else alt.Scale(type="log", nice=False)
    axis = alt.Axis(title="images shown", format="~s", values=log_ticks(low, high), **SIZES)
    return alt.X("image_passes:Q", scale=scale, axis=axis)


def _band(curves: pd.DataFrame, x: alt.X, colour: alt.Color, domain: tuple[float, float] | None, title: str) -> alt.Chart:
    area = alt.Chart(curves).mark_area(opacity=0.18, clip=True)
    return area.encode(x=x, y=alt.Y("low:Q", scale=value_scale(domain), title=title), y2="high:Q", color=colour)


def _tooltip(title: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("image_passes:Q", format=",.0f", title="images shown"),
        alt.Tooltip("mean:Q", format=".4f", title=title),
        alt.Tooltip("low:Q", format=".4f", title="least"),
        alt.Tooltip("high:Q", format=".4f", title="most"),
    ]
