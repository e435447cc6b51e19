"""Colours, shapes, scales and number formats of every chart."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

NO_PRETRAINING: Final = "none"
"""Label of runs trained from scratch; it sorts first and is always drawn in grey squares."""

# Okabe & Ito (2008), distinguished with any of the common colour-vision deficiencies; ordered so
# that neighbours differ in lightness and so that the first four reach 3:1 on a white and on a
# near-black page.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
SHAPES: Final = ("circle", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
GREY: Final = "#808080"
# One hue from light to dark, for what has an order: more is darker on a light page and, where the
# page's style sheet sets the variables of THEMED, lighter on a dark one. Every step reaches 3:1.
RAMP: Final = ("#5394db", "#3c83ce", "#246eb7", "#065091", "#003c73", "#002953")
SCRATCH: Final = "#767c83"
INK: Final = "#15181c"
SOFT: Final = "#4b535c"
RULE: Final = "#a9b0b7"
NOISE: Final = "#e6e8eb"
GROUND: Final = "#fdfdfc"
THEMED: Final = {colour: f"var(--s{place})" for place, colour in enumerate(RAMP, start=1)} | {
    SCRATCH: "var(--s0)",
    INK: "var(--ink)",
    SOFT: "var(--ink2)",
    RULE: "var(--axis)",
    NOISE: "var(--noise)",
    GROUND: "var(--bg)",
}
"""The variable of the page's style sheet for each colour that changes between light and dark."""
# Of the metrics of Arial: the wider font that system-ui may be breaks lines that were measured.
FONT: Final = '"Helvetica Neue", Arial, "Liberation Sans", sans-serif'
CHART_HEIGHT: Final = 280
MOST_TICKS: Final = 6
"""Labels that a logarithmic axis has room for in a narrow panel."""
FADED: Final = 0.12
"""Share of its opacity that is left to what was not chosen in a legend."""

