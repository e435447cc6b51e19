"""How far a study is, read from its files alone."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaling.status import main
from scaling.study import stage_state
from scaling.study.lock import Owner
from scaling.study.stage_state import launch_state, left_range_s, seconds_left, stage_states


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """One pre-training done, one failed with a child, one fine-tuning cut off and one that waits."""
    folder = tmp_path / "runs" / "example"
    parents = {
        "pretrain-aaaaaaaaaaaa": None,
        "pretrain-bbbbbbbbbbbb": None,
        "finetune-aaaaaaaaaaaa": "pretrain-aaaaaaaaaaaa",
        "finetune-bbbbbbbbbbbb": "pretrain-bbbbbbbbbbbb",
        "finetune-cccccccccccc": "pretrain-aaaaaaaaaaaa",
    }
    stages = [{"id": name, "kind": name.partition("-")[0], "parent": parent, "image_passes": 1000} for name, parent in parents.items()]
    write(folder / "plan.json", {"study": "example", "stages": stages})
    write(folder / "stages/pretrain-aaaaaaaaaaaa/result.json", {"id": "pretrain-aaaaaaaaaaaa"})
    write(folder / "stages/pretrain-aaaaaaaaaaaa/provenance.json", {"images_per_s": 100.0})
    write(folder / "stages/pretrain-bbbbbbbbbbbb/error.json", {"error": "the loss is NaN at step 3"})
    write(folder / "stages/finetune-aaaaaaaaaaaa/checkpoint/state.pt", "left by a kill")
    return folder


def test_every_state_is_distinguished(study: Path) -> None:
    assert {one.stage_id: one.state for one in stage_states(study)} == {
        "pretrain-aaaaaaaaaaaa": "done",
        "pretrain-bbbbbbbbbbbb": "failed",
        "finetune-aaaaaaaaaaaa": "cut off",
        "finetune-bbbbbbbbbbbb": "blocked",
        "finetune-cccccccccccc": "waiting",
    }


def test_a_stage_whose_lock_is_held_is_running_with_its_latest_numbers(study: Path) -> None:
    folder = study / "stages/finetune-aaaaaaaaaaaa"
    lines = [{"step": 1, "image_passes": 250, "train_loss": 0.9, "images_per_s": 50.0}, {"step": 2, "image_passes": 500, "train_loss": 0.8}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 3, "ima')
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        stages = {one.stage_id: one for one in stage_states(study)}
        running = stages["finetune-aaaaaaaaaaaa"]
        assert running.state == "running"
        assert (running.latest["image_passes"], running.latest["train_loss"], running.latest["images_per_s"]) == (500, 0.8, 50.0)
        # 500 images left here, and 1,000 in the one that waits, at 50 a second, one at a time
        assert seconds_left(study, list(stages.values())) == pytest.approx(30.0)


def test_it_says_what_failed_and_what_waits_for_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 1
    printed = capsys.readouterr().out
    assert "example: 5 stages: 1 done, 1 cut off, 1 waiting, 1 failed, 1 blocked" in printed
    assert "failed   pretrain-bbbbbbbbbbbb: the loss is NaN at step 3 (log: " in printed
    assert "blocked  1 stage waits for pretrain-bbbbbbbbbbbb" in printed
    assert "nothing is running: launch the grid again to resume" in printed


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


def branched(folder: Path, stages: list[tuple[str, str | None, str | None]]) -> None:
    """A plan of stages of 100 steps of 10 images that each go on from another's 60 steps."""
    spec = {"steps": 100, "recipe": {"batch_images": 10}}
    planned = [
        {"id": name, "kind": name.partition("-")[0], "parent": parent, "trunk": trunk, "image_passes": 400 if trunk else 600, "spec": spec}
        for name, parent, trunk in stages
    ]
    for stage in planned:
        if stage["kind"] == "trunk":
            stage["spec"] = spec | {"steps": 60}
    write(folder / "plan.json", {"study": "branched", "stages": planned})


