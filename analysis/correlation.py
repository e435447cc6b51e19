"""Does a cheap number predict an expensive one: Pearson and Spearman, pooled and within levels, clustered on the
pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.correlation_intervals import Array, pearson, pearson_interval, spearman, spearman_interval
from analysis.effects import OUTCOME_NAMES
from analysis.errors import AnalysisError
from analysis.groups import connected
from analysis.points import checked_level
from analysis.table import numeric_column, require_columns
from analysis.wording import level_of, percent

WHERE = "the runs table"
FEWEST_RUNS = 3
FEWEST_CLUSTERS = {"pearson": 5, "spearman": 8}  # below, the intervals were measured to cover too little
RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Correlations of two columns of the runs table. Make one with `analysis.correlate`."""

    x: str
    """First column."""
    y: str
    """Second column."""
    within: tuple[str, ...]
    """Columns inside whose level combinations it was also computed."""
    level: float
    """Nominal coverage of the intervals."""
    table: pd.DataFrame
    """Two rows (method 'pearson' and 'spearman') for each group; the first group is 'all'. Columns: group, the
    columns of `within` (missing for 'all'), method, r, low, high (NaN where there is no interval), n (runs),
    pretrainings (distinct), clusters (of pre-trainings that share no trunk: the units that are left out or redrawn), note."""
    points: pd.DataFrame
    """The runs it was computed from: x, y, the columns of `within`, cluster (a label)."""
    n_without_x: int
    """Runs left out because x is missing, as for a run trained from scratch."""
    n_without_y: int
    """Runs left out because y is missing though x is not."""
    signs_differ: bool
    """Whether any level's Pearson correlation has the other sign than the pooled one (Simpson's paradox)."""
    sentence: str
    """The pooled Pearson correlation in words, with a warning where signs differ."""


def correlate(
    runs: pd.DataFrame,
    *,
    x: str = "val_mim_loss",
    y: str = "miou",
    within: str | Sequence[str] = ("finetune_images",),
    cluster: str = "pretrain_id",
    level: float = 0.95,
    seed: int = 0,
) -> Correlation:
    """Pearson and Spearman correlation of two columns over runs, pooled and within each level combination of
    `within`.

    Runs of one pre-training share their x, so intervals leave out or redraw whole pre-trainings (column `cluster`), joined where they
    share a trunk: a jackknife of Fisher's z for Pearson, a bootstrap of 4,000 resamples drawn by `seed` for Spearman. Fewer than five
    such clusters (eight for Spearman) give no interval. Runs without x, such as those trained from scratch, are left out and counted.
    Raises AnalysisError for a missing column, text where numbers belong, or fewer than three runs with both numbers.
    """
    within = (within,) if isinstance(within, str) else tuple(within)
    checked_level(level)
    require_columns(runs, [x, y, *within], where=WHERE)
    first, second = (numeric_column(runs, name, where=WHERE) for name in (x, y))
    there = (np.isfinite(first) & np.isfinite(second)).to_numpy()
    if int(there.sum()) < FEWEST_RUNS:
        raise AnalysisError(
            f"{int(there.sum())} runs have both '{x}' and '{y}': a correlation needs at least {FEWEST_RUNS}; finish more runs, or name other columns."
        )
    kept = runs[there].reset_index(drop=True)
    labels, ids = _clusters(kept, cluster)
    points = kept[list(within)].assign(**{x: first[there].to_numpy(), y: second[there].to_numpy(), "cluster": labels})
    cells: list[tuple[str, tuple[object, ...], np.ndarray]] = [("all", (None,) * len(within), np.arange(len(kept)))]
    if within:
        for key, cell in points.groupby(list(within), dropna=False, sort=True):
            name = ", ".join(f"{column} = {level_of(value)}" for column, value in zip(within, key, strict=True))
            cells.append((name, key, cell.index.to_numpy()))
    rows = []
    for name, key, rows_in in cells:
        arrays = points[x].to_numpy()[rows_in], points[y].to_numpy()[rows_in]
        joined = pd.factorize(labels[rows_in])[0].astype(np.int64)
        pretrainings = len(pd.unique(ids[rows_in]))
        for method in ("pearson", "spearman"):
            r, low, high, note = _estimate(method, *arrays, joined, pretrainings, level, seed)
            rows.append((name, *key, method, r, low, high, len(rows_in), pretrainings, int(joined.max()) + 1, note))
    columns = ["group", *within, "method", "r", "low", "high", "n", "pretrainings", "clusters", "note"]
    table = pd.DataFrame(rows, columns=columns)
    opposite = _opposite(table)
    return Correlation(
        x=x,
        y=y,
        within=within,
        level=level,
        table=table,
        points=points,
        n_without_x=int((~np.isfinite(first)).sum()),
        n_without_y=int((np.isfinite(first) & ~np.isfinite(second)).sum()),
        signs_differ=bool(opposite),
        sentence=_sentence(table.iloc[0], x, y, level, opposite, cluster if cluster in runs.columns else None),
    )


