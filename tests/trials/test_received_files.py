"""A folder received from somebody does not make programs read, or write, files outside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs as arrow

from scaling import status
from scaling.study.lock import locked, read_owner
from scaling.study.remote import Remote
from scaling.study.remote_study import Mirror
from scaling.study.stage_state import is_locked, last_values, stage_states
from scaling.tracking import __main__ as tracking
from trials.data.manifest import read_manifest
from trials.diagnostics.study import Diagnosis
from trials.errors import InputError, StageError
from trials.received_files import RefusedFileError, file_inside, is_plain_name
from trials.stage_files import MetricsFile, read_checked, read_json, read_result
from trials.training.checkpoints import load_checkpoint

GOOD, OTHER = "pretrain-aaaaaaaaaaaa", "pretrain-bbbbbbbbbbbb"


def linked(path: Path) -> None:
    """The file, moved out of the folder, behind a link."""
    outside = path.parents[2] / f"outside-{path.name}"
    if path.exists():
        path.rename(outside)
    path.symlink_to(outside)


def piped(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


HOSTILE = pytest.mark.parametrize("hostile", [linked, piped])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of one finished stage, two folders deep."""
    folder = tmp_path / "received" / "study"
    stage = folder / "stages" / GOOD
    stage.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan_of({"id": GOOD})))
    (stage / "result.json").write_text(json.dumps({"id": GOOD, "weights_sha256": "0", "metrics": {}}))
    (stage / "metrics.jsonl").write_text('{"step": 1, "val_mim_loss": 0.5}\n')
    return folder


def plan_of(*stages: dict[str, Any]) -> dict[str, Any]:
    common: dict[str, Any] = {"kind": "pretrain", "parent": None, "trunk": None, "image_passes": 10, "runs": 1, "spec": {}}
    return {"format": 1, "study": "study", "stages": [common | stage for stage in stages], "runs": []}


@pytest.mark.parametrize("name", ["", ".", "..", "/etc/passwd", "../x", "a/b", "a\\b", "a\0b", "x" * 300])
def test_only_plain_names_are_joined(tmp_path: Path, name: str) -> None:
    assert not is_plain_name(name)
    with pytest.raises(RefusedFileError) as caught:
        file_inside(tmp_path, name)
    assert len(str(caught.value)) < 500


