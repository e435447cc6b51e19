"""Charts of fitted curves: points, law, band, and dashed where the law is extrapolated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.runs.columns import RUN_COLUMNS

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from analysis.fitting.curve import Fit
    from analysis.forecasting.choice import LawChoice

WIDTH, HEIGHT = 480, 300
LABEL_HEIGHT = 15
"""Pixels between the names of two lines."""
LOG_RATIO = 8.0
"""An axis is logarithmic where its largest value is this many times its smallest."""
BEYOND = 4.0
"""The law is drawn to so many times the largest x."""
BAND_OPACITY, BAND_OPACITY_BEYOND = 0.15, 0.07
DARK_TO_LIGHT = ("#003c73", "#246eb7", "#5394db", "#8ab8e6", "#b9d4f0")
APART = ("#065091", "#c2571a", "#2e7d4f", "#8e3b8a", "#6b6b6b", "#a8861b", "#3aa3a3", "#b33a4f")


def curve_chart(fits: Mapping[str, Fit | LawChoice], *, points: int = 120) -> alt.LayerChart:
    """One chart of one or several fits of the same x and y.

    Args:
        fits: by label; the label '' for one without a name, which is not written.
        points: how many x the law is drawn at.

    Returns a layered chart, 480 x 300 pixels: compose it with `+` and `|`, or change it with
    `.properties(...)`. Bands are the intervals of the mean.
    """
    import altair as alt
    import pandas as pd

    measured = pd.concat([_points(fit, label) for label, fit in fits.items()], ignore_index=True)
    law = pd.concat([_law(fit, label, points) for label, fit in fits.items()], ignore_index=True)
    first = next(iter(fits.values()))
    x = alt.X(
        "x:Q",
        title=axis_title(first.x_name),
        scale=_scale(alt, np.concatenate([measured["x"], law["x"]])),
        axis=quiet_axis(alt, grid=False, format="~s", tickCount=6),
    )
    y_title = axis_title(first.y_name)
    y_scale, y_axis = _scale(alt, measured["y"]), quiet_axis(alt, grid=True)
    labels = list(fits)
    if len(labels) > 1:
        colour: Any = alt.Color("series:N", scale=alt.Scale(domain=labels, range=_colours(labels)), legend=None)
    else:
        colour = alt.value(DARK_TO_LIGHT[0])
    of_series = [alt.Tooltip("series:N", title="series")] if len(labels) > 1 else []
    tips = [*of_series, alt.Tooltip("x:Q", title=first.x_name, format=",.6~g"), alt.Tooltip("y:Q", title=first.y_name, format=".4~g")]
    line_tips = [*of_series, *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("x", "mean", "low", "high"))]
    layers: list[alt.Chart] = []
    inside, outside = law[~law["extrapolated"]], _joined(law)
    if law["low"].notna().any():
        for part, opacity in ((inside, BAND_OPACITY), (outside, BAND_OPACITY_BEYOND)):
            band = alt.Chart(part.dropna(subset=["low", "high"])).mark_area(opacity=opacity, clip=True)
            layers.append(band.encode(x=x, y=alt.Y("low:Q", title=y_title, scale=y_scale, axis=y_axis), y2="high:Q", color=colour, detail="series:N"))
    for part, dash in ((inside, [1, 0]), (outside, [5, 4])):
        line = alt.Chart(part).mark_line(strokeWidth=2, strokeDash=dash, clip=True)
        layers.append(
            line.encode(x=x, y=alt.Y("mean:Q", title=y_title, scale=y_scale, axis=y_axis), color=colour, detail="series:N", tooltip=line_tips)
        )
    dots = alt.Chart(measured).mark_point(filled=True, size=45, opacity=0.85)
    layers.append(dots.encode(x=x, y=alt.Y("y:Q", title=y_title, scale=y_scale, axis=y_axis), color=colour, tooltip=tips))
    if len(labels) > 1:
        ends = law.loc[law.groupby("series", sort=False)["x"].idxmax()]
        drawn = np.concatenate([measured["y"], *(law[name].dropna() for name in ("mean", "low", "high"))])
        ends = ends.assign(place=_apart(ends["mean"].to_numpy(dtype=float), drawn, logarithmic=y_scale.to_dict().get("type") == "log"))
        text = alt.Chart(ends).mark_text(align="left", dx=6, fontSize=12)
        layers.append(text.encode(x=x, y=alt.Y("place:Q", title=y_title, scale=y_scale, axis=y_axis), text="series:N", color=colour))
    return alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT, view=alt.ViewBackground(stroke=None))


def quiet_axis(alt: Any, *, grid: bool, **more: Any) -> Any:
    """An axis in grey, with light grid lines or none. It is part of the encoding and not of the
    chart's configuration: charts with a configuration do not compose.
    """
    grey: dict[str, Any] = {"gridColor": "#e6e8eb", "domainColor": "#9aa1a9", "tickColor": "#9aa1a9", "labelColor": "#4b535c"}
    return alt.Axis(grid=grid, titleFontWeight=400, titleFontSize=13, labelFontSize=12, titleColor="#15181c", **grey, **more)


def axis_title(name: str) -> str:
    """What an axis says: the title of a documented column, else the name as it is."""
    documented = RUN_COLUMNS.get(name)
    return documented.title if documented is not None else name


def _points(fit: Fit | LawChoice, label: str) -> pd.DataFrame:
    import pandas as pd

    x, y = fit.points()
    return pd.DataFrame({"series": label, "x": x, "y": y})


def _law(fit: Fit | LawChoice, label: str, points: int) -> pd.DataFrame:
    predicted = fit.predict(np.geomspace(fit.x_min, fit.x_max * BEYOND, points))
    import pandas as pd

    columns = {name: getattr(predicted, name) for name in ("x", "mean", "low", "high", "extrapolated")}
    return pd.DataFrame({"series": label} | columns)


def _apart(values: NDArray[np.float64], drawn: NDArray[np.float64], *, logarithmic: bool) -> NDArray[np.float64]:
    """The values moved apart, so that a label of LABEL_HEIGHT pixels at each covers no other.

    `drawn` are all values on the axis, which spans HEIGHT pixels.
    """
    if logarithmic and min(values.min(), drawn.min()) <= 0:
        return values
    places, ends = (np.log(values), np.log(drawn)) if logarithmic else (values, drawn)
    gap = LABEL_HEIGHT / HEIGHT * (ends.max() - ends.min())
    order = np.argsort(places, kind="stable")
    apart = places[order]
    for _ in range(1000):  # neighbours give way half each, until none is too near
        lack = np.clip(gap - np.diff(apart), 0.0, None) / 2
        if lack.max(initial=0.0) < 0.01 * gap:
            break
        apart = apart - np.append(lack, 0.0) + np.append(0.0, lack)
    found = np.empty_like(apart)
    found[order] = apart
    return np.exp(found) if logarithmic else found


def _joined(law: pd.DataFrame) -> pd.DataFrame:
    """The extrapolated part with the last point measured, so that the dashes begin where the line
    ends.
    """
    last = law[~law["extrapolated"]].groupby("series", sort=False).tail(1)
    import pandas as pd

    return pd.concat([last, law[law["extrapolated"]]], ignore_index=True)


def _scale(alt: Any, values: ArrayLike) -> Any:
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    logarithmic = bool(array.min() > 0 and array.max() / array.min() >= LOG_RATIO)
    return alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False)


def _colours(labels: list[str]) -> list[str]:
    """Sizes get one hue, more is darker; names get colours of their own."""
    sizes = all(label.replace(",", "").replace(".", "", 1).isdigit() for label in labels)
    if sizes and len(labels) <= len(DARK_TO_LIGHT):
        return list(reversed(DARK_TO_LIGHT[: len(labels)]))
    return [APART[index % len(APART)] for index in range(len(labels))]