# Transparent, and mid-grey where the page's own style sheet does not set the ink, so that a chart
# reads on light and on dark.
CONFIG: Final[dict[str, Any]] = {
    "aria": False,
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": GREY,
        "gridColor": GREY,
        "gridOpacity": 0.25,
        "labelColor": GREY,
        "labelFontSize": 12,
        "tickColor": GREY,
        "titleColor": GREY,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": GREY,
        "labelFontSize": 12,
        "labelLimit": 320,
        "orient": "top",
        "symbolOpacity": 1,
        "symbolSize": 70,
        "symbolStrokeWidth": 2,
        "titleColor": GREY,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


class FigureError(ValueError):
    """Raised for a table that a chart cannot draw; the message is a sentence for the user."""


def with_columns(table: pd.DataFrame, figure: str, *, columns: Sequence[str], finite: Sequence[str] = ()) -> pd.DataFrame:
    """The named columns of `table`, checked: Vega draws nothing for a misspelt column, and leaves
    out NaN and infinity in silence.

    Raises:
        FigureError: if a column is missing, or one of `finite` holds a value that is not a finite
            number.
    """
    for column in columns:
        if column not in table.columns:
            near = difflib.get_close_matches(column, [str(name) for name in table.columns], n=1)
            hint = f"; did you mean to pass {near[0]!r} under that name?" if near else "."
            raise FigureError(f"{figure} needs the column {column!r}, and the table has {list(table.columns)}{hint}")
    for column in finite:
        lost = int((~np.isfinite(table[column].to_numpy(dtype=float))).sum())
        if lost:
            raise FigureError(f"{figure} cannot draw {lost} of {len(table)} values of {column!r}: not a finite number; drop those rows first.")
    return table.loc[:, list(columns)]


def which_run(table: pd.DataFrame) -> list[str]:
    """The columns that say which run a point is, of those that the table has: they go into its
    tooltip.
    """
    return [name for name in ("seed", "run_id", "treatment_run_id") if name in table.columns]


def positive(table: pd.DataFrame, figure: str, column: str) -> None:
    """Refuses values of zero or less on a logarithmic axis, since one would push all other points to
    its end.

    Raises:
        FigureError: if a value of `column` is zero or less.
    """
    if (table[column] <= 0).any():
        raise FigureError(f"{figure} has a logarithmic axis for {column!r}, which holds values of zero or less; draw those apart.")


def finish(layers: Sequence[alt.Chart], *, labels: Sequence[str], height: int = CHART_HEIGHT) -> alt.LayerChart:
    """The layers as one chart with the house style, as wide as its container; `labels` are those of
    the legend.
    """
    # A legend does not wrap by itself: as many columns as fit beside the axis on a phone, at 7 px a
    # letter and 25 px a symbol.
    columns = max(1, min(4, 300 // (25 + 7 * max((len(label) for label in labels), default=1))))
    config = CONFIG | {"legend": CONFIG["legend"] | {"columns": columns}}
    return _linked(layers).properties(width="container", height=height).configure(**config)


def _linked(layers: Sequence[alt.Chart]) -> alt.LayerChart:
    """The layers, with a legend that can be clicked: what is chosen stays, the rest fades. Shift
    adds one more; a click beside it shows all again.

    Only where colours are named by one field, and a layer has no opacity of its own data.
    """
    fields = [field for layer in layers if (field := _coloured_by(layer)) is not None]
    if not fields:
        return layered(layers)
    chosen = alt.selection_point(name="legend", fields=[fields[0]], bind="legend")
    faded = []
    for layer in layers:
        if _coloured_by(layer) == fields[0] and layer.encoding.opacity is alt.Undefined:
            mark = layer.mark if isinstance(layer.mark, alt.MarkDef) else alt.MarkDef(type=layer.mark)
            full = mark.opacity if isinstance(mark.opacity, (int, float)) else 1.0
            layer = layer.encode(opacity=alt.condition(chosen, alt.value(full), alt.value(full * FADED)))
        faded.append(layer)
    first = next(place for place, layer in enumerate(faded) if _coloured_by(layer) == fields[0])
    faded[first] = faded[first].add_params(chosen)
    return layered(faded)


def layered(layers: Sequence[alt.Chart]) -> alt.LayerChart:
    """Several layers, or the only one, as one Altair chart."""
    made = alt.layer(*layers)
    assert isinstance(made, alt.LayerChart)  # none of the layers is faceted
    return made


def _coloured_by(layer: alt.Chart) -> str | None:
    """The nominal field that names a layer's colours in a legend; None where there is none."""
    colour = layer.encoding.color if layer.encoding is not alt.Undefined else alt.Undefined
    if not isinstance(colour, alt.Color) or colour.legend is None:
        return None
    name, _, kind = str(colour.shorthand).partition(":")
    return name if kind == "N" else None


def specification(figure: alt.LayerChart) -> dict[str, Any]:
    """The chart as plain Vega-Lite, its data inline, without Altair's limit of 5,000 rows and
    without a schema address.
    """
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = figure.to_dict()
    spec.pop("$schema", None)
    return spec


def styles(labels: Sequence[str], shown: Collection[str] | None = None) -> tuple[alt.Scale, alt.Scale]:
    """Colour and shape scales for the labels `shown` (default all), chosen by each label's place
    among all `labels`.

    So a series looks the same in a figure that lacks others. Sizes in order get one hue from light
    to dark, others a hue each. `NO_PRETRAINING` is a grey square and
    uses up no colour.
    """
    coloured = [label for label in labels if label != NO_PRETRAINING]
    place = {label: index for index, label in enumerate(coloured)}
    # From the seventh series on the colours come again, each with the next shape, so that no two of
    # 36 series look the same.
    turn = {label: index // len(PALETTE) for index, label in enumerate(coloured)}
    steps = ramp(len(coloured)) if are_ordered(coloured) else [PALETTE[index % len(PALETTE)] for index in range(len(coloured))]
    kept = [label for label in labels if shown is None or label in shown]
    colours = [steps[place[label]] if label in place else GREY for label in kept]
    shape = {label: (place[label] + turn[label]) % len(SHAPES) for label in coloured}
    if len(coloured) > len(RAMP) and are_ordered(coloured):
        # Neighbours of more than six sizes share a colour, and then differ in shape.
        shape = {label: (RAMP.index(step) + steps[: place[label]].count(step)) % len(SHAPES) for label, step in zip(coloured, steps, strict=True)}
    shapes = [SHAPES[shape[label]] if label in shape else "square" for label in kept]
    return alt.Scale(domain=kept, range=colours), alt.Scale(domain=kept, range=shapes)


def are_ordered(labels: Sequence[str]) -> bool:
    """Whether labels are sizes in ascending order, such as '500', '2,000' or '2,000, 20 epochs'."""
    parts = [re.split(r", (?=\D|\d{1,3}(?:,\d{3})* )", label) for label in labels]
    if not labels or len({len(part) for part in parts}) > 1:
        return False
    sizes = [[_LEADING.match(one) for one in part] for part in parts]
    for column, texts in enumerate(zip(*parts, strict=True)):
        if any(row[column] is None for row in sizes) and len(set(texts)) > 1:
            return False
    first = [float(row[0][0].replace(",", "")) for row in sizes if row[0] is not None]
    return len(first) == len(labels) and first == sorted(first)


_LEADING: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")


def ramp(levels: int) -> list[str]:
    """Colours for ordered levels, lightest first; beyond six, neighbours share one."""
    if levels <= 2:
        return [RAMP[3]] if levels == 1 else [RAMP[1], RAMP[4]][:levels]
    return [RAMP[round(place)] for place in np.linspace(0, len(RAMP) - 1, levels)]


def themed(value: Any) -> Any:
    """A specification for the page: colours that follow its theme as variables of its style sheet."""
    if isinstance(value, dict):
        return {key: themed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [themed(part) for part in value]
    return THEMED.get(value, value) if isinstance(value, str) else value


SIZES: Final[dict[str, Any]] = {"labelExpr": "replace(datum.label, 'G', 'B')", "labelOverlap": "greedy", "labelSeparation": 8}
"""Labels of an axis of sizes: 25B and not the physicist's 25G, and no two that read as one."""


def size_axis(title: str, sizes: pd.Series) -> alt.Axis:
    """A logarithmic axis's ticks at the sizes themselves, written 250, 1k, 45k."""
    return alt.Axis(title=title, values=sorted({float(size) for size in sizes}), format="~s", **SIZES)


def log_ticks(low: float, high: float) -> list[float]:
    """Round places for the labels of a logarithmic axis from `low` to `high`, both above zero, at most
    MOST_TICKS, so that every tick can have its label.
    """
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        finer = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if found and len(finer) > MOST_TICKS:
            break
        found = finer
    if not found:
        return [low, high]
    return found if len(found) <= MOST_TICKS else found[:: -(-len(found) // MOST_TICKS)]


def value_scale(domain: tuple[float, float] | None, *, zero: bool = False) -> alt.Scale:
    """A scale over exactly this range, or chosen by Vega where none is given, from zero if `zero`."""
    if domain is None:
        return alt.Scale() if zero else alt.Scale(zero=False)
    return alt.Scale(nice=False, domain=list(domain)) if zero else alt.Scale(zero=False, nice=False, domain=list(domain))


def padded_domain(*values: Sequence[float] | np.ndarray | pd.Series) -> tuple[float, float]:
    """The range of all finite values, 5 % wider on each side, for the panels of one figure to
    share.
    """
    everything = np.concatenate([np.asarray(part, dtype=float).ravel() for part in values])
    everything = everything[np.isfinite(everything)]
    if everything.size == 0:
        return (0.0, 1.0)
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return (low - margin, high + margin)


def count(number: float) -> str:
    """12000 -> '12,000'."""
    return f"{round(number):,}"


def decimals(number: float, places: int = 3) -> str:
    """A number in running text, with a true minus sign; 'not known' where it is not finite."""
    return f"{number:z.{places}f}".replace("-", "−") if np.isfinite(number) else "not known"


def signed(number: float, places: int = 3) -> str:
    """An effect in running text, its sign always shown, but for one that rounds to zero."""
    if not np.isfinite(number):
        return "not known"
    text = f"{number:+.{places}f}".replace("-", "−")
    return text if float(f"{number:.{places}f}") else text[1:]
