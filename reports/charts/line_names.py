"""Names of lines where they end, in the place of a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt
import pandas as pd

from analysis.plots.labels import apart, in_one_form, told_apart
from reports.charts.first_screen import ink
from reports.theme import NO_PRETRAINING, SOFT, styles

MOST_NAMES: Final = 8
"""Names that have room at the ends of lines."""
GAP: Final = 14.0
"""Pixels between two names."""
LONGEST: Final = 26
"""Letters of a name; a longer one is shortened where that leaves it apart from the others."""


def names_fit(series_names: Sequence[str], lines: pd.DataFrame, series: str) -> bool:
    """Whether every line of a chart can be named at its end: there are several, and not too many."""
    return 1 < lines[series].nunique() <= MOST_NAMES and all(len(name) <= 2 * LONGEST for name in series_names)


def names_at_ends(
    lines: pd.DataFrame, *, series: str, x: str, y: str, series_names: Sequence[str], y_domain: tuple[float, float], height: float, unit: str = ""
) -> list[alt.Chart]:
    """The name of each series beside the last point of its line, moved apart where two would
    overlap.

    Args:
        lines: one row a point, with the columns named by `series`, `x` and `y`.
        series_names: every series of the figure in order, which decides the colours.
        y_domain: the ends of the chart's y axis.
        height: of the chart, in pixels.
        unit: what a name that is a number counts, such as 'images'.
    """
    colours = styles(series_names)[0].to_dict()
    steps = dict(zip(colours["domain"], colours["range"], strict=True))
    ends = lines.sort_values(x, kind="stable").groupby(series, sort=False)[y].last()
    there = [name for name in series_names if name in ends.index]
    low, high = y_domain
    wanted = [height * (high - min(max(float(ends[name]), low), high)) / (high - low) for name in there]
    rows = pd.DataFrame(
        {
            "text": told_apart(in_one_form([named(name, unit) for name in there]), LONGEST),
            "colour": [SOFT if name == NO_PRETRAINING else ink(str(steps[name])) for name in there],
            "pixel": apart(wanted, gap=GAP, low=GAP / 2, high=height - GAP / 2),
        }
    )
    mark = alt.Chart(rows).mark_text(align="left", baseline="middle", dx=7, fontSize=12, fontWeight=600)
    pixel = alt.Y("pixel:Q", scale=None, axis=None)
    return [mark.encode(x=alt.value("width"), y=pixel, text="text:N", color=alt.Color("colour:N", scale=None))]


def named(series: str, unit: str = "") -> str:
    """The name of a series on its own: 'from scratch', '20 images', '20 images, mae'."""
    if series == NO_PRETRAINING:
        return "from scratch"
    number, separator, rest = series.partition(", ")
    return f"{number} {unit}{separator}{rest}" if unit and number.replace(",", "").isdigit() else series
