"""The validation loss of pre-training: by images, during training, and against the score."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from reports.theme import SIZES, finish, log_ticks, positive, size_axis, styles, value_scale, which_run, with_columns

LOSS_TITLE = "validation MIM loss"


def validation_loss_by_images(points: pd.DataFrame, *, series_names: Sequence[str], series_title: str = "pre-training images") -> alt.LayerChart:
    """Validation loss against pre-training images (log axis); one point a pre-training.

    Args:
        points: one row a pre-training: series, pretrain_images (above zero: scratch has no validation
            loss), val_mim_loss.
        series: every series of the study in order.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a size is not positive.
    """
    name = "validation_loss_by_images"
    wanted = ["series", "pretrain_images", "val_mim_loss"]
    points = with_columns(points, name, columns=wanted, finite=["pretrain_images", "val_mim_loss"])
    positive(points, name, "pretrain_images")
    colours, shapes = styles(series_names)
    sizes = points["pretrain_images"].astype(float)
    scale = alt.Scale(type="log", nice=False, domain=[sizes.min() * 0.7, sizes.max() * 1.4])
    x = alt.X("pretrain_images:Q", scale=scale, axis=size_axis("pre-training images", sizes))
    dots = alt.Chart(points).mark_point(filled=True, size=60, opacity=0.8)
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("pretrain_images:Q", format=",", title="pre-training images"),
        alt.Tooltip("val_mim_loss:Q", format=".5f", title=LOSS_TITLE),
    ]
    encoded = dots.encode(
        x=x,
        y=alt.Y("val_mim_loss:Q", scale=alt.Scale(zero=False, padding=12), title=LOSS_TITLE),
        color=alt.Color("series:N", scale=colours, legend=None),
        shape=alt.Shape("series:N", scale=shapes, legend=None),
        tooltip=tooltip,
    )
    return finish([encoded], labels=series_names, height=240)


def validation_loss_during_training(
    curves: pd.DataFrame, *, series_names: Sequence[str], series_title: str = "pre-training images"
) -> alt.LayerChart:
    """Validation loss against images shown so far (log axis, so the measurement before the first
    step must be left out).

    Args:
        curves: one row a measurement: series, pretrain_id, image_passes (above zero), val_mim_loss.
        series: every series of the study in order.

    Raises:
        FigureError: if a column is missing, a value is not finite, or image_passes is not positive.
    """
    name = "validation_loss_during_training"
    wanted = ["series", "pretrain_id", "image_passes", "val_mim_loss"]
    curves = with_columns(curves, name, columns=wanted, finite=["image_passes", "val_mim_loss"])
    positive(curves, name, "image_passes")
    colours, _ = styles(series_names, set(curves["series"]))
    ticks = log_ticks(float(curves["image_passes"].min()), float(curves["image_passes"].max()))
    axis = alt.Axis(title="images shown in pre-training", format="~s", values=ticks, **SIZES)
    line = (
        alt.Chart(curves)
        .mark_line(strokeWidth=1.5, opacity=0.85)
        .encode(
            x=alt.X("image_passes:Q", scale=alt.Scale(type="log", nice=False), axis=axis),
            y=alt.Y("val_mim_loss:Q", scale=alt.Scale(zero=False), title=LOSS_TITLE),
            color=alt.Color("series:N", scale=colours, title=series_title),
            detail="pretrain_id:N",
        )
    )
    return finish([line], labels=series_names, height=240)


def loss_and_score(
    points: pd.DataFrame,
    *,
    sizes: Sequence[str],
    score: str = "miou",
    score_title: str = "mIoU",
    x_domain: tuple[float, float] | None = None,
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """The score against the validation loss of the pre-training behind it, coloured by fine-tuning
    images; one point a run.

    Args:
        points: one row a run that was pre-trained: labels (fine-tuning images as text),
            val_mim_loss, and the column `score`.
        sizes: every fine-tuning size of the study as text, in order.
        score, score_title: the column of the score, and what it is called.
        x_domain, y_domain: ranges of the axes, for panels that share them.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    name = "loss_and_score"
    points = with_columns(points, name, columns=["labels", "val_mim_loss", score, *which_run(points)], finite=["val_mim_loss", score])
    colours, shapes = styles(sizes)
    x_scale = value_scale(x_domain)
    y_scale = value_scale(y_domain)
    legend = alt.Legend() if len(sizes) > 1 else None  # of one number it would say nothing
    dots = alt.Chart(points).mark_point(filled=True, size=45, opacity=0.75)
    encoded = dots.encode(
        x=alt.X("val_mim_loss:Q", scale=x_scale, title=LOSS_TITLE, axis=alt.Axis(tickCount=5)),
        y=alt.Y(f"{score}:Q", scale=y_scale, title=score_title),
        color=alt.Color("labels:N", scale=colours, sort=list(sizes), title="labelled images", legend=legend),
        shape=alt.Shape("labels:N", scale=shapes, sort=list(sizes), title="labelled images", legend=legend),
        tooltip=[
            alt.Tooltip("labels:N", title="labelled images"),
            alt.Tooltip("val_mim_loss:Q", format=".5f", title=LOSS_TITLE),
            alt.Tooltip(f"{score}:Q", format=".4f", title=score_title),
            *(alt.Tooltip(f"{column}:N", title=column) for column in which_run(points)),
        ],
    )
    return finish([encoded], labels=sizes)
