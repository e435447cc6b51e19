"""What is held equal of the length of a stage where runs differ in its images or its recipe.

Where a length is stated in epochs, more images are also more steps. Two runs are then equal in all
else if they are equal in epochs; where it is stated in steps, if they are equal in steps. A study
that has both must not mix them: a pair of equal epochs differs in its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IMAGES_OF: Final = {"finetune_steps": "finetune_images", "intermediate_steps": "intermediate_images"}
LENGTH_KIND: Final = {"finetune_steps": "finetune_length_kind", "intermediate_steps": "intermediate_length_kind"}
"""Columns that `with_epochs` adds, by the steps that they are made of."""


def with_epochs(table: pd.DataFrame) -> pd.DataFrame:
    """Adds a column for each stage: runs of equal epochs have the same number in it, which are those
    whose steps are in proportion to their images. A last batch that is not full is one step.
    """
    made: dict[str, NDArray[np.int64]] = {}
    for steps, images in IMAGES_OF.items():
        if steps in table.columns and images in table.columns and LENGTH_KIND[steps] not in table.columns:
            made[LENGTH_KIND[steps]] = _kinds(*(np.asarray(pd.to_numeric(table[name], errors="coerce"), dtype=float) for name in (steps, images)))
    return table.assign(**made)


def _kinds(steps: NDArray[np.float64], images: NDArray[np.float64]) -> NDArray[np.int64]:
    found = np.full(len(steps), -1, dtype=np.int64)
    known = np.flatnonzero((steps > 0) & (images > 0))
    order = known[np.argsort(steps[known] / images[known], kind="stable")]
    kind = 0
    for before, place in zip(np.concatenate([order[:1], order[:-1]]), order, strict=True):
        apart = steps[place] / images[place] - steps[before] / images[before]
        kind += int(apart > max(1.0 / images[place], 1.0 / images[before]) * (1.0 - 1e-9))
        found[place] = kind
    return found


def how_far(sizes: Sequence[float] | None, pair: tuple[int, int]) -> float:
    """How far apart two levels of an ordered axis are, by number: their ratio, or for levels without a
    size how many lie between them.
    """
    low, high = pair
    return round(sizes[high] / sizes[low], 9) if sizes is not None else float(high - low)


def held_length(
    table: pd.DataFrame, code: NDArray[np.int64], blocks: Sequence[str], steps: str, sizes: Sequence[float] | None, *, ends_only: bool
) -> list[str]:
    """What else is held equal: the steps, where levels of the axis share runs of equal steps; else the
    epochs; nothing where they share neither.

    Args:
        code: level of each row, shape (rows,); -1 where the axis does not apply.
        blocks: what is held equal already.
        sizes: the levels as numbers; None where they have none.
        ends_only: whether the first level against the last is the one contrast that is meant, or
            where no runs share both the two farthest apart that runs share.
    """
    last = int(code.max())
    compared = list(combinations(range(last + 1), 2))
    freed = _shared(table, code, blocks, compared)
    if ends_only:
        there = [pair for pair, shared in zip(compared, freed, strict=True) if shared]
        far = max((how_far(sizes, pair) for pair in there), default=0.0)
        compared = [(0, last)] if (0, last) in there else [pair for pair in there if how_far(sizes, pair) == far]
    for name in (steps, LENGTH_KIND[steps]):
        if name not in table.columns:
            continue
        held = _shared(table, code, [*blocks, name], compared)
        if any(held) and (ends_only or held == freed):
            return [name]
    return []


def _shared(table: pd.DataFrame, code: NDArray[np.int64], blocks: Sequence[str], compared: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether there are runs of both levels that are equal in the blocks, for each pair of levels."""
    block = np.zeros(len(table), dtype=np.int64)
    if blocks:
        block = np.asarray(table.groupby(list(blocks), dropna=False, sort=False).ngroup(), dtype=np.int64)
    return [bool(len(np.intersect1d(block[code == low], block[code == high]))) for low, high in compared]
