"""Chart of a fitted surface: measured against fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.plots.curves import DARK_TO_LIGHT, LOG_RATIO, axis_title, quiet_axis

if TYPE_CHECKING:
    import altair as alt

    from analysis.fitting.surface import SurfaceFit
    from analysis.forecasting.surface_choice import SurfaceChoice

SIDE = 340


def agreement_chart(surface: SurfaceFit | SurfaceChoice) -> alt.LayerChart:
    """Measured y over the surface's y, and the line on which they agree; 340 x 340 pixels."""
    import altair as alt
    import pandas as pd

    X = np.array(surface.x, dtype=float)
    fitted, measured = surface.predict(X).mean, np.asarray(surface.y, dtype=float)
    inputs = surface.input_names
    table = pd.DataFrame({"fitted": fitted, "measured": measured} | dict(zip(inputs, X.T, strict=True)))
    both = np.concatenate([fitted, measured])
    ends = [float(both.min()), float(both.max())]
    logarithmic = ends[0] > 0 and ends[1] / ends[0] >= LOG_RATIO
    scale = alt.Scale(type="log", nice=False, domain=ends) if logarithmic else alt.Scale(zero=False, domain=ends, nice=True)
    name = axis_title(surface.y_name)
    x = alt.X("fitted:Q", title=f"{name}, fitted", scale=scale, axis=quiet_axis(alt, grid=False))
    y = alt.Y("measured:Q", title=f"{name}, measured", scale=scale, axis=quiet_axis(alt, grid=True))
    tips = [alt.Tooltip(f"{one}:Q", format=",.4~g") for one in ("measured", "fitted", *inputs)]
    line = alt.Chart(pd.DataFrame({"fitted": ends, "measured": ends})).mark_line(color="#767c83", strokeWidth=1).encode(x=x, y=y)
    dots = alt.Chart(table).mark_point(filled=True, size=40, opacity=0.75, color=DARK_TO_LIGHT[1]).encode(x=x, y=y, tooltip=tips)
    return alt.LayerChart(layer=[line, dots], width=SIDE, height=SIDE, view=alt.ViewBackground(stroke=None))
