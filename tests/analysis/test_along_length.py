"""Whether the loss tells how good a longer pre-training is: known truth, errors, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from analysis import AnalysisError
from analysis.claims.along_length import loss_along_length
from analysis.claims.claim_table import ClaimTable
from analysis.claims.claim_table import prepare as prepare_claims

LENGTHS = (1000, 2000, 4000, 8000)


def prepare(table: pd.DataFrame, *, outcome: str = "miou") -> ClaimTable:
    return prepare_claims(table, outcome=outcome, level=0.95, margin=None)


def runs(random: np.random.Generator, *, gain: float, seeds: int = 4, lengths: tuple[int, ...] = LENGTHS) -> pd.DataFrame:
    """With 50 images the loss rises by .03 at every doubling of the length, with 5,000 it falls by as
    much; the score rises by `gain` with both.
    """
    rows = []
    for seed in range(seeds):
        of_seed = 0.01 * random.standard_normal()
        for images, step in ((50, 0.03), (5000, -0.03)):
            for place, steps in enumerate(lengths):
                loss = 0.5 + of_seed + step * place + 0.003 * random.standard_normal()
                for labels in (60, 240):
                    score = 0.5 + 0.05 * (labels > 60) + gain * place + 0.004 * random.standard_normal()
                    rows.append(("pico/8@64", images, steps, f"{steps} steps", seed, labels, loss, score, f"{images}-{steps}-{seed}", "none"))
    names = ["encoder", "pretrain_images", "pretrain_steps", "pretrain_length", "seed", "finetune_images", "val_mim_loss", "miou", "pretrain_id"]
    return pd.DataFrame(rows, columns=[*names, "intermediate"])


def test_where_pretraining_overfits_the_loss_points_the_wrong_way() -> None:
    falling, rising = loss_along_length(prepare(runs(np.random.default_rng(0), gain=0.01)))
    assert (falling.identity, falling.verdict) == ("loss-along-length-when-falling", "supported")
    assert (rising.identity, rising.verdict) == ("loss-along-length-when-overfitting", "refuted")
    assert falling.estimate is not None
    assert rising.estimate is not None
    assert -1.0 <= falling.estimate.low < falling.estimate.value < falling.estimate.high < 0.0 < rising.estimate.low < rising.estimate.high <= 1.0
    assert "in settings that overfit (50 pre-training images)" in rising.sentence
    assert "2 settings, 4 seeds" in rising.sentence  # two numbers of labels
    assert rising.headline.startswith("Along longer pre-training, in settings that overfit, a lower validation loss goes with a lower mIoU (r = +0.9")


def test_the_mean_is_that_of_fishers_z_over_seeds() -> None:
    table = runs(np.random.default_rng(1), gain=0.004)
    table = table[(table["finetune_images"] == 60) & (table["pretrain_images"] == 5000)]
    (found,) = loss_along_length(prepare(table))
    z = [np.arctanh(np.corrcoef(part["val_mim_loss"], part["miou"])[0, 1]) for _, part in table.groupby("seed")]
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(np.tanh(np.mean(z)))


def test_a_score_that_does_not_follow_is_decided_in_one_of_twenty() -> None:
    random = np.random.default_rng(2)
    found = [one for _ in range(150) for one in loss_along_length(prepare(runs(random, gain=0.0)))]
    decided = sum(one.verdict != "open" for one in found)
    assert 4 <= decided <= 29  # 15 of 300 are expected; 0.1% each side


def test_a_seed_that_lacks_a_length_is_left_out() -> None:
    table = runs(np.random.default_rng(0), gain=0.01)
    lost = table[~((table["seed"] == 1) & (table["pretrain_images"] == 50) & (table["pretrain_steps"] == 8000) & (table["finetune_images"] == 60))]
    (_, rising) = loss_along_length(prepare(lost))
    (_, without) = loss_along_length(prepare(table[table["seed"] != 1]))
    assert rising.estimate is not None
    assert without.estimate is not None
    assert rising.n == "3 seeds"
    assert rising.estimate.value == pytest.approx(without.estimate.value)


def test_two_lengths_or_shared_pretrainings_cannot_answer() -> None:
    with pytest.raises(AnalysisError, match="no setting has three lengths of pre-training for two seeds"):
        loss_along_length(prepare(runs(np.random.default_rng(0), gain=0.01, lengths=(1000, 2000))))
    table = runs(np.random.default_rng(0), gain=0.01)
    with pytest.raises(AnalysisError, match="seeds share pre-trainings"):
        loss_along_length(prepare(table.assign(pretrain_id=table["pretrain_images"].astype(str) + table["pretrain_length"])))


def test_the_interval_is_that_of_t_over_seeds_and_a_line_counts_as_an_r_of_999() -> None:
    table = runs(np.random.default_rng(1), gain=0.004)
    table = table[(table["finetune_images"] == 60) & (table["pretrain_images"] == 5000)]
    line = table["seed"] == 0
    table.loc[line, "miou"] = 1.0 - table.loc[line, "val_mim_loss"]
    (found,) = loss_along_length(prepare(table))
    r = np.array([np.corrcoef(part["val_mim_loss"], part["miou"])[0, 1] for _, part in table.groupby("seed")])
    z = np.arctanh(np.clip(r, -0.999, 0.999))
    ends = ttest_1samp(z, 0.0).confidence_interval(0.95)
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == pytest.approx(
        (np.tanh(z.mean()), np.tanh(ends.low), np.tanh(ends.high))
    )
    assert found.p == pytest.approx(ttest_1samp(z, 0.0).pvalue)


def test_a_score_of_which_less_is_better_turns_the_verdict_round() -> None:
    table = runs(np.random.default_rng(0), gain=0.01)
    of_accuracy = loss_along_length(prepare(table))
    of_loss = loss_along_length(prepare(table.assign(test_loss=1.0 - table["miou"]), outcome="test_loss"))
    assert [one.verdict for one in of_loss] == [one.verdict for one in of_accuracy] == ["supported", "refuted"]
    assert of_loss[0].estimate is not None
    assert of_accuracy[0].estimate is not None
    assert of_loss[0].estimate.value == pytest.approx(-of_accuracy[0].estimate.value)


def test_a_setting_of_one_seed_costs_the_others_nothing() -> None:
    table = runs(np.random.default_rng(0), gain=0.01)
    extra = table[(table["seed"] == 0) & (table["pretrain_images"] == 5000)].assign(encoder="nano/8@64")
    extra["pretrain_id"] = "nano-" + extra["pretrain_id"]
    found, alone = (loss_along_length(prepare(one)) for one in (pd.concat([table, extra]), table))
    assert [one.sentence for one in found] == [one.sentence for one in alone]
