"""An edited grid runs exactly what is new, and nothing that is done again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.cluster.capacity import Shape
from scaling.execution.attempts import Outcome
from scaling.execution.ready_queue import ReadyQueue
from scaling.study.earlier_runs import keep_earlier_grid, left_out_sentence, runs_outside
from scaling.study.table import run_rows
from tests.prose import complaints
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


def test_finished_runs_that_an_edited_grid_leaves_out_are_counted(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    first, _ = launch(grid_file, small_data, study)
    assert runs_outside(study, first) == []
    fewer = make_plan(load_grid(grid_file, ["finetune.images=[8]"]), small_data)
    gone = {run["run_id"] for run in first.runs} - {run["run_id"] for run in fewer.runs}
    assert len(gone) == 8
    assert set(runs_outside(study, fewer)) == gone
    assert runs_outside(study, make_plan(load_grid(grid_file, ["finetune.images=[8, 16, 24]"]), small_data)) == []  # one that holds them all
    unfinished = min(gone)
    (study.stage_folder(unfinished) / "result.json").unlink()
    assert set(runs_outside(study, fewer)) == gone - {unfinished}
    assert runs_outside(Study(tmp_path / "new"), fewer) == []


def test_the_grid_that_they_came_from_is_kept_and_brings_their_rows_back(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    first, _ = launch(grid_file, small_data, study)
    before = (study.folder / "grid.yaml").read_bytes()
    assert keep_earlier_grid(study, load_grid(grid_file, [])) is None  # the same grid
    kept = keep_earlier_grid(study, load_grid(grid_file, ["finetune.images=[8]"]))
    assert kept is not None
    assert kept.read_bytes() == before
    launch(grid_file, small_data, study, "finetune.images=[8]")
    again, ran = launch(kept, small_data, study)
    assert ran == set()
    assert len(run_rows(study, again)) == len(first.runs)
    study.check_is_for(load_grid(grid_file, []))  # the folder of earlier grids is no stranger's file
    (study.folder / "plan.json").unlink()
    study.check_is_for(load_grid(grid_file, []))


def test_the_line_about_them_says_how_to_keep_them() -> None:
    assert left_out_sentence(["finetune-1"]) == (
        "1 finished run of earlier launches is not part of this grid: it stays on disk, and tables and report leave it out. To have it there too "
        "add its values to the grid; to keep both apart give this grid another name as `study`; to see the earlier table again launch its grid, "
        "which is in earlier_grids/."
    )
    assert left_out_sentence(["a", "b"], planned=True).startswith(
        "2 finished runs of earlier launches are not part of this grid: they stay on disk, "
    )
    assert left_out_sentence(["a", "b"], planned=True).endswith("another name as `study`.")
    assert complaints(left_out_sentence(["a", "b"])) == []
