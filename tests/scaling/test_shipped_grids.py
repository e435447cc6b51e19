"""The grids in the repository can be read, give the plans of their papers, and pass the schema."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from analysis.published.load import read_printed
from scaling import load_grid, make_plan
from scaling.plan import planner
from scaling.schema import PLACE, grid_schema, main
from trials.data.store import SplitInfo

GRIDS = sorted(Path(__file__).resolve().parents[2].joinpath("grids").glob("*.yaml"))
COUNTS = {
    ("oxford-iiit-pet", "train"): 3_680,
    ("oxford-iiit-pet", "heldout"): 3_669,
    ("imagenet:imagenet-22k", "train"): 14_197_122,
    ("imagenet", "heldout"): 50_000,
    ("imagenet:imagenet-22k", "heldout"): 50_000,
    ("imagenet", "train"): 1_281_167,
    ("intel-scenes", "train"): 14_034,
    ("coco", "train"): 118_287,
    ("coco", "heldout"): 5_000,
    ("oxford-iiit-pet-pooled", "train"): 6_349,
    ("oxford-iiit-pet-half-a", "train"): 3_200,
    ("oxford-iiit-pet-half-b", "train"): 3_149,
    ("inaturalist", "train"): 437_513,
    ("inaturalist", "heldout"): 24_426,
    ("ade20k", "train"): 20_210,
    ("ade20k", "heldout"): 2_000,
}


@pytest.fixture
def full_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings of the full data sets, none of which need be there."""

    def described(source: str, data: Path, split: str) -> SplitInfo:
        return SplitInfo(
            images=COUNTS.get((source, split), 1000),
            classes=6,
            has_masks="pet" in source or source == "ade20k",
            fingerprint=f"{source} {split}",
            instance_classes=("cat", "dog") if source == "coco" else (),
            has_instance_masks=source == "coco",
        )

    monkeypatch.setattr(planner, "describe_split", described)


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_grid_is_read_and_known_to_the_schema(path: Path) -> None:
    load_grid(path)
    jsonschema.validate(yaml.safe_load(path.read_text()), grid_schema())
    assert path.read_text().startswith("# yaml-language-server: $schema=grid.schema.json\n")


def test_the_schema_on_disk_is_the_one_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(PLACE.read_text())


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "vinny/16@128"},
        {"seeds": 0},
        {"zip": [["pretrain.images"]]},
        {"exclude": [{"pretrain.imags": 0}]},
        {"arms": {"a": {"seeds": 2}}},
        {"studdy": "x"},
        {"pretrain": {"source": "imagenet", "images": 10, "length": "3 weeks"}},
    ],
)
def test_what_a_launch_refuses_the_schema_refuses_too(change: dict[str, object]) -> None:
    values = yaml.safe_load(next(path for path in GRIDS if path.stem == "quickstart").read_text()) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, grid_schema())


def test_the_first_paper_is_planned_whole(full_data: None, tmp_path: Path) -> None:
    path = next(path for path in GRIDS if path.stem == "diminishing_returns")
    found = make_plan(load_grid(path), tmp_path)
    paper = [run for run in found.runs if "fixed_epochs" in run["arm"].split(", ")]
    cells = {(run["pretrain_images"], run["intermediate"], run["finetune_images"]) for run in paper}
    assert len(cells) == 42
    assert len(paper) == 42 * 3
    kinds = [stage.spec.kind for stage in found.stages.values()]
    # 3 sizes x 3 seeds with epochs; with steps the 100k ones are the same stages, so 6 more; 9 by
    # the released code
    assert kinds.count("pretrain") == 9 + 6 + 9
    assert {run["pretrain_steps"] for run in paper if run["pretrain_images"] == 100_000} == {156_250}
    assert {run["pretrain_steps"] for run in found.runs if run["arm"] == "fixed_steps"} == {156_250}
    pooled = [stage.spec for stage in found.stages.values() if stage.spec.kind == "intermediate" and stage.spec.recipe.pool == "mean"]
    assert len(pooled) == 9
    by_arm = {
        arm: [run for run in found.runs if arm in run["arm"].split(", ")] for arm in ("released", "fixed_label_steps", "spatial", "classes_of_pets")
    }
    assert len(by_arm["released"]) == 42 * 3
    assert {run["finetune_steps"] for run in by_arm["fixed_label_steps"]} == {1563}
    specs = {name: stage.spec for name, stage in found.stages.items()}
    between = {arm: {specs[run["intermediate_id"]] for run in by_arm[arm] if run["intermediate_id"]} for arm in ("spatial", "classes_of_pets")}
    alike = [{dataclasses.replace(spec, objective="").data for spec in one} for one in between.values()]
    assert alike[0] == alike[1]  # the two kinds of supervision see the same images
    tested = {specs[run["run_id"]].data.source for arm in between for run in by_arm[arm]}
    assert tested == {"oxford-iiit-pet-half-a"}


