"""Interactions of every two axes, and the effect of an axis at each level of another it interacts
with.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.factorial.axes import PRETRAINING, Axis
from analysis.factorial.contrast import Points, estimate, points_of
from analysis.factorial.ends import between
from analysis.factorial.kinds import OBJECTIVE
from analysis.factorial.lengths import LENGTH_KIND
from analysis.factorial.wording import ALPHA, among_level
from analysis.runs.matching import INTERMEDIATE, PRETRAIN
from analysis.significance.multiplicity import adjust

Array = NDArray[np.float64]
Compared = tuple[Axis, tuple[int, int]]
"""An axis, and the numbers of the two levels that its effect compares."""
CROSSED: Final = (
    *("axis", "kind", "by", "by_kind", "name", "by_name", "by_low", "by_high"),
    *("effect_at_low", "at_low_low", "at_low_high", "effect_at_high", "at_high_low", "at_high_high"),
    *("difference", "low", "high", "p", "n_pairs", "note"),
)
BY_LEVEL: Final = ("axis", "kind", "by", "by_name", "level", "where", "effect", "low", "high", "p_holm")


def interactions_of(compared: Sequence[Compared], table: pd.DataFrame, y: Array, variance: Array | None, level: float) -> pd.DataFrame:
    """How the effect of one axis changes between the ends of another, for every pair of axes.

    Both effects and their difference are of the same runs: of each seed those that are there at both
    levels of both axes with all else equal.
    """
    rows = []
    for (first, ends), (second, by_ends) in combinations(compared, 2):
        if PRETRAINING in (first.column, second.column) and {first.column, second.column} & set(PRETRAIN):
            continue  # the axes of a pre-training do not exist without one
        tied = first.column not in second.blocks or second.column not in first.blocks  # one follows from the other
        if first.column == second.column or (tied and PRETRAINING not in (first.column, second.column)):
            continue
        applies = np.flatnonzero(np.isin(first.code, ends) & np.isin(second.code, by_ends))
        if not len(applies):
            continue
        blocks = [name for name in first.blocks if name in second.blocks and name not in (first.column, second.column)]
        blocks += [name for name in LENGTH_KIND.values() if (name in first.blocks) != (name in second.blocks)]
        a, b = (first.code[applies] == ends[1]).astype(float), (second.code[applies] == by_ends[1]).astype(float)
        whole = points_of(table.iloc[applies], y[applies], blocks, None if variance is None else variance[applies])
        keep, n_pairs = _at_all_four(whole, a, b)
        if not n_pairs:
            continue
        points, a, b = _part(whole, keep), a[keep], b[keep]
        found = estimate(points, np.column_stack([a * b, a, b]), 0, level=level)
        at = [estimate(points, np.column_stack([a * (1.0 - b), a * b, b]), side, level=level) for side in (0, 1)]
        if not np.isfinite(found.value + at[0].value + at[1].value):
            continue
        rows.append(
            {
                "axis": first.column,
                "kind": first.kind,
                "by": second.column,
                "by_kind": second.kind,
                "name": first.name,
                "by_name": second.name,
                "by_low": second.levels[by_ends[0]],
                "by_high": second.levels[by_ends[1]],
                "effect_at_low": at[0].value,
                "at_low_low": at[0].low,
                "at_low_high": at[0].high,
                "effect_at_high": at[1].value,
                "at_high_low": at[1].low,
                "at_high_high": at[1].high,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "n_pairs": n_pairs,
                "note": found.note,
            }
        )
    found_all = pd.DataFrame(rows, columns=list(CROSSED))
    found_all.insert(CROSSED.index("p") + 1, "p_holm", adjust(found_all["p"].to_numpy(dtype=float), method="holm"))
    return found_all.sort_values("p", kind="stable", na_position="last").reset_index(drop=True)


def _at_all_four(points: Points, a: Array, b: Array) -> tuple[NDArray[np.bool_], int]:
    """Rows of the blocks and seeds that have runs at both levels of both axes, shape (n,), and how
    many pairs there are at each of the two ends.
    """
    place = np.unique(np.column_stack([points.block, points.seed]), axis=0, return_inverse=True)[1]
    corner = (2.0 * a + b).astype(np.int64)
    there = np.zeros((int(place.max()) + 1, 4), dtype=np.int64)
    np.add.at(there, (place, corner), 1)
    whole = np.asarray((there > 0).all(axis=1), dtype=bool)
    return whole[place], int(there[whole].max(axis=1).sum())


def by_level(
    compared: Sequence[Compared],
    axes: Sequence[Axis],
    effects: pd.DataFrame,
    interactions: pd.DataFrame,
    table: pd.DataFrame,
    y: Array,
    variance: Array | None,
    level: float,
) -> pd.DataFrame:
    """The effect of an axis at each level of another, where the two interact at 5% after Holm.

    The effect of pre-training differs between lengths (sizes, recipes) of pre-training where these
    have a main effect.
    """
    named = {(axis.column, axis.kind): (axis, ends) for axis, ends in compared}
    whole = {axis.column: axis for axis in axes}
    rows = [row for _, row in interactions.iterrows() if row["p_holm"] < ALPHA]
    pairs = [((row["axis"], row["kind"]), row["by"], row["p_holm"]) for row in rows]
    pairs += [((row["by"], row["by_kind"]), row["axis"], row["p_holm"]) for row in rows]
    own = effects[effects["axis"].isin([name for name in PRETRAIN if name != OBJECTIVE]) & (effects["p_holm"] < ALPHA)]
    pairs += [(key, row["axis"], row["p_holm"]) for _, row in own.iterrows() for key in named if key[0] == PRETRAINING]
    made: list[dict[str, Any]] = []
    for number, (key, by, p) in enumerate(pairs):
        if (key, by) in [(other, one) for other, one, _ in pairs[:number]]:
            continue  # two kinds of a stage, of which the level of either tells all
        axis, ends = named[key]
        other = whole[by]
        at_each = []
        for place in range(len(other.levels)):
            at = (other.code == place) & (axis.code >= 0)
            if axis.column == PRETRAINING and by in PRETRAIN:
                at |= axis.code == 0
            at_each.append(at & axis.asked if by != "intermediate" else at)
        blocks = [one for one in axis.blocks if one != by]
        alike = _alike(table, axis, other, ends, at_each)
        where = _left(table, [one for one in axes if one.column in axis.blocks and one is not other], at_each, alike)
        if settings := _own(axis, other):
            treated = [[rows & (axis.code == ends[1]) for rows in every] for every in (at_each, alike)]
            where = ", ".join(part for part in (_left(table, [one for one in axes if one.column in settings], *treated), where) if part)
        of_pair: list[dict[str, Any]] = []
        for name, at in zip(other.levels, alike, strict=True):
            inside = np.flatnonzero(at)
            if not len(inside):
                continue
            points = points_of(table.iloc[inside], y[inside], blocks, None if variance is None else variance[inside])
            found = between(points, axis.code[inside], *ends, len(axis.levels), level)
            if np.isfinite(found.value):
                estimated = {"effect": found.value, "low": found.low, "high": found.high, "p_holm": p}
                of_pair.append({"axis": axis.column, "kind": axis.kind, "by": by, "by_name": other.name, "level": name, "where": where} | estimated)
        made += of_pair if len(of_pair) > 1 else []  # one level alone differs from none: the recipe of one objective
    return pd.DataFrame(made, columns=list(BY_LEVEL))


def _alike(table: pd.DataFrame, axis: Axis, other: Axis, ends: tuple[int, int], at_each: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """The rows at each level of another axis without those whose settings the other levels lack, so
    that the levels differ in nothing else: where no setting is there at all of them, those that are
    at the first and at the last. Of a treatment its own settings are among them.
    """
    settings = [name for name in axis.blocks if name in other.blocks and name not in (axis.column, other.column)]
    settings += [name for name in LENGTH_KIND.values() if name in table.columns and (name in axis.blocks) != (name in other.blocks)]
    own, none, treated = _own(axis, other), axis.code == ends[0], axis.code == ends[1]
    kind, kind_and_own = _numbered(table, settings), _numbered(table, [*settings, *own])
    there = [set(kind_and_own[at & treated & np.isin(kind, kind[at & none])]) for at in at_each]
    known = [one for one in there if one]
    if not known:
        return at_each
    shared = set.intersection(*known) or known[0] & known[-1]
    if not shared:
        return [at & False for at in at_each] if own else at_each  # unlike treatments tell nothing by level
    left = treated & np.isin(kind_and_own, list(shared))
    return [at & (left | (~treated & np.isin(kind, kind[left]))) for at in at_each]


def _own(axis: Axis, other: Axis) -> list[str]:
    """The settings that a pre-training has beside the one that its effect is told by."""
    by_its_setting = axis.column == PRETRAINING and other.column in PRETRAIN
    return [name for name in PRETRAIN if name in other.blocks and name != other.column] if by_its_setting else []


def _numbered(table: pd.DataFrame, settings: Sequence[str]) -> NDArray[np.int64]:
    """The combination of settings of each row, by number."""
    if not settings:
        return np.zeros(len(table), dtype=np.int64)
    return np.asarray(table.groupby(list(settings), dropna=False, sort=False).ngroup(), dtype=np.int64)


def _left(table: pd.DataFrame, axes: Sequence[Axis], before: list[NDArray[np.bool_]], after: list[NDArray[np.bool_]]) -> str:
    """The settings of other axes that are left of several: 'at 100 fine-tuning steps'."""
    words = []
    for axis in sorted(axes, key=lambda one: one.column == "intermediate"):
        if axis.column in INTERMEDIATE[1:]:
            continue  # told by the kind of stage
        all_rows, left = (table.loc[np.any(rows, axis=0), axis.column].dropna().unique() for rows in (before, after))
        if len(left) == 1 < len(all_rows):
            words.append(among_level(axis.column, axis.name, left[0]))
    return ", ".join(words)


def _part(points: Points, keep: NDArray[np.bool_]) -> Points:
    variance = None if points.variance is None else points.variance[keep]
    return Points(
        y=points.y[keep], block=points.block[keep], seed=points.seed[keep], unit=points.unit[keep], variance=variance, conditional=points.conditional
    )
