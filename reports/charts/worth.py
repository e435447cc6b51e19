"""Chart of what pre-training is worth in labels."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.theme import GREY, count, finish, positive, styles, with_columns

LEAST, MOST = 0.125, 32.0
"""Factors that intervals are drawn to; points reach further, to FARTHEST at most. The table has
them all.
"""
FARTHEST = 4096.0
TICKS = tuple(2.0**power for power in range(-5, 13))


def worth_in_labels(rows: pd.DataFrame, *, series_names: Sequence[str], series_title: str = "pre-training images") -> alt.LayerChart:
    """Draws how many times the labels training from scratch needs for the same score (log axis), by
    series and labels.

    Filled points lie within what was measured, hollow ones rest on the law beyond it; an arrow up
    has no finite answer, because the curve without pre-training levels off before, and an arrow
    down is worse than that curve anywhere.

    Args:
        rows: one row a series and number of labels: series, finetune_images, ratio, low, high, status
            ('found', 'never' or 'below'), extrapolated; ratio counts only where found; low and high
            are of the ratio, NaN where there is no interval, and may be infinite.
        series: every series of the study in order.

    Raises:
        FigureError: if a column is missing, or a ratio that was found is not positive and finite.
    """
    name = "worth_in_labels"
    columns = ["series", "finetune_images", "ratio", "low", "high", "status", "extrapolated"]
    rows = with_columns(rows, name, columns=columns, finite=["finetune_images"])
    found = with_columns(rows.loc[rows["status"] == "found"], name, columns=columns, finite=["ratio"])
    positive(found, name, "ratio")
    present = [series for series in series_names if series in set(rows["series"])]
    colours, shapes = styles(series_names, present)
    ends = np.clip([*_finite(rows["low"]), *_finite(rows["high"])], LEAST, MOST)
    values = np.array([0.5, 2.0, *np.clip(found["ratio"], 1 / FARTHEST, FARTHEST), *ends])
    low, high = float(values.min()) / 1.4, float(values.max()) * 1.4

    def placed(table: pd.DataFrame, column: str) -> pd.DataFrame:
        return table.assign(labels=[count(size) for size in table["finetune_images"]], at=table[column].clip(low, high))

    x = alt.X(
        "labels:O",
        sort=[count(size) for size in sorted(set(rows["finetune_images"]))],
        title="labelled images in fine-tuning",
        axis=alt.Axis(labelAngle=0, grid=False),
    )
    offset = alt.XOffset("series:N", sort=present, scale=alt.Scale(domain=present, paddingOuter=0.4))
    scale = alt.Scale(type="log", nice=False, domain=[low, high])
    title = "times the labels, from scratch"
    axis = alt.Axis(values=[tick for tick in TICKS if low <= tick <= high], labelExpr="'×' + datum.value", labelOverlap="greedy")
    y = alt.Y("at:Q", scale=scale, title=title, axis=axis)
    colour = alt.Color("series:N", scale=colours, title=series_title)
    one = alt.Chart(pd.DataFrame({"at": [1.0]})).mark_rule(color=GREY, strokeWidth=1.5)
    layers = [one.encode(y=y)]
    bars = rows.dropna(subset=["low", "high"])
    if len(bars):
        bars = placed(bars, "low").assign(end=bars["high"].clip(low, high))
        layers.append(alt.Chart(bars).mark_rule(strokeWidth=2, opacity=0.7).encode(x=x, xOffset=offset, y=y, y2="end:Q", color=colour))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("labels:N", title="labelled images"),
        alt.Tooltip("ratio:Q", format=".2f", title="times the labels"),
    ]
    shape = alt.Shape("series:N", scale=shapes, title=series_title)
    for beyond in (False, True):
        part = found.loc[found["extrapolated"] == beyond]
        if len(part):
            dots = alt.Chart(placed(part, "ratio")).mark_point(filled=not beyond, size=80, opacity=1, strokeWidth=2)
            layers.append(dots.encode(x=x, xOffset=offset, y=y, color=colour, shape=shape, tooltip=tooltip))
    for status, arrow, edge in (("never", "↑", high), ("below", "↓", low)):
        part = rows.loc[rows["status"] == status]
        if len(part):
            marks = alt.Chart(placed(part.assign(ratio=edge), "ratio")).mark_text(
                text=arrow, fontSize=20, fontWeight="bold", baseline="top" if status == "never" else "bottom"
            )
            layers.append(marks.encode(x=x, xOffset=offset, y=y, color=colour))
    return finish(layers, labels=present)


def _finite(values: pd.Series) -> list[float]:
    return [float(value) for value in values if np.isfinite(value) and value > 0]
