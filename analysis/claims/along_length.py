"""The claim that the held-out loss tells how good a longer pre-training is, asked apart where it keeps
falling and where it turns up.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question
from analysis.claims.overfitting import LENGTH, split_of
from analysis.claims.proxy import LOSS, TOPIC, good, joined, of_correlation
from analysis.claims.rules import for_one, format_estimate
from analysis.errors import AnalysisError
from analysis.formatting import number_of
from analysis.overfitting.series import labels_of, seeds_are_series, series_columns
from analysis.overfitting.split import FALLING, OVERFITTING
from analysis.student import t_p_value, t_quantile

IMAGES = "pretrain_images"
FEWEST_LENGTHS = 3
"""Of which a correlation is computed: two always lie on a line."""
LARGEST_R = 0.999
"""Correlations of few lengths may be 1, whose Fisher z is infinite."""
AFTER = ("intermediate", "intermediate_source", "intermediate_images", "finetune_source", "finetune_task", "finetune_images", "finetune_recipe")


def loss_along_length(study: ClaimTable) -> list[Finding]:
    """Tests that as pre-training gets longer, all else equal, a lower held-out loss goes with a better
    score: in settings whose loss keeps falling and in those that overfit, by the rule of
    `split_by_overfitting`.

    Of each setting and seed: Pearson's r of loss and score over its lengths, of which there are
    three or more. Of each seed: the mean of Fisher's z over settings; then a t test over seeds
    (Fisher 1921, Metron 1, 3-32). Raises AnalysisError without losses, where seeds share
    pre-trainings, or where no setting has three lengths for two seeds.
    """
    split = split_of(study)
    table = study.table.assign(label=split.runs["label"].to_numpy(dtype=object))
    runs = table.loc[np.isfinite(table[LOSS].astype(float)) & np.isfinite(table[study.outcome].astype(float)) & table["label"].notna()]
    if not seeds_are_series(runs, LENGTH):
        raise AnalysisError("seeds share pre-trainings, so the noise of a loss between pre-trainings is unknown: pre-train once for each seed.")
    made = [found for name in (FALLING, OVERFITTING) if (found := _inside(study, name, runs.loc[runs["label"] == name])) is not None]
    if not made:
        raise AnalysisError("no setting has three lengths of pre-training for two seeds: run a third length.")
    return made


def _inside(study: ClaimTable, name: str, runs: pd.DataFrame) -> Finding | None:
    """The finding for settings of one label, 'falling' or 'overfitting'; None where they have too few
    lengths or seeds.
    """
    z = _by_setting_and_seed(study, runs).dropna(thresh=2)  # a setting of one seed tells nothing, and would cost all others
    z = z.dropna(axis="columns")
    seeds = z.shape[1]
    if seeds < 2 or not len(z):
        return None
    by_seed = z.mean(axis="index").to_numpy(dtype=float)
    mean, error, degrees = float(by_seed.mean()), float(by_seed.std(ddof=1) / np.sqrt(seeds)), seeds - 1
    if error == 0.0:
        return None
    half = t_quantile(study.level, degrees) * error
    p = float(t_p_value(mean / error, degrees))
    which = "whose loss keeps falling" if name == FALLING else "that overfit"
    sizes = joined([f"{size:,.0f}" for size in sorted(runs[IMAGES].astype(float).unique())]) if IMAGES in runs.columns else ""
    of_sizes = f" ({sizes} pre-training images)" if sizes else ""
    r, low, high = (float(np.tanh(value)) for value in (mean, mean - half, mean + half))
    estimate = Estimate(what=f"correlation over lengths in settings {which}", value=r, low=low, high=high, level=study.level)
    number = format_estimate(estimate, p, places=2, extra=(number_of(len(z), "setting"), number_of(seeds, "seed")))
    said = f"along longer pre-training, in settings {which},"
    return Finding(
        identity=f"loss-along-length-when-{name}",
        topic=TOPIC,
        source="",
        claim=f"Along longer pre-training, in settings {which}, a lower held-out loss goes with a {good(study)} {study.outcome_name}.",
        verdict=for_one(r, p, -study.better),
        sentence=f"Along longer pre-training, in settings {which}{of_sizes}, held-out loss and {study.outcome_name} correlate with r = {number}.",
        estimate=estimate,
        p=p,
        p_adjusted=np.nan,
        n=number_of(seeds, "seed"),
        test="no correlation over lengths, t over seeds of Fisher's z",
        reading="lengths alone differ, so whatever else a longer pre-training changes is in it",
        wording=of_correlation(study, said),
    )


def _by_setting_and_seed(study: ClaimTable, runs: pd.DataFrame) -> pd.DataFrame:
    """Fisher's z of loss and score over lengths, shape (settings, seeds), missing where a seed lacks
    a length that another has, or three lengths.
    """
    names = [*series_columns(runs), *(name for name in AFTER if name in runs.columns)]
    found: dict[int, dict[object, float]] = {}
    for setting, of_setting in runs.assign(setting=labels_of(runs, names)).groupby("setting"):
        lengths = of_setting[LENGTH].nunique()
        if lengths < FEWEST_LENGTHS:
            continue
        for seed, part in of_setting.groupby("seed"):
            means = part.groupby(LENGTH)[[LOSS, study.outcome]].mean()
            whole = len(means) == lengths
            found.setdefault(int(str(setting)), {})[seed] = _fisher_z(*means.to_numpy(dtype=float).T) if whole else np.nan
    return pd.DataFrame(found).T


def _fisher_z(losses: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Fisher's z of Pearson's r; missing where either does not vary."""
    if not (np.ptp(losses) > 0.0 and np.ptp(scores) > 0.0):
        return float("nan")
    return float(np.arctanh(np.clip(np.corrcoef(losses, scores)[0, 1], -LARGEST_R, LARGEST_R)))


QUESTIONS = (Question("Does the held-out loss tell how good a longer pre-training is?", loss_along_length, asks="own", without_intermediate=True),)
