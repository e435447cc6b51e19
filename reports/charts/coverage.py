"""Chart of the grid's coverage: how many runs of each cell are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt
import pandas as pd

from reports.theme import count, finish, with_columns

STATES: Final = ("done", "missing", "blocked", "failed")
"""From best to worst; a cell has the worst state among its runs."""
# Okabe & Ito (2008), distinguished without colour by the sign that stands in the tile.
COLOURS: Final = ("#009E73", "#999999", "#E69F00", "#D55E00")
SIGNS: Final = {"done": "✓", "missing": "…", "blocked": "‖", "failed": "✗"}
ROW_HEIGHT = 26


def coverage_map(cells: pd.DataFrame, *, series_names: Sequence[str], series_title: str = "pre-training images") -> alt.LayerChart:
    """Draws one tile a cell, series by fine-tuning images, coloured by its worst run and printed
    with its number of finished runs.

    Args:
        cells: one row a cell: series, finetune_images, planned, done, failed, blocked, missing
            (numbers of runs).
        series: the series in order, from top to bottom.

    Raises:
        FigureError: if a column is missing.
    """
    columns = ["series", "finetune_images", "planned", *STATES]
    cells = with_columns(cells, "coverage_map", columns=columns, finite=["finetune_images", "planned", *STATES])
    worst = [next(state for state in reversed(STATES) if row[state] > 0 or state == "done") for _, row in cells.iterrows()]
    cells = cells.assign(
        labels=[count(size) for size in cells["finetune_images"]],
        state=worst,
        printed=[f"{SIGNS[state]} {count(done)}/{count(wanted)}" for state, done, wanted in zip(worst, cells["done"], cells["planned"], strict=True)],
    )
    sizes = [count(size) for size in sorted(set(cells["finetune_images"]))]
    present = [series for series in series_names if series in set(cells["series"])]
    x = alt.X("labels:O", sort=sizes, title="labelled images in fine-tuning", axis=alt.Axis(labelAngle=0, ticks=False))
    y = alt.Y("series:O", sort=present, title=series_title, axis=alt.Axis(ticks=False))
    scale = alt.Scale(domain=list(STATES), range=list(COLOURS))
    tooltip = [
        alt.Tooltip("series:N", title=series_title),
        alt.Tooltip("labels:N", title="labelled images"),
        *(alt.Tooltip(f"{one}:Q") for one in ("planned", *STATES)),
    ]
    tiles = alt.Chart(cells).mark_rect(stroke="white", strokeWidth=1)
    text_layer = alt.Chart(cells).mark_text(fontSize=11 if len(sizes) < 8 else 9, color="black")
    coloured = tiles.encode(x=x, y=y, color=alt.Color("state:N", scale=scale, title="worst run"), tooltip=tooltip)
    return finish([coloured, text_layer.encode(x=x, y=y, text="printed:N")], labels=STATES, height=ROW_HEIGHT * len(present) + 10)
