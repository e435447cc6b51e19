"""Correlation and slope of score on held-out loss, where the loss falls and where it overfits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.correlation.estimates import pearson
from analysis.correlation.intervals import correlation_interval
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import p_value, percent, with_interval
from analysis.overfitting.series import labels_of, setting_labels
from analysis.overfitting.split import FALLING, OVERFITTING, OverfittingSplit
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.clustered_regression import FEWEST_DEGREES, ClusteredDesign, Combination

Array = NDArray[np.float64]
WHERE = "the runs table"
FEWEST_CLUSTERS = 5
STATISTICS = ("r", "r_low", "r_high", "slope", "low", "high", "p", "degrees", "naive_low", "naive_high", "naive_p")


@dataclass(frozen=True, kw_only=True)
class PhaseRelations:
    """Score against held-out loss in two phases. Make one with `phase_relations`."""

    x: str
    """Column of the loss."""
    y: str
    """Column of the score."""
    outcome_title: str
    """What sentences call it."""
    by: str
    """'label' where series were split, 'phase' where runs were."""
    level: float
    """Nominal coverage of the intervals."""
    adjusted_for: tuple[str, ...]
    """Columns whose every combination of values has its own intercept."""
    table: pd.DataFrame
    """One row for 'all', 'falling', 'overfitting' and 'difference' (overfitting - falling): phase,
    n (runs), clusters (settings), r (Pearson; for the difference, of r), r_low, r_high, slope (unit
    of y per unit of x), low, high, p (two-sided), degrees (of freedom of the slope), naive_low,
    naive_high, naive_p (ordinary least squares, which takes runs for independent), note. NaN where
    a number does not exist.
    """

    def sentences(self) -> list[str]:
        """A sentence on each phase, and one on the difference."""
        rows = self.table.set_index("phase")
        outcome = self.outcome_title
        sentences = []
        for name, where in (("all", "Over all runs"), (FALLING, self._where(FALLING)), (OVERFITTING, self._where(OVERFITTING))):
            row: dict[Any, Any] = rows.loc[name].to_dict()
            if np.isnan(row["r"]):
                sentences.append(f"{where} no relation of {self.x} with {outcome} can be determined: {row['note']}.")
                continue
            slope = "no interval: " + row["note"] if np.isnan(row["low"]) else ""
            interval = slope or f"{percent(self.level)} interval {row['low']:+.3g} to {row['high']:+.3g}"
            correlation = f" ({row['r_low']:+z.3f} to {row['r_high']:+z.3f})" if np.isfinite(row["r_low"]) else ""
            sentences.append(
                f"{where} {self.x} and {outcome} correlate with r = {row['r']:+z.3f}{correlation}; {outcome} changes by {row['slope']:+.3g} "
                f"per unit of loss "
                f"({interval}; n = {row['n']} runs of {row['clusters']} series)."
            )
        gap: dict[Any, Any] = rows.loc["difference"].to_dict()
        if np.isnan(gap["low"]):
            return [*sentences, f"Whether the slopes of the two phases differ cannot be determined: {gap['note']}."]
        verdict = "differ" if gap["p"] < 1.0 - self.level else "are not shown to differ"
        interval = with_interval(float(gap["slope"]), float(gap["low"]), float(gap["high"]), level=self.level)
        note = f"; {gap['note']}" if gap["note"] else ""
        return [*sentences, f"The slopes of the two phases {verdict}: overfitting minus falling is {interval}, {p_value(gap['p'])}{note}."]

    def _where(self, phase: str) -> str:
        if self.by == "phase":
            return "In runs up to the change point" if phase == FALLING else "In runs after the change point"
        return "In series whose loss falls" if phase == FALLING else "In series that overfit"


@of_table
def phase_relations(
    runs: pd.DataFrame,
    split: OverfittingSplit,
    *,
    y: str | None = None,
    x: str = "val_mim_loss",
    by: str = "label",
    within: Sequence[str] = ("finetune_images", "seed"),
    level: float = 0.95,
) -> PhaseRelations:
    """Pearson correlation and slope of y on x in each phase of `split`, and their differences.

    Every combination of values of `within` that varies has its own intercept, so that numbers of
    labels and label subsets do not pose as an effect of the loss; correlations are of what is left.
    All pre-trainings of a setting (a series and its seeds) are one cluster. Slopes: ordinary least
    squares with CR2 and Satterthwaite's degrees of freedom. Correlations: delete-one-cluster
    jackknife of Fisher's z. A shared encoder is not accounted for: add 'encoder' to `within` to
    compare within encoders.

    Args:
        by: 'label' splits series (the rule of the reference), 'phase' splits runs at the change
            point.

    Raises AnalysisError for a split of another table, a missing column, or fewer than three runs
    with x and y.
    """
    checked_level(level)
    y = outcome_of(runs, y)
    require_columns(runs, [x, y], where=WHERE)
    if by not in ("label", "phase"):
        raise AnalysisError(f"by is '{by}': give 'label' to split series, or 'phase' to split runs at the change point.")
    if not runs.index.equals(split.runs.index):
        raise AnalysisError("the split was made from another table: call split_by_overfitting on the runs given here.")
    first, second = (numeric_column(runs, name, where=WHERE).to_numpy() for name in (x, y))
    phase = split.runs[by].to_numpy(dtype=object)
    there = np.isfinite(first) & np.isfinite(second) & ~pd.isna(phase)
    if int(there.sum()) < 3:
        raise AnalysisError(f"{int(there.sum())} runs have '{x}', '{y}' and a phase: three are the fewest for a slope; finish more, or add lengths.")
    kept, phase = runs[there], phase[there]
    adjusted = tuple(name for name in within if name in kept.columns and kept[name].nunique(dropna=False) > 1)
    levels, cluster = labels_of(kept, list(adjusted)), setting_labels(kept)
    arrays = first[there], second[there], levels, cluster
    everything = np.ones(len(kept), dtype=bool)
    rows = []
    for name, chosen in (("all", everything), (FALLING, phase == FALLING), (OVERFITTING, phase == OVERFITTING)):
        rows.append(_relation(name, first[there][chosen], second[there][chosen], levels[chosen], cluster[chosen], level))
    rows.append(_difference(arrays, phase == OVERFITTING, rows, level))
    table = pd.DataFrame(rows, columns=["phase", "n", "clusters", *STATISTICS, "note"])
    return PhaseRelations(x=x, y=y, outcome_title=title_of(y, runs), by=by, level=level, adjusted_for=adjusted, table=table)


def _relation(phase: str, x: Array, y: Array, levels: NDArray[np.int64], cluster: NDArray[np.int64], level: float) -> tuple[object, ...]:
    nothing = (float("nan"),) * len(STATISTICS)
    clusters = len(np.unique(cluster))
    if len(x) < 3:
        return phase, len(x), clusters, *nothing, f"{len(x)} runs, and a slope needs three"
    x_left, y_left = _centred(x, levels), _centred(y, levels)
    r = float(pearson(x_left, y_left, np.ones((1, len(x))))[0])
    if np.isnan(r):
        return phase, len(x), clusters, *nothing, "the loss or the score is constant here"
    design = np.column_stack([_intercepts(levels), x])
    if clusters < FEWEST_CLUSTERS or len(x) <= design.shape[1]:
        slope = float(x_left @ y_left / (x_left @ x_left))
        note = f"{clusters} series, and an interval needs {FEWEST_CLUSTERS}"
        return phase, len(x), clusters, r, *nothing[:2], slope, *nothing[4:], note
    without = (cluster[None] != np.unique(cluster)[:, None]).astype(np.float64)
    low, high = correlation_interval("pearson", pearson(x_left, y_left, np.vstack([np.ones(len(x)), without])), level=level)
    found = ClusteredDesign(design, cluster).fit(y).contrast(np.eye(design.shape[1])[-1], level=level)
    return phase, len(x), clusters, r, low, high, *_numbers(found), _few(found)


def _difference(
    arrays: tuple[Array, Array, NDArray[np.int64], NDArray[np.int64]], over: NDArray[np.bool_], rows: list[tuple[object, ...]], level: float
) -> tuple[object, ...]:
    """Overfitting minus falling; each phase has its own intercepts and slope."""
    x, y, levels, cluster = arrays
    numbers = {str(row[0]): row for row in rows}
    low, high = numbers[FALLING], numbers[OVERFITTING]
    lacking = [row for row in (low, high) if np.isnan(row[3 + STATISTICS.index("low")])]  # type: ignore[call-overload]
    clusters = len(np.unique(cluster))
    if lacking:
        return "difference", len(x), clusters, *(float("nan"),) * len(STATISTICS), f"in phase '{lacking[0][0]}' there are {lacking[0][-1]}"
    design = np.column_stack([_intercepts(labels_of(pd.DataFrame({"a": levels, "b": over}), ["a", "b"])), x, np.where(over, x, 0.0)])
    found = ClusteredDesign(design, cluster).fit(y).contrast(np.eye(design.shape[1])[-1], level=level)
    gap = float(high[3]) - float(low[3])  # type: ignore[arg-type]
    return "difference", len(x), clusters, gap, float("nan"), float("nan"), *_numbers(found), _few(found)


def _numbers(found: Combination) -> tuple[float, ...]:
    return found.estimate, found.low, found.high, found.p, found.degrees, found.naive_low, found.naive_high, found.naive_p


def _few(found: Combination) -> str:
    return "" if found.degrees >= FEWEST_DEGREES else f"{found.degrees:.1f} degrees of freedom, too few to trust"


def _intercepts(levels: NDArray[np.int64]) -> Array:
    return (levels[:, None] == np.unique(levels)[None]).astype(np.float64)


def _centred(values: Array, levels: NDArray[np.int64]) -> Array:
    return np.asarray(values - pd.Series(values).groupby(levels).transform("mean").to_numpy())
