"""Which two levels of an axis are compared, and from how many pairs of runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.factorial.axes import Axis
from analysis.factorial.contrast import ROUNDING, EffectEstimate, Points, estimate, sum_of_cells
from analysis.factorial.lengths import how_far
from analysis.factorial.wording import CHOSEN, THROUGH_LEVELS, THROUGH_SEEDS, among_level, named_level
from analysis.runs.matching import INTERMEDIATE


def ends_of(axis: Axis, points: Points, code: NDArray[np.int64], level: float) -> tuple[int, int, EffectEstimate]:
    """The two levels to compare, by number, and the effect of the second against the first.

    Of an ordered axis they are the lowest and the highest, or where no pair of runs has both the two
    farthest apart that a pair has.
    """
    count = len(axis.levels)
    there = _in_pairs(axis, points, code)
    if axis.ordered:
        low, high = 0, count - 1
        if (low, high) not in there and there:
            low, high = max(there, key=lambda one: (how_far(axis.sizes, one), len(_keys_of_both(points, code, *one))))
        return low, high, between(points, code, low, high, count, level)
    pairs = there or list(combinations(range(count), 2))
    strict = 1.0 - (1.0 - level) / len(pairs)
    tried = [(low, high, between(points, code, low, high, count, strict)) for low, high in pairs]
    known = [one for one in tried if np.isfinite(one[2].value)]
    if not known:
        return 0, count - 1, tried[0][2]
    low, high, found = max(known, key=lambda one: abs(one[2].value))
    if found.value < 0:  # say it as a gain of the better level
        low, high, found = high, low, between(points, code, high, low, count, strict)
    chosen = f"the two of its {count} {CHOSEN}" if len(pairs) > 1 else ""
    return low, high, replace(found, p=min(1.0, found.p * len(pairs)), note="; ".join(part for part in (found.note, chosen) if part))


def pairs_compared(axis: Axis, points: Points, code: NDArray[np.int64]) -> int:
    """Among how many pairs of levels the two that are compared are chosen by their scores: those that
    runs have, of an axis without an order; else 1.
    """
    return 1 if axis.ordered else len(_in_pairs(axis, points, code)) or len(axis.levels) * (len(axis.levels) - 1) // 2


def _in_pairs(axis: Axis, points: Points, code: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The pairs of levels that a pair of runs has."""
    return [one for one in combinations(range(len(axis.levels)), 2) if len(_keys_of_both(points, code, *one))]


def between(points: Points, code: NDArray[np.int64], low: int, high: int, count: int, level: float) -> EffectEstimate:
    """The effect of one level against another, by all runs that can speak to it."""
    others = [one for one in range(count) if one != low]
    design = (code[:, None] == np.array(others)[None, :]).astype(float)
    return estimate(points, design, others.index(high), level=level)


def over_cells(axis: Axis, points: Points, code: NDArray[np.int64], cell: NDArray[np.int64], found: EffectEstimate, level: float) -> EffectEstimate:
    """The effect of a treatment against none as the mean over its cells, as claims take it, where some
    blocks have more cells of it than others; else what was found.
    """
    if axis.levels[0] != "none" or points.variance is not None or len(np.unique(points.seed)) < 2:
        return found
    weights: dict[int, float] = {}
    blocks = np.intersect1d(points.block[code == 0], points.block[code == 1])
    treated = [np.unique(cell[(points.block == one) & (code == 1)]) for one in blocks]
    count = sum(map(len, treated))
    if len({len(one) for one in treated}) < 2:
        return found
    for block, cells in zip(blocks, treated, strict=True):
        none = np.unique(cell[(points.block == block) & (code == 0)])
        weights |= dict.fromkeys(map(int, cells), 1.0 / count)
        weights |= dict.fromkeys(map(int, none), -len(cells) / count / len(none))
    mean, _ = sum_of_cells(points.y, cell, points.seed, points.unit, weights, level=level)
    return replace(mean, note=points.conditional or mean.note) if np.isfinite(mean.se) else found


