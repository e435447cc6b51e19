"""Forest plot: the tests behind a finding, one a row, each estimate with its interval."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from reports.theme import GREY, INK, PALETTE, FigureError, finish, padded_domain, with_columns

SURVIVES = "p < 0.05 after Holm"
FAILS = "p ≥ 0.05 after Holm"
ALONE = "p < 0.05, uncorrected"
ALONE_FAILS = "p ≥ 0.05, uncorrected"
UNTESTED = "no test"
STATES = (SURVIVES, FAILS, ALONE, ALONE_FAILS, UNTESTED)
LOOKS = {
    SURVIVES: (PALETTE[0], PALETTE[0], "circle"),
    FAILS: (GREY, "transparent", "circle"),
    ALONE: (PALETTE[0], PALETTE[0], "diamond"),
    ALONE_FAILS: (GREY, "transparent", "diamond"),
    UNTESTED: (GREY, "transparent", "cross"),
}
"""Stroke, fill and shape of each state."""
ALPHA = 0.05
ROW_HEIGHT = 38
"""Of the label and the interval under it."""
LABEL_RISE = 15
"""How far a label stands above its interval."""
MOST_OPEN = 12
"""Rows of a forest that stands open on a page; a longer one is folded."""


def forest(tests: pd.DataFrame, *, x_title: str = "estimate", x_domain: tuple[float, float] | None = None) -> alt.LayerChart:
    """Draws one row a test, in the table's order: the estimate, its interval and a line at zero.

    A test that survives Holm's correction is a filled circle, one that does not a hollow one; a
    test that was not corrected, because it stands alone, is a diamond, filled or hollow likewise;
    an estimate without a test is a cross.

    Args:
        tests: the rows of one finding, under one reading, from `Findings.tests()`: finding,
            reading, label, estimate, low, high, p, p_holm; low, high and the p may be NaN, and rows
            without an estimate are left out.
        x_title: what is estimated, with its unit.
        x_domain: range of the axis, for panels that share it.

    Raises:
        FigureError: if a column is missing, no estimate is finite, or the rows are of several
            findings or readings: their units may differ.
    """
    name = "forest"
    columns = ["finding", "reading", "label", "estimate", "low", "high", "p", "p_holm"]
    rows = with_columns(tests, name, columns=columns)
    if len(rows[["finding", "reading"]].drop_duplicates()) > 1:
        raise FigureError(
            f"{name} draws one finding, because units may differ between findings: draw each part of tests.groupby(['finding', 'reading'])."
        )
    numeric = rows[["estimate", "low", "high", "p", "p_holm"]].astype(float)
    rows = rows.assign(**{str(column): numeric[column] for column in numeric}).loc[np.isfinite(numeric["estimate"].to_numpy())]
    if rows.empty:
        raise FigureError(f"{name} has no finite estimate to draw.")
    # An interval without an end reaches the edge of the axis; without a bar its estimate would look
    # exact.
    edges = x_domain or padded_domain(rows["estimate"], rows["low"], rows["high"], [0.0])
    rows = rows.assign(low=rows["low"].clip(lower=edges[0]), high=rows["high"].clip(upper=edges[1]))
    rows = rows.assign(
        label=_unique_labels([str(label) for label in rows["label"]]),
        state=np.select(
            [rows["p_holm"] < ALPHA, rows["p_holm"] >= ALPHA, rows["p"] < ALPHA, rows["p"] >= ALPHA], list(STATES[:-1]), default=UNTESTED
        ),
    )
    order = list(rows["label"])
    # A label stands over its interval and has the whole width, so that a long one does not wrap.
    y = alt.Y("label:N", sort=order, axis=None)
    x_scale = alt.Scale(nice=False, domain=list(edges))
    x_axis = alt.Axis(tickCount=4, labelOverlap="greedy")
    present = [state for state in STATES if state in set(rows["state"])]

    def scale(place: int) -> alt.Scale:
        return alt.Scale(domain=present, range=[LOOKS[state][place] for state in present])

    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeWidth=1.5)
    layers = [zero.encode(x=alt.X("zero:Q", scale=x_scale, title=x_title, axis=x_axis))]
    bars = rows.dropna(subset=["low", "high"])
    stroke = alt.Stroke("state:N", scale=scale(0), title=None)
    if len(bars):
        bar = alt.Chart(bars).mark_rule(strokeWidth=2, clip=True)
        layers.append(bar.encode(x=alt.X("low:Q", scale=x_scale, title=x_title, axis=x_axis), x2="high:Q", y=y, stroke=stroke))
    tooltip = [
        alt.Tooltip("label:N", title="test"),
        alt.Tooltip("estimate:Q", format="+.4f"),
        alt.Tooltip("low:Q", format="+.4f"),
        alt.Tooltip("high:Q", format="+.4f"),
        alt.Tooltip("p:Q", format=".3g"),
        alt.Tooltip("p_holm:Q", format=".3g", title="p after Holm"),
    ]
    text = alt.Chart(rows).mark_text(align="left", baseline="middle", fontSize=12, dy=-LABEL_RISE, limit=alt.ExprRef("width"))
    layers.append(text.encode(x=alt.value(0), y=y, text="label:N", color=alt.value(INK), tooltip=tooltip))
    dots = alt.Chart(rows).mark_point(size=60, opacity=1, strokeWidth=2)
    layers.append(
        dots.encode(
            x=alt.X("estimate:Q", scale=x_scale, title=x_title, axis=x_axis),
            y=y,
            stroke=stroke,
            fill=alt.Fill("state:N", scale=scale(1), title=None),
            shape=alt.Shape("state:N", scale=scale(2), title=None),
            tooltip=tooltip,
        )
    )
    return finish(layers, labels=present, height=ROW_HEIGHT * len(order) + 12)


def _unique_labels(labels: list[str]) -> list[str]:
    """Numbers repeated labels, since two tests with one label would share a row."""
    seen: dict[str, int] = {}
    unique = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        again = f" ({seen[label]})" if seen[label] > 1 else ""
        unique.append(f"{label}{again}" or " ")
    return unique
