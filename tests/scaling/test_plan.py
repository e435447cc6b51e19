"""Plans: every stage once, shared as the grid allows; editing a grid does not change ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.study.table import RUN_COLUMNS
from trials import InputError


def test_each_stage_is_planned_once(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file), small_data)
    kinds = [stage.spec.kind for stage in plan.stages.values()]
    # seeds x (one pre-training; an intermediate on scratch and one on it; 2 sizes x 2 arms x with
    # and without pre-training)
    assert (kinds.count("pretrain"), kinds.count("intermediate"), kinds.count("finetune")) == (2, 4, 16)
    assert len(plan.runs) == 16
    assert len({run["run_id"] for run in plan.runs}) == 16
    assert len({run["cell_id"] for run in plan.runs}) == 8
    assert plan.unshared_image_passes() - plan.image_passes() == 8 * (2 * (4 - 1) * 3 + 4 * (2 - 1) * 2)


def test_parents_come_before_children_and_every_run_hangs_on_its_chain(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file), small_data)
    seen: set[str] = set()
    for name, stage in plan.stages.items():
        assert stage.spec.parent is None or stage.spec.parent in seen
        seen.add(name)
    for run in plan.runs:
        chain = [run["pretrain_id"], run["intermediate_id"], run["run_id"]]
        chain = [name for name in chain if name is not None]
        assert [plan.stages[name].spec.parent for name in chain] == [None, *chain[:-1]]
        assert (run["pretrain_images"] == 0) == (run["pretrain_id"] is None)
        assert (run["intermediate"] == "none") == (run["intermediate_id"] is None)


def test_the_settings_of_a_run_are_columns_of_the_table(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file), small_data)
    assert all(set(run) <= set(RUN_COLUMNS) for run in plan.runs)


def test_extending_a_grid_keeps_the_stages_it_had(grid_file: Path, small_data: Path) -> None:
    before = make_plan(load_grid(grid_file), small_data)
    after = make_plan(load_grid(grid_file, ["seeds=3", "pretrain.images=[0, 12, 24]"]), small_data)
    assert set(before.stages) < set(after.stages)


def test_what_does_not_decide_numbers_is_not_in_an_id(grid_file: Path, small_data: Path) -> None:
    before = make_plan(load_grid(grid_file), small_data)
    after = make_plan(load_grid(grid_file, ["study=renamed", "resources.cpus=2", "pretrain.eval_points=3"]), small_data)
    assert set(before.stages) == set(after.stages)


def test_fewer_pretraining_seeds_share_pretrainings_between_runs(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file, ["seeds={pretrain: 1, intermediate: 1, finetune: 4}"]), small_data)
    pretrained = [run for run in plan.runs if run["pretrain_images"] == 24]
    assert len({run["pretrain_id"] for run in pretrained}) == 1
    assert len({run["run_id"] for run in pretrained}) == 4 * 4


def test_scratch_is_planned_once_whatever_the_lengths(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file, ["pretrain.length=[3 steps, 6 steps]", "intermediate.objective=none"]), small_data)
    assert sum(run["pretrain_images"] == 0 for run in plan.runs) == 4
    assert sum(run["pretrain_images"] == 24 for run in plan.runs) == 8


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["finetune.source=oxford-iiit-pet", "finetune.images=600"],
            r"finetune asks for 600 images, but oxford-iiit-pet holds 497 for training",
        ),
        (["finetune.source=intel-scenes"], r"intel-scenes carries no masks of classes"),
        (
            ["pretrain.source=imagenet", "pretrain.heldout_images=6000"],
            r"pretrain asks for 6,000 held-out images, but imagenet holds 5,000",
        ),
    ],
)
def test_more_than_the_data_hold_is_refused(grid_file: Path, real_data: Path, settings: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make_plan(load_grid(grid_file, settings), real_data)


def test_missing_data_are_refused_with_the_line_of_the_source(grid_file: Path, tmp_path: Path) -> None:
    grid_file.write_text(grid_file.read_text().replace("  source: leaves", "  source: intel-scenes", 1))
    with pytest.raises(InputError, match=r"grid\.yaml line 4: Data for 'intel-scenes' not found: looked for seg_train"):
        make_plan(load_grid(grid_file), tmp_path)


def test_generated_test_images_must_be_counted(grid_file: Path, small_data: Path) -> None:
    grid_file.write_text(grid_file.read_text().replace("  test_images: 16\n", ""))
    with pytest.raises(InputError, match="are generated, so finetune needs test_images"):
        make_plan(load_grid(grid_file), small_data)


def test_lengths_that_come_to_the_same_steps_are_one_run(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file, ["pretrain.length=[3 steps, 24 images, 1 epoch]"]), small_data)
    assert len(plan.runs) == 16
    assert len({run["run_id"] for run in plan.runs}) == 16


def test_a_setting_written_out_or_as_a_whole_number_is_the_same_stage(grid_file: Path, small_data: Path) -> None:
    plans = [
        make_plan(load_grid(grid_file, [f"pretrain.recipe={{name: compact, batch_images: 8, precision: fp32{more}}}"]), small_data)
        for more in ("", ", clip_norm: 1", ", clip_norm: 1.0")
    ]
    assert set(plans[0].stages) == set(plans[1].stages) == set(plans[2].stages)


def test_recipes_of_two_arms_are_told_apart_by_the_fields_that_differ(grid_file: Path, small_data: Path) -> None:
    """Else two runs of one seed would be equal in all columns, and no claim could be tested."""
    arms = "{cls: {intermediate: {recipe: {pool: cls}}}, mean: {}, wide: {intermediate: {recipe: {label: wide, batch_images: 4}}}}"
    plan = make_plan(load_grid(grid_file, [f"arms={arms}"]), small_data)
    labels = {
        arm: {run["intermediate_recipe"] for run in plan.runs if run["arm"] == arm and run["intermediate_id"]} for arm in ("cls", "mean", "wide")
    }
    assert labels == {"cls": {"compact"}, "mean": {"compact+pool=mean"}, "wide": {"wide"}}
    columns = [name for name in plan.runs[0] if not name.endswith("_id") and name != "arm"]
    rows = [tuple(str(run[name]) for name in columns) for run in plan.runs]
    assert len(set(rows)) == len(rows)


def test_two_arms_cannot_call_different_recipes_by_one_label(grid_file: Path) -> None:
    arms = "{one: {finetune: {recipe: {label: mine, batch_images: 8}}}, two: {finetune: {recipe: {label: mine, batch_images: 4}}}}"
    with pytest.raises(InputError, match=r"two arms call different recipes 'mine': give one of them another label"):
        load_grid(grid_file, [f"arms={arms}"])


def test_a_first_seed_repeats_a_study_on_seeds_that_it_has_not_seen(grid_file: Path, small_data: Path) -> None:
    seen = make_plan(load_grid(grid_file, ["seeds=2"]), small_data)
    fresh = make_plan(load_grid(grid_file, ["seeds={finetune: 2, first: 2}"]), small_data)
    both = make_plan(load_grid(grid_file, ["seeds=4"]), small_data)
    assert {run["seed"] for run in fresh.runs} == {2, 3}
    assert not set(seen.stages) & set(fresh.stages)
    assert set(seen.stages) | set(fresh.stages) == set(both.stages)


def test_fresh_seeds_share_pretrainings_as_the_first_ones_do(grid_file: Path, small_data: Path) -> None:
    plan = make_plan(load_grid(grid_file, ["seeds={pretrain: 1, finetune: 4, first: 7}"]), small_data)
    assert {run["seed"] for run in plan.runs} == {7, 8, 9, 10}
    assert {stage.spec.seed for stage in plan.stages.values() if stage.spec.kind == "pretrain"} == {7}


def test_other_seeds_train_on_other_generated_images(grid_file: Path, small_data: Path) -> None:
    stages = make_plan(load_grid(grid_file), small_data).stages.values()
    data = {(stage.spec.kind, stage.spec.seed): stage.spec.data for stage in stages}
    assert data["finetune", 0].train_fingerprint != data["finetune", 1].train_fingerprint
    assert data["finetune", 0].heldout_fingerprint == data["finetune", 1].heldout_fingerprint
