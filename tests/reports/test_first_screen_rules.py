"""One rule on one screen: the figure draws as undecided what the sentence calls so, names what it
compares, and joins with a line only runs of equal settings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load_runs, main_effects
from reports.first_screen.levels import sentence_of
from reports.first_screen.moved import moved_figure, seed_effects
from reports.first_screen.scaling import claim_of, scaling_figure, scaling_of
from reports.page import Figure
from reports.score import score_of
from reports.theme import GROUND, specification
from tests.prose import complaints

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def kept(name: str) -> pd.DataFrame:
    return load_runs(STUDIES / name / "runs.csv")


def moved(runs: pd.DataFrame) -> Figure:
    figure = moved_figure(main_effects(runs), runs, score_of(runs))
    assert figure is not None
    return figure


def drawn(figure: Figure) -> dict[str, dict[str, object]]:
    """The rows of the chart, by name."""
    rows = [row for rows in specification(figure.panels[0].chart)["datasets"].values() for row in rows if "fill" in row]
    return {str(row["name"]): row for row in rows}


@pytest.mark.parametrize("name", ["second_paper_on_fresh_seeds", "methods_on_real_images"])
def test_a_dot_is_hollow_where_the_sentence_leaves_its_effect_undecided(name: str) -> None:
    runs = kept(name)
    runs = runs[runs["finetune_task"] == sorted(runs["finetune_task"].unique())[-1]].reset_index(drop=True)
    effects = main_effects(runs)
    assert sentence_of(effects).startswith("Nothing moved")
    assert ((effects.table["low"] > 0) | (effects.table["high"] < 0)).any()  # one bar does not hold zero
    figure = moved(runs)
    assert {row["fill"] for row in drawn(figure).values()} == {GROUND}
    assert f"hollow where zero is not excluded after correction over all {len(effects.table)}" in figure.subtitle


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*/runs.csv")), ids=lambda path: path.parent.name)
def test_a_dot_is_solid_where_the_effect_is_found(study: Path) -> None:
    for _, part in load_runs(study).groupby("finetune_task"):
        runs = part.reset_index(drop=True)
        found = int((main_effects(runs).table.head(6)["p_holm"] < 0.05).sum())
        figure = moved(runs)
        assert sum(row["fill"] != GROUND for row in drawn(figure).values()) == found
        assert complaints(figure.subtitle) == []


def test_the_figure_names_where_levels_are_compared_and_which_were_chosen() -> None:
    figure = moved(kept("first_paper_in_miniature"))
    rows = drawn(figure)
    assert rows["Fine-tuning steps"]["levels"] == "25 → 100, × 4, at 40 labels"
    assert rows["Spatial stage"]["levels"] == "none → spatial"
    assert "from the lowest to the highest setting, all else equal, or as far apart as pairs of runs are; each kind against none." in figure.subtitle
    runs = kept("methods_on_real_images").query("finetune_task == 'segmentation'").reset_index(drop=True)
    figure = moved(runs)
    assert drawn(figure)["Pre-training objective"]["levels"] == "3 levels: mae → simmim"
    assert {"Pre-training (mae)", "Pre-training (simmim)", "Pre-training (supervised)"} < set(drawn(figure))
    chosen = "without an order, between the two levels that differ most among pairs that runs have, its interval corrected for that choice"
    assert chosen in figure.subtitle
    assert list(drawn(moved(kept("stored_pixels")))) == ["Pre- and fine-tuning recipe"]


def test_the_first_sentence_leads_with_ends_that_pairs_of_runs_have() -> None:
    effects = main_effects(kept("first_paper_in_miniature"))
    assert effects.table["axis"].iloc[0] == "finetune_steps"
    assert sentence_of(effects).startswith("Pre‑training raised mIoU by 0.047; ")
    fresh = sentence_of(main_effects(kept("first_paper_on_fresh_seeds")))
    assert fresh.startswith("Four times more fine-tuning steps (at 40 labels) raised mIoU by 0.067; ")


def test_a_line_joins_runs_of_the_settings_that_all_its_sizes_have() -> None:
    runs = kept("first_paper_in_miniature")
    effects = main_effects(runs)
    found = scaling_of(runs, effects, score_of(runs))
    assert found is not None
    assert found.only == "without an intermediate stage, at 100 fine-tuning steps"
    scratch = found.points[found.points["group"] == "from scratch"].groupby("x")["score"].mean()
    assert scratch.round(3).to_dict() == {40.0: 0.317, 100.0: 0.315, 240.0: 0.306}
    assert claim_of(found, effects, score_of(runs)) == "Pre-training raises mIoU at every number of labels"


def test_a_setting_that_follows_from_the_size_divides_no_line_of_another() -> None:
    cells = [(labels, steps, seed) for labels, steps in ((40, 25), (100, 63), (240, 150)) for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["finetune_images", "finetune_steps", "seed"]).assign(finetune_recipe=lambda table: table["finetune_images"])
    runs["miou"] = 0.3 + 0.01 * np.log2(runs["finetune_images"]) + 0.001 * runs["seed"]
    found = scaling_of(runs, None, score_of(runs))
    assert found is not None
    assert len(found.points) == len(runs)
    assert found.only == ""


def test_objectives_with_recipes_of_their_own_have_lines_of_their_own() -> None:
    gains = {"": 0.0, "simmim": 0.3, "mae": 0.5}
    cells = [(objective, labels, seed) for objective in gains for labels in (20, 60, 180) for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["pretrain_objective", "finetune_images", "seed"])
    runs["pretrain_images"] = np.where(runs["pretrain_objective"] == "", 0, 1000)
    runs["pretrain_recipe"] = runs["pretrain_objective"].map({"": None, "simmim": "compact", "mae": "compact+mae_target=pixels"})
    noise = np.random.default_rng(0).normal(0.0, 0.003, len(runs))
    runs["miou"] = 0.3 + 0.05 * np.log(runs["finetune_images"]) + runs["pretrain_objective"].map(gains) + noise
    runs["pretrain_objective"] = runs["pretrain_objective"].replace("", None)
    found = scaling_of(runs, main_effects(runs), score_of(runs))
    assert found is not None
    assert set(found.colours) == {"from scratch", "compact", "compact+mae_target=pixels"}


def test_beside_lines_the_dots_of_another_model_that_mixes_settings_have_none() -> None:
    cells = [("pico/8@32", labels, 100, seed) for labels in (20, 60, 180) for seed in range(3)]
    cells += [("nano/8@32", labels, steps, seed) for labels, steps in ((20, 100), (60, 300), (180, 300)) for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["encoder", "finetune_images", "finetune_steps", "seed"])
    runs["miou"] = 0.3 + 0.05 * np.log(runs["finetune_images"]) + 0.01 * (runs["encoder"] == "nano/8@32") + 0.001 * runs["seed"]
    effects = main_effects(runs)
    found = scaling_of(runs, effects, score_of(runs))
    assert found is not None
    assert (set(found.curves["group"]), found.apart) == ({"pico/8@32"}, ("nano/8@32",))
    figure = scaling_figure(runs, effects, score_of(runs))
    assert figure is not None
    assert "Dots of nano/8@32 have no line: runs of different sizes have different settings." in figure.subtitle
    assert "of settings that every size has" not in figure.subtitle
    assert "at every" not in figure.claim


def test_where_no_line_has_a_setting_at_all_of_its_sizes_there_are_dots_alone() -> None:
    steps = {"pico/8@32": {20: 100, 60: 300, 180: 100}, "nano/8@32": {20: 300, 60: 100, 180: 300}}
    cells = [(name, labels, number, seed) for name, own in steps.items() for labels, number in own.items() for seed in range(3)]
    runs = pd.DataFrame(cells, columns=["encoder", "finetune_images", "finetune_steps", "seed"])
    runs["miou"] = 0.3 + 0.05 * np.log(runs["finetune_images"]) + 0.01 * (runs["encoder"] == "nano/8@32") + 0.001 * runs["seed"]
    figure = scaling_figure(runs, main_effects(runs), score_of(runs))
    assert figure is not None
    apart = "Dots of nano/8@32 and pico/8@32 have no line: runs of different sizes have different settings."
    assert figure.subtitle == f"One dot is the mean of equal runs. {apart} Side by side: 100 steps and 300 steps."
    assert complaints(figure.subtitle) == []


def test_the_ticks_of_chosen_levels_are_of_these_levels_in_every_seed() -> None:
    runs = kept("stored_pixels")
    effects = main_effects(runs)
    row = effects.table.iloc[0]
    own = runs.pivot_table(index="seed", columns="pretrain_recipe", values=score_of(runs).column)
    seeds = seed_effects(effects, runs, score_of(runs)).set_index("seed")["effect"]
    assert seeds.to_dict() == pytest.approx((own[row["high_level"]] - own[row["low_level"]]).to_dict())
    assert "instead of compact+store_px=64 (the two of 3 farthest apart) changed it by" in effects.headline()


def test_without_seeds_the_sentences_speak_of_no_seeds_and_no_printed_spreads() -> None:
    rng = np.random.default_rng(4)
    cells = pd.DataFrame([(a, b) for a in (1, 2, 4) for b in ("x", "y")], columns=["size", "kind"])
    cells["acc"] = 0.5 + 0.05 * rng.standard_normal(len(cells))
    effects = main_effects(cells, outcome="acc", axes=["size", "kind"])
    assert sentence_of(effects).startswith("Nothing moved acc by more than runs without repeats can tell from zero; the data allow")
    assert effects.headline().startswith("No axis of this study moved acc by more than its runs without repeats can tell from zero: ")
    assert effects.headline().endswith("which runs without repeats do not tell from zero.")
    twice = pd.concat([cells, cells.assign(acc=cells["acc"] + 0.001)], ignore_index=True)
    assert "more than repeated runs can tell" in sentence_of(main_effects(twice, outcome="acc", axes=["size", "kind"]))
    printed = cells.assign(acc_spread=0.02, n_runs=5)
    assert "more than printed spreads can tell" in sentence_of(main_effects(printed, outcome="acc", axes=["size", "kind"]))


def test_another_seed_is_asked_for_only_where_there_is_one_at_most() -> None:
    runs = pd.DataFrame([(a, seed, 0.5) for a in (1, 2, 4) for seed in range(2)], columns=["size", "seed", "acc"])
    assert sentence_of(main_effects(runs, outcome="acc", axes=["size"])) == "Nothing moved acc by more than 2 seeds can tell from zero."
    one = main_effects(runs.query("seed == 0"), outcome="acc", axes=["size"])
    assert sentence_of(one) == "Nothing moved acc by more than one seed can tell from zero; a second seed would give intervals."
    none = main_effects(runs.query("seed == 0").drop(columns="seed"), outcome="acc", axes=["size"])
    said = "Nothing moved acc by more than runs without repeats can tell from zero; a second run of each setting would give intervals."
    assert sentence_of(none) == said
