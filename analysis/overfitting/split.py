"""Labels runs and series as overfitting from their held-out loss, by a stated rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.overfitting.series import labels_of, seeds_are_series, series_columns
from analysis.runs.table import numeric_column, require_columns
from analysis.student import t_quantile

WHERE = "the runs table"
RULES = ("falling", "change point")
FALLING, OVERFITTING = "falling", "overfitting"


@dataclass(frozen=True, kw_only=True)
class OverfittingSplit:
    """Labels of series and phases of runs. Make one with `split_by_overfitting`."""

    rule: str
    """'falling' or 'change point'."""
    loss: str
    """Column of the held-out loss."""
    length: str
    """Column of the length of pre-training."""
    tolerance: float
    """Rise that counts as none, in the unit of the loss; NaN where it follows from the number of
    lengths and the noise between seeds.
    """
    noise_sd: float
    """Standard deviation of one loss between seeds, once seeds and lengths have their means; NaN
    where it was not needed.
    """
    noise_degrees: int
    """Degrees of freedom of noise_sd."""
    series: pd.DataFrame
    """One row per series: the columns that distinguish series, n_lengths, n_runs, least_at (length
    with the least loss), change_point (that length if the series overfits, else NaN), least_loss,
    rise (largest loss after least_at minus the least; 0 if it is the last), allowed_rise, label
    ('falling', 'overfitting', or missing where nothing can be determined), note.
    """
    runs: pd.DataFrame
    """One row per run, index as in the table given: series (row of `series`, -1 without a loss),
    label of its series, phase of the run ('falling' up to the change point, 'overfitting' after it,
    missing where nothing can be determined).
    """

    @property
    def n_without_loss(self) -> int:
        """Runs left out because their loss or length is missing, as from scratch."""
        return int((self.runs["series"] < 0).sum())

    @property
    def sentence(self) -> str:
        """The rule and its result in a sentence."""
        counts = self.series["label"].value_counts()
        falling, over = int(counts.get(FALLING, 0)), int(counts.get(OVERFITTING, 0))
        unknown = len(self.series) - falling - over
        after = int((self.runs["phase"] == OVERFITTING).sum())
        if self.rule == "falling":
            how = "falls at every step to a longer training" + (f", or rises by less than {self.tolerance:g}" if self.tolerance else "")
            text = f"In {falling} of {falling + over} series ({self._runs_of(FALLING)} runs) the held-out loss {how}; "
            text += f"the other {over} count as overfitting"
        else:
            text = f"In {over} of {falling + over} series the held-out loss rises after its least value by more than {self._allowed()}"
        text += f", and {after} of their {self._runs_of(OVERFITTING)} runs lie after the length with the least loss." if over else "."
        return text + (f" {unknown} series have one length only, where nothing can be determined." if unknown else "")

    def _runs_of(self, label: str) -> int:
        return int((self.runs["label"] == label).sum())

    def _allowed(self) -> str:
        if np.isfinite(self.tolerance):
            return f"the stated {self.tolerance:g}"
        return f"noise between seeds explains (SD {self.noise_sd:.2g} on {self.noise_degrees} degrees of freedom)"


def split_by_overfitting(
    runs: pd.DataFrame,
    *,
    loss: str = "val_mim_loss",
    length: str = "pretrain_steps",
    rule: str = "falling",
    tolerance: float | None = None,
    level: float = 0.95,
) -> OverfittingSplit:
    """Labels every series (pre-trainings that differ in length alone) and every run in it.

    Rule 'falling': a series is falling if and only if its loss falls at every step to a longer
    training (a step counts as a fall if it rises by less than `tolerance`, 0 by default). Rule
    'change point': a series overfits if and only if its loss rises, after the length where it is
    least, by more than `tolerance`; with no tolerance given, by more than the noise between seeds
    explains at `level`. That noise is what is left of the losses of a setting once each seed and
    each length has its mean, pooled over settings; the allowed rise is Student's t quantile,
    one-sided and divided by Bonferroni over all pairs of lengths, so that a series that never truly
    rises is called overfitting in at most 1 - level of cases.

    Several rows of one pre-training (as at several numbers of labels) count once. Raises
    AnalysisError for a missing column, an unknown rule, no run with a loss, or the rule 'change
    point' with neither seeds nor a tolerance.
    """
    checked_level(level)
    if rule not in RULES:
        raise AnalysisError(f"the rule '{rule}' is not known: give 'falling' or 'change point'.")
    if tolerance is not None and not (np.isfinite(tolerance) and tolerance >= 0.0):
        raise AnalysisError(f"tolerance is {tolerance}: give the rise of the loss that counts as none, zero or above.")
    require_columns(runs, [loss, length], where=WHERE)
    losses, lengths = (numeric_column(runs, name, where=WHERE).to_numpy() for name in (loss, length))
    there = np.isfinite(losses) & np.isfinite(lengths)
    if not there.any():
        raise AnalysisError(f"no run has both '{loss}' and '{length}': there is nothing to split; name other columns.")
    kept = runs[there].reset_index(drop=True).assign(**{loss: losses[there], length: lengths[there]})
    names = series_columns(kept) + (["seed"] if seeds_are_series(kept, length) else [])
    if not names:
        raise AnalysisError("the runs table has none of the columns that tell series apart (encoder, pretrain_images): add them.")
    kept["series"] = labels_of(kept, names)
    curves = kept.groupby(["series", length], sort=True)[loss].mean()
    noise_sd, degrees = float("nan"), 0
    if rule == "change point" and tolerance is None:
        noise_sd, degrees = _noise_between_seeds(kept, curves, length)
        if degrees == 0:
            raise AnalysisError(
                "the rule 'change point' needs the noise of the loss, and no setting has two seeds with the same two lengths: give "
                "tolerance=, the rise "
                "that counts as none, or use rule='falling'."
            )
    rows = []
    for label, curve in curves.groupby(level="series", sort=True):
        at, values = curve.index.get_level_values(length).to_numpy(float), curve.to_numpy(float)
        pairs = len(at) * (len(at) - 1) // 2
        allowed = 0.0 if tolerance is None else float(tolerance)
        if degrees and pairs:
            allowed = t_quantile(1.0 - 2.0 * (1.0 - level) / pairs, degrees) * noise_sd * 2.0**0.5
        rows.append((label, len(at), *_judged(at, values, rule, allowed)))
    table = pd.DataFrame(rows, columns=["series", "n_lengths", "least_at", "change_point", "least_loss", "rise", "allowed_rise", "label", "note"])
    described = kept.groupby("series", sort=True)[names].first().reset_index(drop=True)
    counted = kept.groupby("series", sort=True).size().reset_index(drop=True).rename("n_runs")
    table = pd.concat([described, table.drop(columns="series").assign(n_runs=counted)], axis=1)
    return OverfittingSplit(
        rule=rule,
        loss=loss,
        length=length,
        tolerance=float("nan") if degrees else float(tolerance or 0.0),
        noise_sd=noise_sd,
        noise_degrees=degrees,
        series=table,
        runs=_of_runs(runs, kept, there, table, length),
    )


def _judged(at: np.ndarray, values: np.ndarray, rule: str, allowed: float) -> tuple[Any, ...]:
    """Labels one series, sorted by length.

    Returns least_at, change_point, least_loss, rise, allowed_rise, label and note.
    """
    least = int(np.argmin(values))
    rise = float(values[least:].max() - values[least])
    if len(at) < 2:
        return at[least], np.nan, values[least], np.nan, allowed, None, "one length only, so whether the loss rises cannot be determined"
    if rule == "falling":  # in a strictly falling series each step is below zero, hence < and not <=
        steps = np.diff(values)
        over = bool(np.any((steps >= allowed) if allowed == 0.0 else (steps > allowed)))
    else:
        over = rise > allowed
    note = "the loss is not falling throughout, yet least at the longest training" if over and least == len(at) - 1 else ""
    if not over and rise > 0.0:
        note = "the loss rises by no more than is allowed"
    return at[least], at[least] if over else np.nan, values[least], rise, allowed, OVERFITTING if over else FALLING, note


def _noise_between_seeds(kept: pd.DataFrame, curves: pd.Series, length: str) -> tuple[float, int]:
    """Pooled SD of one loss and its degrees of freedom.

    From residuals of seed + length within each setting, over the lengths that all its seeds have.
    """
    settings = kept.groupby("series")[series_columns(kept)].first()
    squares, degrees = 0.0, 0
    label = pd.Series(labels_of(settings, series_columns(kept)), index=settings.index)
    for one in label.unique():
        block = curves.loc[label.index[label == one]].unstack(length).dropna(axis=1).to_numpy()
        if min(block.shape) < 2:
            continue
        left = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
        squares += float(np.sum(left**2))
        degrees += (block.shape[0] - 1) * (block.shape[1] - 1)
    return (float(np.sqrt(squares / degrees)), degrees) if degrees else (float("nan"), 0)


def _of_runs(runs: pd.DataFrame, kept: pd.DataFrame, there: np.ndarray, table: pd.DataFrame, length: str) -> pd.DataFrame:
    series = np.full(len(runs), -1, dtype=np.int64)
    series[there] = kept["series"].to_numpy()
    label, phase = (np.full(len(runs), None, dtype=object) for _ in range(2))
    label[there] = table["label"].to_numpy(dtype=object)[series[there]]
    change = table["change_point"].to_numpy(float)[series[there]]
    after = kept[length].to_numpy() > np.where(np.isnan(change), np.inf, change)
    known = there.copy()
    known[there] = ~pd.isna(label[there])
    phase[known] = np.where(after[known[there]], OVERFITTING, FALLING)
    return pd.DataFrame({"series": series, "label": label, "phase": phase}, index=runs.index)
