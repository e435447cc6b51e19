"""Whether the fewest pre-training images overfit: known truth, error rates, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from analysis import AnalysisError, findings
from analysis.claims.claim_table import ClaimTable
from analysis.claims.claim_table import prepare as prepare_claims
from analysis.claims.small_data import small_data_overfit

LENGTHS, IMAGES, NOISE_SD = (1000, 4000, 16_000), (500, 20_000), 0.001


def prepare(table: pd.DataFrame) -> ClaimTable:
    return prepare_claims(table, outcome="miou", level=0.95, margin=None)


def runs(random: np.random.Generator, *, rise: float, seeds: int = 4, first: float = -0.02) -> pd.DataFrame:
    """Two models, two data sizes, three lengths: the loss changes by `first` at the first step, and at
    the second changes by `rise` on 500 images and falls by .02 on 20,000.
    """
    rows = []
    for seed in range(seeds):
        of_seed = 0.003 * random.standard_normal()
        for encoder in ("pico/8@64", "nano/8@64"):
            for images in IMAGES:
                for place, steps in enumerate(LENGTHS):
                    change = first * min(place, 1) + (rise if images == 500 else -0.02) * max(place - 1, 0)
                    loss = 0.4 + of_seed + change + NOISE_SD * random.standard_normal()
                    for labels in (60, 240):
                        name = f"{encoder}-{images}-{steps}-{seed}"
                        score = 0.5 + 0.01 * random.standard_normal()
                        rows.append((encoder, images, steps, f"{steps} steps", seed, labels, loss, score, name, "none"))
    names = ["encoder", "pretrain_images", "pretrain_steps", "pretrain_length", "seed", "finetune_images", "val_mim_loss", "miou", "pretrain_id"]
    return pd.DataFrame(rows, columns=[*names, "intermediate"])


def test_the_test_of_a_late_rise_is_a_paired_t_over_seeds_of_the_last_step() -> None:
    table = runs(np.random.default_rng(0), rise=0.004)
    (found,) = small_data_overfit(prepare(table))
    small = table[(table["pretrain_images"] == 500) & (table["finetune_images"] == 60)]
    wide = small.pivot_table(index=["encoder", "seed"], columns="pretrain_steps", values="val_mim_loss")
    by_seed = (wide[16_000] - wide[4000]).groupby("seed").mean()
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(by_seed.mean())
    assert found.p == pytest.approx(2 * ttest_1samp(by_seed, 0.0).pvalue)  # for two shorter lengths
    ends = ttest_1samp(by_seed, 0.0).confidence_interval(0.975)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((ends.low, ends.high))
    assert found.verdict == "supported"
    assert found.headline.startswith("With 500 pre-training images the held-out loss rises from 4,000 to 16,000 steps: it overfits (+0.004")
    assert "By the rule of series, those on 500 images overfit." in found.sentence


def test_a_loss_that_rose_early_and_stays_high_overfits() -> None:
    """The last step alone cannot tell: it is flat."""
    table = runs(np.random.default_rng(1), rise=0.0, first=0.01)
    small = table[(table["pretrain_images"] == 500) & (table["finetune_images"] == 60)]
    wide = small.pivot_table(index=["encoder", "seed"], columns="pretrain_steps", values="val_mim_loss")
    assert ttest_1samp((wide[16_000] - wide[4000]).groupby("seed").mean(), 0.0).pvalue > 0.05
    (found,) = small_data_overfit(prepare(table))
    assert found.verdict == "supported"
    assert found.headline.startswith("With 500 pre-training images the held-out loss rises from 1,000 to 16,000 steps: it overfits (+0.0")
    assert found.p == pytest.approx(2 * ttest_1samp((wide[16_000] - wide[1000]).groupby("seed").mean(), 0.0).pvalue)


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_loss_that_never_changes_is_seldom_said_to_rise(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    verdicts = [small_data_overfit(prepare(runs(random, rise=0.0, first=0.0, seeds=seeds)))[0].verdict for _ in range(200)]
    assert verdicts.count("supported") <= 14  # at most 5 are expected (2.5%, rises alone); 0.1%


def test_a_loss_that_still_falls_is_the_opposite() -> None:
    (found,) = small_data_overfit(prepare(runs(np.random.default_rng(0), rise=-0.01)))
    assert found.verdict == "refuted"
    assert found.headline.startswith("With 500 pre-training images the held-out loss still falls from 4,000 to 16,000 steps (-0.0")
    assert "By the rule of series, none overfits." in found.sentence


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_loss_that_stays_is_decided_in_one_of_twenty(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    verdicts = [small_data_overfit(prepare(runs(random, rise=0.0, seeds=seeds)))[0].verdict for _ in range(200)]
    decided = sum(verdict != "open" for verdict in verdicts)
    assert 2 <= decided <= 19  # 10 are expected; 0.2% each side


def test_a_lost_run_costs_its_seed_and_moves_nothing_else() -> None:
    """The seed's mean would be over another model alone."""
    table = runs(np.random.default_rng(0), rise=0.004)
    lost = table[
        ~((table["encoder"] == "pico/8@64") & (table["seed"] == 2) & (table["pretrain_steps"] == 16_000) & (table["pretrain_images"] == 500))
    ]
    (found,) = small_data_overfit(prepare(lost))
    (without,) = small_data_overfit(prepare(table[table["seed"] != 2]))
    assert found.estimate is not None
    assert without.estimate is not None
    assert found.estimate.value == pytest.approx(without.estimate.value)
    assert found.n == "3 seeds"
    assert found.sentence.endswith(" 1 seed lacks a pre-training and is left out: its mean would be over other settings.")
    assert "left out" not in without.sentence


