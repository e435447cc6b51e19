"""Chart of two sizes against each other, with a value printed in each cell."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from reports.theme import count, decimals, finish, signed, with_columns

SCHEMES: Final[dict[bool, Any]] = {False: "cividis", True: "purpleorange"}
"""Of plain values and of signed ones; both keep their order with the common colour-vision
deficiencies.
"""
ROW_HEIGHT = 34


def score_surface(
    cells: pd.DataFrame, *, value_title: str = "mean mIoU", is_signed: bool = False, domain: tuple[float, float] | None = None, places: int = 3
) -> alt.LayerChart:
    """Pre-training images (rows) by fine-tuning images (columns): one coloured tile a cell, its
    value printed on it.

    Args:
        cells: one row a cell: pretrain_images (0 for none), finetune_images, value.
        value_title: what the values are, for the tooltip.
        is_signed: whether zero is the middle: two colours away from white, and a sign printed.
        domain: values at the ends of the colour scale, for panels that share it.
        places: decimals printed.

    Raises:
        FigureError: if a column is missing or a value is not finite.
    """
    name = "score_surface"
    cells = with_columns(cells, name, columns=["pretrain_images", "finetune_images", "value"], finite=["pretrain_images", "finetune_images", "value"])
    ends = domain or (float(cells["value"].min()), float(cells["value"].max()))
    if is_signed:
        furthest = max(abs(ends[0]), abs(ends[1])) or 1.0
        ends = (-furthest, furthest)
    span = ends[1] - ends[0] or 1.0
    share = np.clip((cells["value"].to_numpy(dtype=float) - ends[0]) / span, 0.0, 1.0)
    # Dark ink where the tile is light: at the yellow end of the one scheme, in the middle of the
    # other.
    dark = np.abs(share - 0.5) < 0.38 if is_signed else share > 0.48
    cells = cells.assign(
        row=[_size(size) for size in cells["pretrain_images"]],
        column=[count(size) for size in cells["finetune_images"]],
        printed=[(signed if is_signed else decimals)(value, places) for value in cells["value"]],
        ink=np.where(dark, "black", "white"),
    )
    order = sorted(set(cells["finetune_images"]))
    x = alt.X("column:O", sort=[count(size) for size in order], title="labelled images in fine-tuning", axis=alt.Axis(labelAngle=0, ticks=False))
    rows = [_size(size) for size in sorted(set(cells["pretrain_images"]), reverse=True)]
    y = alt.Y("row:O", sort=rows, title="pre-training images", axis=alt.Axis(ticks=False))
    scale = alt.Scale(scheme=SCHEMES[is_signed], domain=list(ends), nice=False)
    tooltip = [
        alt.Tooltip("row:N", title="pre-training images"),
        alt.Tooltip("column:N", title="labelled images"),
        alt.Tooltip("value:Q", format="+.4f" if is_signed else ".4f", title=value_title),
    ]
    tiles = alt.Chart(cells).mark_rect().encode(x=x, y=y, color=alt.Color("value:Q", scale=scale, legend=None), tooltip=tooltip)
    ink = alt.Color("ink:N", scale=None, legend=None)
    text_layer = alt.Chart(cells).mark_text(fontSize=11 if len(order) < 8 else 9).encode(x=x, y=y, text="printed:N", color=ink)
    chart = finish([tiles, text_layer], labels=[], height=ROW_HEIGHT * len(rows) + 10)
    return chart.resolve_scale(color="independent")


def _size(size: float) -> str:
    return count(size) if size else "none"
