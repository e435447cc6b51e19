"""Correlation of two columns, pooled and within groups, with inference clustered on the
pre-training.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from analysis.correlation.clusters import cluster_columns, cluster_labels
from analysis.correlation.covariates import WHERE, complete, covariates_of
from analysis.correlation.estimates import METHODS
from analysis.correlation.result import Correlation, format_sentence, opposite_groups
from analysis.correlation.row import FEWEST_RUNS, Sample, estimate_row
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level, checked_samples
from analysis.formatting import format_setting
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns


@of_table
def correlate(
    runs: pd.DataFrame,
    *,
    x: str = "val_mim_loss",
    y: str | None = None,
    within: str | Sequence[str] = ("finetune_images",),
    given: str | Sequence[str] = (),
    cluster: str | Sequence[str] = "pretrain_id",
    methods: Sequence[str] = METHODS,
    level: float = 0.95,
    seed: int = 0,
) -> Correlation:
    """Correlates two columns over runs: pooled, and within each combination of values of `within`.

    Partial where columns are `given`.

    Runs of one pre-training share their x, so intervals leave out whole pre-trainings (column
    `cluster`, or the combinations of values of several, such as ("encoder", "pretrain_images") for a
    series of lengths), joined where they share a trunk, and p comes from exchanging their losses:
    drawn by `seed` where there are too many ways, and by the jackknife instead where x varies
    inside clusters. Fewer than five such clusters give no interval. A table without the column
    `cluster` counts each run as a cluster. Numbers held fixed enter linearly, in logarithms where
    they are positive and span a decade; text as categories. Runs without x, such as those trained
    from scratch, are left out and counted. Rows come in the order of `methods`, of which 'pearson'
    must be the first. Raises AnalysisError for a missing column, an unknown method, text where
    numbers belong, or fewer than three runs with all numbers.
    """
    within = (within,) if isinstance(within, str) else tuple(within)
    given = (given,) if isinstance(given, str) else tuple(given)
    checked_level(level)
    checked_samples(0, seed)
    y = outcome_of(runs, y)
    if not methods or methods[0] != METHODS[0] or not set(methods) <= set(METHODS):
        raise AnalysisError(f"methods is {tuple(methods)}: give 'pearson' first, then any of {', '.join(METHODS[1:])}.")
    for name in given:
        if name in (x, y):
            raise AnalysisError(f"'{name}' is both correlated and held fixed: name other columns in given=.")
    require_columns(runs, [x, y, *within], where=WHERE)
    first, second = (numeric_column(runs, name, where=WHERE) for name in (x, y))
    both = np.isfinite(first) & np.isfinite(second)
    there = (both & complete(runs, given)).to_numpy() if given else both.to_numpy()
    if int(there.sum()) < FEWEST_RUNS:
        named = " and ".join(f"'{name}'" for name in (x, y, *given))
        has = "both" if not given else "all of"
        raise AnalysisError(
            f"{int(there.sum())} runs have {has} {named}: a correlation needs at least {FEWEST_RUNS}; finish more runs, or name other columns."
        )
    kept = runs[there].reset_index(drop=True)
    names = cluster_columns(cluster)
    labels, ids = cluster_labels(kept, cluster)
    points = kept[list(dict.fromkeys((*within, *given)))].assign(**{x: first[there].to_numpy(), y: second[there].to_numpy(), "cluster": labels})
    groups: list[tuple[str, tuple[object, ...], np.ndarray]] = [("all", (None,) * len(within), np.arange(len(kept)))]
    if within:
        for key, cell in points.groupby(list(within), dropna=False, sort=True):
            label = ", ".join(f"{column} = {format_setting(value)}" for column, value in zip(within, key, strict=True))
            groups.append((label, key, cell.index.to_numpy()))
    seeds = pd.factorize(kept["seed"])[0].astype(np.int64) if "seed" in kept.columns else None

    def sample(rows: np.ndarray, strata: np.ndarray | None = None) -> Sample:
        return Sample(
            x=points[x].to_numpy()[rows],
            y=points[y].to_numpy()[rows],
            cluster=pd.factorize(labels[rows])[0].astype(np.int64),
            ids=ids[rows],
            seed=None if seeds is None else seeds[rows],
            covariates=covariates_of(kept.iloc[rows], given),
            x_name=x,
            unit="pre-training" if names == ("pretrain_id",) else "cluster",
            strata=strata,
            levels=None if strata is None else kept.loc[rows, list(within)].reset_index(drop=True),
        )

    def rows_of(name: str, key: tuple[object, ...], one: Sample) -> list[dict[str, Hashable]]:
        keys: dict[str, Hashable] = {"group": name, **dict(zip(within, key, strict=True))}
        return [keys | {"method": method} | estimate_row(one, method, level=level, seed=seed) for method in methods]

    columns = ["group", *within, "method", "r", "low", "high", "p", "n", "pretrainings", "clusters", "note", "p_note"]
    table = pd.DataFrame([row for name, key, rows in groups for row in rows_of(name, key, sample(rows))], columns=columns)
    inside = pd.DataFrame(columns=columns)
    if within:
        strata = points.groupby(list(within), dropna=False, sort=True).ngroup().to_numpy()
        inside = pd.DataFrame(rows_of("within groups", (None,) * len(within), sample(np.arange(len(kept)), strata)), columns=columns)
    turned, sure = opposite_groups(table)
    covariates = covariates_of(kept, given)
    adjusted = () if covariates is None else covariates.formatted
    by = " x ".join(names) if all(one in runs.columns for one in names) else None
    return Correlation(
        x=x,
        y=y,
        within=within,
        given=given,
        adjusted=adjusted,
        level=level,
        table=table,
        within_groups=inside,
        points=points,
        n_without_x=int((~np.isfinite(first)).sum()),
        n_without_y=int((np.isfinite(first) & ~np.isfinite(second)).sum()),
        n_without_given=int(both.sum() - there.sum()),
        signs_differ=bool(turned),
        signs_differ_beyond_doubt=tuple(sure),
        sentence=format_sentence(table, inside, x=x, outcome=title_of(y, runs), adjusted=adjusted, level=level, cluster=by),
    )
