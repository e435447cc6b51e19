"""Trunks: steps that several lengths share are planned once; ids of pre-trainings do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.plan.plan import Plan

STEP = "recipe: {name: compact, batch_images: 8, precision: fp32, schedule: step, gamma: 0.1}"


def planned(grid_file: Path, data: Path, lengths: str, recipe: str = STEP) -> Plan:
    text = grid_file.read_text().replace("recipe: {name: compact, batch_images: 8, precision: fp32}", recipe, 1)
    path = grid_file.with_name("trunks.yaml")
    path.write_text(text.replace("length: 3 steps", f"length: [{lengths}]"))
    return make_plan(load_grid(path, ["seeds=1", "intermediate.objective=none", "finetune.images=8"]), data)


def test_lengths_of_the_second_paper_save_375_thousandths(grid_file: Path, small_data: Path) -> None:
    plan = planned(grid_file, small_data, "125k steps, 250k steps, 500k steps")
    alone, shared = plan.pretrain_image_passes()
    assert 1 - shared / alone == pytest.approx(0.375, abs=1e-12)
    specs = [stage.spec for stage in plan.stages.values()]
    assert [spec.steps for spec in specs if spec.kind == "trunk"] == [109_375, 218_750]
    # the longest goes on from the second trunk by itself: a third would serve nobody else
    assert {spec.steps: plan.stages[spec.trunk or ""].spec.steps for spec in specs if spec.kind == "pretrain"} == {
        125_000: 109_375,
        250_000: 218_750,
        500_000: 218_750,
    }
    assert {run["trunk_id"] for run in plan.runs if run["pretrain_images"]} == {next(iter(plan.stages))}


def test_a_pretraining_keeps_its_id_whether_or_not_it_shares_a_trunk(grid_file: Path, small_data: Path) -> None:
    alone, together = planned(grid_file, small_data, "40 steps"), planned(grid_file, small_data, "40 steps, 80 steps")
    assert not any(stage.spec.kind == "trunk" for stage in alone.stages.values())
    assert set(alone.stages) < set(together.stages)
    assert {run["trunk_id"] for run in alone.runs} == {run["pretrain_id"] for run in alone.runs}


def test_recipes_that_differ_in_their_decay_alone_share_a_trunk(grid_file: Path, small_data: Path) -> None:
    step = STEP.removeprefix("recipe: ")
    wsd = step.replace("schedule: step, gamma: 0.1", "schedule: wsd, label: wsd")
    plan = planned(grid_file, small_data, "40 steps", f"recipe: [{step}, {wsd}]")
    trunks = [stage for stage in plan.stages.values() if stage.spec.kind == "trunk"]
    assert [trunk.spec.steps for trunk in trunks] == [35]
    assert [trunk.runs for trunk in trunks] == [2]


def test_a_schedule_that_knows_its_end_shares_nothing(grid_file: Path, small_data: Path) -> None:
    plan = planned(grid_file, small_data, "40 steps, 80 steps", "recipe: {name: compact, batch_images: 8}")
    assert not any(stage.spec.kind == "trunk" for stage in plan.stages.values())


def test_a_trunk_is_wanted_only_while_a_stage_that_goes_on_from_it_is(grid_file: Path, small_data: Path) -> None:
    plan = planned(grid_file, small_data, "40 steps, 80 steps, 160 steps")
    trunks = [name for name, stage in plan.stages.items() if stage.spec.kind == "trunk"]
    branches = [name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"]
    assert set(trunks) < set(plan.wanted(set()))
    assert not set(trunks) & set(plan.wanted(set(branches)))
    shortest = min(branches, key=lambda name: plan.stages[name].spec.steps)
    assert set(plan.wanted(set(branches) - {shortest})) & set(trunks) == {plan.stages[shortest].spec.trunk}
