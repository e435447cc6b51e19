"""A study folder or a store that is deleted, moved, replaced or made read-only while a launch works:
one sentence, nothing half-made, and a relaunch that completes.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scaling import Study, load_grid, make_plan
from scaling.cluster.capacity import Cluster, Shape
from scaling.execution import tuner
from scaling.execution.attempts import Outcome
from scaling.execution.context import RunContext
from scaling.execution.ready_queue import ReadyQueue
from scaling.execution.searcher import OwnFault, WorkerPool, own_faults
from scaling.execution.worker import Assignment, WorkerReport, train_stage
from scaling.plan.plan import Plan
from scaling.preparation import prepare_stores, stores_of
from scaling.study import presence
from scaling.study.presence import FolderLostError, Presence
from tests.scaling.conftest import GRID
from trials.errors import InputError, StageError

CORE = Shape(1, 0)


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Plan, Study]:
    (tmp_path / "grid.yaml").write_text(GRID)
    return make_plan(load_grid(tmp_path / "grid.yaml"), tmp_path), Study(tmp_path / "runs" / "study")


@pytest.fixture
def there(planned: tuple[Plan, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The presence of a study whose folder is locked and has a plan, and of one store."""
    monkeypatch.setattr(presence, "AGAIN_S", 0.0)
    plan, study = planned
    store = tmp_path / "store" / "leaves@16" / "train"
    store.mkdir(parents=True)
    (store / "manifest.json").touch()
    with study.locked() as owner:
        study.write_plan(load_grid(tmp_path / "grid.yaml"), plan)
        yield Presence(study.folder, owner, [store])


def test_a_folder_that_is_there_passes(there: Presence) -> None:
    there.check()
    assert there.may_write()


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "plan deleted"])
def test_a_study_folder_that_is_gone_is_noticed(there: Presence, planned: tuple[Plan, Study], how: str) -> None:
    folder = planned[1].folder
    if how == "plan deleted":
        (folder / "plan.json").unlink()
    else:
        folder.rename(folder.with_name("moved"))
    if how == "replaced":
        folder.mkdir()
        shutil.copy(folder.with_name("moved") / "plan.json", folder)
    with pytest.raises(FolderLostError, match=r"^the study folder .*runs/study was deleted, moved or replaced while it was worked on: put it back"):
        there.check()
    assert not there.may_write()
    assert len(there.lost) < 500