def test_a_regular_file_is_read_also_where_the_folder_is_a_link(study: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(study)
    assert file_inside(tmp_path / "link", "stages", GOOD, "result.json").read_text()
    assert [one.state for one in stage_states(tmp_path / "link")] == ["done"]
    with pytest.raises(FileNotFoundError):
        file_inside(tmp_path / "link", "nothing")
    with pytest.raises(RefusedFileError, match="more than the 3 that are read"):
        file_inside(study, "plan.json", most_bytes=3)
    with pytest.raises(RefusedFileError, match="no regular file"):
        file_inside(study, "stages")


@HOSTILE
def test_a_plan_that_is_no_file_is_refused(study: Path, hostile: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    hostile(study / "plan.json")
    assert status.main([str(study)]) == 2
    assert "so it is not read" in (said := capsys.readouterr().err)
    assert len(said) < 500
    with pytest.raises(InputError, match="not read"):
        tracking.read_plan(study)
    with pytest.raises(InputError):
        Diagnosis(study, study)


@pytest.mark.parametrize(
    "stages",
    [
        [{"id": "../../../secret"}],
        [{"id": "/etc"}],
        [{"id": "pretrain-a/../../x"}],
        [{"id": GOOD, "parent": "../x"}],
        [{"id": GOOD, "spec": {"parent": "../x"}}],
        [{"id": GOOD, "spec": {"trunk": "/etc"}}],
        [{"id": GOOD, "parent": OTHER}, {"id": OTHER, "parent": GOOD}],
    ],
)
def test_a_plan_whose_stages_are_named_otherwise_is_refused(study: Path, stages: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    (study / "plan.json").write_text(json.dumps(plan_of(*stages)))
    assert status.main([str(study)]) == 2
    assert "stage" in (said := capsys.readouterr().err)
    assert len(said) < 500
    for read in (lambda: tracking.read_plan(study), lambda: Diagnosis(study, study)):
        with pytest.raises(InputError, match=r"no stage id|no earlier stage"):
            read()


def test_stages_that_are_a_link_are_not_followed(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "stages").rename(tmp_path / "elsewhere")
    (study / "stages").symlink_to(tmp_path / "elsewhere")
    assert status.main([str(study)]) == 2
    assert "stages/ is a link" in capsys.readouterr().err
    with pytest.raises(InputError, match="stages/ is a link"):
        tracking.read_plan(study)


def test_a_stage_that_is_a_link_is_not_followed(study: Path, tmp_path: Path) -> None:
    stage = study / "stages" / GOOD
    stage.rename(tmp_path / GOOD)
    stage.symlink_to(tmp_path / GOOD)
    assert [one.state for one in stage_states(study)] == ["waiting"]


@HOSTILE
def test_a_stage_s_files_that_are_none_are_not_read(study: Path, hostile: Callable[[Path], None]) -> None:
    stage = study / "stages" / GOOD
    for name in ("result.json", "metrics.jsonl", "diagnostics.json", ".lock"):
        hostile(stage / name)
    assert read_result(stage) is None
    assert read_json(stage / "diagnostics.json") is None
    assert last_values(stage / "metrics.jsonl") == {}
    assert read_owner(stage / ".lock") is None
    assert is_locked(stage / ".lock") is False
    assert [one.state for one in stage_states(study)] == ["waiting"]
    with pytest.raises(RefusedFileError):
        MetricsFile(stage / "new.jsonl", resume_step=5, begin_with=stage / "metrics.jsonl")


def test_a_lock_that_is_a_link_does_not_have_its_target_overwritten(study: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (study / ".lock").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="cannot be written"), locked(study):
        pytest.fail("locked")
    assert (tmp_path / "mine.txt").read_text() == "mine"


@HOSTILE
def test_checkpoints_that_are_no_files_are_not_read(study: Path, hostile: Callable[[Path], None]) -> None:
    stage = study / "stages" / GOOD
    (stage / "checkpoint").mkdir()
    state, weights = stage / "checkpoint" / f"state-3-{'0' * 16}.safetensors", stage / "checkpoint" / "weights.safetensors"
    said: list[str] = []
    for path in (state, weights):
        hostile(path)
    assert load_checkpoint(stage, said.append, steps=10) is None
    assert "not read" in said[0]
    with pytest.raises(StageError, match="not read"):
        read_checked(weights, stage, "weights_sha256")


def test_a_manifest_that_is_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="no regular file"):
        read_manifest(tmp_path, "prepare it again")


class NamesOutside:
    """A store whose keys lead out of any folder that they are copied to."""

    type_name = "s3"

    def get_file_info(self, asked: Any) -> Any:
        names = (f"stages/{GOOD}/../../../escaped/stages/x/result.json", "../plan.json", f"stages/{GOOD}//log.txt", f"stages/{GOOD}/result.json")
        if isinstance(asked, str):
            return SimpleNamespace(type=arrow.FileType.File)
        return [SimpleNamespace(type=arrow.FileType.File, path=f"bucket/{name}", size=2) for name in names]

    def open_input_stream(self, path: str) -> Any:
        return arrow.LocalFileSystem().open_input_stream("/dev/null")


def test_a_mirror_writes_nothing_outside_itself(tmp_path: Path) -> None:
    remote = Remote("s3://bucket", filesystem=NamesOutside(), sleep=lambda seconds: None)
    assert [entry.path for entry in remote.list()] == [f"stages/{GOOD}/result.json"]
    folder = tmp_path / "a" / "b" / "c" / "mirror"
    Mirror(remote, folder).pull()
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert written == [f"a/b/c/mirror/stages/{GOOD}/result.json"]
