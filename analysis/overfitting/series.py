"""Series of runs: pre-trainings that differ in their length alone."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SERIES: Final = ("encoder", "pretrain_source", "pretrain_images", "pretrain_recipe", "pretrain_sampling", "pretrain_objective")


def series_columns(runs: pd.DataFrame) -> list[str]:
    """The columns of the table that distinguish settings, without the seed."""
    return [name for name in SERIES if name in runs.columns]


def setting_labels(runs: pd.DataFrame) -> NDArray[np.int64]:
    """Integer label of each run's setting (its series, all seeds joined), from 0, shape (n,).

    Seeds are joined because they share what a straight line or a smooth surface misses at their
    setting.
    """
    return labels_of(runs, series_columns(runs))


def labels_of(runs: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """Integer label of each combination of values, shape (n,); missing is a value of its own."""
    if not columns:
        return np.zeros(len(runs), dtype=np.int64)
    keys = list(zip(*([None if pd.isna(value) else value for value in runs[name].tolist()] for name in columns), strict=True))
    first: dict[tuple[object, ...], int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)


def seeds_are_series(runs: pd.DataFrame, length: str) -> bool:
    """True if each seed has its own pre-training; seeds that share one are one series."""
    if "seed" not in runs.columns:
        return False
    if "pretrain_id" not in runs.columns:
        return True
    cells = runs.groupby([*series_columns(runs), length], dropna=False)
    one_each = cells["pretrain_id"].nunique() == 1
    return bool((cells["seed"].nunique() == 1).all() or not one_each.all())
