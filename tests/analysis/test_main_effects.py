"""What moved the score: exact on complete grids, robust to lost runs, and silent where nothing did."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings, load_published, main_effects, paired_effects
from analysis.factorial.axes import axes_of
from benchmarks.statistics.worlds import SEED_SD, WORLDS, World, simulate_world, truth_of


def world(name: str, seed: int = 0, *, seeds: int = 3, missing: float = 0.0) -> pd.DataFrame:
    return simulate_world(np.random.default_rng(seed), WORLDS[name], seeds=seeds, missing=missing)


def test_in_a_complete_grid_an_effect_is_the_paired_t_test_over_seeds() -> None:
    runs = world("length only")
    row = main_effects(runs).table.set_index("axis").loc["pretrain_length"]
    paired = paired_effects(runs, factor="pretrain_length", baseline="100000 images", treatment="512000 images").overall.iloc[0]
    assert row[["effect", "low", "high", "p"]].to_numpy(dtype=float) == pytest.approx(
        paired[["difference", "low", "high", "p"]].to_numpy(dtype=float)
    )
    assert (row["n_pairs"], row["n_seeds"], row["n_units"]) == (paired["n_pairs"], 3, 3)


def test_noise_free_effects_and_shares_are_exact() -> None:
    cells = [(images, labels, seed) for images in (100, 400) for labels in (10, 20, 40) for seed in (0, 1)]
    runs = pd.DataFrame(cells, columns=["pretrain_images", "finetune_images", "seed"])
    runs["miou"] = 0.3 + 0.02 * np.log2(runs["pretrain_images"]) + 0.01 * np.log2(runs["finetune_images"])
    found = main_effects(runs)
    table = found.table.set_index("axis")
    assert table["effect"].to_dict() == pytest.approx({"pretrain_images": 0.04, "finetune_images": 0.02})
    assert table["per_doubling"].to_dict() == pytest.approx({"pretrain_images": 0.02, "finetune_images": 0.01})
    assert table["ratio"].to_dict() == {"pretrain_images": 4.0, "finetune_images": 4.0}
    between = {"pretrain_images": 0.02**2, "finetune_images": 0.01**2 * 2 / 3}
    assert table["share"].to_dict() == pytest.approx({name: value / sum(between.values()) for name, value in between.items()})
    assert found.share_of_noise == pytest.approx(0.0, abs=1e-12)
    assert table["note"].str.contains("agree exactly").all()


@pytest.mark.parametrize("name", [name for name, one in WORLDS.items() if one.cause])
def test_the_axis_that_matters_comes_first(name: str) -> None:
    first = [main_effects(world(name, seed)).table.query("axis != 'finetune_images'")["axis"].iloc[0] for seed in range(12)]
    assert first.count(WORLDS[name].cause) >= 11


def test_the_headline_names_the_cause_and_the_axis_that_brought_nothing() -> None:
    found = main_effects(simulate_world(np.random.default_rng(1), World(length=0.04), seeds=5))
    assert found.headline().startswith("Pre-training five times longer raised mIoU by 0.0")
    assert "forty times more pre-training images changed it by" in found.headline()
    assert "which five seeds cannot tell from zero" in found.headline()
    assert found.sentences()[0].startswith("Pre-training length, 100,000 images to 512,000 images: +0.0")


def test_shuffled_scores_name_nothing() -> None:
    random = np.random.default_rng(3)
    runs = world("length only", seeds=5)
    named = 0
    for _ in range(20):
        shuffled = runs.assign(miou=random.permutation(runs["miou"].to_numpy()))
        named += not main_effects(shuffled).headline().startswith("No axis of this study moved mIoU")
    assert named <= 4  # 5% are expected; more than 4 of 20 happen once in 400


def test_losing_any_one_run_turns_no_effect_round() -> None:
    runs = simulate_world(np.random.default_rng(0), World(length=0.04))
    whole = main_effects(runs).table.set_index("axis")
    found = whole.index[whole["p_holm"] < 0.05]
    assert "pretrain_length" in found
    for lost in runs.index[::7]:
        table = main_effects(runs.drop(index=lost)).table.set_index("axis")
        assert (np.sign(table.loc[found, "effect"]) == np.sign(whole.loc[found, "effect"])).all()
        assert table.loc["pretrain_length", "n_seeds"] == 3
        assert table.loc["pretrain_length", "n_pairs"] >= whole.loc["pretrain_length", "n_pairs"] - 1


def test_intervals_hold_the_truth_with_runs_missing() -> None:
    random = np.random.default_rng(4)
    held = total = 0
    for _ in range(40):
        table = main_effects(simulate_world(random, WORLDS["model only"], seeds=5, missing=0.1)).table
        table = table[table["axis"] != "finetune_images"]
        truth = table["axis"].map(lambda axis: truth_of(WORLDS["model only"], axis))
        held += int(((table["low"] <= truth) & (truth <= table["high"])).sum())
        total += len(table)
    assert 0.89 <= held / total <= 0.99


def test_an_interaction_is_found_and_told_by_level() -> None:
    runs = world("null", seeds=5)
    long = (runs["pretrain_length"] == "512000 images") & (runs["finetune_images"] == 480)
    runs.loc[long, "miou"] += 8 * SEED_SD
    interactions = main_effects(runs).interactions
    top = interactions.iloc[0]
    assert {top["axis"], top["by"]} == {"pretrain_length", "finetune_images"}
    assert top["difference"] == pytest.approx(8 * SEED_SD, abs=1.5 * SEED_SD)
    assert top["effect_at_high"] - top["effect_at_low"] == pytest.approx(top["difference"])


def test_one_pretraining_for_all_seeds_is_said() -> None:
    runs = world("length only")
    runs["pretrain_id"] = runs["pretrain_id"].str.rpartition("-")[0]
    row = main_effects(runs).table.set_index("axis").loc["pretrain_length"]
    assert row["note"] == "conditional on the pre-trainings that all seeds share"


def test_settings_that_follow_from_others_are_no_axes() -> None:
    runs = pd.DataFrame(
        {
            "pretrain_images": [0, 100, 100, 1000, 1000],
            "pretrain_source": [None, "small", "small", "large", "large"],
            "pretrain_length": [None, "2 epochs", "4 epochs", "2 epochs", "4 epochs"],
            "pretrain_image_passes": [0, 200, 400, 2000, 4000],
            "intermediate": "none",
        }
    )
    axes = {axis.column: axis for axis in axes_of(runs)}
    assert list(axes) == ["pretraining", "pretrain_images", "pretrain_length"]
    assert axes["pretrain_images"].sizes == (100.0, 1000.0)
    assert axes["pretrain_length"].sizes == (2.0, 4.0)
    assert axes["pretrain_length"].code.tolist() == [-1, 0, 1, 0, 1]
    assert "pretrain_source" not in axes["pretrain_images"].blocks


def test_published_tables() -> None:
    first = main_effects(load_published("diminishing-returns")).table.set_index("axis")
    assert first.loc["pretraining", "effect"] == pytest.approx(0.0699, abs=5e-5)
    assert first.loc["intermediate", "effect"] == pytest.approx(-0.0316, abs=5e-5)
    second = main_effects(load_published("data-scaling"))
    assert second.table["axis"].iloc[0] == "encoder"
    assert "holds for cells like these" in second.table["note"].iloc[0]


def test_a_table_without_an_axis_is_refused_in_a_sentence() -> None:
    runs = pd.DataFrame({"finetune_images": [10, 10], "seed": [0, 1], "miou": [0.1, 0.2]})
    with pytest.raises(AnalysisError, match="no setting takes two values in this table"):
        main_effects(runs)
    with pytest.raises(AnalysisError, match="no row of the runs table has a finite 'miou'"):
        main_effects(runs.assign(miou=np.nan))


@pytest.mark.parametrize(
    ("small", "large", "sized"),
    [
        ("pico/8@32", "nano/16@64", True),
        ("swinv2-t@64", "swinv2-s@64", True),
        ("timm:resnet18@64", "timm:resnet34@64", True),
        ("small", "large", True),  # names that say nothing of an architecture
        ("timm:vit_tiny_patch16_224@64", "timm:resnet18@64", False),
        ("pico/8@32", "swinv2-t@64", False),
        ("timm:resnet18@64", "torchvision:resnet34@64", False),
    ],
)
def test_two_architectures_are_compared_as_models_not_as_sizes(small: str, large: str, sized: bool) -> None:
    cells = [(encoder, labels, seed) for encoder in (small, large) for labels in (10, 40) for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["encoder", "finetune_images", "seed"])
    runs["encoder_params"] = np.where(runs["encoder"] == small, 5e6, 1e7)
    runs["miou"] = 0.3 + 0.1 * (runs["encoder"] == small) + 0.01 * np.log2(runs["finetune_images"])
    runs["miou"] += np.random.default_rng(0).normal(0, 0.002, len(runs))
    row = main_effects(runs).table.set_index("axis").loc["encoder"]
    assert row["name"] == ("model size" if sized else "model")
    found = findings(runs)["varied-encoder"]
    if sized:
        assert found.claim == "Bigger models raise mIoU."
        assert found.headline.startswith("A model with twice the parameters lowers mIoU by 0.1")
    else:
        first, second = sorted((small, large))
        assert found.claim == "Model makes a difference to mIoU."
        assert found.headline.startswith(f"Model {second} instead of {first} ")


def sparse(settings: list[tuple[str, int, int]]) -> pd.DataFrame:
    """Runs of (k, x, s) on three seeds, whose score rises with log2 x and with k."""
    rows = [(k, x, s, seed) for k, x, s in settings for seed in range(3)]
    runs = pd.DataFrame(rows, columns=["k", "x", "s", "seed"])
    noise = np.random.default_rng(5).normal(0.0, 0.002, len(runs))
    return runs.assign(acc=0.3 + 0.05 * np.log2(runs["x"] / 100) + 0.04 * (runs["k"] == "b") + noise)


def test_where_no_pair_of_runs_has_both_ends_the_two_farthest_apart_that_one_has_are_compared() -> None:
    runs = sparse([("a", 100, 10), ("a", 200, 10), ("b", 200, 10), ("b", 500, 10), ("a", 500, 20)])
    found = main_effects(runs, outcome="acc", axes=["x", "k", "s"])
    row = found.table.set_index("axis").loc["x"]
    assert (row["low_level"], row["high_level"], row["ratio"]) == (200, 500, 2.5)
    assert row["effect"] == pytest.approx(0.05 * np.log2(2.5), abs=0.01)
    assert (row["n_pairs"], row["n_blocks"], row["n_seeds"], row["where"]) == (3, 1, 3, "with k b, at 10 s")
    assert "x, 200 to 500: +0.06" in found.summary()
    assert "no pair of runs has both 100 and 500, so the two farthest apart that one has are compared, with k b, at 10 s)." in found.summary()
    assert found.table.set_index("axis").loc["s", ["effect", "n_pairs", "n_blocks", "n_up", "n_seeds"]].isna().all()
    assert "0 pairs" not in found.summary()
    assert "<NA>" not in found.summary()
    # an effect between ends that pairs have goes before it, also where it is smaller
    assert found.headline().startswith("K b instead of a raised acc by 0.038; 2.5 times more x (with k b, at 10 s)")


def test_levels_that_no_seed_has_both_of_are_said_to_be_compared_through_other_runs() -> None:
    runs = sparse([("a", 100, 10), ("b", 100, 10), ("a", 400, 10)])
    runs = runs[~((runs["k"] == "a") & (runs["x"] == 100) & (runs["seed"] > 0)) & ~((runs["x"] == 400) & (runs["seed"] == 0))]
    found = main_effects(runs.reset_index(drop=True), outcome="acc", axes=["x", "k"])
    assert found.table.set_index("axis").loc["x", ["n_pairs", "n_up"]].isna().all()
    said = next(one for one in found.sentences() if one.startswith("x, 100 to 400: "))
    assert "no pair of runs of one seed differs in it alone: seeds are compared through their other runs" in said


def test_a_claim_about_ends_that_no_pair_of_runs_has_names_those_that_it_compares() -> None:
    settings = [(10, 20), (10, 40), (30, 40), (30, 90)]
    runs = pd.DataFrame(
        [(images, steps, seed) for images, steps in settings for seed in range(4)], columns=["finetune_images", "finetune_steps", "seed"]
    )
    runs["miou"] = 0.2 + 0.05 * np.log2(runs["finetune_steps"]) + np.random.default_rng(2).normal(0.0, 0.001, len(runs))
    steps = next(one for one in findings(runs) if one.identity == "varied-finetune-steps")
    assert steps.n == "4 pairs in 1 cell, 4 seeds"
    assert steps.detail == "Up in 1 of 1 cell, 4 seeds"
    assert steps.headline.startswith("2.2 times more fine-tuning steps (at 30 labels) raise mIoU by 0.05")
    assert "no pair of runs has both 20 and 90" in steps.reading


def test_cells_whose_runs_lie_far_apart_are_few_in_sound_tables_and_found_in_others() -> None:
    random = np.random.default_rng(8)
    wrong = 0
    for _ in range(200):
        runs = pd.DataFrame([(n, seed) for n in (1, 2, 4, 8, 16, 32) for seed in range(2)], columns=["n", "seed"])
        runs["acc"] = 50.0 + runs["n"] + random.normal(0, 0.5, len(runs))
        wrong += len(main_effects(runs, outcome="acc", axes=["n"]).odd)
    assert wrong <= 2
    runs.loc[5, "acc"] = 0.1  # a diverged run
    assert main_effects(runs, outcome="acc", axes=["n"]).odd["lowest"].tolist() == [0.1]


@pytest.mark.parametrize(("size", "written"), [(0.04, "+0.040 "), (20.0, "+20.00 "), (0.0004, "+0.00040 "), (2000.0, "+2000 ")])
def test_effects_have_the_digits_of_their_size(size: float, written: str) -> None:
    runs = pd.DataFrame([(n, seed, size * n + 1e-3 * size * seed * n) for n in (0.0, 1.0) for seed in (-1, 0, 1)], columns=["n", "seed", "acc"])
    assert written in main_effects(runs, outcome="acc", axes=["n"]).sentences()[0]


def test_seeds_that_agree_to_the_last_digit_leave_the_interval_to_the_scatter_of_single_runs() -> None:
    """Scores over few test images often agree; an effect in every pair must not end as nothing."""
    off = {0: {1: 2, 2: -2, 4: 0}, 1: {1: -1, 2: 1, 4: 0}}  # of a seed: images of 144, by m; each adds up to zero
    cells = [(n, m, seed) for n in (1, 4) for m in (1, 2, 4) for seed in (0, 1)]
    runs = pd.DataFrame(cells, columns=["labels", "m", "seed"])
    runs["acc"] = [(40 + 10 * (n == 4) + (n == 4) * off[seed][m] + 2 * seed) / 144 for n, m, seed in cells]
    row = main_effects(runs, outcome="acc", axes=["labels", "m"]).table.set_index("axis").loc["labels"]
    assert row["effect"] == pytest.approx(10 / 144)
    assert row["note"] == "the seeds agree exactly, so the interval is by the scatter of single runs"
    assert (row["low"], row["high"]) == (row["pooled_low"], row["pooled_high"])
    assert 0.0 < row["low"] < row["high"]
    assert 0.0 < row["p"] < 0.05


def test_an_axis_that_is_named_twice_is_compared_once() -> None:
    runs = pd.DataFrame([(n, seed) for n in (10, 20) for seed in range(3)], columns=["n", "seed"])
    runs["acc"] = runs["n"] + np.random.default_rng(0).normal(0.0, 0.1, len(runs))
    assert main_effects(runs, outcome="acc", axes=["n", "n"]).table["axis"].tolist() == ["n"]