def test_a_stage_waits_for_its_trunk_and_a_trunk_that_nobody_needs_is_not_waited_for(tmp_path: Path) -> None:
    branched(
        tmp_path,
        [
            ("trunk-aaaaaaaaaaaa", None, None),
            ("trunk-bbbbbbbbbbbb", None, "trunk-aaaaaaaaaaaa"),
            ("pretrain-aaaaaaaaaaaa", None, "trunk-aaaaaaaaaaaa"),
            ("pretrain-bbbbbbbbbbbb", None, "trunk-bbbbbbbbbbbb"),
        ],
    )
    assert [one.state for one in stage_states(tmp_path)] == ["waiting"] * 4
    write(tmp_path / "stages/pretrain-bbbbbbbbbbbb/result.json", {"id": "pretrain-bbbbbbbbbbbb"})
    assert [one.state for one in stage_states(tmp_path)] == ["waiting", "done", "waiting", "done"]
    write(tmp_path / "stages/trunk-aaaaaaaaaaaa/error.json", {"error": "no room"})
    assert [(one.state, one.detail) for one in stage_states(tmp_path)][2] == ("blocked", "trunk-aaaaaaaaaaaa")
    write(tmp_path / "stages/pretrain-aaaaaaaaaaaa/result.json", {"id": "pretrain-aaaaaaaaaaaa"})
    assert {one.state for one in stage_states(tmp_path)} == {"done"}


def test_the_images_of_a_branch_are_counted_without_those_of_its_trunk(tmp_path: Path) -> None:
    branched(tmp_path, [("trunk-aaaaaaaaaaaa", None, None), ("pretrain-aaaaaaaaaaaa", None, "trunk-aaaaaaaaaaaa")])
    folder = tmp_path / "stages/pretrain-aaaaaaaaaaaa"
    write(folder / "metrics.jsonl", {"step": 70, "image_passes": 700, "images_per_s": 30.0})
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (running,) = [one for one in stage_states(tmp_path) if one.state == "running"]
    assert (running.shown, running.image_passes) == (100, 400)


def test_a_stage_between_two_attempts_is_printed_apart_from_one_that_failed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study / "stages/pretrain-bbbbbbbbbbbb"
    write(folder / "provenance.json", {"attempts": 2})
    (folder / ".lock").touch()
    (folder / "log.txt").write_text("t attempt 2 of 3 failed (No space left (on disk).); the next is in 10 s\n")
    stages = {one.stage_id: one for one in stage_states(study)}
    assert (stages["pretrain-bbbbbbbbbbbb"].state, stages["pretrain-bbbbbbbbbbbb"].detail) == ("retrying", "No space left (on disk).")
    assert stages["finetune-bbbbbbbbbbbb"].state == "waiting"
    assert main([str(study)]) == 1
    assert "retrying pretrain-bbbbbbbbbbbb (2 attempts): No space left (on disk)." in capsys.readouterr().out