def how_compared(axis: Axis, points: Points, code: NDArray[np.int64], low: int, high: int, where: str) -> str:
    """How two levels are compared where not the lowest and the highest by pairs of runs that are equal
    in all else and of one seed; else ''.
    """
    if len(_keys_of_both(points, code, low, high)):
        if not axis.ordered or (low, high) == (0, len(axis.levels) - 1):
            return ""
        ends = f"{named_level(axis.levels[0])} and {named_level(axis.levels[-1])}"
        return f"no pair of runs has both {ends}, so the two farthest apart that one has are compared{f', {where}' if where else ''}"
    if len(np.intersect1d(points.block[code == low], points.block[code == high])):
        return THROUGH_SEEDS
    return THROUGH_LEVELS


def where_of(axis: Axis, axes: list[Axis], table: pd.DataFrame, points: Points, code: NDArray[np.int64], low: int, high: int) -> str:
    """At which settings of other axes an axis is compared whose ends no pair of runs has: 'at 40
    labels'. '' where its ends are compared.
    """
    keys = _keys_of_both(points, code, low, high)
    if not axis.ordered or (low, high) == (0, len(axis.levels) - 1) or not len(keys):
        return ""
    used = np.isin(points.block, keys[:, 0])
    words = []
    names = dict(axis.held) | {other.column: other.name for other in axes}
    for column in sorted(names, key=lambda one: one == "intermediate"):
        if column not in axis.blocks or table[column].nunique(dropna=False) < 2 or column in INTERMEDIATE[1:]:
            continue
        values = table.loc[used, column]
        if values.nunique(dropna=False) == 1 and values.notna().all():
            words.append(among_level(column, names[column], values.iloc[0]))
    return ", ".join(words)


def _keys(points: Points) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Combinations of block, unit and seed, shape (keys, 3), and the one of each row, shape (n,)."""
    places, place = np.unique(np.column_stack([points.block, points.unit, points.seed]), axis=0, return_inverse=True)
    return places, np.asarray(place, dtype=np.int64)


def _keys_of_both(points: Points, code: NDArray[np.int64], low: int, high: int) -> NDArray[Any]:
    places, place = _keys(points)
    found: NDArray[Any] = places[np.intersect1d(place[code == low], place[code == high])]
    return found


def differences(points: Points, code: NDArray[np.int64], low: int, high: int) -> pd.DataFrame:
    """Mean difference of each block (rows) in each independent group (columns)."""
    places, place = _keys(points)
    both = np.intersect1d(place[code == low], place[code == high])
    if not len(both):
        return pd.DataFrame()
    before, after = (
        (np.bincount(place[code == one], weights=points.y[code == one], minlength=len(places)))[both]
        / np.bincount(place[code == one], minlength=len(places))[both]
        for one in (low, high)
    )
    paired = pd.DataFrame({"block": places[both, 0], "unit": places[both, 1], "difference": after - before})
    return paired.groupby(["block", "unit"])["difference"].mean().unstack("unit")


def counted(points: Points, code: NDArray[np.int64], cell: NDArray[np.int64], low: int, high: int) -> tuple[Any, Any, Any, Any]:
    """Pairs of runs, the cells that they are of, and in how many of these the mean difference is above
    zero and below it; empty where no pair of runs differs in the axis alone.

    A run without the treatment stands in a pair with each of its kinds: of the two levels the one
    with more cells says how many there are.
    """
    _, place = _keys(points)
    both = np.intersect1d(place[code == low], place[code == high])
    if not len(both):
        return pd.NA, pd.NA, pd.NA, pd.NA
    rows = pd.DataFrame({"key": place, "side": code, "cell": cell, "y": points.y})
    rows = rows[np.isin(place, both) & np.isin(code, [low, high])]
    sides = {one: rows[rows["side"] == one] for one in (low, high)}
    more = high if sides[high]["cell"].nunique() >= sides[low]["cell"].nunique() else low
    other = low if more == high else high
    pairs = sides[more].groupby(["cell", "key"])["y"].mean().reset_index()
    pairs["change"] = (pairs["y"] - pairs["key"].map(sides[other].groupby("key")["y"].mean())) * (1.0 if more == high else -1.0)
    cells = pairs.groupby("cell")["change"].mean()
    tie = ROUNDING * float(np.abs(points.y).max())
    return len(pairs), len(cells), int((cells > tie).sum()), int((cells < -tie).sum())
