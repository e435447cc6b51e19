"""How far a study is, told from its files alone."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaling.status import main, seconds_left, standings


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """One pre-training done, one failed with a child, one fine-tuning cut off and one that waits."""
    folder = tmp_path / "runs" / "example"
    parents = {"pretrain-a": None, "pretrain-b": None, "finetune-a": "pretrain-a", "finetune-b": "pretrain-b", "finetune-c": "pretrain-a"}
    stages = [{"id": name, "kind": name.partition("-")[0], "parent": parent, "image_passes": 1000} for name, parent in parents.items()]
    write(folder / "plan.json", {"study": "example", "stages": stages})
    write(folder / "stages/pretrain-a/result.json", {"id": "pretrain-a"})
    write(folder / "stages/pretrain-a/provenance.json", {"images_per_s": 100.0})
    write(folder / "stages/pretrain-b/error.json", {"error": "the loss is NaN at step 3"})
    write(folder / "stages/finetune-a/checkpoint/state.pt", "left by a kill")
    return folder


def test_every_state_is_told_apart(study: Path) -> None:
    assert {one.stage_id: one.state for one in standings(study)} == {
        "pretrain-a": "done",
        "pretrain-b": "failed",
        "finetune-a": "cut off",
        "finetune-b": "blocked",
        "finetune-c": "waiting",
    }


def test_a_stage_whose_lock_is_held_is_running_with_its_latest_numbers(study: Path) -> None:
    folder = study / "stages/finetune-a"
    lines = [{"step": 1, "image_passes": 250, "train_loss": 0.9, "images_per_s": 50.0}, {"step": 2, "image_passes": 500, "train_loss": 0.8}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 3, "ima')
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        stages = {one.stage_id: one for one in standings(study)}
        running = stages["finetune-a"]
        assert running.state == "running"
        assert (running.latest["image_passes"], running.latest["train_loss"], running.latest["images_per_s"]) == (500, 0.8, 50.0)
        # 500 images left here, and 1,000 in the one that waits, at 50 a second, one at a time
        assert seconds_left(study, list(stages.values())) == pytest.approx(30.0)


def test_it_says_what_failed_and_what_waits_for_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 1
    said = capsys.readouterr().out
    assert "example: 5 stages: 1 done, 1 cut off, 1 waiting, 1 failed, 1 blocked" in said
    assert "failed   pretrain-b: the loss is NaN at step 3 (log: " in said
    assert "blocked  1 stage waits for pretrain-b" in said
    assert "nothing is running: launch the grid again to go on" in said


def test_a_complete_study_ends_with_0(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = json.loads((study / "plan.json").read_text())
    for stage in plan["stages"]:
        write(study / "stages" / stage["id"] / "result.json", {"id": stage["id"]})
    assert main([str(study)]) == 0
    assert "5 stages: 5 done\n" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "", "[]", '{"stages": 3}'])
def test_a_folder_that_is_no_study_gets_one_sentence(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    assert main([str(tmp_path)]) == 2
    assert "holds no plan.json that can be read: name a folder that a launch wrote" in capsys.readouterr().err


def test_it_waits_for_neither_torch_nor_ray() -> None:
    code = "import sys, scaling.status; print(*[name for name in ('torch', 'ray', 'pandas') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
