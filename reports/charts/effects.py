"""Chart of paired differences: the effect of one stage, by number of labels and series."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import altair as alt
import pandas as pd

from reports.charts.arms import one_hue, rows_axis, rows_height
from reports.charts.line_names import named
from reports.theme import GREY, count, finish, styles, value_scale, which_run, with_columns


def paired_effect(
    effects: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    series_names: Sequence[str],
    series_title: str = "pre-training images",
    y_title: str = "difference in mIoU",
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """Mean difference with its interval, the pairs behind it, and a line at zero, by fine-tuning
    images and series.

    Args:
        effects: one row a comparison: series, finetune_images, difference, low, high; low and high are
            NaN where there is no interval.
        pairs: one row a pair: series, finetune_images, difference.
        series: every series of the study in order, so that all figures agree on colours and shapes.
        y_domain: range of the y axis, for panels that share it.

    Raises:
        FigureError: if a column is missing or a difference is not finite.
    """
    name = "paired_effect"
    effects = with_columns(
        effects, name, columns=["series", "finetune_images", "difference", "low", "high"], finite=["finetune_images", "difference"]
    )
    run_columns = which_run(pairs)
    pairs = with_columns(pairs, name, columns=["series", "finetune_images", "difference", *run_columns], finite=["finetune_images", "difference"])

    sizes = [count(size) for size in sorted({*effects["finetune_images"], *pairs["finetune_images"]})]
    present = [series for series in series_names if series in set(effects["series"]) | set(pairs["series"])]
    # The categories are text, so that series stand side by side at each size; the axis says that its
    # steps are sizes, not distances.
    effects = effects.assign(labels=[count(size) for size in effects["finetune_images"]])
    pairs = pairs.assign(labels=[count(size) for size in pairs["finetune_images"]])
    colours, shapes = styles(series_names, present)
    x = alt.X("labels:O", sort=sizes, title="labelled images in fine-tuning", axis=alt.Axis(labelAngle=0, grid=False))
    offset = alt.XOffset("series:N", sort=present, scale=alt.Scale(domain=present, paddingOuter=0.4))
    y_scale = value_scale(y_domain, zero=True)
    y = alt.Y("difference:Q", scale=y_scale, title=y_title)
    colour = alt.Color("series:N", scale=colours, title=series_title)
    shape = alt.Shape("series:N", scale=shapes, title=series_title)

    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5)
    layers = [zero.encode(y=alt.Y("zero:Q", scale=y_scale, title=y_title))]
    bars = effects.dropna(subset=["low", "high"])
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2.5)
        low = alt.Y("low:Q", scale=y_scale, title=y_title)
        layers.append(bar.encode(x=x, xOffset=offset, y=low, y2="high:Q", color=colour))
    if len(pairs):
        # Dashes across the bar: points would hide behind it, and moved aside they would look like
        # another series.
        dash = alt.Chart(pairs).mark_tick(orient="horizontal", size=13, thickness=1.5, opacity=0.6)
        own = [
            alt.Tooltip("series:N", title=series_title),
            alt.Tooltip("difference:Q", format="+.4f"),
            *(alt.Tooltip(f"{one}:N", title=one) for one in run_columns),
        ]
        layers.append(dash.encode(x=x, xOffset=offset, y=y, color=colour, tooltip=own))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("labels:N", title="labelled images"),
        alt.Tooltip("difference:Q", format="+.4f"),
        alt.Tooltip("low:Q", format="+.4f"),
        alt.Tooltip("high:Q", format="+.4f"),
    ]
    dots = alt.Chart(effects).mark_point(filled=True, size=85, opacity=1)
    layers.append(dots.encode(x=x, xOffset=offset, y=y, color=colour, shape=shape, tooltip=tooltip))
    return finish(layers, labels=present)


def effect_by_series(
    effects: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    series_names: Sequence[str],
    x_title: str = "difference in mIoU",
    x_domain: tuple[float, float] | None = None,
    every_row: Collection[str] = (),
) -> alt.LayerChart:
    """`paired_effect` where all runs have the same labels: a row a series.

    Args:
        effects, pairs: as `paired_effect` takes them.
        series_names: every series of the study in order, so that all figures agree on colours.
        x_domain: range of the axis of the difference, for panels that share it.
        every_row: series that have a row even where they have no effect, so that panels line up.

    Raises:
        FigureError: if a column is missing or a difference is not finite.
    """
    name = "effect_by_series"
    run_columns = which_run(pairs)
    effects = with_columns(effects, name, columns=["series", "difference", "low", "high"], finite=["difference"])
    pairs = with_columns(pairs, name, columns=["series", "difference", *run_columns], finite=["difference"])
    there = set(effects["series"]) | set(pairs["series"])
    rows = {series: named(series, "images") for series in series_names if series in there or series in every_row}
    effects, pairs = (table.assign(row=[rows[series] for series in table["series"]]) for table in (effects, pairs))
    y = rows_axis(list(rows.values()))
    scale, axis = value_scale(x_domain, zero=True), alt.Axis(tickCount=6, labelOverlap="greedy", labelSeparation=8)
    colour = one_hue(series_names)
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5)
    layers = [zero.encode(x=alt.X("zero:Q", scale=scale, title=x_title, axis=axis))]
    x = alt.X("difference:Q", scale=scale, title=x_title, axis=axis)
    bars = effects.dropna(subset=["low", "high"])
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2.5)
        layers.append(bar.encode(y=y, x=alt.X("low:Q", scale=scale, title=x_title, axis=axis), x2="high:Q", color=colour))
    if len(pairs):
        dash = alt.Chart(pairs).mark_tick(orient="vertical", size=13, thickness=1.5, opacity=0.6)
        own = [
            alt.Tooltip("row:N", title="pre-training"),
            alt.Tooltip("difference:Q", format="+.4f"),
            *(alt.Tooltip(f"{one}:N", title=one) for one in run_columns),
        ]
        layers.append(dash.encode(y=y, x=x, color=colour, tooltip=own))
    tooltip = [alt.Tooltip("row:N", title="pre-training"), *(alt.Tooltip(f"{one}:Q", format="+.4f") for one in ("difference", "low", "high"))]
    dots = alt.Chart(effects).mark_point(filled=True, size=85, opacity=1)
    layers.append(dots.encode(y=y, x=x, color=colour, tooltip=tooltip))
    return finish(layers, labels=[], height=rows_height(list(rows.values())))
