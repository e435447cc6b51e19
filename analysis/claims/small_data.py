"""The claim that pre-training on the fewest images overfits: its held-out loss turns up."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question
from analysis.claims.headline import Wording
from analysis.claims.overfitting import LENGTH, split_of
from analysis.claims.proxy import LOSS
from analysis.claims.rules import for_one, format_estimate
from analysis.errors import AnalysisError
from analysis.formatting import number_of
from analysis.overfitting.series import labels_of, seeds_are_series, series_columns
from analysis.overfitting.split import OVERFITTING
from analysis.student import t_p_value, t_quantile

TOPIC = "Overfitting in pre-training"
IMAGES = "pretrain_images"


def small_data_overfit(study: ClaimTable) -> list[Finding]:
    """Tests that at the fewest pre-training images the held-out loss rises at the last step to a
    longer pre-training, by a paired t test over seeds; and says which series overfit by the rule of
    `split_by_overfitting`.

    The last step was chosen before the losses were seen; a rise measured from the least loss would
    be above zero by that choice alone. Raises AnalysisError without losses, with one length at the
    fewest images, or where seeds share pre-trainings.
    """
    split = split_of(study)
    table = study.table
    if IMAGES not in table.columns:
        raise AnalysisError(f"the table has no column '{IMAGES}': add it.")
    runs = table.loc[np.isfinite(table[LOSS].astype(float)) & (table[IMAGES] > 0)]
    if not seeds_are_series(runs, LENGTH):
        raise AnalysisError("seeds share pre-trainings, so the noise of a loss between pre-trainings is unknown: pre-train once for each seed.")
    fewest = float(runs[IMAGES].min())
    steps, ends = _last_steps(runs.loc[runs[IMAGES] == fewest])
    mean, low, high, p, degrees = _over_seeds(steps, study.level)
    images = f"{fewest:,.0f} pre-training images"
    where = f"from {ends[0]:,.0f} to {ends[1]:,.0f} steps" if ends else "at the last step to a longer pre-training"
    estimate = Estimate(what=f"change of the held-out loss {where}", value=mean, low=low, high=high, level=study.level)
    over = split.series.loc[split.series["label"] == OVERFITTING]
    listed = ", ".join(f"{size:,.0f}" for size in sorted(over[IMAGES].astype(float).unique())) if IMAGES in over.columns and len(over) else ""
    by_rule = f"By the rule of series, those on {listed} images overfit." if listed else "By the rule of series, none overfits."
    number = format_estimate(estimate, p, places=4, extra=(number_of(degrees + 1, "seed"),))
    return [
        Finding(
            identity="small-data-overfit",
            topic=TOPIC,
            claim=f"Pre-training on {fewest:,.0f} images overfits: its held-out loss rises {where}.",
            source="",
            verdict=for_one(mean, p, 1),
            sentence=f"With {images} the held-out loss changes {where} by {number}. {by_rule}{_left_out(steps.shape[1] - degrees - 1)}",
            estimate=estimate,
            p=p,
            p_adjusted=np.nan,
            n=number_of(degrees + 1, "seed"),
            test="no change of the loss at the last step, two-sided t over seeds",
            wording=Wording(
                up=f"with {images} the held-out loss rises {where}: it overfits",
                down=f"with {images} the held-out loss still falls {where}",
                whether=f"with {images} the held-out loss rises {where}",
                number="at",
            ),
        )
    ]


def _last_steps(runs: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float] | None]:
    """The change of the loss at the last step of each setting and seed, shape (settings, seeds); and
    the lengths in steps, where they are the same in all settings.
    """
    labels = labels_of(runs, [name for name in series_columns(runs) if name != IMAGES])
    once = runs.assign(setting=labels).groupby(["setting", "seed", LENGTH])[LOSS].mean().unstack(LENGTH)
    found, ends = {}, set()
    for setting, losses in once.groupby(level="setting"):
        measured = losses.dropna(axis="columns", how="all")
        if measured.shape[1] >= 2:
            before, last = measured.columns[-2:]
            ends.add((float(before), float(last)))
            found[setting] = (measured[last] - measured[before]).droplevel("setting")
    if not found:
        raise AnalysisError("the fewest pre-training images have one length of pre-training only: run a second length.")
    return pd.DataFrame(found).T, next(iter(ends)) if len(ends) == 1 else None


def _left_out(seeds: int) -> str:
    """Says how many seeds were not used, and why; '' for none."""
    if not seeds:
        return ""
    one = seeds == 1
    lack = f"{number_of(seeds, 'seed')} {'lacks' if one else 'lack'} a pre-training and {'is' if one else 'are'} left out"
    return f" {lack}: {'its mean' if one else 'their means'} would be over other settings."


def _over_seeds(steps: pd.DataFrame, level: float) -> tuple[float, float, float, float, int]:
    """Mean over settings and seeds, its interval, p, and degrees of freedom. Seeds that lack a
    setting are left out: their mean would be over other settings.
    """
    whole = steps.dropna(axis="columns")
    by_seed = whole.mean(axis="index").to_numpy(dtype=float)
    degrees = len(by_seed) - 1
    if degrees < 1:
        raise AnalysisError("fewer than two seeds have the loss of every pre-training on the fewest images: run a second seed.")
    mean, error = float(by_seed.mean()), float(by_seed.std(ddof=1) / np.sqrt(len(by_seed)))
    if error == 0.0:
        raise AnalysisError("the losses of all seeds are equal, so their noise is unknown.")
    half = t_quantile(level, degrees) * error
    return mean, mean - half, mean + half, float(t_p_value(mean / error, degrees)), degrees


QUESTIONS = (Question("Do small pre-training data overfit?", small_data_overfit, asks="own", without_intermediate=True),)