def test_a_read_only_study_folder_is_noticed(there: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may always write
    with pytest.raises(FolderLostError, match="became read-only: allow writing there"):
        there.check()


def test_a_store_that_is_gone_is_noticed(there: Presence, tmp_path: Path) -> None:
    (tmp_path / "store" / "leaves@16").rename(tmp_path / "elsewhere")
    with pytest.raises(FolderLostError, match="was deleted or moved while stages read it"):
        there.check()
    assert there.may_write()


def test_what_is_missing_for_a_moment_is_not_lost(there: Presence, planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system."""
    folder = planned[1].folder
    folder.rename(folder.with_name("moved"))
    monkeypatch.setattr(time, "sleep", lambda seconds: folder.with_name("moved").rename(folder))
    there.check()


def pool_of(planned: tuple[Plan, Study], **more: Any) -> WorkerPool:
    plan, study = planned
    queue = ReadyQueue(plan, study, lambda name: CORE)

    def assignment(name: str) -> Assignment:
        return Assignment(stage=name, spec={}, folder=str(study.folder), store="", study="small", cpus=1, gpus=0.0)

    return WorkerPool(queue, assignment, lambda: Cluster({"here": CORE}), more.pop("watchers", []), **more)


def test_a_failure_is_not_blamed_on_a_stage_whose_folder_is_gone(planned: tuple[Plan, Study]) -> None:
    def gone() -> None:
        if running:
            raise FolderLostError("the study folder was deleted.")

    running: list[str] = []
    pool = pool_of(planned, check=gone)
    pool.next_shape()
    pool.opened("worker", CORE)
    assigned = pool.reported("worker", WorkerReport(stage=None))
    assert isinstance(assigned, Assignment)
    running.append(assigned.stage)
    failed = Outcome(done=False, reason="No such file or directory", type="FileNotFoundError")
    with pytest.raises(FolderLostError), own_faults(pool):
        pool.reported("worker", WorkerReport(stage=assigned.stage, outcome=failed))
    assert isinstance(pool.fault, FolderLostError)
    assert not pool.queue.failed
    assert not pool.queue.errors


class Broken:
    """A watcher with a fault."""

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None: ...

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None: ...

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        raise KeyError("no column")


def test_a_watcher_that_fails_is_named_and_left_out_and_training_goes_on(planned: tuple[Plan, Study]) -> None:
    messages: list[str] = []
    pool = pool_of(planned, watchers=[Broken()], show_message=messages.append)
    pool.next_shape()
    pool.opened("worker", CORE)
    assigned = pool.reported("worker", WorkerReport(stage=None))
    for _ in range(2):
        assert isinstance(assigned, Assignment)
        assigned = pool.reported("worker", WorkerReport(stage=assigned.stage, outcome=Outcome(done=True)))
    assert messages == ["Broken failed (KeyError: 'no column') and is left out from now on; training goes on"]
    assert pool.queue.ended_count == 2


def test_a_fault_of_our_own_is_not_called_one_of_ray(planned: tuple[Plan, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    plan, study = planned

    def run(pool: WorkerPool, study: Study, worker: Any) -> None:
        with own_faults(pool):
            raise KeyError("no key")

    monkeypatch.setattr(tuner, "_run_tune", run)
    monkeypatch.setattr(tuner, "_restart", lambda *given: pytest.fail("Ray is restarted"))
    context = RunContext(plan=plan, study=study, store=study.folder, granted={}, rank=lambda name: 0.0)
    monkeypatch.setattr(RunContext, "shape", lambda self, stage: CORE)
    with pytest.raises(OwnFault, match=r"^a fault of this program ended the launch \(KeyError: 'no key'\)\.$"):
        tuner.run_plan(context)


def test_a_worker_makes_no_half_study(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    name = next(iter(plan.stages))
    work = Assignment(stage=name, spec=plan.stages[name].spec.to_dict(), folder=str(study.folder), store="", study="small", cpus=1, gpus=0.0)
    with pytest.raises(StageError, match="was deleted or moved while it was worked on"):
        train_stage(work, lambda values: None, lambda: False)
    assert not study.folder.exists()


def test_a_folder_that_lost_its_plan_is_still_a_study(planned: tuple[Plan, Study], tmp_path: Path) -> None:
    _, study = planned
    grid = load_grid(tmp_path / "grid.yaml")
    (study.folder / "stages").mkdir(parents=True)
    for name in ("runs.parquet", "runs.csv", "stages.parquet", "stages.csv", "columns.json", "report.html", ".lock"):
        (study.folder / name).touch()
    study.check_is_for(grid)
    (study.folder / "plan.json").write_text('{"study": "sma')
    study.check_is_for(grid)
    (study.folder / "grid.yaml").write_text(GRID)
    study.check_is_for(grid)
    (study.folder / "grid.yaml").write_text(GRID.replace("study: small", "study: other"))
    with pytest.raises(InputError, match="holds the study 'other', but the grid is 'small'"):
        study.check_is_for(grid)
    (study.folder / "grid.yaml").unlink()
    (study.folder / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds no study \(thesis.tex is there\)"):
        study.check_is_for(grid)


def test_the_stores_that_are_watched_are_those_that_a_launch_makes(planned: tuple[Plan, Study], tmp_path: Path) -> None:
    prepare_stores(planned[0], tmp_path, tmp_path / "store", "refuse", Console(quiet=True))
    made = {path.parent for path in tmp_path.glob("store/*/*/manifest.json")}
    assert made
    assert set(stores_of(planned[0], tmp_path / "store")) == made
