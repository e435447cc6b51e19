"""Scaling of pre-training: the score by images, the loss by length, and one against the other."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from reports.charts.line_names import names_at_ends, names_fit
from reports.theme import finish, padded_domain, positive, size_axis, styles, value_scale, with_columns

LOSS_TITLE = "validation MIM loss"
FALLS, WITHIN, RISES = "loss falls at every step", "loss rises, within noise", "overfitting"
STEADY = "no rise beyond noise"
"""What does not overfit, where noise between seeds decides: FALLS and WITHIN together."""
DASHES = {FALLS: [1, 0], WITHIN: [5, 4], RISES: [5, 4]}
Range = tuple[float, float]


def score_by_images(
    points: pd.DataFrame, *, lengths: Sequence[str], y_title: str, x_domain: Range | None = None, y_domain: Range | None = None
) -> alt.LayerChart:
    """A score against pre-training images (log axis), a line a length; one point a run.

    Args:
        points: pretrain_images (above zero), length (as text), score.
        lengths: every length in order.
        y_title: what the score is.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a size is not positive.
    """
    name = "score_by_images"
    points = with_columns(points, name, columns=["pretrain_images", "length", "score"], finite=["pretrain_images", "score"])
    positive(points, name, "pretrain_images")
    colours, shapes = styles(lengths)
    sizes = points["pretrain_images"].astype(float)
    span = x_domain or (float(sizes.min()), float(sizes.max()))
    scale = alt.Scale(type="log", nice=False, domain=[span[0] * 0.8, span[1] * 1.25])
    axis = size_axis("pre-training images", sizes)
    axis.format = ".2~s"
    x = alt.X("pretrain_images:Q", scale=scale, axis=axis)
    y = alt.Y("score:Q", scale=value_scale(y_domain), title=y_title)
    named = y_domain is not None and names_fit(lengths, points, "length")
    legend = None if named else alt.Legend()
    colour = alt.Color("length:N", scale=colours, sort=list(lengths), title="length", legend=legend)
    line = alt.Chart(points).mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour)
    tooltip = [
        alt.Tooltip("pretrain_images:Q", format=",", title="pre-training images"),
        alt.Tooltip("length:N"),
        alt.Tooltip("score:Q", format=".4f", title=y_title),
    ]
    shape = alt.Shape("length:N", scale=shapes, sort=list(lengths), title="length", legend=legend)
    dots = alt.Chart(points).mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    names: list[alt.Chart] = []
    if named and y_domain is not None:
        names = names_at_ends(points, series="length", x="pretrain_images", y="score", series_names=lengths, y_domain=y_domain, height=220)
    return finish([line, dots, *names], labels=lengths, height=220)


def loss_by_length(points: pd.DataFrame, *, sizes: Sequence[str], y_domain: Range | None = None) -> alt.LayerChart:
    """Validation loss against the length of pre-training (log axis), a line a data size; dashed
    where the loss rises, with hollow points where the series overfits.

    Args:
        points: size (pre-training images as text), steps (above zero), val_mim_loss, phase (FALLS,
            WITHIN or RISES), and where a size has several lines (one a seed) the column line, which
            tells them apart.
        sizes: every data size in order.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a length is not positive.
    """
    name = "loss_by_length"
    if "line" not in points.columns:
        points = points.assign(line=points["size"])
    points = with_columns(points, name, columns=["size", "steps", "val_mim_loss", "phase", "line"], finite=["steps", "val_mim_loss"])
    positive(points, name, "steps")
    colours, shapes = styles(sizes)
    steps = points["steps"].astype(float)
    scale = alt.Scale(type="log", nice=False, domain=[steps.min() * 0.85, steps.max() * 1.18])
    x = alt.X("steps:Q", scale=scale, axis=size_axis("pre-training steps", steps))
    y = alt.Y("val_mim_loss:Q", scale=value_scale(y_domain), title=LOSS_TITLE)
    named = y_domain is not None and names_fit(sizes, points, "size")
    legend = None if named else alt.Legend()
    colour = alt.Color("size:N", scale=colours, sort=list(sizes), title="pre-training images", legend=legend)
    phases = [phase for phase in DASHES if phase in set(points["phase"])]
    dash = alt.StrokeDash("phase:N", scale=alt.Scale(domain=phases, range=[DASHES[phase] for phase in phases]), legend=None)
    line = alt.Chart(points).mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour, strokeDash=dash, detail="line:N")
    shape = alt.Shape("size:N", scale=shapes, sort=list(sizes), title="pre-training images", legend=legend)
    tooltip = [
        alt.Tooltip("size:N", title="pre-training images"),
        alt.Tooltip("steps:Q", format=","),
        alt.Tooltip("val_mim_loss:Q", format=".4f", title=LOSS_TITLE),
        alt.Tooltip("phase:N"),
    ]
    layers = [line]
    for phase in phases:
        dots = alt.Chart(points.loc[points["phase"] == phase]).mark_point(filled=phase != RISES, size=60, opacity=1, strokeWidth=2)
        layers.append(dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip))
    if named and y_domain is not None:
        layers += names_at_ends(points, series="size", x="steps", y="val_mim_loss", series_names=sizes, y_domain=y_domain, height=240, unit="images")
    return finish(layers, labels=sizes, height=240)


def loss_by_model(points: pd.DataFrame, means: pd.DataFrame, *, sizes: Sequence[str], y_domain: Range | None = None) -> alt.LayerChart:
    """Validation loss against the encoder's parameters (log axis): a point a pre-training, hollow
    where its series overfits, and a line of means.

    Args:
        points: size (pre-training images as text), params (above zero), val_mim_loss, phase ('loss
            falls at every step' or 'overfitting').
        means: size, params, val_mim_loss: the ends of the lines.
        sizes: every data size in order.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a number of parameters is not
            positive.
    """
    name = "loss_by_model"
    points = with_columns(points, name, columns=["size", "params", "val_mim_loss", "phase"], finite=["params", "val_mim_loss"])
    means = with_columns(means, name, columns=["size", "params", "val_mim_loss"], finite=["params", "val_mim_loss"])
    positive(points, name, "params")
    positive(means, name, "params")
    colours, shapes = styles(sizes)
    params = points["params"].astype(float)
    scale = alt.Scale(type="log", nice=False, domain=[params.min() * 0.7, params.max() * 1.4])
    axis = size_axis("parameters of the encoder", params)
    axis.format = ".2~s"
    x = alt.X("params:Q", scale=scale, axis=axis)
    y_domain = y_domain or padded_domain(points["val_mim_loss"], means["val_mim_loss"])
    y = alt.Y("val_mim_loss:Q", scale=value_scale(y_domain), title=LOSS_TITLE)
    legend = None if names_fit(sizes, means, "size") else alt.Legend()
    colour = alt.Color("size:N", scale=colours, sort=list(sizes), title="pre-training images", legend=legend)
    shape = alt.Shape("size:N", scale=shapes, sort=list(sizes), title="pre-training images", legend=legend)
    tooltip = [
        alt.Tooltip("size:N", title="pre-training images"),
        alt.Tooltip("params:Q", format=",", title="parameters"),
        alt.Tooltip("val_mim_loss:Q", format=".4f", title=LOSS_TITLE),
        alt.Tooltip("phase:N"),
    ]
    layers = [alt.Chart(means).mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour)]
    for phase in (FALLS, RISES):
        part = points.loc[points["phase"] == phase]
        if len(part):
            dots = alt.Chart(part).mark_point(filled=phase == FALLS, size=60, opacity=1, strokeWidth=2)
            layers.append(dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip))
    if legend is None:
        layers += names_at_ends(means, series="size", x="params", y="val_mim_loss", series_names=sizes, y_domain=y_domain, height=240, unit="images")
    return finish(layers, labels=sizes, height=240)


def loss_against_score(
    points: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    groups: Sequence[str],
    y_title: str,
    group_title: str = "",
    x_domain: Range | None = None,
    y_domain: Range | None = None,
) -> alt.LayerChart:
    """A score against the validation loss of the pre-training behind it, by group, with the
    finished line of each group that has one.

    Args:
        points: group, run (its name), val_mim_loss, score; one row a run.
        lines: group, val_mim_loss, score: two rows or more a line; may be empty.
        groups: every group in order.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    name = "loss_against_score"
    points = with_columns(points, name, columns=["group", "run", "val_mim_loss", "score"], finite=["val_mim_loss", "score"])
    lines = with_columns(lines, name, columns=["group", "val_mim_loss", "score"], finite=["val_mim_loss", "score"])
    colours, shapes = styles(groups)
    x = alt.X("val_mim_loss:Q", scale=value_scale(x_domain), title=LOSS_TITLE, axis=alt.Axis(tickCount=5))
    y = alt.Y("score:Q", scale=value_scale(y_domain), title=y_title)
    title = group_title or None
    colour = alt.Color("group:N", scale=colours, sort=list(groups), title=title)
    layers = []
    if len(lines):
        layers.append(alt.Chart(lines).mark_line(strokeWidth=2, clip=True).encode(x=x, y=y, color=colour))
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("val_mim_loss:Q", format=".4f", title=LOSS_TITLE),
        alt.Tooltip("score:Q", format=".4f", title=y_title),
    ]
    dots = alt.Chart(points).mark_point(filled=True, size=60, opacity=0.85)
    layers.append(dots.encode(x=x, y=y, color=colour, shape=alt.Shape("group:N", scale=shapes, sort=list(groups), title=title), tooltip=tooltip))
    return finish(layers, labels=groups, height=260)
