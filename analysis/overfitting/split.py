"""Labels runs and series as overfitting from their held-out loss, by a stated rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.overfitting.series import labels_of, seeds_are_series, series_columns
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.student import t_quantile

Array = NDArray[np.float64]
WHERE = "the runs table"
RULES = ("falling", "change point")
FALLING, OVERFITTING = "falling", "overfitting"
ONE_LENGTH = "one length only, so whether the loss rises cannot be determined"
NOISE_UNKNOWN = "no setting has two seeds at two lengths, so the noise of the loss is unknown, and a small rise may be noise"


@dataclass(frozen=True, kw_only=True)
class OverfittingSplit:
    """Labels of series and phases of runs. Make one with `split_by_overfitting`."""

    rule: str
    """'falling' or 'change point'."""
    note: str
    """Why the rule is 'falling' where none was asked for; else ''."""
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
    ('falling', 'overfitting', or missing where nothing can be determined), note. Where the noise
    between seeds decides, all seeds of a setting are judged by their mean and have the same row.
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
            text += f"the other {over} {'counts' if over == 1 else 'count'} as overfitting"
        else:
            text = f"In {over} of {falling + over} series the held-out loss rises after its least value by more than {self._allowed()}"
        text += f", and {after} of their {self._runs_of(OVERFITTING)} runs lie after the length with the least loss." if over else "."
        text += f" {unknown} series {'has' if unknown == 1 else 'have'} one length only, where nothing can be determined." if unknown else ""
        return text + (f" {self.note[0].upper()}{self.note[1:]}." if self.note else "")

    def _runs_of(self, label: str) -> int:
        return int((self.runs["label"] == label).sum())

    def _allowed(self) -> str:
        if np.isfinite(self.tolerance):
            return f"the stated {self.tolerance:g}"
        return f"noise between seeds explains (SD {self.noise_sd:.2g} on {self.noise_degrees} degrees of freedom)"


@of_table
def split_by_overfitting(
    runs: pd.DataFrame,
    *,
    loss: str = "val_mim_loss",
    length: str = "pretrain_steps",
    rule: str | None = None,
    tolerance: float | None = None,
    level: float = 0.975,
) -> OverfittingSplit:
    """Labels every series (pre-trainings that differ in length alone) and every run in it.

    Rule 'change point': a series overfits if and only if its loss rises, after the length where it
    is least, by more than `tolerance`; with no tolerance given, by more than the noise between seeds
    explains at `level`. That noise is what is left of the losses of a setting once each seed and
    each length has its mean, pooled over settings. The mean over the seeds of a setting is judged.
    The allowed rise is Student's t quantile, one-sided and divided by Bonferroni over all pairs of
    lengths, so that a setting whose loss never truly rises is called overfitting in at most
    1 - level of cases (measured: `python -m benchmarks.statistics --only overfitting`).

    Rule 'falling': a series is falling if and only if its loss falls at every step to a longer
    training (a step counts as a fall if it rises by less than `tolerance`, 0 by default). It allows
    for no noise: a loss that falls by one standard deviation of its noise at every step is called
    overfitting in almost half of cases.

    The default is 'change point' where a tolerance is given or seeds tell the noise. Where neither
    is so it is 'falling', and `note` says that a rise may be noise.

    Several rows of one pre-training (as at several numbers of labels) count once. What all runs
    share, such as the choice of held-out images, is no noise of a difference between lengths.
    Raises AnalysisError for a missing column, an unknown rule, no run with a loss, or the rule
    'change point' with neither seeds nor a tolerance.
    """
    checked_level(level)
    if rule is not None and rule not in RULES:
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
    curves = kept.groupby(["series", length], sort=True)[loss].mean().unstack(length)
    at, values = curves.columns.to_numpy(float), curves.to_numpy(float)
    number = kept.drop_duplicates("series").sort_values("series")  # the first run of each series
    settings = labels_of(number, series_columns(kept))
    noise, note = LossNoise(sd=float("nan"), degrees=0, level=level), ""
    if tolerance is None and rule != "falling":
        noise = _noise_between_seeds(values, settings, level)
        if noise.degrees == 0 and rule == "change point":
            raise AnalysisError(
                "the rule 'change point' needs the noise of the loss, and no setting has two seeds with the same two lengths: give "
                "tolerance=, the rise "
                "that counts as none, or use rule='falling'."
            )
    if rule is None:
        rule = "falling" if tolerance is None and noise.degrees == 0 else "change point"
        note = NOISE_UNKNOWN if rule == "falling" else ""
    judged_with = settings if noise.degrees else np.arange(len(values))
    rows: list[tuple[Any, ...]] = [()] * len(values)
    for one in np.unique(judged_with):
        members = np.flatnonzero(judged_with == one)
        block = values[members]
        there_too = np.isfinite(block).any(axis=0)
        place, block = at[there_too], block[:, there_too]
        judged = _judged_by_noise(place, block, noise) if noise.degrees else _judged(place, block[0], rule, float(tolerance or 0.0))
        for member in members:
            rows[member] = (len(place), *judged)
    columns = ["n_lengths", "least_at", "change_point", "least_loss", "rise", "allowed_rise", "label", "note"]
    table = pd.DataFrame(rows, columns=columns)
    counted = kept.groupby("series", sort=True).size().reset_index(drop=True).rename("n_runs")
    table = pd.concat([number[names].reset_index(drop=True), table.assign(n_runs=counted)], axis=1)
    return OverfittingSplit(
        rule=rule,
        note=note,
        loss=loss,
        length=length,
        tolerance=float("nan") if noise.degrees else float(tolerance or 0.0),
        noise_sd=noise.sd,
        noise_degrees=noise.degrees,
        series=table,
        runs=_of_runs(runs, kept, there, table, length),
    )


@dataclass(frozen=True, kw_only=True)
class LossNoise:
    """LossNoise of one loss between seeds."""

    sd: float
    """Pooled standard deviation, in the unit of the loss; NaN where it is not known."""
    degrees: int
    """Degrees of freedom; 0 where it is not known."""
    level: float
    """1 - the rate at which a setting whose loss never rises may be called overfitting."""

    def allowed(self, lengths: int) -> float:
        """Rise in standard errors that noise explains, among this many lengths."""
        return t_quantile(1.0 - 2.0 * (1.0 - self.level) / (lengths * (lengths - 1) // 2), self.degrees)


def _judged(at: Array, values: Array, rule: str, allowed: float) -> tuple[Any, ...]:
    """Labels one series, sorted by length.

    Returns least_at, change_point, least_loss, rise, allowed_rise, label and note.
    """
    least = int(np.argmin(values))
    rise = float(values[least:].max() - values[least])
    if len(at) < 2:
        return at[least], np.nan, values[least], np.nan, allowed, None, ONE_LENGTH
    if rule == "falling":  # in a strictly falling series each step is below zero, hence < and not <=
        steps = np.diff(values)
        over = bool(np.any((steps >= allowed) if allowed == 0.0 else (steps > allowed)))
    else:
        over = rise > allowed
    note = "the loss is not falling throughout, yet least at the longest training" if over and least == len(at) - 1 else ""
    if not over and rise > 0.0:
        note = "the loss rises by no more than is allowed"
    return at[least], at[least] if over else np.nan, values[least], rise, allowed, OVERFITTING if over else FALLING, note


def _judged_by_noise(at: Array, block: Array, noise: LossNoise) -> tuple[Any, ...]:
    """Labels one setting from its losses, shape (seeds, lengths), NaN where a seed lacks a length.

    The model is loss = seed + length + noise, so a lost run shifts no mean. Returns what `_judged`
    does.
    """
    seed, place = np.nonzero(np.isfinite(block))
    values = block[seed, place]
    design = np.column_stack([np.eye(len(at))[place], np.eye(block.shape[0])[seed][:, 1:]])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        note = "no seed joins these lengths, so whether the loss rises cannot be determined"
        return at[0], np.nan, float(np.nanmin(values)), np.nan, np.nan, None, note
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ values
    curve = found[: len(at)] + np.append(0.0, found[len(at) :]).mean()
    least = int(np.argmin(curve))
    if len(at) < 2:
        return at[least], np.nan, curve[least], np.nan, np.nan, None, ONE_LENGTH
    later = np.arange(least + 1, len(at))
    if not len(later):
        return at[least], np.nan, curve[least], 0.0, noise.allowed(len(at)) * noise.sd * (2.0 / block.shape[0]) ** 0.5, FALLING, ""
    rises = curve[later] - curve[least]
    errors = noise.sd * np.sqrt(inverse[later, later] + inverse[least, least] - 2.0 * inverse[later, least])
    most = int(np.argmax(rises / errors)) if noise.sd > 0.0 else int(np.argmax(rises))
    allowed = noise.allowed(len(at)) * float(errors[most])
    over = bool(rises[most] > allowed)
    note = "the loss rises by no more than is allowed" if not over and rises[most] > 0.0 else ""
    return at[least], at[least] if over else np.nan, curve[least], float(rises[most]), allowed, OVERFITTING if over else FALLING, note


def _noise_between_seeds(values: Array, settings: NDArray[np.int64], level: float) -> LossNoise:
    """The noise of one loss: residuals of seed + length within each setting, pooled.

    Losses have shape (series, lengths). Over the lengths that all seeds of a setting have.
    """
    squares, degrees = 0.0, 0
    for one in np.unique(settings):
        block = values[settings == one]
        block = block[:, np.isfinite(block).all(axis=0)]
        if min(block.shape) < 2:
            continue
        left = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
        squares += float(np.sum(left**2))
        degrees += (block.shape[0] - 1) * (block.shape[1] - 1)
    return LossNoise(sd=float(np.sqrt(squares / degrees)) if degrees else float("nan"), degrees=degrees, level=level)


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