def test_findings_ask_it_and_say_why_where_they_cannot() -> None:
    table = runs(np.random.default_rng(0), rise=0.004)
    assert findings(table)["small-data-overfit"].family == "secondary"
    one_length = findings(table[table["pretrain_steps"] == 1000])
    assert any(question == "Do small pre-training data overfit?" for question, _ in one_length.unanswered)
    shared = table.assign(pretrain_id=table["encoder"] + table["pretrain_images"].astype(str) + table["pretrain_length"])
    with pytest.raises(AnalysisError, match="seeds share pre-trainings"):
        small_data_overfit(prepare(shared))


def test_where_no_rise_is_significant_the_last_step_is_told() -> None:
    """Also where the loss rose by more, not significantly, from an earlier length."""
    random = np.random.default_rng(3)
    earlier = 0
    for _ in range(12):
        table = runs(random, rise=0.0, first=0.0)
        (found,) = small_data_overfit(prepare(table))
        small = table[(table["pretrain_images"] == 500) & (table["finetune_images"] == 60)]
        loss = small.groupby("pretrain_steps")["val_mim_loss"].mean()
        if found.verdict != "supported":
            assert found.estimate is not None
            assert found.estimate.value == pytest.approx(loss[16_000] - loss[4000])
            earlier += loss[16_000] - loss[1000] > max(0.0, loss[16_000] - loss[4000])
    assert earlier > 0


def test_settings_of_fewer_lengths_are_compared_over_the_steps_that_all_have() -> None:
    table = runs(np.random.default_rng(0), rise=0.004)
    table = table[~((table["encoder"] == "nano/8@64") & (table["pretrain_steps"] == 1000))]
    (found,) = small_data_overfit(prepare(table))
    small = table[(table["pretrain_images"] == 500) & (table["finetune_images"] == 60)]
    wide = small.pivot_table(index=["encoder", "seed"], columns="pretrain_steps", values="val_mim_loss")
    assert found.p == pytest.approx(ttest_1samp((wide[16_000] - wide[4000]).groupby("seed").mean(), 0.0).pvalue)
