"""The two charts of the first screen: the score by size with its laws, and what moved the score.

Each is drawn at a fixed width, once for a wide page and once for a phone, so that text keeps its
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from analysis.plots.labels import apart as apart
from reports.theme import CONFIG, GROUND, INK, NOISE, RAMP, RULE, SCRATCH, SIZES, SOFT, layered, positive, with_columns

SIGNED: Final = "datum.value === 0 ? '0' : format(datum.value, '+~g')"
WIDE: Final[dict[str, Any]] = {"width": 536, "height": 476, "name": 14, "detail": 13, "axis": 13, "gap": 40, "dot": 26, "line": 17}
PHONE: Final[dict[str, Any]] = {"width": 226, "height": 290, "name": 12, "detail": 11, "axis": 11, "gap": 31, "dot": 14, "line": 14}


def scaling_plot(
    points: pd.DataFrame,
    curves: pd.DataFrame,
    ends: pd.DataFrame,
    *,
    colours: dict[str, str],
    shades: dict[str, str],
    x_title: str,
    y_title: str,
    y_domain: tuple[float, float],
    dotted: Sequence[str] = (),
    phone: bool = False,
) -> alt.LayerChart:
    """The score against a size (log axis): a dot a run, a law with its band a group, named at its
    end.

    Args:
        points: x (above zero), place (x, moved aside so that dots do not lie on each other), score,
            shade, and whatever else the tooltip shows.
        curves: group, x, mean, low, high, extrapolated; low and high may be NaN.
        ends: group, name, detail, y: the label of each line and the height it belongs to.
        colours: colour of each group's line; shades: colour of each shade's dots.
        dotted: groups with a dotted line and hollow dots, which share their colour with another.
        phone: for a screen 390 px wide.

    Raises:
        FigureError: if a column is missing, a value is not finite, or a size is not positive.
    """
    figure = "scaling_plot"
    points = with_columns(points, figure, columns=list(points.columns), finite=["x", "place", "score"])
    curves = with_columns(curves, figure, columns=["group", "x", "mean", "low", "high", "extrapolated"], finite=["x", "mean"])
    for table in (points, curves):
        positive(table, figure, "x")
    look = PHONE if phone else WIDE
    edge = max(float(points["place"].max()), float(curves["x"].max()) if len(curves) else 0.0)
    sizes = sorted({float(size) for size in points["x"]} | ({edge} if len(curves) and edge > points["x"].max() * 1.5 else set()))
    low = float(points["place"].min())
    start = low / (edge / low) ** 0.03 if edge > low else low * 0.8
    x_scale = alt.Scale(type="log", nice=False, domain=[start, edge if edge > low else edge * 1.2])
    axis: dict[str, Any] = {"labelFontSize": look["axis"], "titleFontSize": look["axis"] if not phone else look["detail"], "titlePadding": 8}
    x_axis = alt.Axis(title=f"{x_title}, log scale", values=sizes, format=".3~s", grid=False, domainColor=RULE, **SIZES, **axis)
    x = alt.X("x:Q", scale=x_scale, axis=x_axis)
    y_scale = alt.Scale(zero=False, nice=False, domain=list(y_domain))
    heading: dict[str, Any] = {"title": y_title, "titleAngle": 0, "titleAnchor": "end", "titleAlign": "left", "titleX": -34, "titleY": -10}
    y_axis = alt.Axis(tickCount=5, domain=False, ticks=False, labelFontSize=look["axis"], titleFontSize=look["axis"], **heading)
    # Colours are data here, drawn as they are: two scales of colour cannot stand in one chart.
    colour = alt.Color("colour:N", scale=None)
    curves = curves.assign(colour=curves["group"].map(colours).astype("object"))
    points = points.assign(colour=points["shade"].map(shades).astype("object"))
    layers: list[alt.Chart] = []
    bands = curves.dropna(subset=["low", "high"])
    for extrapolated, opacity in ((False, 0.13), (True, 0.06)):
        part = bands.loc[bands["extrapolated"] == extrapolated]
        if len(part):
            area = alt.Chart(part).mark_area(opacity=opacity, clip=True)
            layers.append(area.encode(x=x, y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q", color=colour, detail="group:N"))
    with_dots = curves["group"].isin(dotted)
    for extrapolated, own, dash in ((False, False, [1, 0]), (True, False, [4, 4]), (False, True, [1.5, 3]), (True, True, [1.5, 6])):
        part = curves.loc[(curves["extrapolated"] == extrapolated) & (with_dots == own)]
        if len(part):
            line = alt.Chart(part).mark_line(strokeDash=dash, strokeWidth=2.2 if not extrapolated else 1.8, clip=True)
            layers.append(line.encode(x=x, y=alt.Y("mean:Q", scale=y_scale, axis=y_axis), color=colour, detail="group:N"))
    shown = [name for name in points.columns if name not in ("place", "group", "shade", "x", "score", "colour")]
    tooltip = [alt.Tooltip("score:Q", format=".4f", title=y_title), alt.Tooltip("x:Q", format=",", title=x_title)]
    tooltip += [alt.Tooltip(f"{name}:N", title=name) for name in shown]
    hollow = points["group"].isin(dotted)
    at = {"x": alt.X("place:Q", scale=x_scale, axis=x_axis), "y": alt.Y("score:Q", scale=y_scale, axis=y_axis)}
    if hollow.any():
        rings = alt.Chart(points.loc[hollow]).mark_point(filled=False, size=look["dot"], opacity=1, fill=GROUND, strokeWidth=1.4, shape="circle")
        layers.append(rings.encode(**at, color=colour, tooltip=tooltip))
    dots = alt.Chart(points.loc[~hollow]).mark_point(filled=True, size=look["dot"], opacity=1, stroke=GROUND, strokeWidth=0.8, shape="circle")
    layers.append(dots.encode(**at, color=colour, tooltip=tooltip))
    layers += _end_labels(ends, look, colours, y_domain)
    return _finished(layers, look["width"], look["height"])


def _end_labels(ends: pd.DataFrame, look: dict[str, Any], colours: dict[str, str], y_domain: tuple[float, float]) -> list[alt.Chart]:
    """The name and the value of each line, at its end; moved apart where they would overlap."""
    if ends.empty:
        return []
    height, span = float(look["height"]), y_domain[1] - y_domain[0]
    wanted = [height * (y_domain[1] - float(value)) / span for value in ends["y"]]
    placed = ends.assign(pixel=apart(wanted, gap=float(look["gap"]), low=float(look["line"]), high=height - float(look["line"])))
    x = alt.value(float(look["width"]) + 7)
    made = []
    lines: tuple[tuple[str, float, Any, Any], ...] = (("name", -0.5, look["name"], 600), ("detail", 0.5, look["detail"], 400))
    for text, shift, size, weight in lines:
        rows = placed.assign(pixel=placed["pixel"] + shift * float(look["line"]))
        mark = alt.Chart(rows).mark_text(align="left", baseline="middle", fontSize=size, fontWeight=weight)
        rows["colour"] = [SOFT if text == "detail" else ink(colours[one]) for one in rows["group"]]
        made.append(mark.encode(x=x, y=alt.Y("pixel:Q", scale=None, axis=None), text=f"{text}:N", color=alt.Color("colour:N", scale=None)))
    return made


def ink(colour: str) -> str:
    """The colour of a line as one that words stand out in: the lightest two steps do not."""
    return SOFT if colour == SCRATCH else RAMP[2] if colour in RAMP[:2] else colour


def moved_score(
    rows: pd.DataFrame, seeds: pd.DataFrame, *, noise: float, x_title: str, x_domain: tuple[float, float], phone: bool = False
) -> alt.LayerChart:
    """Chart of effects: for each axis its effect, interval, the effect of each seed, and run noise.

    Args:
        rows: name, levels (what is compared), value (the effect as text), effect, low, high; low and
            high may be NaN. sure, where there: whether the sentence calls it found, else hollow;
            by default where the interval excludes zero.
        seeds: name, seed, effect; may be empty.
        noise: standard deviation of one run around its cell, drawn both sides of zero; NaN for none.
        x_title: what the effect is of, with its unit.
        x_domain: range of the axis.
        phone: for a screen 390 px wide.

    Raises:
        FigureError: if a column is missing or an effect is not finite.
    """
    figure = "moved_score"
    rows = rows if "sure" in rows.columns else rows.assign(sure=(rows["low"] > 0) | (rows["high"] < 0))
    rows = with_columns(rows, figure, columns=["name", "levels", "value", "effect", "low", "high", "sure"], finite=["effect"])
    seeds = with_columns(seeds, figure, columns=["name", "seed", "effect"], finite=["effect"])
    count = len(rows)
    step = 46 if phone else 62 if count <= 4 else 50 if count <= 6 else 42
    width, left = (296, 0) if phone else (160, 194)
    height = step * count
    middle = {str(name): step * (place + (0.66 if phone else 0.5)) for place, name in enumerate(rows["name"])}

    def at(table: pd.DataFrame, shift: float = 0.0) -> pd.DataFrame:
        return table.assign(pixel=[middle[str(name)] + shift for name in table["name"]])

    y = alt.Y("pixel:Q", scale=None, axis=None)
    axis = alt.Axis(tickCount=3, labelExpr=SIGNED, labelFontSize=11 if phone else 12, title=None, grid=False, domainColor=RULE, labelOverlap="greedy")
    x_scale = alt.Scale(nice=False, zero=False, domain=list(x_domain))

    def x(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=x_scale, axis=axis)

    # On a phone names stand over their rows, and the band must not lie behind them.
    strips = pd.DataFrame({"top": [pixel - 12 for pixel in middle.values()], "bottom": [pixel + 12 for pixel in middle.values()]})
    strips = strips if phone else pd.DataFrame({"top": [0.0], "bottom": [float(height)]})
    top = alt.Y("top:Q", scale=None, axis=None)
    layers: list[alt.Chart] = []
    if np.isfinite(noise) and noise > 0:
        band = strips.assign(**{"from": max(-noise, x_domain[0]), "to": min(noise, x_domain[1])})
        layers.append(alt.Chart(band).mark_rect(color=NOISE, opacity=1).encode(x=x("from"), x2="to:Q", y=top, y2="bottom:Q"))
    layers.append(alt.Chart(strips.assign(zero=0.0)).mark_rule(color=RULE, strokeWidth=1).encode(x=x("zero"), y=top, y2="bottom:Q"))
    sure = rows["sure"].to_numpy(dtype=bool)
    rows = rows.assign(stroke=np.where(sure, RAMP[4], SCRATCH), fill=np.where(sure, RAMP[4], GROUND))
    stroke, fill = alt.Stroke("stroke:N", scale=None), alt.Fill("fill:N", scale=None)
    bars = rows.dropna(subset=["low", "high"])
    bars = bars.assign(low=bars["low"].clip(*x_domain), high=bars["high"].clip(*x_domain))
    if len(bars):
        layers.append(alt.Chart(at(bars)).mark_rule(strokeWidth=3).encode(x=x("low"), x2="high:Q", y=y, stroke=stroke))
    if len(seeds):
        ticks = alt.Chart(at(seeds)).mark_tick(orient="vertical", size=14, thickness=1.2, color=SOFT, clip=True)
        tooltip = [alt.Tooltip("name:N", title="axis"), alt.Tooltip("seed:N"), alt.Tooltip("effect:Q", format="+.4f", title=x_title)]
        layers.append(ticks.encode(x=x("effect"), y=y, tooltip=tooltip))
    tooltip = [
        alt.Tooltip("name:N", title="axis"),
        alt.Tooltip("levels:N", title="compared"),
        alt.Tooltip("effect:Q", format="+.4f", title=x_title),
        alt.Tooltip("low:Q", format="+.4f"),
        alt.Tooltip("high:Q", format="+.4f"),
    ]
    dots = alt.Chart(at(rows)).mark_point(size=75, strokeWidth=2, opacity=1, shape="circle")
    layers.append(dots.encode(x=x("effect"), y=y, stroke=stroke, fill=fill, tooltip=tooltip))
    texts: list[tuple[str, float, int, int, Any, str]]
    if phone:
        texts = [("name", 0, -20, 12, 600, INK), ("value", width + 56, 0, 12, 600, INK)]
        longest = max(len(str(name)) for name in rows["name"])
        texts.insert(1, ("levels", 16 + 6.9 * longest, -20, 11, 400, SOFT))
    else:
        size = min(14, int(14 * 25 / max(len(str(name)) for name in rows["name"])))  # 25 letters have room
        texts = [("name", -left, -9, size, 600, INK), ("levels", -left, 9, 12, 400, SOFT), ("value", width + 62, 0, 14, 600, INK)]
    for name, place, shift, size, weight, ink in texts:
        mark = alt.Chart(at(rows, shift)).mark_text(align="right" if name == "value" else "left", baseline="middle", fontSize=size, fontWeight=weight)
        layers.append(mark.encode(x=alt.value(place), y=y, text=f"{name}:N", color=alt.value(ink)))
    return _finished(layers, width, height)


def _finished(layers: Sequence[alt.Chart], width: int, height: int) -> alt.LayerChart:
    """The layers at a fixed size, each with scales of its own kind shared."""
    chart: alt.LayerChart = layered(layers).properties(width=width, height=height).configure(**CONFIG)
    return chart
