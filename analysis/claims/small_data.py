"""The claim that pre-training on the fewest images overfits: its held-out loss turns up."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Tests that at the fewest pre-training images the held-out loss is higher after the longest
    pre-training than after a shorter one, by paired t tests over seeds against each shorter length;
    and says which series overfit by the rule of `split_by_overfitting`.

    A rise from the least loss alone would be above zero by that choice, so the p of a rise, and the
    interval, are divided over all shorter lengths (Bonferroni). Where no rise is significant the
    last step is told, and the loss still falls where that step falls. Raises AnalysisError without
    losses, with one length at the fewest images, or where seeds share pre-trainings.
    """
    split = split_of(study)
    table = study.table
    if IMAGES not in table.columns:
        raise AnalysisError(f"the table has no column '{IMAGES}': add it.")
    runs = table.loc[np.isfinite(table[LOSS].astype(float)) & (table[IMAGES] > 0)]
    if not seeds_are_series(runs, LENGTH):
        raise AnalysisError("seeds share pre-trainings, so the noise of a loss between pre-trainings is unknown: pre-train once for each seed.")
    fewest = float(runs[IMAGES].min())
    change = _largest_rise(_changes_to_the_longest(runs.loc[runs[IMAGES] == fewest]), study.level)
    mean, low, high, p, degrees, ends = change.mean, change.low, change.high, change.p, change.degrees, change.ends
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
            sentence=f"With {images} the held-out loss changes {where} by {number}. {by_rule}{_left_out(change.seeds_left_out)}",
            estimate=estimate,
            p=p,
            p_adjusted=np.nan,
            n=number_of(degrees + 1, "seed"),
            test="no change of the loss to the longest pre-training, two-sided t over seeds; a rise is corrected for all shorter lengths",
            wording=Wording(
                up=f"with {images} the held-out loss rises {where}: it overfits",
                down=f"with {images} the held-out loss still falls {where}",
                whether=f"with {images} the held-out loss rises {where}",
                number="at",
            ),
        )
    ]


@dataclass(frozen=True, kw_only=True)
class _Change:
    """Change of the loss between two lengths, over settings and seeds."""

    mean: float
    low: float
    high: float
    p: float
    degrees: int
    seeds_left_out: int
    ends: tuple[float, float] | None
    """The lengths in steps, where they are the same in all settings."""


def _changes_to_the_longest(runs: pd.DataFrame) -> list[tuple[pd.DataFrame, tuple[float, float] | None]]:
    """The change of the loss from each shorter length to the longest, of each setting and seed, shape
    (settings, seeds), the last step first; and the two lengths in steps, where they are the same in
    all settings.
    """
    labels = labels_of(runs, [name for name in series_columns(runs) if name != IMAGES])
    once = runs.assign(setting=labels).groupby(["setting", "seed", LENGTH])[LOSS].mean().unstack(LENGTH)
    series = {setting: losses.dropna(axis="columns", how="all") for setting, losses in once.groupby(level="setting")}
    series = {setting: losses for setting, losses in series.items() if losses.shape[1] >= 2}
    if not series:
        raise AnalysisError("the fewest pre-training images have one length of pre-training only: run a second length.")
    changes = []
    for back in range(2, 1 + min(losses.shape[1] for losses in series.values())):
        found, ends = {}, set()
        for setting, losses in series.items():
            before, last = losses.columns[-back], losses.columns[-1]
            ends.add((float(before), float(last)))
            found[setting] = (losses[last] - losses[before]).droplevel("setting")
        changes.append((pd.DataFrame(found).T, next(iter(ends)) if len(ends) == 1 else None))
    return changes


def _largest_rise(changes: list[tuple[pd.DataFrame, tuple[float, float] | None]], level: float) -> _Change:
    """The most significant rise to the longest length, if it is significant after Bonferroni over all
    shorter lengths; else the last step, with its own p if it falls.
    """
    tests = len(changes)
    tested = []
    for steps, ends in changes:
        mean, error, degrees = _over_seeds(steps)
        p = float(t_p_value(mean / error, degrees))
        half = t_quantile(1.0 - (1.0 - level) / (tests if mean > 0.0 else 1), degrees) * error
        p = min(1.0, tests * p) if mean > 0.0 else p
        left_out = steps.shape[1] - degrees - 1
        tested.append(_Change(mean=mean, low=mean - half, high=mean + half, p=p, degrees=degrees, seeds_left_out=left_out, ends=ends))
    most = min(tested, key=lambda one: one.p if one.mean > 0.0 else np.inf)
    return most if for_one(most.mean, most.p, 1) == "supported" else tested[0]


def _left_out(seeds: int) -> str:
    """Says how many seeds were not used, and why; '' for none."""
    if not seeds:
        return ""
    one = seeds == 1
    lack = f"{number_of(seeds, 'seed')} {'lacks' if one else 'lack'} a pre-training and {'is' if one else 'are'} left out"
    return f" {lack}: {'its mean' if one else 'their means'} would be over other settings."


def _over_seeds(steps: pd.DataFrame) -> tuple[float, float, int]:
    """Mean over settings and seeds, its standard error, and degrees of freedom. Seeds that lack a
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
    return mean, error, degrees


QUESTIONS = (Question("Do small pre-training data overfit?", small_data_overfit, asks="own", without_intermediate=True),)
