"""Labels are compared at equal steps or at equal epochs, and never across both; settings that always
change together are one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import findings, main_effects
from analysis.factorial.axes import axes_of
from analysis.factorial.joined import joint_name
from analysis.factorial.lengths import with_epochs


def fine_tuned(lengths: list[tuple[int, int]], *, gain: float = 0.0, per_step: float = 0.05, sd: float = 0.001) -> pd.DataFrame:
    """Runs of (labels, steps) on five seeds, whose score rises with log2 of both."""
    cells = [(labels, steps, seed) for labels, steps in lengths for seed in range(5)]
    runs = pd.DataFrame(cells, columns=["finetune_images", "finetune_steps", "seed"])
    noise = np.random.default_rng(0).normal(0.0, sd, len(runs))
    return runs.assign(miou=0.2 + per_step * np.log2(runs["finetune_steps"] / 25) + gain * np.log2(runs["finetune_images"] / 40) + noise)


def test_labels_are_compared_at_equal_steps_where_a_study_has_both() -> None:
    runs = fine_tuned([(40, 25), (100, 63), (240, 150), (40, 100), (100, 100), (240, 100)])
    row = main_effects(runs).table.set_index("axis").loc["finetune_images"]
    assert row["effect"] == pytest.approx(0.0, abs=0.002)
    assert (row["n_pairs"], row["n_blocks"]) == (5, 1)


def test_the_labels_of_the_first_paper_in_miniature_agree_with_their_cells(kept_runs: pd.DataFrame) -> None:
    row = main_effects(kept_runs).table.set_index("axis").loc["finetune_images"]
    settings = ["pretrain_images", "intermediate", "intermediate_source", "intermediate_steps", "intermediate_recipe"]
    equal = kept_runs[kept_runs["finetune_steps"] == 100].groupby([*settings, "finetune_images"], dropna=False)["miou"].mean().unstack()
    cells = equal[240] - equal[40]
    assert row["effect"] == pytest.approx(cells.mean(), abs=1e-9)
    assert (row["n_blocks"], row["n_up"]) == (len(cells), int((cells > 0).sum())) == (13, 12)
    assert findings(kept_runs)["varied-finetune-images"].detail == "Up in 12 of 13 cells, 5 seeds"


@pytest.fixture(scope="module")
def kept_runs() -> pd.DataFrame:
    from pathlib import Path

    from analysis import load_runs

    return load_runs(Path(__file__).parents[2] / "studies" / "first_paper_in_miniature" / "runs.csv")


def test_labels_at_equal_epochs_alone_are_compared_with_the_steps_that_follow() -> None:
    row = main_effects(fine_tuned([(40, 25), (100, 63), (240, 150)])).table.set_index("axis").loc["finetune_images"]
    assert row["effect"] == pytest.approx(0.05 * np.log2(6), abs=0.002)


def test_a_column_of_epochs_in_the_table_is_left_as_it_is() -> None:
    runs = fine_tuned([(40, 25), (100, 63), (240, 150), (40, 250)])
    runs["finetune_epochs"] = 64 * runs["finetune_steps"] / runs["finetune_images"]  # 40.3 of 100 labels
    row = main_effects(runs).table.set_index("axis").loc["finetune_images"]
    assert row["effect"] == pytest.approx(0.05 * np.log2(6), abs=0.002)
    assert with_epochs(runs)["finetune_epochs"].equals(runs["finetune_epochs"])
    assert with_epochs(runs)["finetune_length_kind"].nunique() == 2


def test_of_two_numbers_of_epochs_each_is_compared_with_itself() -> None:
    """40 and 240 labels are compared at ten epochs; runs of a hundred epochs exist for 40 alone."""
    runs = fine_tuned([(40, 25), (240, 150), (40, 250)])
    row = main_effects(runs).table.set_index("axis").loc["finetune_images"]
    assert row["effect"] == pytest.approx(0.05 * np.log2(6), abs=0.002)


def test_labels_whose_ends_never_meet_are_compared_at_equal_steps_where_they_do() -> None:
    lengths = {"A": [(20, 100), (60, 100), (60, 300)], "B": [(60, 100), (60, 300), (180, 300)]}
    runs = pd.concat([fine_tuned(lengths[one]).assign(encoder=f"viny-{one}") for one in lengths], ignore_index=True)
    row = main_effects(runs).table.set_index("axis").loc["finetune_images"]
    assert (row["low_level"], row["high_level"]) == (20, 60)
    assert "at 100 fine-tuning steps" in row["where"]
    assert row["effect"] == pytest.approx(0.0, abs=0.002)


def test_steps_in_proportion_to_the_images_are_of_equal_epochs_also_where_the_last_batch_is_not_full() -> None:
    runs = with_epochs(fine_tuned([(40, 25), (100, 63), (240, 150), (40, 100), (240, 600), (100, 1)]))
    kinds = dict(zip(zip(runs["finetune_images"], runs["finetune_steps"], strict=True), runs["finetune_length_kind"], strict=True))
    assert kinds[40, 25] == kinds[100, 63] == kinds[240, 150]
    assert kinds[40, 100] == kinds[240, 600] != kinds[40, 25]
    assert kinds[100, 1] not in (kinds[40, 25], kinds[40, 100])


def test_settings_that_always_change_together_are_one_row_named_by_both() -> None:
    runs = pd.DataFrame([(recipe, seed) for recipe in ("plain", "plain+store_px=64") for seed in range(4)], columns=["pretrain_recipe", "seed"])
    runs = runs.assign(pretrain_images=100, finetune_recipe=runs["pretrain_recipe"], miou=np.random.default_rng(1).normal(0.3, 0.01, len(runs)))
    found = main_effects(runs)
    assert found.table[["axis", "name"]].to_numpy().tolist() == [["pretrain_recipe", "pre-training and fine-tuning recipe"]]
    said = findings(runs)["varied-pretrain-recipe"].headline
    assert "pre-training and fine-tuning recipe plain+store_px=64 instead of plain changes mIoU" in said
    apart = runs.assign(finetune_recipe=["plain", "plain+store_px=64"] * 4)
    assert [axis.name for axis in axes_of(apart)] == ["pre-training recipe", "fine-tuning recipe"]


def test_a_size_that_goes_with_its_data_is_no_claim_about_size() -> None:
    cells = [(images, "many" if images > 500 else "few", seed) for images in (240, 4000) for seed in range(5)]
    runs = pd.DataFrame(cells, columns=["intermediate_images", "intermediate_source", "seed"]).assign(intermediate="classification")
    runs["miou"] = 0.3 + 0.05 * (runs["intermediate_images"] > 500) + np.random.default_rng(1).normal(0.0, 0.002, len(runs))
    found = findings(runs)["varied-intermediate-images"]
    assert found.claim == "Intermediate images and data make a difference to mIoU."
    assert found.headline.startswith("17 times more intermediate images (with other intermediate data) raise mIoU by 0.05")


def test_own_columns_that_always_change_together_are_one_row() -> None:
    runs = pd.DataFrame([(n, n // 10, seed) for n in (10, 20, 40) for seed in range(3)], columns=["labels", "percent", "seed"])
    runs["acc"] = runs["labels"] + np.random.default_rng(1).normal(0.0, 0.1, len(runs))
    assert main_effects(runs, outcome="acc", axes=["labels", "percent"]).table["name"].tolist() == ["labels and percent"]


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("pre-training recipe", "fine-tuning recipe", "pre-training and fine-tuning recipe"),
        ("intermediate images", "intermediate data", "intermediate images and data"),
        ("model", "fine-tuning recipe", "model and fine-tuning recipe"),
        ("n", "m", "n and m"),
    ],
)
def test_two_names_are_said_as_one(first: str, second: str, both: str) -> None:
    assert joint_name(first, second) == both