def test_the_second_paper_is_planned_whole(full_data: None, tmp_path: Path) -> None:
    path = next(path for path in GRIDS if path.stem == "data_scaling")
    found = make_plan(load_grid(path), tmp_path)
    names = {"Small": "s", "Base": "b", "Large": "l", "Huge": "h", "giant": "g"}
    images = {"1K 10%": 128_117, "1K 20%": 256_233, "1K 50%": 640_584, "1K": 1_281_167, "22K": 14_197_122}
    table = read_printed("data_scaling_runs")
    theirs = {
        (f"swinv2-{names[model.removeprefix('SwinV2-')]}", images[data.removeprefix("ImageNet-")], f"{length.removesuffix('k')}000 steps")
        for model, data, length in zip(table["model"], table["pretrain_dataset"], table["iterations"], strict=True)
    }
    paper = [run for run in found.runs if run["arm"] == "imagenet"]
    ours = {(run["encoder"], run["pretrain_images"], f"{run['pretrain_steps']} steps") for run in paper}
    assert ours == theirs
    assert len(paper) == 63
    assert sum(stage.spec.kind == "pretrain" for stage in found.stages.values()) == 63, "the other tasks share the pre-trainings"
    alone, shared = found.pretrain_image_passes()
    assert 1 - shared / alone == pytest.approx(0.375, abs=1e-12)
    arms = ("imagenet", "inaturalist", "ade20k", "coco")
    specs = {arm: [found.stages[run["run_id"]].spec for run in found.runs if run["arm"] == arm] for arm in arms}
    assert {arm: len(of_arm) for arm, of_arm in specs.items()} == {"imagenet": 63, "inaturalist": 42, "ade20k": 42, "coco": 42}
    assert {spec.data.image_px for spec in specs["imagenet"]} == {224}
    assert {spec.encoder: spec.steps for spec in specs["imagenet"]} == {
        f"swinv2-{size}@224": math.ceil(epochs * 1_281_167 / 2048) for size, epochs in (("s", 100), ("b", 100), ("l", 100), ("h", 50), ("g", 50))
    }
    assert {(spec.data.source, spec.steps, spec.recipe.layer_decay_by_size) for spec in specs["inaturalist"]} == {
        ("inaturalist", math.ceil(100 * 437_513 / 2048), True)
    }
    assert {(spec.encoder, spec.recipe.layer_decay) for spec in specs["ade20k"]} == {
        ("swinv2-s@640", 0.95),
        ("swinv2-b@640", 0.95),
        ("swinv2-l@640", 0.9),
    }
    assert {(spec.recipe.head, spec.recipe.test_windows, spec.steps, spec.recipe.batch_images) for spec in specs["ade20k"]} == {
        ("upernet", "sliding", 80_000, 32)
    }
    assert {(spec.data.source, spec.steps, spec.data.image_px) for spec in specs["coco"]} == {("coco", math.ceil(36 * 118_287 / 32), 640)}


def plan_of(name: str, data: Path) -> Any:
    return make_plan(load_grid(next(path for path in GRIDS if path.stem == name)), data)


def test_the_geometry_of_patches_is_planned_with_controls_on_other_images(full_data: None, tmp_path: Path) -> None:
    found = plan_of("patch_geometry", tmp_path)
    middle = {(stage.spec.data.source, stage.spec.objective) for stage in found.stages.values() if stage.spec.kind == "intermediate"}
    assert middle == {
        ("intel-scenes", "classification"),
        ("oxford-iiit-pet-half-a", "classification"),
        ("oxford-iiit-pet-half-a", "spatial"),
    }
    assert {stage.spec.data.source for stage in found.stages.values() if stage.spec.kind == "finetune"} == {"oxford-iiit-pet-half-b"}
    assert len(found.runs) == (1 + 3) * 3


def test_the_tables_of_decoders_and_samplings_are_planned_whole(full_data: None, tmp_path: Path) -> None:
    decoders, samplings = (plan_of(f"data_scaling_{name}", tmp_path) for name in ("decoders", "sampling"))
    recipes = [stage.spec.recipe for stage in decoders.stages.values() if stage.spec.kind == "pretrain"]
    assert sorted(recipe.decoder for recipe in recipes) == ["linear", "transformer", "two-layer"]
    subsets = [stage.spec.data for stage in samplings.stages.values() if stage.spec.kind == "pretrain"]
    assert sorted(data.sampling for data in subsets) == ["classes", "uniform"]
    assert {data.train_images for data in subsets} == {128_117}
    assert (len(decoders.runs), len(samplings.runs)) == (3, 2)


def quick_lines(path: Path) -> list[str]:
    """The commands in a grid's header that run it on generated images."""
    lines = path.read_text().splitlines()
    return [line.lstrip("# ") for line in lines if line.startswith("#   python -m scaling.launch") and "=leaves" in line]


@pytest.mark.parametrize(("path", "line"), [(path, line) for path in GRIDS for line in quick_lines(path)], ids=lambda one: getattr(one, "stem", ""))
def test_the_line_that_runs_a_grid_in_minutes_plans_on_generated_images(path: Path, line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    found = make_plan(load_grid(path, [value for flag, value in itertools.pairwise(words) if flag == "--set"]), tmp_path)
    assert {stage.spec.data.source for stage in found.stages.values()} <= {"leaves", "leaves-objects"}
    assert sum(stage.own_image_passes for stage in found.stages.values()) < 60_000
    assert len(found.runs) >= 2


def test_every_grid_of_the_papers_tables_has_such_a_line() -> None:
    quick = {path.stem for path in GRIDS if quick_lines(path)}
    assert quick >= {"data_scaling", "data_scaling_decoders", "data_scaling_sampling", "patch_geometry"}
