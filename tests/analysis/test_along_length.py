"""Whether the loss tells how good a longer pre-training is: known truth, errors, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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
