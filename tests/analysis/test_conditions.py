"""Where effects differ they are told by level; where seeds share pre-trainings the verdict says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import findings, main_effects, paired_effects, plan_seeds
from analysis.claims.finding import Finding
from analysis.claims.findings import CONDITION
from analysis.claims.interaction import QUESTIONS as INTERACTION
from analysis.claims.intermediate import QUESTIONS as INTERMEDIATE
from analysis.claims.pretraining import QUESTIONS as PRETRAINING
from analysis.claims.returns import QUESTIONS as RETURNS
from analysis.claims.varied import QUESTIONS as VARIED
from benchmarks.statistics.worlds import World, simulate_world


def crossed(*, at_few: float, at_many: float, seeds: int = 5, random_seed: int = 0) -> pd.DataFrame:
    """Two recipes at two numbers of labels; the second recipe adds `at_few` and `at_many`."""
    random = np.random.default_rng(random_seed)
    rows = [(recipe, labels, seed) for recipe in ("mae", "simmim") for labels in (60, 480) for seed in range(seeds)]
    runs = pd.DataFrame(rows, columns=["pretrain_recipe", "finetune_images", "seed"]).assign(pretrain_images=1000)
    gain = np.where(runs["finetune_images"] == 60, at_few, at_many) * (runs["pretrain_recipe"] == "simmim")
    return runs.assign(miou=0.5 + gain + 0.002 * random.standard_normal(len(runs)))


def test_an_effect_that_differs_is_told_by_level_first() -> None:
    one = findings(crossed(at_few=0.02, at_many=0.06), questions=VARIED)["varied-pretrain-recipe"]
    assert [where for _, where in one.levels] == ["at 60 labels", "at 480 labels"]
    assert [value for value, _ in one.levels] == pytest.approx([0.02, 0.06], abs=0.005)
    assert one.headline.startswith("Pre-training recipe simmim instead of mae raises mIoU: +0.0")
    assert " at 60 labels, +0.06" in one.headline
    assert one.headline.index("at 480 labels") < one.headline.index("; on average +0.0")
    assert one.sentence.index("at 480 labels") < one.sentence.index("on average")


def test_an_effect_of_both_signs_is_not_said_to_raise() -> None:
    one = findings(crossed(at_few=-0.02, at_many=0.06), questions=VARIED)["varied-pretrain-recipe"]
    assert one.verdict == "supported"
    assert one.headline.startswith("Pre-training recipe simmim instead of mae changes mIoU, not alike everywhere: -0.02")


def test_an_effect_that_is_the_same_everywhere_has_no_levels() -> None:
    with_levels = sum(bool(len(main_effects(crossed(at_few=0.03, at_many=0.03, random_seed=seed)).levels)) for seed in range(60))
    assert with_levels <= 7  # 5% of 60, and two and a half standard errors


def test_pretraining_is_told_by_its_length_where_length_matters() -> None:
    runs = simulate_world(np.random.default_rng(0), World(pretraining=0.02, length=0.04), seeds=5)
    one = findings(runs, questions=PRETRAINING)["pretraining-helps-on-average"]
    assert [where for _, where in one.levels] == ["after 100,000 image passes", "after 512,000 image passes"]
    assert [value for value, _ in one.levels] == pytest.approx([0.02, 0.06], abs=0.012)


def test_the_interval_for_cells_like_these_stands_beside_that_for_these_cells() -> None:
    runs = simulate_world(np.random.default_rng(0), World(pretraining=0.03), seeds=3)
    one = findings(runs, questions=PRETRAINING)["pretraining-helps-on-average"]
    row = main_effects(runs).table.set_index("axis").loc["pretraining"]
    assert f"for cells like these {row['cells_low']:+.3f} to {row['cells_high']:+.3f}" in one.sentence


def test_seeds_that_agree_by_chance_are_cautioned_against_and_five_are_advised() -> None:
    runs = simulate_world(np.random.default_rng(0), World(pretraining=0.03), seeds=3)
    by_seed = runs["seed"].map(runs.groupby("seed")["miou"].mean())
    gain = runs.assign(trained=runs["pretrain_images"] > 0).groupby(["seed", "trained"])["miou"].transform("mean") - by_seed
    mean = runs.assign(trained=runs["pretrain_images"] > 0, gain=gain).groupby("trained")["gain"].transform("mean")
    alike = runs.assign(miou=runs["miou"] - gain + mean + 1e-4 * runs["seed"] * (runs["pretrain_images"] > 0))
    one = findings(alike, questions=PRETRAINING)["pretraining-helps-on-average"]
    assert "3 seeds agree on the effect of pre-training more closely than single runs scatter" in one.cautions[0]
    assert "by the scatter of single runs" in one.sentence
    assert "This study has 3 seeds. Run 5" in findings(alike, questions=PRETRAINING).notes[0]
    assert not any("Run 5" in note for note in findings(simulate_world(np.random.default_rng(0), World(), seeds=5), questions=PRETRAINING).notes)
    effects = paired_effects(runs, factor="pretrain_length", baseline="100000 images", treatment="512000 images")
    said = plan_seeds(effects, effect=0.5).sentence()
    assert ": 2 seeds;" in said
    assert "run 5 all the same" in said


def one_pretraining_each(random_seed: int, *, seeds: int, gain: float = 0.0) -> pd.DataFrame:
    """One pre-training of each size and many fine-tunings, as of downloaded weights; the quality of
    a pre-training is luck, with a standard deviation of 0.01.
    """
    random = np.random.default_rng([11, random_seed])
    rows = []
    for size in (0, 1000, 10_000):
        luck = 0.01 * random.standard_normal() if size else 0.0
        for labels in (60, 240):
            for seed in range(seeds):
                score = 0.4 + gain * (size > 0) + luck + 0.004 * random.standard_normal()
                rows.append((size, f"pretrain-{size}" if size else None, labels, seed, score))
    return pd.DataFrame(rows, columns=["pretrain_images", "pretrain_id", "finetune_images", "seed", "miou"])


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_a_shared_pretraining_gives_no_unconditional_verdict_by_luck(seeds: int) -> None:
    questions = (*PRETRAINING, *VARIED, *RETURNS, *INTERMEDIATE)
    unconditional = conditional = 0
    for random_seed in range(12):
        found = findings(one_pretraining_each(random_seed, seeds=seeds), questions=questions, margin=1e-6)
        decided: list[Finding] = [one for one in found if one.verdict != "open" and "finetune" not in one.identity]
        unconditional += any(not one.condition for one in decided)
        conditional += any(bool(one.condition) for one in decided)
    assert unconditional == 0
    assert conditional >= 1  # luck is found, and said to be that of these pre-trainings


def test_the_condition_stands_in_claim_and_headline() -> None:
    one = findings(one_pretraining_each(0, seeds=5, gain=0.06), questions=PRETRAINING)["pretraining-helps-on-average"]
    assert one.verdict == "supported"
    assert one.claim == f"Pre-training raises mIoU on average, {CONDITION}."
    assert one.headline.endswith(f", {CONDITION}")
    own = simulate_world(np.random.default_rng(0), World(pretraining=0.03), seeds=3)
    assert not any(one.condition for one in findings(own, questions=(*PRETRAINING, *VARIED)))


def test_what_data_are_worth_with_longer_training_is_told_where_seeds_are_all_there_is() -> None:
    random = np.random.default_rng(0)
    rows = [(size, length, seed) for size in (500, 20_000) for length in (100_000, 512_000) for seed in range(5)]
    runs = pd.DataFrame(rows, columns=["pretrain_images", "pretrain_image_passes", "seed"]).assign(finetune_images=100)
    runs["pretrain_length"] = runs["pretrain_image_passes"].astype(str) + " images"
    runs["pretrain_steps"] = runs["pretrain_image_passes"] // 100
    gain = 0.05 * ((runs["pretrain_images"] > 500) & (runs["pretrain_image_passes"] > 100_000))
    found = findings(runs.assign(miou=0.4 + gain + 0.003 * random.standard_normal(len(runs))), questions=INTERACTION)
    one = found["data-worth-more-training"]
    assert one.verdict == "supported"
    assert one.estimate is not None
    assert one.estimate.low < 0.05 < one.estimate.high
    assert one.headline.startswith("More data are worth more with longer training (+0.0")