def _clusters(runs: pd.DataFrame, cluster: str) -> tuple[np.ndarray, np.ndarray]:
    """Cluster label of each run (joined by trunk), and the id of its pre-training; a run without an id stands alone."""
    if cluster not in runs.columns:
        return np.arange(len(runs)), np.arange(len(runs)).astype(object)
    names = [cluster, *(["trunk_id"] if cluster == "pretrain_id" and "trunk_id" in runs.columns else [])]
    labels = connected(len(runs), [np.concatenate([runs[name].astype("object").to_numpy() for name in names])])
    alone = [f"row {position}" for position in range(len(runs))]
    ids = [own if pd.isna(value) else value for value, own in zip(runs[cluster].tolist(), alone, strict=True)]
    return labels, np.array(ids, dtype=object)


def _estimate(
    method: str,
    x: Array,
    y: Array,
    cluster: np.ndarray,
    pretrainings: int,
    level: float,
    seed: int,
) -> tuple[float, float, float, str]:
    """r, low, high and the note of one row."""
    nothing = float("nan")
    if len(x) < FEWEST_RUNS:
        return nothing, nothing, nothing, f"fewer than {FEWEST_RUNS} runs"
    r = float({"pearson": pearson, "spearman": spearman}[method](x, y, np.ones((1, len(x))))[0])
    if np.isnan(r):
        return r, nothing, nothing, "one of the two columns is constant here"
    clusters = int(cluster.max()) + 1
    if clusters < FEWEST_CLUSTERS[method]:
        counted = f"{pretrainings} pre-trainings" if pretrainings != 1 else "1 pre-training"
        shared = f" on {clusters} trunks" if clusters < pretrainings else ""
        return r, nothing, nothing, f"{counted}{shared}: an interval needs at least {FEWEST_CLUSTERS[method]} independent ones"
    if method == "pearson":
        low, high = pearson_interval(x, y, cluster, level=level)
    else:
        low, high = spearman_interval(x, y, cluster, level=level, resamples=RESAMPLES, seed=seed)
    return r, low, high, "" if np.isfinite(low) else "too little varies between pre-trainings for an interval"


def _opposite(table: pd.DataFrame) -> list[str]:
    """The levels whose Pearson correlation has another sign than the pooled one, in words."""
    rows = table[table["method"] == "pearson"]
    pooled = float(rows["r"].iloc[0])
    return [
        f"{r:+.2f} within {group}"
        for group, r in zip(rows["group"].iloc[1:], rows["r"].iloc[1:], strict=True)
        if np.isfinite(r) and np.isfinite(pooled) and r * pooled < 0
    ]


def _sentence(pooled: pd.Series, x: str, y: str, level: float, opposite: list[str], cluster: str | None) -> str:
    outcome = OUTCOME_NAMES.get(y, y)
    if not np.isfinite(pooled["r"]):
        return f"The correlation of {x} with {outcome} is undefined: {pooled['note']}."
    if np.isfinite(pooled["low"]):
        how = f"{percent(level)} interval {pooled['low']:+.2f} to {pooled['high']:+.2f}"
    else:
        how = f"no interval: {pooled['note']}"
    counted = f"{pooled['pretrainings']} pre-trainings"
    if cluster is None:
        counted = "each run counted as a pre-training of its own, as no column says which share one"
    elif cluster != "pretrain_id":
        counted = f"{pooled['clusters']} clusters by {cluster}"
    said = f"Over all {pooled['n']} runs {x} and {outcome} correlate with r = {pooled['r']:+.2f} ({how}; {counted})."
    if opposite:
        said += f" The sign turns within levels ({'; '.join(opposite)}), so the pooled number may reflect what differs between levels alone."
    return said
