"""Bands of the scaling plot: which are drawn, and what the subtitle says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from reports.wording import joined

WIDEST_BAND: Final = 0.8
"""Of the plot's height, beyond which a band says no more than that the runs are too few."""


def without_bands_as_wide_as_the_plot(curves: pd.DataFrame, domain: tuple[float, float]) -> tuple[pd.DataFrame, list[str]]:
    """The curves without the bands that would cover `WIDEST_BAND` of the plot's height on average and
    hide all else, as those of two seeds often do; and the groups that lost theirs.
    """
    if not len(curves):
        return curves, []
    low, high = (curves[name].astype(float).clip(*domain) for name in ("low", "high"))
    inside = ~curves["extrapolated"].astype(bool)
    covered = ((high - low) / (domain[1] - domain[0])).loc[inside].groupby(curves["group"], sort=False).mean()
    hidden = [str(name) for name, share in covered.items() if share > WIDEST_BAND]
    return curves.assign(**{name: curves[name].mask(curves["group"].isin(hidden)) for name in ("low", "high")}), hidden


def band_text(curves: pd.DataFrame, *, laws: bool, means: bool, level: float, hidden: Sequence[str]) -> str:
    """Says what lines and bands are.

    Args:
        curves: the lines, with intervals in low and high; with two seeds none has one.
        laws: whether a law is drawn for some group.
        means: whether means are, where no law can be.
        hidden: the groups whose band is left out.
    """
    bands = bool(curves["low"].notna().any())
    text, otherwise = "", ", or means where none can be told," if means else ""
    if laws and bands:
        text = f" Line and band: power law{otherwise} and {level:.0%} interval, dashed beyond the data."
    elif laws:
        text = f" Line: power law{otherwise or ','} dashed beyond the data. A band takes three seeds or more."
    elif len(curves) and not bands:
        text = " Lines join means."
    elif len(curves):
        text = f" Lines join means; bands: {level:.0%} intervals."
    if hidden:
        text += f" Intervals as wide as the plot are not drawn{'' if list(hidden) == [''] else f': {joined(list(hidden))}'}."
    return text
