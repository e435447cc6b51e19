"""The page of a study folder received from somebody holds nothing from outside it, says what it
leaves out, and shows the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, load_runs
from analysis.runs.received_files import FileRefusedError, file_inside
from reports.errors import ReportError
from reports.pictures import PNG_START, found_pictures
from reports.report_data import own_file, read_json, read_metrics, read_provenance, read_study

GOOD = "pretrain-aaaaaaaaaaaa"


def linked(path: Path) -> None:
    """The file, moved out of the folder, behind a link."""
    outside = path.parents[3] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


HOSTILE = pytest.mark.parametrize("hostile", [linked, piped])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with one of each file."""
    folder = tmp_path / "a" / "b" / "study"
    stage = folder / "stages" / GOOD
    (stage / "examples").mkdir(parents=True)
    stages = [{"id": GOOD, "kind": "pretrain", "parent": None, "spec": {}}]
    (folder / "plan.json").write_text(json.dumps({"format": 1, "study": "study", "stages": stages, "runs": []}))
    (folder / "grid.yaml").write_text("secret: 42")
    needed = {"run_id": "finetune-aaaaaaaaaaaa", "seed": 0, "encoder": "vit", "pretrain_id": GOOD, "pretrain_images": 10, "val_mim_loss": 0.5}
    pd.DataFrame([needed | {"intermediate": "none", "finetune_images": 5, "miou": 0.5}]).to_parquet(folder / "runs.parquet")
    pd.DataFrame([{"stage_id": GOOD, "kind": "pretrain", "state": "done"}]).to_parquet(folder / "stages.parquet")
    (folder / "columns.json").write_text('{"runs": {}, "stages": {}}')
    (stage / "result.json").write_text(json.dumps({"id": GOOD}))
    (stage / "provenance.json").write_text(json.dumps({"platform": "secret"}))
    (stage / "metrics.jsonl").write_text('{"step": 1}\n')
    (stage / "examples" / "0.png").write_bytes(PNG_START)
    (stage / "examples" / "index.json").write_text(json.dumps({"columns": ["image"], "items": [{"file": "0.png", "caption": "a"}]}))
    return folder


def test_a_study_is_read_whole_also_through_a_link(study: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(study)
    found = read_study(tmp_path / "link")
    assert (found.refused, found.grid_text, len(found.runs), len(found.stages)) == ((), "secret: 42", 1, 1)
    assert len(read_provenance(found)) == len(list(read_metrics(found.folder, GOOD))) == 1


@HOSTILE
@pytest.mark.parametrize("name", ["plan.json", "grid.yaml", "runs.parquet", "stages.parquet", "columns.json"])
def test_a_file_that_is_none_is_left_out_and_named(study: Path, hostile: Callable[[Path], None], name: str) -> None:
    hostile(study / name)
    found = read_study(study)
    (said,) = found.refused
    assert said.startswith(f"{name} is ")
    assert len(said) < 500
    assert (found.planned is None) == (name == "plan.json")
    assert (found.grid_text is None) == (name == "grid.yaml")
    assert found.runs.empty == (name == "runs.parquet")
    assert found.has_costs == (name != "stages.parquet")


@HOSTILE
def test_a_table_that_is_none_is_refused_by_analysis(study: Path, hostile: Callable[[Path], None]) -> None:
    hostile(study / "runs.parquet")
    with pytest.raises(AnalysisError):
        load_runs(study)


@HOSTILE
@pytest.mark.parametrize("name", ["metrics.jsonl", "provenance.json", "result.json"])
def test_a_stage_s_file_that_is_none_is_left_out_and_named(study: Path, hostile: Callable[[Path], None], name: str) -> None:
    hostile(study / "stages" / GOOD / name)
    found = read_study(study)
    (said,) = found.refused
    assert f"stages/{GOOD}/{name}" in said
    assert read_provenance(found).empty == (name == "provenance.json")
    assert bool(list(read_metrics(study, GOOD))) == (name != "metrics.jsonl")
    (study / "stages.parquet").unlink()
    assert list(read_study(study).stages["state"]) == ["missing" if name == "result.json" else "done"]


@pytest.mark.parametrize("name", ["../../../../secret", "/etc", "..", "pretrain-a"])
def test_a_plan_that_names_other_folders_is_not_used(study: Path, name: str) -> None:
    (study / "plan.json").write_text(json.dumps({"study": "study", "stages": [{"id": name, "kind": "pretrain"}], "runs": []}))
    found = read_study(study)
    assert found.planned is None
    assert "is no stage id" in found.refused[0]
    (study / "runs.parquet").unlink()
    with pytest.raises(ReportError, match="is no stage id"):
        read_study(study)


def test_rows_that_name_other_folders_are_left_out(study: Path) -> None:
    runs = pd.read_parquet(study / "runs.parquet")
    pd.concat([runs, runs.assign(pretrain_id="../../../x"), runs.assign(run_id="/etc")]).to_parquet(study / "runs.parquet")
    found = read_study(study)
    assert list(found.runs["pretrain_id"]) == [GOOD]
    assert found.refused[0].startswith("2 rows of a table name a stage that is no plain name")


@pytest.mark.parametrize("which", ["stages", f"stages/{GOOD}", f"stages/{GOOD}/examples"])
def test_nothing_is_read_through_a_linked_folder(study: Path, tmp_path: Path, which: str) -> None:
    (study / which).rename(tmp_path / "elsewhere")
    (study / which).symlink_to(tmp_path / "elsewhere")
    assert "stages" in read_study(study).refused[0]
    assert found_pictures([("arm", study / "stages" / GOOD)], "examples") == ([], "No example pictures were kept.")


def test_a_picture_that_is_left_out_is_mentioned(study: Path) -> None:
    pictures = study / "stages" / GOOD / "examples"
    index = json.loads((pictures / "index.json").read_text())
    index["items"].append({"file": "../../../secret.png", "caption": "b"})
    (pictures / "index.json").write_text(json.dumps(index))
    [(_, shown, _)], said = found_pictures([("arm", study / "stages" / GOOD)], "examples")
    assert len(shown["items"]) == 1
    assert said == "1 picture is left out: not a PNG of the stage's own, or no file."


@pytest.mark.parametrize("name", ["", ".", "..", "/etc/passwd", "../x", "a/b", "a\\b", "a\0b", "x" * 300])
def test_only_plain_names_are_joined(study: Path, name: str) -> None:
    with pytest.raises(FileRefusedError) as caught:
        file_inside(study, name)
    assert len(str(caught.value)) < 500
    assert own_file(study, name) is None
    assert read_json(study, "stages", name, "result.json") is None


def test_a_file_that_is_too_large_is_refused(study: Path) -> None:
    with pytest.raises(FileRefusedError, match="more than the 3 that are read"):
        file_inside(study, "grid.yaml", most_bytes=3)
