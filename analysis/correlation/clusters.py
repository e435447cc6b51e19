"""Clusters of runs: the runs of one pre-training, or of one series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.correlation.estimates import Array, Labels
from analysis.runs.groups import connected


def cluster_columns(cluster: str | Sequence[str]) -> tuple[str, ...]:
    """The columns whose combinations of values are the clusters."""
    return (cluster,) if isinstance(cluster, str) else tuple(cluster)


def cluster_labels(runs: pd.DataFrame, cluster: str | Sequence[str]) -> tuple[Labels, NDArray[np.object_]]:
    """Cluster label of each run from 0 (joined by trunk), and the id of its pre-training.

    A run without an id is a cluster of its own.
    """
    names = cluster_columns(cluster)
    alone = [f"row {position}" for position in range(len(runs))]
    if any(name not in runs.columns for name in names) or not names:
        return np.arange(len(runs)), np.array(alone, dtype=object)
    if len(names) > 1:
        missing = runs[list(names)].isna().any(axis=1).to_numpy()
        label = runs.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy()
        ids = np.array([own if gone else f"series {value}" for gone, value, own in zip(missing, label, alone, strict=True)], dtype=object)
        return np.asarray(pd.factorize(ids)[0], dtype=np.int64), ids
    columns = [*names, *(["trunk_id"] if names == ("pretrain_id",) and "trunk_id" in runs.columns else [])]
    labels = connected(len(runs), [np.concatenate([runs[name].astype("object").to_numpy() for name in columns])])
    ids = np.array([own if pd.isna(value) else value for value, own in zip(runs[names[0]].tolist(), alone, strict=True)], dtype=object)
    return labels, ids


def value_of_each(x: Array, cluster: Labels) -> Array | None:
    """The x of each cluster, shape (clusters,); None if x varies within one.

    x and the labels, from 0, have shape (n,).
    """
    first = np.empty(int(cluster.max()) + 1)
    first[cluster[::-1]] = x[::-1]
    return first if np.array_equal(first[cluster], x) else None


def constant_inside(values: NDArray[np.object_] | pd.Series, cluster: Labels) -> Labels | None:
    """Code of each cluster's value, shape (clusters,); None if the values vary within one."""
    codes = np.asarray(pd.factorize(np.asarray(values, dtype=object), use_na_sentinel=False)[0], dtype=np.int64)
    first = np.empty(int(cluster.max()) + 1, dtype=np.int64)
    first[cluster[::-1]] = codes[::-1]
    return first if np.array_equal(first[cluster], codes) else None
