"""What is compared with what: an interaction's ends and difference are of the same runs, kinds of a
treatment are each compared with none, and pairs are counted alike everywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import findings, load_runs, main_effects
from analysis.factorial.result import pairs_tried

STUDIES = Path(__file__).parents[2] / "studies"
KEPT = sorted(STUDIES.glob("*/runs.csv"))


def by_name(study: Path) -> str:
    return study.parent.name


@pytest.mark.parametrize("study", KEPT, ids=by_name)
def test_the_difference_of_an_interaction_is_that_of_its_two_ends(study: Path) -> None:
    for _, part in load_runs(study).groupby("finetune_task"):
        crossed = main_effects(part.reset_index(drop=True)).interactions
        assert (crossed["effect_at_high"] - crossed["effect_at_low"]).to_numpy() == pytest.approx(crossed["difference"].to_numpy(), abs=1e-12)
        assert (crossed["n_pairs"] > 0).all()


def test_an_interaction_leaves_out_what_one_end_alone_has() -> None:
    """Half of the runs of 40 labels took 25 steps: at equal steps nothing interacts with labels."""
    cells = [(trained, labels, steps, seed) for trained in (0, 500) for labels, steps in ((40, 25), (40, 100), (240, 100)) for seed in range(5)]
    runs = pd.DataFrame(cells, columns=["pretrain_images", "finetune_images", "finetune_steps", "seed"]).assign(intermediate="none")
    gain = np.where(runs["finetune_steps"] == 25, 0.08, 0.02) * (runs["pretrain_images"] > 0)
    runs["miou"] = 0.3 + gain + np.random.default_rng(0).normal(0.0, 0.001, len(runs))
    found = main_effects(runs)
    crossed = found.interactions.set_index(["axis", "by"])
    assert crossed.loc[("pretraining", "finetune_images"), "effect_at_low"] == pytest.approx(0.02, abs=0.002)
    assert crossed.loc[("pretraining", "finetune_images"), "difference"] == pytest.approx(0.0, abs=0.003)
    assert crossed.loc[("pretraining", "finetune_images"), "n_pairs"] == 5
    assert crossed.loc[("pretraining", "finetune_steps"), "difference"] == pytest.approx(-0.06, abs=0.003)
    # by level too: the steps are told where both were run
    steps = found.levels[(found.levels["axis"] == "pretraining") & (found.levels["by"] == "finetune_steps")]
    assert steps["effect"].tolist() == pytest.approx([0.08, 0.02], abs=0.003)


def test_effects_by_level_are_of_the_settings_that_all_levels_have() -> None:
    found = main_effects(load_runs(STUDIES / "first_paper_in_miniature" / "runs.csv"))
    levels = found.levels[(found.levels["axis"] == "pretraining") & (found.levels["by"] == "finetune_images")]
    # the README's cells at 100 steps, over both sizes of pre-training
    assert dict(zip(levels["level"], levels["effect"].round(4), strict=True)) == {40: 0.0226, 100: 0.0383, 240: 0.0545}
    assert [words for _, words in found.at_levels("pretraining")] == ["at 40 labels", "at 100 labels", "at 240 labels (at 100 fine-tuning steps)"]
    assert found.at_levels("finetune_images")[-1][1] == "after pre-training (at 100 fine-tuning steps, without an intermediate stage)"


def test_pretraining_by_length_is_of_the_sizes_that_all_lengths_have() -> None:
    cells = [(0, None), (100, "10 epochs"), *((images, "100 epochs") for images in (100, 1000, 10_000))]
    runs = pd.DataFrame([(*cell, seed) for cell in cells for seed in range(5)], columns=["pretrain_images", "pretrain_length", "seed"])
    size = {0: 0.0, 100: -0.05, 1000: 0.05, 10_000: 0.15}
    gain = runs["pretrain_images"].map(size) + 0.01 * (runs["pretrain_length"] == "100 epochs")
    runs["miou"] = 0.3 + gain + np.random.default_rng(0).normal(0.0, 0.001, len(runs))
    levels = main_effects(runs).levels
    levels = levels[levels["by"] == "pretrain_length"]
    assert dict(zip(levels["level"], levels["effect"], strict=True)) == pytest.approx({"10 epochs": -0.05, "100 epochs": -0.04}, abs=0.002)
    assert set(levels["where"]) == {"at 100 pre-training images"}


@pytest.mark.parametrize("study", KEPT, ids=by_name)
def test_a_main_effect_and_the_claim_about_it_count_the_same_pairs(study: Path) -> None:
    runs = load_runs(study)
    runs = runs[runs["finetune_task"] == runs["finetune_task"].iloc[0]].reset_index(drop=True)
    rows = main_effects(runs).table
    claims = {one.identity: one for one in findings(runs)}
    pretraining = rows[(rows["axis"] == "pretraining") & (rows["kind"] == "")]
    for row in pretraining.to_dict("records"):
        counted = f"{row['n_pairs']} pairs in {row['n_blocks']} cells"
        assert claims["pretraining-helps-on-average"].n.startswith(counted)
        assert claims["pretraining-helps-on-average"].detail.startswith(f"Up in {row['n_up']} of {row['n_blocks']} cells")


def test_a_kind_with_more_cells_in_some_settings_has_the_effect_that_its_claim_has() -> None:
    runs = load_runs(STUDIES / "first_paper_in_miniature" / "runs.csv")
    kinds = main_effects(runs).table.set_index("kind")
    claim = findings(runs)["classification-hurts-on-average"].estimate
    assert claim is not None
    assert kinds.loc["classification", ["effect", "low", "high"]].tolist() == pytest.approx([claim.value, claim.low, claim.high])


def of_methods(effects: dict[str, float], seeds: int = 5) -> pd.DataFrame:
    """Runs from scratch and of each objective, with these effects."""
    cells = [(method, seed) for method in ("", *effects) for seed in range(seeds)]
    runs = pd.DataFrame({"pretrain_objective": [method or None for method, _ in cells], "seed": [seed for _, seed in cells]})
    runs = runs.assign(pretrain_images=np.where(runs["pretrain_objective"].isna(), 0, 1000), finetune_images=100)
    noise = np.random.default_rng(0).normal(0.0, 0.003, len(runs))
    return runs.assign(miou=[0.4 + effects.get(method, 0.0) for method, _ in cells] + noise)


def test_each_objective_is_compared_with_no_pre_training() -> None:
    runs = of_methods({"mae": -0.03, "simmim": 0.03, "supervised": 0.0})
    found = main_effects(runs)
    kinds = found.table[found.table["axis"] == "pretraining"].set_index("kind")
    scratch = runs.loc[runs["pretrain_objective"].isna(), "miou"].mean()
    for kind, part in runs.groupby("pretrain_objective"):
        assert kinds.loc[kind, "effect"] == pytest.approx(part["miou"].mean() - scratch)
        assert (kinds.loc[kind, "low_level"], kinds.loc[kind, "name"]) == ("none", f"pre-training ({kind})")
    assert any(one.startswith("Pre-training (mae), against none: -0.03") for one in found.sentences())
    assert found.headline().startswith("Pre-training (") or found.headline().startswith("Pre-training objective")
    claim = findings(runs)["pretraining-helps-on-average"]
    assert "with mae" in claim.headline
    assert "with supervised" in claim.headline


def test_objectives_that_all_help_are_said_in_one_clause() -> None:
    found = main_effects(of_methods({"mae": 0.05, "simmim": 0.08}))
    amount = found.table[found.table["axis"] == "pretraining"].set_index("kind")["effect"]
    assert found.headline().startswith(
        f"Pre-training raised mIoU by {amount['simmim']:.3f} (simmim) and {amount['mae']:.3f} (mae); pre-training objective "
    )


def test_each_kind_of_intermediate_stage_is_compared_with_none_and_corrected_for() -> None:
    table = main_effects(load_runs(STUDIES / "first_paper_in_miniature" / "runs.csv")).table
    kinds = table[table["axis"] == "intermediate"].set_index("kind")
    assert set(kinds.index) == {"classification", "spatial"}
    assert (kinds["low_level"] == "none").all()
    assert kinds.loc["spatial", "effect"] == pytest.approx(0.0119, abs=5e-5)  # as in the README, by a t test
    assert kinds.loc["spatial", "p"] == pytest.approx(0.0053, abs=5e-5)
    assert (kinds["p_holm"] > kinds["p"]).all()


def test_levels_without_an_order_say_that_they_were_chosen() -> None:
    runs = of_methods({"mae": -0.03, "simmim": 0.03, "supervised": 0.0})
    row = main_effects(runs).table.set_index("axis").loc["pretrain_objective"]
    assert (row["low_level"], row["high_level"]) == ("mae", "simmim")
    assert row["note"] == "the two of its 3 levels that differ most, interval and p corrected for that choice"


def test_a_recipe_with_another_split_says_that_it_tests_on_other_images() -> None:
    runs = load_runs(STUDIES / "released_recipe_on_pets" / "runs.csv")
    (finding,) = [one for one in findings(runs) if one.identity == "varied-finetune-recipe"]
    assert finding.detail == "Down in 1 of 1 cell, 3 seeds; labelled and test images differ too"
    assert "says nothing of other images" in " ".join(finding.cautions)


def test_one_kind_with_an_estimate_is_told_as_a_setting_and_not_as_a_list_of_kinds() -> None:
    """Of simmim no run is equal to one without pre-training."""
    cells = [("none", 40), ("mae", 40), ("mae", 240), ("simmim", 240)]
    runs = pd.DataFrame([(*cell, seed) for cell in cells for seed in range(5)], columns=["pretrain_objective", "finetune_images", "seed"])
    runs["pretrain_images"] = np.where(runs["pretrain_objective"] == "none", 0, 1000)
    runs["pretrain_objective"] = runs["pretrain_objective"].where(runs["pretrain_objective"] != "none")
    gain = runs["pretrain_objective"].map({"mae": 0.2, "simmim": 0.18}).fillna(0.0)
    runs["miou"] = 0.3 + gain + np.random.default_rng(0).normal(0.0, 0.002, len(runs))
    assert main_effects(runs).headline().startswith("Pre-training (mae) raised mIoU by 0.2")


@pytest.mark.parametrize("finer", [False, True], ids=["a recipe each", "several recipes each"])
def test_objectives_with_recipes_of_their_own_are_each_compared_with_none(*, finer: bool) -> None:
    cells = [(None, None), ("mae", "mae"), ("simmim", "simmim"), *([("mae", "mae-b"), ("simmim", "simmim-b")] if finer else [])]
    runs = pd.DataFrame([(*cell, seed) for cell in cells for seed in range(5)], columns=["pretrain_objective", "pretrain_recipe", "seed"])
    runs["pretrain_images"] = np.where(runs["pretrain_objective"].isna(), 0, 1000)
    gain = runs["pretrain_objective"].map({"mae": 0.2, "simmim": -0.1}).fillna(0.0)
    runs["miou"] = 0.4 + gain + np.random.default_rng(0).normal(0.0, 0.002, len(runs))
    found = main_effects(runs)
    assert {kind: effect for effect, kind in found.of_kinds("pretraining")} == pytest.approx({"with mae": 0.2, "with simmim": -0.1}, abs=0.004)
    assert "" not in set(found.table.loc[found.table["axis"] == "pretraining", "kind"])
    assert not found.levels.duplicated(["axis", "kind", "by", "level"]).any()
    assert (found.levels.groupby(["axis", "kind", "by"]).size() > 1).all()


def test_an_interval_is_widened_for_the_pairs_of_levels_that_runs_have() -> None:
    """Recipes b, c and d were each compared with a alone: three pairs of recipes, not six."""
    cells = [(recipe, labels) for labels, other in enumerate("bcd") for recipe in ("a", other)]
    runs = pd.DataFrame([(*cell, seed) for cell in cells for seed in range(5)], columns=["recipe", "labels", "seed"])
    runs["acc"] = 0.4 + 0.1 * (runs["recipe"] == "b") + np.random.default_rng(0).normal(0.0, 0.002, len(runs))
    row = main_effects(runs, outcome="acc", axes=["recipe", "labels"]).table.set_index("axis").loc["recipe"]
    assert (row["levels"], pairs_tried(row)) == (4, 3)
