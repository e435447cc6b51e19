"""Charts of decisions, and the tables that a notebook shows beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.plots.curves import DARK_TO_LIGHT, HEIGHT, LOG_RATIO, WIDTH, axis_title, curve_chart, quiet_axis
from analysis.plots.forest import GREY, forest_chart

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from analysis.decisions.budget import BestSplit
    from analysis.decisions.decision import Decision
    from analysis.decisions.exchange import ExchangeRate, SpeedUp
    from analysis.decisions.exponent import ComputeOptimalExponent
    from analysis.decisions.returns import DiminishingReturns
    from analysis.decisions.suggest import SuggestedRuns


def decision_chart(decision: Decision) -> alt.LayerChart:
    """The chart of a decision, one kind of chart for each; it composes with `+` and `|`.

    Raises AnalysisError for a decision of another package.
    """
    draw: Any = CHARTS.get(decision.KIND)
    if draw is None:
        raise AnalysisError(f"there is no chart of a decision of the kind '{decision.KIND}': give it a plot() of its own.")
    chart: alt.LayerChart = draw(decision)
    return chart


def returns_chart(found: DiminishingReturns) -> alt.LayerChart:
    """What a doubling of x gains along x, with its band; the noise of one run as a dashed line, and
    an upright where the gain falls below it.
    """
    import altair as alt
    import pandas as pd

    table = found.plot_data()
    x = alt.X(
        "x:Q",
        title=axis_title(found.curve.x_name),
        scale=alt.Scale(type="log", nice=False),
        axis=quiet_axis(alt, grid=False, format="~s", tickCount=6),
    )
    title = f"gain of a doubling, {axis_title(found.curve.y_name)}"
    scale, axis = alt.Scale(zero=True), quiet_axis(alt, grid=True)

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", title=title, scale=scale, axis=axis)

    layers: list[alt.Chart] = []
    band = table.dropna(subset=["low", "high"])
    if len(band):
        layers.append(alt.Chart(band).mark_area(opacity=0.15, color=DARK_TO_LIGHT[0]).encode(x=x, y=y("low"), y2="high:Q"))
    tips = [alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("x", "gain", "low", "high", "threshold")]
    for part, dash in ((table[~table["extrapolated"]], [1, 0]), (table[table["extrapolated"]], [5, 4])):
        if len(part):
            line = alt.Chart(part).mark_line(color=DARK_TO_LIGHT[0], strokeWidth=2, strokeDash=dash)
            layers.append(line.encode(x=x, y=y("gain"), tooltip=tips))
    layers.append(alt.Chart(table).mark_line(color=GREY, strokeDash=[3, 3]).encode(x=x, y=y("threshold")))
    if found.noise.status == "found" and found.noise.x <= float(table["x"].max()):
        layers.append(alt.Chart(pd.DataFrame({"x": [found.noise.x]})).mark_rule(color=GREY).encode(x=x))
    return alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT, view=alt.ViewBackground(stroke=None))


def pair_chart(found: ExchangeRate | SpeedUp) -> alt.LayerChart:
    """Both curves with their bands, and the y at which they are compared."""
    import altair as alt
    import pandas as pd

    chart = curve_chart(dict(zip(found.names, found.curves, strict=True)))
    values = np.concatenate([curve.points()[1] for curve in found.curves])
    logarithmic = bool(values.min() > 0 and values.max() / values.min() >= LOG_RATIO)
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False)
    y = alt.Y("y:Q", title=axis_title(found.curves[0].y_name), scale=scale, axis=quiet_axis(alt, grid=True))
    rule = alt.Chart(pd.DataFrame({"y": [found.y]})).mark_rule(color=GREY, strokeDash=[3, 3]).encode(y=y)
    return alt.LayerChart(layer=[*chart.layer, rule], width=WIDTH, height=HEIGHT, view=alt.ViewBackground(stroke=None))


def suggestion_chart(found: SuggestedRuns) -> alt.LayerChart:
    """How much one run at each candidate would narrow the interval; those chosen are dark."""
    import altair as alt

    table = found.table.copy()
    inputs = list(table.columns[: list(table.columns).index("cost_gpu_hours")])
    table["run"] = [", ".join(f"{name} {row[name]:,.6g}" for name in inputs) for row in table.to_dict("records")]
    chosen = {tuple(row) for row in found.chosen[inputs].itertuples(index=False, name=None)}
    table["chosen"] = [tuple(row) in chosen for row in table[inputs].itertuples(index=False, name=None)]
    x = alt.X("reduction:Q", title="share of the interval's half-width that one run takes away", axis=quiet_axis(alt, grid=True, format="%"))
    y = alt.Y("run:N", sort=list(table["run"]), title=None, axis=quiet_axis(alt, grid=False, ticks=False, domain=False, labelLimit=320))
    colour = alt.condition("datum.chosen", alt.value(DARK_TO_LIGHT[0]), alt.value(DARK_TO_LIGHT[3]))
    tips = [alt.Tooltip("run:N", title=" "), *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in ("reduction", "cost_gpu_hours"))]
    bars = alt.Chart(table).mark_bar(height=14).encode(x=x, y=y, color=colour, tooltip=tips)
    return alt.LayerChart(layer=[bars], width=360, height=26 * max(len(table), 1), view=alt.ViewBackground(stroke=None))


def split_chart(found: BestSplit) -> alt.LayerChart:
    """How much worse y gets as one input moves from its best value along the budget."""
    import altair as alt

    table = found.table.dropna(subset=["worse_by"])
    x = alt.X("factor:Q", title="times the best value", scale=alt.Scale(type="log"), axis=quiet_axis(alt, grid=False, tickCount=5))
    y = alt.Y("worse_by:Q", title="worse than the best by", axis=quiet_axis(alt, grid=True))
    colour = alt.Color("moved:N", title="input", scale=alt.Scale(range=[DARK_TO_LIGHT[0], DARK_TO_LIGHT[2], DARK_TO_LIGHT[3], DARK_TO_LIGHT[4]]))
    tips = [alt.Tooltip("moved:N"), *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("factor", "worse_by", "low", "high"))]
    lines = alt.Chart(table).mark_line(point=True).encode(x=x, y=y, color=colour, tooltip=tips)
    return alt.LayerChart(layer=[lines], width=WIDTH, height=HEIGHT, view=alt.ViewBackground(stroke=None))


def exponent_chart(found: ComputeOptimalExponent) -> alt.LayerChart:
    """The exponent with its interval."""
    import pandas as pd

    low, high = found.interval or (np.nan, np.nan)
    rows = pd.DataFrame({"label": ["exponent of the model size"], "estimate": [found.exponent], "low": [low], "high": [high]})
    return forest_chart(rows, x_title="exponent of compute")


CHARTS = {
    "diminishing_returns": returns_chart,
    "exchange_rate": pair_chart,
    "speed_up": pair_chart,
    "suggested_runs": suggestion_chart,
    "best_split": split_chart,
    "compute_optimal_exponent": exponent_chart,
}


def decision_table(decision: Decision) -> pd.DataFrame:
    """The numbers of a decision: its own table where it has one, else a row a number."""
    import pandas as pd

    table = getattr(decision, "table", None)
    if isinstance(table, pd.DataFrame):
        return table
    rows = []
    for name, value in vars(decision).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.append((name.replace("_", " "), f"{value:.4g}"))
        elif isinstance(value, tuple) and len(value) == 2 and all(isinstance(end, float) for end in value):
            rows.append((name.replace("_", " "), f"{value[0]:.4g} to {value[1]:.4g}"))
        elif isinstance(value, str) and value:
            rows.append((name.replace("_", " "), value))
    return pd.DataFrame(rows, columns=["what", "value"])
