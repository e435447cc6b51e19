"""Independent groups of runs: runs that share a pre-training, a trunk, an intermediate stage or a
seed are dependent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.runs.table import of_table

# A trunk may be the pre-training of its longest branch, so both columns hold the same kind of id.
SHARED: tuple[tuple[str, ...], ...] = (("pretrain_id", "trunk_id"), ("intermediate_id",), ("seed",))


@of_table
def independent_groups(runs: pd.DataFrame) -> pd.Series:
    """Integer label of each run's independent group, from 0 in order of appearance; same index as
    `runs`, shape (n,).

    Groups are the connected components of sharing: pretrain_id, trunk_id, intermediate_id, or the
    seed (one seed draws one label subset and one initialisation). A missing id connects nothing;
    without a column `seed` each run is its own seed.
    """
    links = [
        pd.concat([runs[name].astype("object") for name in names if name in runs.columns], ignore_index=True).to_numpy()
        for names in SHARED
        if any(name in runs.columns for name in names)
    ]
    return pd.Series(connected(len(runs), links), index=runs.index, name="group", dtype="int64")


def groups_of_seeds(runs: pd.DataFrame) -> pd.Series:
    """Independent group of each seed, from 0, indexed by seed.

    Seeds whose runs share a pre-training, a trunk or an intermediate stage are one group.

    `runs` must have a column seed. With one pre-training for each seed every seed is a group of its
    own; with fewer pre-trainings than seeds, as `seeds: {pretrain: 2, finetune: 6}` makes them,
    there are no more groups than pre-trainings.
    """
    labels = independent_groups(runs)
    return pd.Series(labels.to_numpy(), index=runs["seed"].to_numpy(), name="group").groupby(level=0, sort=True).first()


def connected(n: int, links: Sequence[NDArray[np.object_]]) -> NDArray[np.int64]:
    """Component of each of n items, labelled from 0 in order of appearance, shape (n,).

    Each link, shape (k n,), gives k values for every item (the items in order, k times over); items
    that share a value of one link are joined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    items: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    nodes: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    offset = n
    for link in links:
        codes = pd.factorize(link)[0]  # -1 where missing
        there = np.flatnonzero(codes >= 0)
        items.append(there % n if n else there)
        nodes.append(codes[there] + offset)
        offset += int(codes.max(initial=-1)) + 1
    rows, columns = np.concatenate(items), np.concatenate(nodes)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(offset, offset))
    labels = connected_components(graph, directed=False)[1][:n]
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)
