"""The law of each group of a table, or the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import AnalysisError, LawChoice, choose_law
from reports.table.question import GROUP, TableQuestion, X, Y

LEVEL = 0.95
CURVE_POINTS = 80
BEYOND = 2.0
"""How far beyond the largest size a law is drawn, as a factor."""
FLAT = "last_value"
"""The law of a group that no other forecasts better."""
FEWEST_SEEDS = 3
"""Fewer do not tell what the rows of one seed share."""


@dataclass(frozen=True, kw_only=True)
class GroupLaws:
    """The laws of a table."""

    found: dict[str, LawChoice]
    """By group."""
    reasons: dict[str, str]
    """Why a group has none."""
    curves: pd.DataFrame
    """group, x, mean, low, high, extrapolated: the laws with their bands, ready to draw."""
    seeds: int = 0
    """The fewest seeds of a group with a law whose rows are taken as independent, where they are too
    few for the rows of one seed to count as one; else 0.
    """


def laws_of(question: TableQuestion) -> GroupLaws:
    """Choose the law of each group by how well it extrapolates, with bands at 95%. Rows of one seed
    count as one cluster, where there are three seeds or more.
    """
    points = question.points()
    found: dict[str, LawChoice] = {}
    reasons: dict[str, str] = {}
    few = 0
    curves = [pd.DataFrame({"group": pd.Series(dtype=str), **{name: pd.Series(dtype=float) for name in (X, "mean", "low", "high")}})]
    for group in question.groups():
        part = points.loc[points[GROUP] == group]
        seeds = int(part["seed"].nunique()) if "seed" in part.columns else 0
        cluster = part["seed"].to_numpy() if seeds >= FEWEST_SEEDS else None
        try:
            law = choose_law(part[X].to_numpy(), part[Y].to_numpy(), cluster=cluster, level=LEVEL)
            low, high = float(part[X].min()), float(part[X].max())
            x = np.unique(np.concatenate([np.geomspace(low, high, CURVE_POINTS), np.geomspace(high, high * BEYOND, CURVE_POINTS // 4)]))
            predicted = law.predict(x)
        except AnalysisError as error:
            reasons[group] = str(error)
            continue
        found[group] = law
        few = few or (seeds if 1 < seeds < FEWEST_SEEDS else 0)
        curves.append(
            pd.DataFrame({"group": group, X: x, "mean": predicted.mean, "low": predicted.low, "high": predicted.high, "extrapolated": x > high})
        )
    return GroupLaws(found=found, reasons=reasons, curves=pd.concat([one for one in curves if len(one)] or curves, ignore_index=True), seeds=few)
