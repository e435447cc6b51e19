"""An Altair theme for your own charts: after `reports.altair_theme.enable()` they look like the
report's.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from reports.theme import CHART_HEIGHT, CONFIG, PALETTE, SHAPES

NAME = "scaling-law-laboratory"


# Typed loosely: Altair types each key of a configuration by itself, and ours is one dictionary of
# them.
@alt.theme.register(NAME, enable=False)
def house_theme() -> Any:
    """The style of the report's figures: its colours and shapes in their order, quiet axes, no
    background.
    """
    config: dict[str, Any] = {
        **CONFIG,
        "range": {"category": list(PALETTE), "symbol": list(SHAPES)},
        "view": {**CONFIG["view"], "continuousHeight": CHART_HEIGHT, "continuousWidth": 480},
    }
    return {"config": config}


def enable() -> None:
    """Use the house style for all charts from now on; `alt.theme.enable("default")` undoes it."""
    alt.theme.enable(NAME)
