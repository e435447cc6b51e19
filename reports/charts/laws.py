"""Charts of how well the laws fit: residuals at each size, and errors at sizes held out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from reports.theme import GREY, PALETTE, finish, positive, size_axis, styles, value_scale, with_columns

LAST_VALUE = "last value"


def law_residuals(
    points: pd.DataFrame,
    *,
    series_names: Sequence[str],
    y_title: str,
    series_title: str = "pre-training images",
    y_domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """Draws the residuals of each series' law by fine-tuning images (log axis), with a line at
    zero.

    Args:
        points: one row a run: series, finetune_images, residual (measured minus law, in the unit that
            `y_title` names).
        series: every series of the study in order.
        y_title: what the residual is.
        y_domain: range of the y axis, for panels that share it.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a size is not positive.
    """
    name = "law_residuals"
    points = with_columns(points, name, columns=["series", "finetune_images", "residual"], finite=["finetune_images", "residual"])
    positive(points, name, "finetune_images")
    present = [series for series in series_names if series in set(points["series"])]
    colours, shapes = styles(series_names, present)
    sizes = points["finetune_images"].astype(float)
    # Series side by side at each size: on top of each other they would hide one another.
    ratio = (sizes.max() / sizes.min()) ** (0.06 / max(len(present), 1)) if len(present) > 1 else 1.0
    place = {series: index - (len(present) - 1) / 2 for index, series in enumerate(present)}
    drawn = points.assign(at=[float(size) * ratio ** place[str(series)] for size, series in zip(sizes, points["series"], strict=True)])
    scale = alt.Scale(type="log", nice=False, domain=[float(sizes.min()) * 0.8, float(sizes.max()) * 1.25])
    x = alt.X("at:Q", scale=scale, axis=size_axis("labelled images in fine-tuning", sizes))
    zero = alt.Chart(pd.DataFrame({"residual": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5)
    y = alt.Y("residual:Q", title=y_title, scale=value_scale(y_domain, zero=True))
    dots = alt.Chart(drawn).mark_point(filled=True, size=40, opacity=0.75)
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("finetune_images:Q", format=",", title="labelled images"),
        alt.Tooltip("residual:Q", format="+.4f", title=y_title),
    ]
    colour, shape = alt.Color("series:N", scale=colours, title=series_title), alt.Shape("series:N", scale=shapes, title=series_title)
    return finish([zero.encode(y=y), dots.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)], labels=present, height=240)


def law_backtest(errors: pd.DataFrame, *, x_title: str) -> alt.LayerChart:
    """Draws the error of each law at larger sizes than it was fitted to; the chosen law is filled.

    A vertical line marks what repeating the last value gets.

    Args:
        errors: one row a law: law (as text), error (in the unit that `x_title` names), chosen.

    Raises:
        FigureError: if a column is missing or an error is not finite.
    """
    errors = with_columns(errors, "law_backtest", columns=["law", "error", "chosen"], finite=["error"])
    x = alt.X("error:Q", title=x_title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4))
    y = alt.Y("law:N", sort=list(errors["law"]), title=None, axis=alt.Axis(ticks=False, grid=True, labelLimit=170))
    layers = []
    line = errors.loc[errors["law"] == LAST_VALUE, ["error"]]
    if len(line):
        layers.append(alt.Chart(line).mark_rule(color=GREY, strokeWidth=1.5, strokeDash=[4, 3]).encode(x=x))
    tooltip = [alt.Tooltip("law:N"), alt.Tooltip("error:Q", format=".3g", title=x_title)]
    for chosen in (False, True):
        part = errors.loc[errors["chosen"].astype(bool) == chosen]
        if len(part):
            dots = alt.Chart(part).mark_point(filled=chosen, size=75, opacity=1, strokeWidth=2, color=PALETTE[0] if chosen else GREY)
            layers.append(dots.encode(x=x, y=y, tooltip=tooltip))
    return finish(layers, labels=[], height=30 + 26 * len(errors))
