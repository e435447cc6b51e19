"""A stage's folder that was received with links or pipes in it: nothing is written through them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling import Study, load_grid, make_plan
from tests.scaling.conftest import GRID
from tests.trials.conftest import MakeSpec, leaves_store, make_spec  # noqa: F401 - fixtures
from trials import run_stage
from trials.errors import InputError, StageError
from trials.spec import stage_id
from trials.stage import Log


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of the user's outside the study."""
    path = tmp_path / "thesis.tex"
    path.write_text("mine")
    return path


def linked(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def piped(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("hostile", [linked, piped])
@pytest.mark.parametrize("name", [".lock", "log.txt", "metrics.jsonl", "error.json", "examples/0.png", "checkpoint/x"])
def test_a_stage_writes_through_no_link_and_waits_for_no_pipe(
    hostile: Callable[[Path, Path], None],
    name: str,
    tmp_path: Path,
    target: Path,
    make_spec: MakeSpec,  # noqa: F811
    leaves_store: Path,  # noqa: F811
) -> None:
    spec = make_spec("pretrain")
    folder = tmp_path / "stages" / stage_id(spec)
    hostile(folder / name, target)
    Log(folder / "log.txt")("a line")
    with pytest.raises(StageError, match=r"so nothing is written there: delete it and launch again\.$") as caught:
        run_stage(spec, folder, leaves_store)
    assert len(str(caught.value)) < 500
    assert target.read_text() == "mine"


@pytest.mark.parametrize("name", ["checkpoint", "examples", "examples_train", "diagnostics"])
def test_a_stage_writes_into_no_linked_folder(
    name: str,
    tmp_path: Path,
    make_spec: MakeSpec,  # noqa: F811
    leaves_store: Path,  # noqa: F811
) -> None:
    spec = make_spec("pretrain")
    folder = tmp_path / "stages" / stage_id(spec)
    (tmp_path / "elsewhere").mkdir()
    linked(folder / name, tmp_path / "elsewhere")
    with pytest.raises(StageError, match="is a link, which may lead out of the study"):
        run_stage(spec, folder, leaves_store)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_launch_writes_its_plan_through_no_link(tmp_path: Path, target: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    grid = load_grid(tmp_path / "grid.yaml")
    plan, study = make_plan(grid, tmp_path), Study(tmp_path / "study")
    first, second, *_ = plan.stages
    for path in (study.folder / "grid.yaml", study.folder / "plan.json", study.stage_folder(first) / "spec.json"):
        linked(path, target)
    study.write_plan(grid, plan)
    assert target.read_text() == "mine"
    assert json.loads((study.stage_folder(first) / "spec.json").read_text())["kind"] == plan.stages[first].spec.kind
    (study.stage_folder(second)).rename(tmp_path / "elsewhere")
    study.stage_folder(second).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link, which may lead out of the study"):
        study.write_plan(grid, plan)


def test_a_study_whose_stages_are_elsewhere_is_not_launched_on(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    linked(tmp_path / "study" / "stages", tmp_path)
    with pytest.raises(InputError, match="stages is a link, which may lead out of the study: put the folder itself there"):
        Study(tmp_path / "study").check_is_for(load_grid(tmp_path / "grid.yaml"))
