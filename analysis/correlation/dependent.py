"""Compares two correlations that share the score: which of two losses goes with it more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.correlation.clusters import cluster_columns, cluster_labels
from analysis.correlation.covariates import WHERE, complete, covariates_of
from analysis.correlation.estimates import METHODS, Array, estimates
from analysis.correlation.intervals import fisher_z
from analysis.correlation.overlapping import meng, steiger, williams, zou_interval
from analysis.correlation.row import FEWEST_CLUSTERS
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.inputs import checked_level
from analysis.formatting import p_value, percent
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.cluster_resampling import left_out, t_interval

FEWEST_RUNS = 4
NOTHING = float("nan")


@dataclass(frozen=True, kw_only=True)
class CorrelationDifference:
    """Two correlations that share y, and their difference. From `analysis.compare_correlations`."""

    x: tuple[str, str]
    """The two columns that are compared."""
    y: str
    """The column that both are correlated with."""
    given: tuple[str, ...]
    """Columns held fixed."""
    method: str
    """'pearson', 'spearman' or 'kendall'."""
    level: float
    """Nominal coverage of the interval."""
    r: tuple[float, float]
    """Correlation of each of `x` with y."""
    between: float
    """Correlation of the two columns of `x` with each other."""
    difference: float
    """r[0] - r[1]."""
    low: float
    """Lower end of the interval of the difference; NaN where there is none."""
    high: float
    """Upper end."""
    p: float
    """Two-sided p of no difference."""
    test: str
    """What p and the interval come from."""
    classical: pd.DataFrame
    """Published tests, which hold for independent rows: columns test, statistic, p. Empty where
    rows share a cluster, for ranks, and where columns are held fixed.
    """
    n: int
    """Runs that have all columns."""
    clusters: int
    """Independent clusters among them."""
    note: str
    """What cannot be concluded, and why; empty where nothing is amiss."""
    sentence: str
    """The comparison as a sentence."""


@of_table
def compare_correlations(
    runs: pd.DataFrame,
    *,
    x: tuple[str, str] = ("train_mim_loss", "val_mim_loss"),
    y: str | None = None,
    given: str | Sequence[str] = (),
    cluster: str | Sequence[str] = "pretrain_id",
    method: str = "pearson",
    level: float = 0.95,
) -> CorrelationDifference:
    """Compares the correlations of y with two columns, over the same runs.

    Where each run is a cluster of its own (and for Pearson, with nothing held fixed) p is that of
    Williams' t and the interval Zou's; they take rows as independent and normal. Else whole
    clusters are left out in turn and t has clusters - 2 degrees of freedom: p and interval from the
    difference of Fisher's z (of r itself for ranks), the interval brought back to r. Fewer than
    five clusters give neither. Raises AnalysisError for a missing column, an unknown method, text
    where numbers belong, or fewer than four runs with all columns.
    """
    given = (given,) if isinstance(given, str) else tuple(given)
    checked_level(level)
    y = outcome_of(runs, y)
    if method not in METHODS:
        raise AnalysisError(f"method is {method!r} ({nearest_name(method, METHODS)}): give one of {', '.join(METHODS)}.")
    if isinstance(x, str) or len(x) != 2 or x[0] == x[1] or y in x:
        raise AnalysisError(f"x is {x!r}: give two different columns, neither of them '{y}'.")
    if method == "kendall" and given:
        raise AnalysisError("Kendall's tau is not adjusted for other columns: choose method='pearson' or 'spearman', or leave given= empty.")
    require_columns(runs, [*x, y, *given], where=WHERE)
    columns = [numeric_column(runs, name, where=WHERE) for name in (*x, y)]
    finite = np.isfinite(columns[0]) & np.isfinite(columns[1]) & np.isfinite(columns[2])
    there = (finite & complete(runs, given)).to_numpy() if given else finite.to_numpy()
    if int(there.sum()) < FEWEST_RUNS:
        raise AnalysisError(
            f"{int(there.sum())} runs have all of {', '.join(repr(name) for name in (*x, y, *given))}: a comparison of correlations needs at "
            f"least {FEWEST_RUNS}; finish more runs, or name other columns."
        )
    kept = runs[there].reset_index(drop=True)
    first, second, score = (column[there].to_numpy() for column in columns)
    labels, _ = cluster_labels(kept, cluster)
    covariates = covariates_of(kept, given)
    design = None if covariates is None else covariates.design[method]
    out = left_out(labels)
    replicates = np.stack([estimates(method, one, score, out, design=design) for one in (first, second)])
    between = float(estimates(method, first, second, out, design=design)[0])
    r = float(replicates[0, 0]), float(replicates[1, 0])
    n, clusters = len(kept), int(labels.max()) + 1
    classical = pd.DataFrame(columns=["test", "statistic", "p"])
    if n == clusters and method == "pearson" and design is None and np.isfinite([*r, between]).all():
        formulas = {"Williams t": williams, "Steiger z": steiger, "Meng-Rosenthal-Rubin z": meng}
        classical = pd.DataFrame([(name, *formula(*r, between, n)) for name, formula in formulas.items()], columns=classical.columns)
        (low, high), p = zou_interval(*r, between, n, level=level), float(classical["p"].iloc[0])
        test, note = "Williams' t, interval by Zou", "" if np.isfinite(p) else "the two columns rise and fall together, or correlate perfectly"
    else:
        low, high, p, note = _jackknifed(method, replicates, clusters, level=level)
        test = "jackknife over clusters"
    adjusted = () if covariates is None else covariates.formatted
    unit = "pre-trainings" if cluster_columns(cluster) == ("pretrain_id",) else "clusters"
    return CorrelationDifference(
        x=x,
        y=y,
        given=given,
        method=method,
        level=level,
        r=r,
        between=between,
        difference=r[0] - r[1],
        low=low,
        high=high,
        p=p,
        test=test,
        classical=classical,
        n=n,
        clusters=clusters,
        note=note,
        sentence=_sentence(
            x, title_of(y, runs), adjusted, r, (low, high, p), level=level, counted=f"{n} runs, {clusters} independent {unit}", note=note
        ),
    )


def _jackknifed(method: str, replicates: Array, clusters: int, *, level: float) -> tuple[float, float, float, str]:
    """Low, high, p and note, from replicates of shape (2, 1 + clusters)."""
    if not np.isfinite(replicates[:, 0]).all():
        return NOTHING, NOTHING, NOTHING, "one of the columns is constant here, or nothing is left of it once the others are held fixed"
    if clusters < FEWEST_CLUSTERS:
        return NOTHING, NOTHING, NOTHING, f"{clusters} independent clusters: a comparison needs at least {FEWEST_CLUSTERS}"
    if method != "pearson":
        low, high, p = t_interval(replicates[0] - replicates[1], level=level)
    else:  # on Fisher's z, and back to r around the mean of the two: of r itself the interval covered 0.92 to 0.99 at 9 clusters
        z = fisher_z(replicates)
        low, high, p = t_interval(z[0] - z[1], level=level)
        middle = float(np.mean(z[:, 0]))
        low, high = (float(np.tanh(middle + end / 2.0) - np.tanh(middle - end / 2.0)) for end in (low, high))
    if not np.isfinite(low):
        return NOTHING, NOTHING, NOTHING, "the difference is the same whichever cluster is left out: no interval and no p"
    return max(low, -2.0), min(high, 2.0), p, ""


def _sentence(
    x: tuple[str, str],
    outcome: str,
    adjusted: tuple[str, ...],
    r: tuple[float, float],
    ends: tuple[float, float, float],
    *,
    level: float,
    counted: str,
    note: str,
) -> str:
    held = f" given {', '.join(adjusted)}" if adjusted else ""
    if not np.isfinite(r).all():
        return f"The correlations of {x[0]} and {x[1]} with {outcome}{held} cannot be compared: {note}."
    low, high, p = ends
    text = f"{outcome} correlates{held} with {x[0]} at r = {r[0]:+z.2f} and with {x[1]} at r = {r[1]:+z.2f}: a difference of {r[0] - r[1]:+z.2f}"
    if not np.isfinite(p):
        return f"{text} (no interval: {note}; {counted})."
    text += f" ({percent(level)} interval {low:+z.2f} to {high:+z.2f}, {p_value(p)}; {counted})"
    if p >= 1.0 - level:
        return f"{text}, which does not distinguish the two."
    closer = x[0] if abs(r[0]) > abs(r[1]) else x[1]
    return f"{text}: {closer} goes with {outcome} more closely." if r[0] * r[1] > 0 else f"{text}."
