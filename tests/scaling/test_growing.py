"""An edited grid runs exactly what is new, and nothing that is done again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.cluster.capacity import Shape
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import ReadyQueue
from trials.stage_files import write_json


def launch(grid_file: Path, data: Path, study: Study, *settings: str) -> tuple[Plan, set[str]]:
    """Plan the grid and pretend to run it; returns the plan, and the stages that ran."""
    grid = load_grid(grid_file, list(settings))
    plan = make_plan(grid, data)
    study.write_plan(grid, plan)
    queue = ReadyQueue(plan, study, lambda name: Shape(1, 0))
    ran = set()
    while (name := queue.take(Shape(1, 0))) is not None:
        ran.add(name)
        study.stage_folder(name).mkdir(parents=True, exist_ok=True)
        write_json(study.stage_folder(name) / "result.json", {"id": name, "metrics": {}})
        queue.ended(name, Outcome(done=True))
    assert queue.finished
    return plan, ran


@pytest.mark.parametrize(
    ("setting", "new"),
    [
        ("seeds=3", {"pretrain": 1, "intermediate": 2, "finetune": 8}),
        ("finetune.images=[8, 16, 24]", {"finetune": 8}),
        ("pretrain.images=[0, 24, 48]", {"pretrain": 2, "intermediate": 2, "finetune": 8}),
        ("seeds=1", {}),
        # a recipe is a part of what it trained, and of all that came from it
        ("finetune.recipe.learning_rate=0.0005", {"finetune": 16}),
        ("intermediate.recipe.learning_rate=0.0007", {"intermediate": 4, "finetune": 8}),
        ("pretrain.recipe.learning_rate=0.0005", {"pretrain": 2, "intermediate": 2, "finetune": 8}),
        ("resources.cpus=2", {}),
        ("order=cheapest", {}),
    ],
)
def test_an_edited_grid_runs_exactly_what_it_changed(grid_file: Path, small_data: Path, tmp_path: Path, setting: str, new: dict[str, int]) -> None:
    study = Study(tmp_path / "study")
    first, ran = launch(grid_file, small_data, study)
    assert ran == set(first.stages)
    edited, ran_again = launch(grid_file, small_data, study, setting)
    assert ran_again == set(edited.stages) - set(first.stages)
    kinds = [edited.stages[name].spec.kind for name in ran_again]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == new


def test_launched_again_nothing_runs(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    launch(grid_file, small_data, study)
    assert launch(grid_file, small_data, study)[1] == set()


def test_a_half_written_result_and_one_of_another_stage_do_not_count(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    plan, _ = launch(grid_file, small_data, study)
    halved, foreign = list(plan.stages)[:2]
    path = study.stage_folder(halved) / "result.json"
    path.write_text(path.read_text()[:20])
    study.stage_folder(foreign).mkdir(parents=True, exist_ok=True)
    write_json(study.stage_folder(foreign) / "result.json", {"id": "another", "metrics": {}})
    assert launch(grid_file, small_data, study)[1] == {halved, foreign}
