"""Does a loss go with the score at equal settings, or only between the levels of one setting?

A loss that falls with longer training is a clock: over all runs it correlates with anything that
longer training raises. So the correlation that counts compares pre-trainings that are equal in
every setting that varies, with what a seed has in common (its label subset) removed. Beside it
stand the correlations between the levels of each setting, all others equal, and within each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.correlation.clusters import cluster_labels
from analysis.correlation.covariates import WHERE
from analysis.correlation.estimates import Array, Labels
from analysis.correlation.intervals import fisher_z
from analysis.correlation.row import FEWEST_CLUSTERS, FEWEST_RUNS
from analysis.errors import AnalysisError
from analysis.factorial.axes import Axis, axes_of
from analysis.runs.matching import FINETUNE, INTERMEDIATE
from analysis.runs.table import numeric_column, require_columns
from analysis.significance.cluster_resampling import jackknife_sd, left_out
from analysis.significance.multiplicity import adjust
from analysis.student import t_p_value, t_quantile

ALPHA = 0.05
LATER = (*INTERMEDIATE, *FINETUNE)
"""Settings of later stages, between whose levels the loss of a pre-training cannot differ."""
ROWS = ("kind", "axis", "level", "r", "low", "high", "p", "n", "clusters", "note")
ALONE = "no two pre-trainings are equal in all settings that vary, so the loss cannot be compared at equal settings: run more seeds"
NOTHING = float("nan")
VARIES = 1e-12
"""Share of the sum of squares below which what is left is rounding errors."""


@dataclass(frozen=True, kw_only=True)
class EqualSettings:
    """Correlations of loss and score, by what is held equal. Make with `at_equal_settings`."""

    x: str
    """Column of the loss."""
    y: str
    """Column of the score."""
    level: float
    """Nominal coverage of the intervals."""
    axes: tuple[Axis, ...]
    """Every setting that varies among the runs."""
    table: pd.DataFrame
    """Pearson correlations. kind: 'equal' (every setting equal), 'all' (all runs, settings of later
    stages equal), 'between' (between the levels of `axis`, all others equal), 'within' (all runs of
    one `level` of `axis`, settings of later stages equal). Columns: kind, axis, level, r, low, high
    (jackknife over clusters of pre-trainings), p (of zero), n (runs), clusters, note.
    """

    @property
    def equal(self) -> pd.Series:
        """The row of `table` on which the verdict rests: every setting equal."""
        return self.table.iloc[0]

    @property
    def over_all(self) -> pd.Series:
        """The row of `table` for the correlation over all runs."""
        return self.table.iloc[1]

    @property
    def lives_between(self) -> str:
        """Name of the one axis between whose levels alone the correlation over all runs exists.

        That is the only axis whose correlation between levels is significant (Holm, 5%), where the
        one at equal settings is not significant with the same sign. '' if there is none.
        """
        rows = self.table[self.table["kind"] == "between"]
        sure = rows[adjust(rows["p"].to_numpy(dtype=float), method="holm") < ALPHA]
        equal = self.equal
        if len(sure) != 1 or (equal["p"] < ALPHA and equal["r"] * sure["r"].iloc[0] > 0):
            return ""
        return str(sure["axis"].iloc[0])

    @property
    def reversals(self) -> pd.DataFrame:
        """Rows that have, beyond doubt, another sign than all runs (Simpson's paradox)."""
        rows = self.table[self.table["kind"].isin(["equal", "within"])]
        total = self.over_all
        if not total["low"] * total["high"] > 0:
            return rows.iloc[:0]
        turned: pd.DataFrame = rows[(rows["r"] * total["r"] < 0) & (rows["low"] * rows["high"] > 0)]
        return turned


def at_equal_settings(runs: pd.DataFrame, *, x: str, y: str, level: float = 0.95, only_equal: bool = False) -> EqualSettings:
    """Correlates loss and score at equal settings, between settings and within them.

    `only_equal` leaves out what is between single settings and within them.

    Runs of one pre-training, or of several on one trunk, are one cluster. Raises AnalysisError for
    a missing column or fewer than three runs that have both numbers.
    """
    kept, axes = _complete(runs, (x, y))
    cluster = cluster_labels(kept, "pretrain_id")[0]
    seeds = _seeds(kept)
    first, second = kept[x].to_numpy(dtype=float), kept[y].to_numpy(dtype=float)

    def row(kind: str, held: Sequence[Axis], axis: str = "", value: object = "", rows: np.ndarray | None = None) -> tuple[object, ...]:
        there = np.ones(len(kept), dtype=bool) if rows is None else rows
        own = _cells([one for one in held if one.column not in LATER], len(kept))[there]
        found = _estimate(first[there], second[there], _cells(held, len(kept))[there], own, seeds[there], cluster[there], level)
        return (kind, axis, value, *found)

    later = [axis for axis in axes if axis.column in LATER]
    made = [row("equal", axes), row("all", later)]
    varied = [] if only_equal else axes
    for axis in varied:
        if axis.column not in LATER:
            made.append(row("between", [other for other in axes if other is not axis], axis.name))
    for axis in varied:
        for place, value in enumerate(axis.levels):
            made.append(row("within", later, axis.name, value, axis.code == place))
    return EqualSettings(x=x, y=y, level=level, axes=tuple(axes), table=pd.DataFrame(made, columns=list(ROWS)))


@dataclass(frozen=True, kw_only=True)
class EqualSlope:
    """The slope of y over x among runs with equal settings, from `slope_at_equal_settings`."""

    slope: float
    """Unit of y per unit of x; NaN where nothing can be compared."""
    error: float
    """Standard error, from the jackknife over clusters of pre-trainings; NaN without one."""
    degrees: int
    """Degrees of freedom of the error."""
    n: int
    """Runs."""
    clusters: int
    """Independent clusters of pre-trainings."""
    note: str
    """Why there is no slope or no error; else ''."""


def slope_at_equal_settings(runs: pd.DataFrame, *, x: str, y: str) -> EqualSlope:
    """Least-squares slope of y on x among runs that are equal in every setting that varies, with
    what a seed has in common removed.

    Raises AnalysisError as `at_equal_settings` does.
    """
    kept, axes = _complete(runs, (x, y))
    cluster = np.asarray(pd.factorize(cluster_labels(kept, "pretrain_id")[0])[0], dtype=np.int64)
    clusters, seeds, cell = int(cluster.max()) + 1, _seeds(kept), _cells(axes, len(kept))
    arrays = kept[x].to_numpy(dtype=float), kept[y].to_numpy(dtype=float)
    left, there = _products(*arrays, seeds, cell, left_out(cluster))
    if not there[0]:  # where each seed is one pre-training, seeds are what is compared
        seeds = seeds[:, :0]
        left, there = _products(*arrays, seeds, cell, left_out(cluster))
    if not there[0]:
        return EqualSlope(slope=NOTHING, error=NOTHING, degrees=0, n=len(kept), clusters=clusters, note=ALONE)
    slopes = np.where(there, left[:, 0, 1] / np.where(there, left[:, 0, 0], 1.0), NOTHING)
    degrees = _degrees(_cells([one for one in axes if one.column not in LATER], len(kept)), seeds, cluster) - 1
    error, note = NOTHING, ""
    if clusters < FEWEST_CLUSTERS or degrees < 2:
        note = f"{clusters} independent pre-trainings leave too little to compare for an interval"
    else:
        error = float(jackknife_sd(slopes[1:, None], slopes[:1])[0])
        if not error > 0.0:
            error, note = NOTHING, "too little varies between pre-trainings for an interval"
    return EqualSlope(slope=float(slopes[0]), error=error, degrees=degrees, n=len(kept), clusters=clusters, note=note)


def without_seeds(runs: pd.DataFrame, columns: Sequence[str], *, cells: bool = False) -> tuple[pd.DataFrame, list[Axis]]:
    """The runs that have all columns, with what seeds have in common removed from them, and the axes.

    With `cells` the mean of each combination of settings is removed too. Raises AnalysisError as
    `at_equal_settings` does, and where no two pre-trainings are equal in all settings that vary.
    """
    kept, axes = _complete(runs, columns)
    cell, seeds = _cells(axes, len(kept)), _seeds(kept)
    for name in columns:
        values = kept[name].to_numpy(dtype=float)
        both = _freed(np.column_stack([values, seeds]), cell)
        inside, shared = both[:, 0], both[:, 1:]
        if not _varies(inside, values):
            raise AnalysisError(f"{ALONE}.")
        common = seeds @ np.linalg.lstsq(shared, inside, rcond=None)[0] if seeds.shape[1] else np.zeros(len(kept))
        rest = values - common
        if not _varies(_freed(rest[:, None], cell)[:, 0], values):
            rest = values  # one combination of settings: a seed is a pre-training
        kept[name] = _freed(rest[:, None], cell)[:, 0] if cells else rest + values.mean() - rest.mean()
    return kept, axes


def _complete(runs: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, list[Axis]]:
    require_columns(runs, columns, where=WHERE)
    numbers = {name: numeric_column(runs, name, where=WHERE).to_numpy() for name in columns}
    there = np.all([np.isfinite(values) for values in numbers.values()], axis=0)
    if int(there.sum()) < FEWEST_RUNS:
        raise AnalysisError(
            f"{int(there.sum())} runs have all of {', '.join(map(repr, columns))}: a correlation needs at least {FEWEST_RUNS}; finish more runs."
        )
    kept = runs.loc[there].reset_index(drop=True).assign(**{name: values[there] for name, values in numbers.items()})
    return kept, axes_of(kept)


def _cells(axes: Sequence[Axis], n: int) -> Labels:
    """Label from 0 of each combination of levels, shape (n,)."""
    if not axes:
        return np.zeros(n, dtype=np.int64)
    return np.asarray(np.unique(np.column_stack([axis.code for axis in axes]), axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)


def _seeds(kept: pd.DataFrame) -> Array:
    """One column for each seed but the first, shape (n, seeds - 1)."""
    if "seed" not in kept.columns:
        return np.zeros((len(kept), 0))
    codes, names = pd.factorize(kept["seed"])
    return np.eye(len(names))[codes][:, 1:]


def _freed(columns: Array, cell: Labels) -> Array:
    """Columns, shape (n, k), less their means in each cell."""
    order = np.argsort(cell, kind="stable")
    start = np.flatnonzero(np.diff(cell[order], prepend=-1))
    counts = np.diff(np.append(start, len(cell)))
    means = np.add.reduceat(columns[order], start, axis=0) / counts[:, None]
    out = np.empty_like(columns)
    out[order] = columns[order] - np.repeat(means, counts, axis=0)
    return out


def _varies(rest: Array, values: Array) -> bool:
    """Whether anything but rounding errors is left of the values."""
    size = float(np.sum((values - values.mean()) ** 2))
    return bool(np.sum(rest**2) > VARIES * size)


def _products(x: Array, y: Array, seeds: Array, cell: Labels, out: Labels) -> tuple[Array, NDArray[np.bool_]]:
    """Sums of products of x and y once cells and seeds have their means, of all runs and without
    each group, shape (1 + groups, 2, 2); and whether both vary there.

    `out` labels the groups from 0, shape (n,). Sums of products within cells are those of all runs
    less what a group adds to them.
    """
    columns = _freed(np.column_stack([x, y, seeds]), cell)
    size = np.sum((np.column_stack([x, y]) - [x.mean(), y.mean()]) ** 2, axis=0)
    weights = np.vstack([np.ones(len(x)), 1.0 - np.eye(int(out.max()) + 1)[:, out]])
    member = np.eye(int(cell.max()) + 1)[cell]
    counts = np.maximum(weights @ member, 1.0)
    sums = np.stack([weights @ (member * column[:, None]) for column in columns.T], axis=1)  # (groups, columns, cells)
    products = np.einsum("gn,na,nb->gab", weights, columns, columns, optimize=True) - np.einsum("gac,gbc,gc->gab", sums, sums, 1.0 / counts)
    left = products[:, :2, :2]
    if seeds.shape[1]:
        shared = products[:, 2:, :2]
        left = left - np.swapaxes(shared, 1, 2) @ np.linalg.pinv(products[:, 2:, 2:], rcond=1e-10, hermitian=True) @ shared
    return left, (left[:, 0, 0] > VARIES * size[0]) & (left[:, 1, 1] > VARIES * size[1])


def _correlations(x: Array, y: Array, seeds: Array, cell: Labels, out: Labels) -> Array:
    """Pearson correlation of all runs and without each group, shape (1 + groups,).

    NaN where nothing varies; see `_products`.
    """
    left, there = _products(x, y, seeds, cell, out)
    scale = np.sqrt(np.where(there, left[:, 0, 0] * left[:, 1, 1], 1.0))
    return np.where(there, np.clip(left[:, 0, 1] / scale, -1.0, 1.0), NOTHING)


def _estimate(x: Array, y: Array, cell: Labels, own: Labels, seeds: Array, cluster: Labels, level: float) -> tuple[object, ...]:
    """r, low, high, p, n, clusters and note; `own` labels the settings of the pre-training alone."""
    cluster = np.asarray(pd.factorize(cluster)[0], dtype=np.int64)
    clusters = int(cluster.max()) + 1 if len(cluster) else 0
    if len(x) < FEWEST_RUNS:
        return NOTHING, NOTHING, NOTHING, NOTHING, len(x), clusters, f"fewer than {FEWEST_RUNS} runs"
    out = left_out(cluster)
    cell = np.unique(cell, return_inverse=True)[1].ravel()
    replicates = _correlations(x, y, seeds, cell, out)
    if np.isnan(replicates[0]):  # where each seed is one pre-training, seeds are what is compared
        seeds = seeds[:, :0]
        replicates = _correlations(x, y, seeds, cell, out)
    r = float(replicates[0])
    if np.isnan(r):
        return NOTHING, NOTHING, NOTHING, NOTHING, len(x), clusters, ALONE
    degrees = _degrees(own, seeds, cluster) - 1
    if clusters < FEWEST_CLUSTERS or degrees < 2:
        note = f"{clusters} independent pre-trainings leave too little to compare for an interval"
        return r, NOTHING, NOTHING, NOTHING, len(x), clusters, note
    z = fisher_z(replicates)
    error = float(jackknife_sd(z[1:, None], z[:1])[0])
    if not error > 1e-12:
        return r, NOTHING, NOTHING, NOTHING, len(x), clusters, "too little varies between pre-trainings for an interval"
    half = t_quantile(level, degrees) * error
    return r, float(np.tanh(z[0] - half)), float(np.tanh(z[0] + half)), t_p_value(z[0] / error, degrees), len(x), clusters, ""


def _degrees(own: Labels, seeds: Array, cluster: Labels) -> int:
    """Clusters less the means of settings and seeds that are removed from them."""
    design = np.column_stack([np.eye(int(own.max()) + 1)[own], seeds])
    mean = np.stack([np.bincount(cluster, weights=column) for column in design.T], axis=1) / np.bincount(cluster)[:, None]
    return int(cluster.max()) + 1 - int(np.linalg.matrix_rank(mean, tol=1e-8))
