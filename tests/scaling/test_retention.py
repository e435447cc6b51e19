"""Which checkpoints are deleted, and which stages a grown grid trains again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling import Plan, Study, load_grid, make_plan
from scaling.study.remote import Remote
from scaling.study.remote_study import Mirror, RemoteStorage
from scaling.study.retention import SET_ASIDE, CheckpointCleanup, CheckpointStorage, FolderStorage, deletable, delete_checkpoints, missing_weights
from tests.scaling.test_trunks import planned
from trials.stage_files import STATE, WEIGHTS


def finish(study: Study, name: str, kind: str) -> None:
    folder = study.stage_folder(name)
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"id": name, "metrics": {}}))
    (folder / (STATE if kind == "trunk" else WEIGHTS)).write_bytes(b"0" * 1000)


@pytest.fixture
def finished(grid_file: Path, small_data: Path, tmp_path: Path) -> tuple[Plan, Study]:
    plan = planned(grid_file, small_data, "40 steps, 80 steps")
    study = Study(tmp_path / "study")
    for name, stage in plan.stages.items():
        finish(study, name, stage.spec.kind)
    return plan, study


def kinds(plan: Plan, names: list[str]) -> set[str]:
    return {plan.stages[name].spec.kind for name in names}


def test_each_keep_lets_go_of_what_it_says(finished: tuple[Plan, Study]) -> None:
    plan, _ = finished
    everything = list(plan.stages)
    assert deletable(plan, everything, "everything") == []
    assert kinds(plan, deletable(plan, everything, "weights")) == {"trunk"}
    assert set(deletable(plan, everything, "results")) == set(everything)


def test_what_an_unfinished_stage_needs_stays(finished: tuple[Plan, Study]) -> None:
    plan, _ = finished
    for name, stage in plan.stages.items():
        going = deletable(plan, [other for other in plan.stages if other != name], "results")
        assert name not in going
        assert not set(stage.spec.needs) & set(going)


@pytest.fixture(params=["folder", "store"])
def storage(request: pytest.FixtureRequest, finished: tuple[Plan, Study], tmp_path: Path) -> CheckpointStorage:
    """Of the finished study; one in a store has its checkpoints there, and a mirror without any."""
    study = finished[1]
    if request.param == "folder":
        return FolderStorage(study)
    remote = Remote(f"file://{tmp_path}/bucket/study")
    for path in sorted(study.folder.glob("stages/*/*")) + sorted(study.folder.glob("stages/*/checkpoint/*")):
        if path.is_file():
            remote.write(path.relative_to(study.folder).as_posix(), path.read_bytes())
            if "checkpoint" in path.parts:
                path.unlink()
    return RemoteStorage(Mirror(remote, study.folder))


def settled(storage: CheckpointStorage, study: Study, tmp_path: Path) -> Path:
    """Where the checkpoints lie, after what goes on in the background."""
    if isinstance(storage, FolderStorage):
        return study.folder
    assert isinstance(storage, RemoteStorage)
    storage._mirror._pool.shutdown(wait=True)
    Mirror(storage._mirror.remote, study.folder).pull()
    return tmp_path / "bucket" / "study"


def test_cleanup_keeps_results_and_only_a_trunk_becomes_undone(finished: tuple[Plan, Study], storage: CheckpointStorage, tmp_path: Path) -> None:
    plan, study = finished
    delete_checkpoints(storage, plan, deletable(plan, list(plan.stages), "results"))
    place = settled(storage, study, tmp_path)
    assert {name for name in plan.stages if not study.is_done(name)} == {name for name, stage in plan.stages.items() if stage.spec.kind == "trunk"}
    assert not list(place.glob("stages/*/checkpoint/*"))
    done = [name for name in plan.stages if study.is_done(name)]
    assert plan.wanted(done) == []  # a trunk that nobody needs is not trained again


def test_a_stage_that_ended_lets_go_of_what_it_alone_still_needed(finished: tuple[Plan, Study], storage: CheckpointStorage, tmp_path: Path) -> None:
    plan, study = finished
    last = next(name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain" and stage.spec.trunk)
    (study.stage_folder(last) / "result.json").unlink()
    letting = CheckpointCleanup(plan, study, "weights", storage)
    letting.stage_ended(last, {}, None)
    place = settled(storage, study, tmp_path)
    assert not list(place.glob("stages/trunk-*/checkpoint/*"))
    assert list(place.glob("stages/pretrain-*/checkpoint/*"))


def test_a_grown_grid_makes_let_go_parents_anew_and_their_numbers_stay_meanwhile(
    finished: tuple[Plan, Study], storage: CheckpointStorage, grid_file: Path, small_data: Path, tmp_path: Path
) -> None:
    plan, study = finished
    delete_checkpoints(storage, plan, deletable(plan, list(plan.stages), "results"))
    settled(storage, study, tmp_path)
    later = storage if isinstance(storage, FolderStorage) else RemoteStorage(Mirror(Remote(f"file://{tmp_path}/bucket/study"), study.folder))
    grown = make_plan(
        load_grid(grid_file.with_name("trunks.yaml"), ["seeds=1", "intermediate.objective=none", "finetune.images=[8, 16]"]), small_data
    )
    done = {name for name in grown.stages if study.is_done(name)}
    anew = missing_weights(later, grown, done)
    assert kinds(grown, anew) == {"pretrain"}
    assert len(anew) == 2
    for name in anew:
        later.set_aside(name)
    settled(later, study, tmp_path)
    assert not any(study.is_done(name) for name in anew)
    assert all((study.stage_folder(name) / SET_ASIDE).exists() for name in anew)
    left = grown.wanted({name for name in grown.stages if study.is_done(name)})
    assert kinds(grown, left) == {"trunk", "pretrain", "finetune"}  # the trunk as well, since both lengths are trained again