def test_where_locks_cannot_be_asked_the_age_of_the_metrics_is_a_hint_and_printed_to_be_one(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(stage_state.fcntl, "flock", no_locks)
    folder = study / "stages/finetune-aaaaaaaaaaaa"
    (folder / ".lock").touch()
    write(folder / "metrics.jsonl", {"step": 1, "image_passes": 250})
    assert main([str(study)]) == 1
    printed = capsys.readouterr().out
    assert "1 running" in printed
    assert "it is not certain that 1 of them are running: its lock is not visible from here; its metrics are 0 s old" in printed
    os.utime(folder / "metrics.jsonl", (1, 1))
    assert {one.stage_id: one.state for one in stage_states(study)}["finetune-aaaaaaaaaaaa"] == "cut off"


def test_a_lock_held_on_another_machine_may_be_invisible_here(study: Path) -> None:
    folder = study / "stages/finetune-aaaaaaaaaaaa"
    (folder / ".lock").touch()
    write(folder / "metrics.jsonl", {"step": 1})
    assert {one.stage_id: one.state for one in stage_states(study)}["finetune-aaaaaaaaaaaa"] == "cut off"
    write(study / ".lock", {"host": "another machine", "pid": 1})
    assert {one.stage_id: one.state for one in stage_states(study)}["finetune-aaaaaaaaaaaa"] == "running"


def test_scripts_get_one_json_object(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["study"] == "example"
    assert {state: number for state, number in printed["states"].items() if number} == {
        "done": 1,
        "cut off": 1,
        "waiting": 1,
        "failed": 1,
        "blocked": 1,
    }
    assert [stage["stage_id"] for stage in printed["stages"] if stage["state"] == "failed"] == ["pretrain-bbbbbbbbbbbb"]


def test_nothing_is_opened_for_a_stage_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [{"id": f"pretrain-{n:012x}", "kind": "pretrain", "parent": None, "image_passes": 1} for n in range(50)]
    write(tmp_path / "plan.json", {"study": "example", "stages": stages})
    for stage in stages:
        write(tmp_path / "stages" / str(stage["id"]) / "spec.json", {})
    opened: list[str] = []
    monkeypatch.setattr("builtins.open", lambda path, *rest, real=open: (opened.append(str(path)), real(path, *rest))[1])
    assert {one.state for one in stage_states(tmp_path)} == {"waiting"}
    assert opened == []


def owner(**changes: Any) -> dict[str, Any]:
    return dataclasses.asdict(Owner.here()) | changes


def test_a_launch_that_holds_the_lock_is_named_before_any_stage_runs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(study / ".lock", owner(host="trainer", pid=12, since="2026-01-01T00:00:00+00:00"))
    with open(study / ".lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert main([str(study)]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].endswith("; a launch is starting")
    assert printed.splitlines()[1] == "launch:  process 12 on trainer, since 2026-01-01T00:00:00+00:00"
    assert "nothing is running" not in printed


def test_a_launch_is_named_while_it_prepares_and_has_no_plan(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "plan.json").unlink()
    assert main([str(study)]) == 2
    write(study / ".lock", owner())
    with open(study / ".lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert main([str(study), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["launch"] == {"host": platform.node(), "pid": os.getpid(), "since": printed["launch"]["since"], "certain": True}
    assert printed["stages"] == []


def test_a_launch_that_was_killed_is_not_running(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(study / ".lock", owner(began="another process had this number"))
    assert main([str(study)]) == 1
    assert "nothing is running: launch the grid again to resume" in capsys.readouterr().out


def test_a_launch_on_another_machine_whose_lock_is_invisible_may_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(study / ".lock", owner(host="trainer", pid=12))
    assert main([str(study)]) == 1
    printed = capsys.readouterr().out
    assert "a launch is starting" in printed
    assert "(its lock is not visible from here: it may have ended)" in printed


def test_the_lease_of_a_remote_study_names_its_launch_while_it_is_renewed(study: Path) -> None:
    write(study / "lease.json", owner(host="trainer") | {"token": "a", "heartbeat": 3})
    launch = launch_state(study)
    assert launch is not None
    assert launch.host == "trainer"
    os.utime(study / "lease.json", (1, 1))
    assert launch_state(study) is None


def test_a_study_that_was_computed_in_several_ways_says_so(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stages(*rows: str) -> None:
        (study / "stages.csv").write_text("\n".join(("stage_id,kind,device,precision", *rows)) + "\n")

    stages("a,pretrain,NVIDIA H200,bf16", "b,trunk,NVIDIA H200,bf16", "c,finetune,cpu,fp32", "d,finetune,,")
    main([str(study)])
    assert "mixed:" not in capsys.readouterr().out, "each kind of stage ran in one way"
    stages("a,pretrain,NVIDIA H200,bf16", "b,trunk,cpu,fp32", "c,pretrain,cpu,fp32", "d,finetune,cpu,fp32")
    main([str(study)])
    assert (
        "mixed:   stages of one kind ran in different number formats (pretrain: 2 in fp32 on cpu, 1 in bf16 on NVIDIA H200): "
        "compare them with care, or name precision in the recipe"
    ) in capsys.readouterr().out
    stages("a,finetune,NVIDIA H200,bf16", "b,finetune,NVIDIA H100 80GB HBM3,bf16")
    main([str(study), "--json"])
    assert json.loads(capsys.readouterr().out)["mixed"].endswith("1 in bf16 on NVIDIA H100 80GB HBM3): their numbers differ by rounding")
    stages("a,finetune,NVIDIA H200,bf16", "b,finetune,NVIDIA L4,bf16", "c,pretrain,cpu,fp32", "d,pretrain,NVIDIA L4,bf16")
    main([str(study), "--json"])
    assert "ran in different number formats" in json.loads(capsys.readouterr().out)["mixed"], "of one kind, which is enough"
    (study / "stages.csv").unlink()
    (study / "stages.csv").symlink_to("/etc/hostname")
    main([str(study), "--json"])
    assert json.loads(capsys.readouterr().out)["mixed"] is None


def test_the_time_left_has_a_range_from_the_speeds_of_stages(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("pretrain-aaaaaaaaaaaa", 100.0), ("finetune-aaaaaaaaaaaa", 2.0), ("finetune-bbbbbbbbbbbb", 10.0)):
        write(study / f"stages/{name}/result.json", {"id": name})
        write(study / f"stages/{name}/provenance.json", {"images_per_s": rate})
    stages = stage_states(study)
    assert left_range_s(study, stages) == pytest.approx((1000 / 12.5, 1000 / 10, 1000 * 1.25 / 2))
    main([str(study)])
    assert "about 2 min left (80 s to 10 min)" in capsys.readouterr().out
