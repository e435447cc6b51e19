"""Named arms of a grid are kept apart in the figures, by series or by panel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analysis.runs.matching import PRETRAIN
from reports.evidence import gather
from reports.registry import compose_section
from reports.report_data import read_study
from reports.series import SERIES_SETTINGS, usual_sentence, with_series


def with_two_arms(folder: Path, *, share_scratch: bool) -> Path:
    """Give a study a second arm that differs in something its settings do not name."""
    runs = pd.read_parquet(folder / "runs.parquet").assign(arm="plain")
    other = runs.assign(arm="pooled", miou=runs["miou"] + 0.05)
    for name in ("run_id", "cell_id", "pretrain_id", "trunk_id"):
        other[name] = other[name] + "p"
    if share_scratch:
        runs.loc[runs["pretrain_images"] == 0, "arm"] = "plain, pooled"
        other = other.loc[other["pretrain_images"] > 0]
    both = pd.concat([runs, other], ignore_index=True)
    both.to_parquet(folder / "runs.parquet")
    plan = json.loads((folder / "plan.json").read_text())
    settings = json.loads(both[[*plan["runs"][0], "arm"]].to_json(orient="records"))
    (folder / "plan.json").write_text(json.dumps(plan | {"runs": settings}))
    return folder


def test_arms_that_share_their_scratch_runs_are_two_series(write: Callable[..., Path], tmp_path: Path) -> None:
    study = with_two_arms(write(tmp_path / "s", pretrain_sizes=(0, 2000), intermediates=("none",), examples=False), share_scratch=True)
    evidence = gather(read_study(study))
    assert evidence.series_names == ("none", "2,000, plain", "2,000, pooled")
    assert evidence.panels == ("",)
    assert set(evidence.runs["arm"]) == {"plain, pooled", "plain", "pooled"}  # the study's own column is kept
    section = compose_section("scores", evidence)
    assert section is not None
    means = evidence.runs.loc[evidence.runs["pretrain_images"] > 0].groupby(["series", "finetune_images"])["miou"].mean().unstack(0)
    assert (means["2,000, pooled"] - means["2,000, plain"]).round(6).unique().tolist() == [0.05]
    description = section.figures[0].panels[0].alternative
    assert "after pre-training on 2,000 images (plain)" in description
    assert "after pre-training on 2,000 images (pooled)" in description


def test_arms_with_scratch_runs_of_their_own_are_two_panels(write: Callable[..., Path], tmp_path: Path) -> None:
    study = with_two_arms(write(tmp_path / "s", pretrain_sizes=(0, 2000), intermediates=("none",), examples=False), share_scratch=False)
    evidence = gather(read_study(study))
    assert evidence.series_names == ("none", "2,000")
    assert evidence.panels == ("arm: plain", "arm: pooled")
    section = compose_section("scores", evidence)
    assert section is not None
    assert [panel.heading for panel in section.figures[0].panels] == ["arm: plain", "arm: pooled"]


def test_only_crowded_panels_are_split_by_arm() -> None:
    rows = [
        {"pretrain_images": 0, "intermediate": stage, "finetune_images": 100, "seed": 0, "arm": arm}
        for stage, arm in (("none", "long, short"), ("spatial", "long"), ("spatial", "short"))
    ]
    table = pd.DataFrame(rows)
    assert with_series(table, table)["panel"].tolist() == [
        "no intermediate stage",
        "intermediate stage: spatial, arm: long",
        "intermediate stage: spatial, arm: short",
    ]


def test_arms_that_other_settings_tell_apart_give_them_their_names() -> None:
    rows = [
        {
            "pretrain_images": 2000,
            "pretrain_length": length,
            "intermediate": "none",
            "encoder": encoder,
            "finetune_images": 100,
            "seed": 0,
            "arm": arm,
        }
        for length, encoder, arm in (("10 epochs", "small", "a"), ("20 epochs", "small", "b"))
    ]
    table = pd.DataFrame(rows)
    assert with_series(table, table)["series"].tolist() == ["2,000, 10 epochs, a", "2,000, 20 epochs, b"]
    panels = table.assign(pretrain_length="10 epochs", encoder=["small", "large"])
    assert with_series(panels, panels)["panel"].tolist() == ["encoder: small, arm: a", "encoder: large, arm: b"]
    assert with_series(table.assign(arm=None), table.assign(arm=None))["series"].tolist() == ["2,000, 10 epochs", "2,000, 20 epochs"]


def test_kinds_of_pretraining_are_named_and_a_length_in_images_is_one_of_passes() -> None:
    rows = [
        {"pretrain_images": 20, "pretrain_length": length, "pretrain_objective": kind, "intermediate": "none", "finetune_images": 100, "seed": 0}
        for length, kind in (("6000 images", "simmim"), ("6000 images", "mae"), ("12000 images", "mae"))
    ]
    table = pd.DataFrame(rows)
    assert with_series(table, table)["series"].tolist() == [
        "20, 6,000 image passes, simmim",
        "20, 6,000 image passes, mae",
        "20, 12,000 image passes, mae",
    ]


def test_every_setting_by_which_pretrainings_are_matched_names_a_series() -> None:
    assert set(SERIES_SETTINGS) == set(PRETRAIN)


def test_a_plan_that_states_only_the_unusual_kind_of_pretraining_has_the_usual_one_elsewhere(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write(tmp_path / "study")
    plan = json.loads((folder / "plan.json").read_text())
    runs = plan["runs"]
    kept = {run["run_id"] for run in runs if run["pretrain_images"] and run["seed"] == 0}
    for run in runs:
        if run["run_id"] in kept:
            run["pretrain_objective"] = "mae"
    (folder / "plan.json").write_text(json.dumps(plan))
    planned = read_study(folder).planned
    assert planned is not None
    found = planned.set_index("run_id")["pretrain_objective"]
    scratch = planned.set_index("run_id")["pretrain_images"] == 0
    assert set(found[scratch].dropna()) == set()
    assert set(found[~scratch & ~found.index.isin(kept)]) == {"simmim"}
    assert set(found[list(kept)]) == {"mae"}


def test_what_most_pretrainings_have_goes_without_saying() -> None:
    """Not in series that differ: the unusual ones are named, and no two have one name."""
    rows = [
        {"pretrain_images": images, "pretrain_recipe": "compact", "pretrain_sampling": "uniform", "arm": "main"}
        for images in (50, 500, 2000, 5000, 20000)
    ]
    rows += [{"pretrain_images": 500, "pretrain_recipe": recipe, "pretrain_sampling": sampling, "arm": arm} for recipe, sampling, arm in UNUSUAL]
    rows += [{"pretrain_images": 0, "pretrain_recipe": None, "pretrain_sampling": None, "arm": "main"}]
    table = pd.DataFrame([{"intermediate": "none", "finetune_images": 100, "seed": 0} | row for row in rows])
    assert with_series(table, table)["series"].tolist() == [
        "50",
        "500",
        "2,000",
        "5,000",
        "20,000",
        "500, wide, wider",
        "500, classes, one_class",
        "none",
    ]
    assert usual_sentence(table) == "Unless its name says otherwise, a pre-training has the recipe compact and the sampling uniform."
    some = table.iloc[5:]  # names are those of the whole study
    assert with_series(some, table)["series"].tolist() == ["500, wide, wider", "500, classes, one_class", "none"]


UNUSUAL = (("wide", "uniform", "wider"), ("compact", "classes", "one_class"))


def test_a_panel_without_an_intermediate_stage_names_no_images_of_it() -> None:
    rows = [
        {"pretrain_images": 0, "intermediate": stage, "intermediate_images": images, "finetune_images": 100, "seed": 0}
        for stage, images in (("none", 0), ("spatial", 100), ("spatial", 200))
    ]
    table = pd.DataFrame(rows)
    assert with_series(table, table)["panel"].tolist()[0] == "no intermediate stage"


def test_a_baseline_is_not_called_after_the_stage_that_it_never_had() -> None:
    """The runs without a stage are the baseline of `scenes`, and of `pets` where these share them;
    `epochs` has none, and keeps its name.
    """
    for baseline in ("scenes, pets", "scenes"):
        stages = (("none", None, 0, baseline), ("none", None, 0, "epochs"), ("classification", "scenes", 4000, "scenes"))
        rows = [
            {"pretrain_images": images, "intermediate": stage, "intermediate_source": source, "intermediate_images": of, "arm": arm}
            for stage, source, of, arm in stages
            for images in (0, 500)
        ]
        table = pd.DataFrame(rows).assign(finetune_images=100, seed=0)
        assert list(dict.fromkeys(with_series(table, table)["panel"])) == [
            "no intermediate stage",
            "no intermediate stage, arm: epochs",
            "intermediate stage: classification",
        ]


def test_the_name_of_a_stage_leaves_out_what_follows_or_is_usual() -> None:
    stages = [("classification", "scenes", 4000, "compact"), ("classification", "scenes", 4000, "compact+pool=mean")]
    stages += [("classification", "pets", 240, "compact"), ("spatial", "pets", 240, "compact"), ("none", None, 0, None)]
    names = ["intermediate", "intermediate_source", "intermediate_images", "intermediate_recipe"]
    table = pd.DataFrame(stages, columns=names).assign(pretrain_images=500, finetune_images=100, seed=0)
    assert with_series(table, table)["panel"].tolist() == [
        "intermediate stage: classification on scenes",
        "intermediate stage: classification on scenes, recipe compact+pool=mean",
        "intermediate stage: classification on pets",
        "intermediate stage: spatial on pets",
        "no intermediate stage",
    ]
    assert usual_sentence(table) == "Unless its name says otherwise, an intermediate stage has the recipe compact."
    sizes = table.assign(intermediate_images=[100, 200, 240, 240, 0], intermediate_recipe="compact")
    assert with_series(sizes, sizes)["panel"].tolist()[0] == "intermediate stage: classification on scenes, 100 images"
