"""A setting that several levels of another share, as the source of several sizes, is held fixed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import findings, main_effects


def trained(cells: list[tuple[object, ...]], columns: list[str]) -> pd.DataFrame:
    runs = pd.DataFrame([(*cell, seed) for cell in cells for seed in range(5)], columns=[*columns, "seed"])
    return runs.assign(noise=np.random.default_rng(0).normal(0.0, 0.002, len(runs)))


SIZES = [(100, "leaves"), (200, "leaves"), (1000, "pets"), (2000, "pets")]


def test_sizes_of_two_sources_are_compared_within_a_source() -> None:
    runs = trained(SIZES, ["pretrain_images", "pretrain_source"])
    runs["miou"] = 0.3 + 0.2 * (runs["pretrain_source"] == "pets") + runs["noise"]
    found = main_effects(runs)
    row = found.table.set_index("axis").loc["pretrain_images"]
    assert (row["low_level"], row["high_level"], row["where"]) == (100, 200, "with pre-training data leaves")
    assert row["effect"] == pytest.approx(0.0, abs=0.004)
    assert found.headline().startswith("No axis of this study moved mIoU")
    assert findings(runs)["varied-pretrain-images"].verdict == "open"


def test_sizes_of_two_groups_of_anyones_table_are_compared_within_a_group() -> None:
    runs = trained(SIZES, ["n", "m"])
    runs["acc"] = 0.3 + 0.2 * (runs["m"] == "pets") + runs["noise"]
    row = main_effects(runs, outcome="acc", axes=["n", "m"]).table.set_index("axis").loc["n"]
    assert (row["ratio"], row["where"]) == (2.0, "with m leaves")
    assert row["effect"] == pytest.approx(0.0, abs=0.004)


def test_what_changes_with_the_axis_among_pretrained_runs_alone_is_not_its_effect() -> None:
    """Steps are a setting of runs from scratch too, so they are no other name of the images."""
    runs = trained([(0, 25), (0, 100), (500, 25), (5000, 100)], ["pretrain_images", "finetune_steps"])
    runs["miou"] = 0.3 + 0.1 * (runs["finetune_steps"] == 100) + runs["noise"]
    assert np.isnan(main_effects(runs).table.set_index("axis").loc["pretrain_images", "effect"])


def test_recipes_of_two_objectives_are_compared_and_both_named() -> None:
    runs = trained([("plain", "mae"), ("long", "mae"), ("masked", "simmim")], ["pretrain_recipe", "pretrain_objective"])
    runs = runs.assign(pretrain_images=1000)
    runs["miou"] = 0.3 + 0.1 * (runs["pretrain_recipe"] == "masked") + 0.02 * (runs["pretrain_recipe"] == "long") + runs["noise"]
    assert (
        main_effects(runs)
        .headline()
        .startswith(
            "Pre-training recipe masked instead of plain (with another pre-training objective, the two of 3 farthest apart) raised mIoU by 0.098"
        )
    )
    same = runs[runs["pretrain_recipe"] != "masked"].assign(pretrain_objective="mae")
    assert main_effects(same).table["also"].tolist() == [""]
