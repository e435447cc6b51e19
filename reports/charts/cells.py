"""Charts of published cells: means with intervals under both readings of their spread, and the gain
of each step of labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.charts.line_names import names_at_ends, names_fit
from reports.theme import CHART_HEIGHT, GREY, finish, positive, size_axis, styles, value_scale, with_columns

READINGS = ("spread read as SD", "spread read as SE")
MOST_BESIDE = 4
"""Steps that have room for both sizes in one line."""
WIDTHS = (5.0, 1.5)
"""Of the bars of each reading: the wider interval stands out of the thick one."""


def cell_score_by_labels(
    cells: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    series_names: Sequence[str],
    series_title: str = "pre-training images",
    y_title: str = "mean mIoU",
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """Cell means against fine-tuning images (log axis), each with an interval for either reading of
    its spread, and the law of each series.

    Args:
        cells: one row a cell and reading (see READINGS): series, finetune_images, reading, mean, low,
            high; low and high may be NaN.
        curves: the law of each series that has one: series, finetune_images, mean, low, high,
            extrapolated; low and high may be NaN.
        series: every series in order, so that all panels agree on colours and shapes.
        y_domain: range of the y axis, for panels that share it.

    Raises:
        FigureError: if a column is missing, a mean is not finite, or a size is not positive.
    """
    name = "cell_score_by_labels"
    band = ["series", "finetune_images", "mean", "low", "high"]
    cells = with_columns(cells, name, columns=[*band, "reading"], finite=["finetune_images", "mean"])
    curves = with_columns(curves, name, columns=[*band, "extrapolated"], finite=["finetune_images", "mean"])
    for table in (cells, curves):
        positive(table, name, "finetune_images")
    colours, shapes = styles(series_names)
    reach = np.concatenate([cells["finetune_images"], curves["finetune_images"]]).astype(float)
    x = alt.X(
        "finetune_images:Q",
        scale=alt.Scale(type="log", nice=False, domain=[float(reach.min()) * 0.93, float(reach.max()) * 1.07]),
        axis=size_axis("labelled images in fine-tuning", cells["finetune_images"]),
    )
    y_scale = value_scale(y_domain)
    lines = pd.concat([curves[["series", "finetune_images", "mean"]], cells[["series", "finetune_images", "mean"]]], ignore_index=True)
    named = y_domain is not None and names_fit(series_names, lines, "series")
    legend = None if named else alt.Legend()
    colour = alt.Color("series:N", scale=colours, title=series_title, legend=legend)
    low = alt.Y("low:Q", scale=y_scale, title=y_title)
    mean = alt.Y("mean:Q", scale=y_scale, title=y_title)

    layers = []
    bands = curves.dropna(subset=["low", "high"])
    if len(bands):
        layers.append(alt.Chart(bands).mark_area(opacity=0.15, clip=True).encode(x=x, y=low, y2="high:Q", color=colour))
    for extrapolated, dash in ((False, [1, 0]), (True, [5, 4])):
        part = curves.loc[curves["extrapolated"] == extrapolated]
        if len(part):
            layers.append(alt.Chart(part).mark_line(strokeDash=dash, strokeWidth=1.5, clip=True).encode(x=x, y=mean, color=colour))
    for reading, width in zip(READINGS, WIDTHS, strict=True):
        part = cells.loc[cells["reading"] == reading].dropna(subset=["low", "high"])
        if len(part):
            layers.append(alt.Chart(part).mark_rule(strokeWidth=width, opacity=0.55, clip=True).encode(x=x, y=low, y2="high:Q", color=colour))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("finetune_images:Q", format=",", title="labelled images"),
        alt.Tooltip("mean:Q", format=".4f", title=y_title),
    ]
    dots = alt.Chart(cells.drop_duplicates(["series", "finetune_images"])).mark_point(filled=True, size=60, opacity=1)
    layers.append(
        dots.encode(x=x, y=mean, color=colour, shape=alt.Shape("series:N", scale=shapes, title=series_title, legend=legend), tooltip=tooltip)
    )
    if named and y_domain is not None:
        layers += names_at_ends(
            lines, series="series", x="finetune_images", y="mean", series_names=series_names, y_domain=y_domain, height=CHART_HEIGHT, unit="images"
        )
    return finish(layers, labels=series_names)


def gain_per_doubling(
    steps: pd.DataFrame,
    *,
    series_names: Sequence[str],
    series_title: str = "pre-training images",
    x_title: str = "from → to labelled images",
    y_title: str = "mIoU per doubling",
    y_domain: tuple[float, float] | None = None,
    noise: float | None = None,
) -> alt.LayerChart:
    """Draws the gain of each step to the next size, per doubling, with its interval and a line at
    zero.

    Args:
        steps: one row a series and step, steps in order: series, step (as text, such as '250 → 500'),
            gain, low, high; low and high may be NaN.
        series: every series in order.
        y_domain: range of the y axis, for panels that share it.
        noise: by how much two runs of one cell differ, in the unit of the gain; drawn as a band
            about zero. None draws none.

    Raises:
        FigureError: if a column is missing or a gain is not finite.
    """
    steps = with_columns(steps, "gain_per_doubling", columns=["series", "step", "gain", "low", "high"], finite=["gain"])
    order = list(dict.fromkeys(steps["step"]))
    present = [series for series in series_names if series in set(steps["series"])]
    colours, shapes = styles(series_names, present)
    # Many steps are broken at the arrow, so that a phone has room for them.
    text = "replace(datum.label, ' → ', '–')" if len(order) <= MOST_BESIDE else "split(replace(datum.label, ' → ', ' →;'), ';')"
    axis = alt.Axis(labelAngle=0, grid=False, labelExpr=text, labelFontSize=11)
    x = alt.X("step:O", sort=order, title=x_title, axis=axis)
    offset = alt.XOffset("series:N", sort=present, scale=alt.Scale(domain=present, paddingOuter=0.4))
    colour = alt.Color("series:N", scale=colours, title=series_title)
    y_scale = value_scale(y_domain, zero=True)
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5).encode(y=alt.Y("zero:Q", scale=y_scale, title=y_title))
    layers = [zero]
    if noise is not None and np.isfinite(noise):
        band = alt.Chart(pd.DataFrame({"below": [-noise], "above": [noise]})).mark_rect(color=GREY, opacity=0.2, clip=True)
        layers.insert(0, band.encode(y=alt.Y("below:Q", scale=y_scale, title=y_title), y2="above:Q"))
    bars = steps.dropna(subset=["low", "high"])
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2)
        layers.append(bar.encode(x=x, xOffset=offset, y=alt.Y("low:Q", scale=y_scale, title=y_title), y2="high:Q", color=colour))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("step:N"),
        *(alt.Tooltip(f"{one}:Q", format="+.4f") for one in ("gain", "low", "high")),
    ]
    dots = alt.Chart(steps).mark_point(filled=True, size=60, opacity=1)
    shape = alt.Shape("series:N", scale=shapes, title=series_title)
    layers.append(dots.encode(x=x, xOffset=offset, y=alt.Y("gain:Q", scale=y_scale, title=y_title), color=colour, shape=shape, tooltip=tooltip))
    return finish(layers, labels=present)
