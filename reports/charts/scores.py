"""Score by the number of labelled images: a point a run, and a curve a series, or a row where all
runs have the same labels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import altair as alt
import numpy as np
import pandas as pd

from reports.charts.arms import one_hue, rows_axis, rows_height
from reports.charts.line_names import MOST_NAMES, named, names_at_ends
from reports.theme import CHART_HEIGHT, finish, positive, size_axis, styles, value_scale, which_run, with_columns


def score_by_labels(
    points: pd.DataFrame,
    curves: pd.DataFrame,
    means: pd.DataFrame,
    *,
    series_names: Sequence[str],
    series_title: str = "pre-training images",
    score: str = "miou",
    score_title: str = "mIoU",
    y_domain: tuple[float, float] | None = None,
    names_at_ends: bool = False,
) -> alt.LayerChart:
    """The score against fine-tuning images (log axis), by series.

    Args:
        points: one row a run: series, finetune_images, and the column `score`; and seed and run_id for
            its tooltip, where they are there.
        curves: the law of each series that has one: series, finetune_images, mean, low, high,
            extrapolated; low and high may be NaN.
        means: for the series without a law, the mean of each cell: series, finetune_images, mean, low,
            high.
        series: every series of the study in order, so that all panels agree on colours and shapes.
        score, score_title: the column of the score, and what it is called.
        y_domain: range of the y axis, for panels that share it.
        names_at_ends: whether each line is named where it ends; it takes `y_domain`, and no more than
            MOST_NAMES series.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a size is not positive.
    """
    name = "score_by_labels"
    points = with_columns(points, name, columns=["series", "finetune_images", score, *which_run(points)], finite=["finetune_images", score])
    band = ["series", "finetune_images", "mean", "low", "high"]
    curves = with_columns(curves, name, columns=[*band, "extrapolated"], finite=["finetune_images", "mean"])
    means = with_columns(means, name, columns=band, finite=["finetune_images", "mean"])
    for table in (points, curves, means):
        positive(table, name, "finetune_images")

    colours, shapes = styles(series_names)
    beside = _beside(points, series_names)
    reach = np.concatenate([points["finetune_images"], curves["finetune_images"], beside]).astype(float)
    x_scale = alt.Scale(type="log", nice=False, domain=[float(reach.min()) * 0.93, float(reach.max()) * 1.07])
    x_axis = size_axis("labelled images in fine-tuning", points["finetune_images"])
    x = alt.X("finetune_images:Q", scale=x_scale, axis=x_axis)
    y_scale = value_scale(y_domain)
    has_names = names_at_ends and y_domain is not None and len(series_names) <= MOST_NAMES
    colour = alt.Color("series:N", scale=colours, title=series_title)
    shape = alt.Shape("series:N", scale=shapes, title=series_title)
    y_mean = alt.Y("mean:Q", scale=y_scale, title=score_title)

    layers = []
    bands = curves.dropna(subset=["low", "high"])
    if len(bands):
        area = alt.Chart(bands).mark_area(opacity=0.15, clip=True)
        layers.append(area.encode(x=x, y=alt.Y("low:Q", scale=y_scale, title=score_title), y2="high:Q", color=colour))
    for extrapolated, dash in ((False, [1, 0]), (True, [5, 4])):
        part = curves.loc[curves["extrapolated"] == extrapolated]
        if len(part):
            line = alt.Chart(part).mark_line(strokeDash=dash, strokeWidth=2, clip=True)
            layers.append(line.encode(x=x, y=y_mean, color=colour))
    if len(means):
        layers.append(alt.Chart(means).mark_line(strokeWidth=1).encode(x=x, y=y_mean, color=colour))
        bars = means.dropna(subset=["low", "high"])
        if len(bars):
            bar = alt.Chart(bars).mark_rule(strokeWidth=2)
            layers.append(bar.encode(x=x, y=alt.Y("low:Q", scale=y_scale, title=score_title), y2="high:Q", color=colour))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("finetune_images:Q", format=",", title="labelled images"),
        alt.Tooltip(f"{score}:Q", format=".4f", title=score_title),
        *(alt.Tooltip(f"{column}:N", title=column) for column in which_run(points)),
    ]
    if has_names and y_domain is not None:
        layers += _names(pd.concat([curves, means], ignore_index=True), points.rename(columns={score: "mean"}), series_names, y_domain)
    # Beside the bars of their series, so that neither hides the other.
    dots = alt.Chart(points.assign(place=beside)).mark_point(filled=True, size=40, opacity=0.75)
    y_point = alt.Y(f"{score}:Q", scale=y_scale, title=score_title)
    layers.append(dots.encode(x=alt.X("place:Q", scale=x_scale, axis=x_axis), y=y_point, color=colour, shape=shape, tooltip=tooltip))
    return finish(layers, labels=series_names)


def score_by_series(
    points: pd.DataFrame,
    means: pd.DataFrame,
    *,
    series_names: Sequence[str],
    score: str = "miou",
    score_title: str = "mIoU",
    x_domain: tuple[float, float] | None = None,
    every_row: Collection[str] = (),
) -> alt.LayerChart:
    """The scores of runs with equal labels: a row a series, with its mean and interval.

    Args:
        points: one row a run: series, finetune_images, and the column `score`; and seed and run_id for
            its tooltip, where they are there.
        means: the mean of each series: series, mean, low, high; low and high may be NaN.
        series_names: every series of the study in order, so that all panels agree on colours.
        score, score_title: the column of the score, and what it is called.
        x_domain: range of the axis of the score, for panels that share it.
        every_row: series that have a row even where they have no run, so that panels line up.

    Raises:
        FigureError: if a column is missing, or a value is not finite.
    """
    name = "score_by_series"
    points = with_columns(points, name, columns=["series", "finetune_images", score, *which_run(points)], finite=[score])
    means = with_columns(means, name, columns=["series", "mean", "low", "high"], finite=["mean"])
    there = set(points["series"]) | set(means["series"])
    rows = {series: named(series, "images") for series in series_names if series in there or series in every_row}
    points, means = (table.assign(row=[rows[series] for series in table["series"]]) for table in (points, means))
    y = rows_axis(list(rows.values()))
    scale, axis = value_scale(x_domain), alt.Axis(tickCount=6, labelOverlap="greedy", labelSeparation=8)
    colour = one_hue(series_names)
    layers = []
    bars = means.dropna(subset=["low", "high"])
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2.5, opacity=0.5)
        layers.append(bar.encode(y=y, x=alt.X("low:Q", scale=scale, title=score_title, axis=axis), x2="high:Q", color=colour))
    middle = alt.Chart(means).mark_tick(thickness=2.5, size=16, opacity=1)
    layers.append(middle.encode(y=y, x=alt.X("mean:Q", scale=scale, title=score_title, axis=axis), color=colour))
    tooltip = [
        alt.Tooltip("row:N", title="pre-training"),
        alt.Tooltip("finetune_images:Q", format=",", title="labelled images"),
        alt.Tooltip(f"{score}:Q", format=".4f", title=score_title),
        *(alt.Tooltip(f"{column}:N", title=column) for column in which_run(points)),
    ]
    dots = alt.Chart(points).mark_point(filled=True, size=36, opacity=0.75)
    layers.append(dots.encode(y=y, x=alt.X(f"{score}:Q", scale=scale, title=score_title, axis=axis), color=colour, tooltip=tooltip))
    return finish(layers, labels=[], height=rows_height(list(rows.values())))


def _beside(points: pd.DataFrame, series_names: Sequence[str]) -> pd.Series:
    """The sizes, each moved by its series, by at most a fifth of the way to the next size."""
    sizes = np.log(np.unique(points["finetune_images"].astype(float)))
    room = 0.3 * float(np.diff(sizes).min()) if len(sizes) > 1 else 0.1
    place = {name: number for number, name in enumerate(series_names)}
    step = room / max(1, len(series_names))
    shift = [(place.get(str(name), 0) - (len(series_names) - 1) / 2 + 0.5) * step for name in points["series"]]
    return points["finetune_images"].astype(float) * np.exp(shift)


def _names(lines: pd.DataFrame, points: pd.DataFrame, series_names: Sequence[str], y_domain: tuple[float, float]) -> list[alt.Chart]:
    """The name of each series where its line ends; of one without a line at its last point."""
    rest = points.loc[~points["series"].isin(set(lines["series"])), ["series", "finetune_images", "mean"]]
    every = pd.concat([one for one in (lines[["series", "finetune_images", "mean"]], rest) if len(one)] or [rest], ignore_index=True)
    if every.empty:
        return []
    return names_at_ends(
        every, series="series", x="finetune_images", y="mean", series_names=series_names, y_domain=y_domain, height=float(CHART_HEIGHT), unit="images"
    )
