"""Runs that repeat each other exactly show no noise, and rounding is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis import findings, main_effects
from reports.table import read_question
from reports.table.noise import noise_of
from reports.table.screen import verdict_of


def repeated() -> pd.DataFrame:
    """Three seeds of each cell with one score, whose mean is off it by rounding."""
    cells = [(n, group, seed) for n in (10, 20, 40, 80, 160) for group in ("a", "b") for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["n", "group", "seed"])
    return runs.assign(acc=0.7 - 0.9 * runs["n"] ** -0.7 + np.where(runs["group"] == "a", 0.0, 0.1 / 3.0))


def test_rounding_makes_no_interval() -> None:
    found = main_effects(repeated(), outcome="acc", axes=["n", "group"])
    assert found.noise_sd == 0.0
    assert found.table[["low", "high", "p"]].isna().all(axis=None)
    assert found.table["note"].str.contains("agree exactly").all()
    assert found.headline().startswith("No axis")


def test_rounding_is_not_the_noise_of_one_run_on_a_page(tmp_path: Path) -> None:
    repeated().to_csv(tmp_path / "runs.csv", index=False)
    question = read_question(tmp_path / "runs.csv", x="n", y="acc", by=["group"])
    assert noise_of(question, main_effects(repeated(), outcome="acc", axes=["n", "group"])).sd is None
    assert noise_of(question, "no effects").sd is None


def test_a_cell_without_a_difference_is_not_counted_as_down() -> None:
    cells = [(size, labels, seed) for size in ("model a", "model b") for labels in (10, 20, 40, 80) for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["encoder", "finetune_images", "seed"]).assign(pretrain_images=0)
    runs["miou"] = 0.1 + 0.2 / 3.0 * runs["seed"]
    runs.loc[(runs["encoder"] == "model b") & (runs["finetune_images"] == 10), "miou"] -= 0.1 + 0.01 * runs["seed"]
    found = main_effects(runs)
    row = found.table.set_index("axis").loc["encoder"]
    assert row["effect"] < 0
    assert (row["n_up"], row["n_down"]) == (0, 1)
    assert findings(runs)["varied-encoder"].detail.startswith("Down in 1 of 4 cells")
    assert verdict_of(found.table[found.table["axis"] == "encoder"].iloc[0], found).detail.partition(" in ")[2].startswith("1 of 4 cells")
