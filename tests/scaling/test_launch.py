"""Launching: the whole path under Ray Tune, killed and resumed; and mistakes that start nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis import RUN_COLUMNS as DOCUMENTED_RUNS
from analysis import STAGE_COLUMNS as DOCUMENTED_STAGES
from scaling.launch import main
from scaling.study.table import RUN_COLUMNS, STAGE_COLUMNS
from tests.scaling.conftest import GRID

ROOT = Path(__file__).resolve().parents[2]
ONE_SEED = ("--set", "seeds=1")


def command(grid: Path, data: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "scaling.launch", str(grid), "--data", str(data), "--out", str(out), *more]


QUICK = os.environ | {"SCALING_RAY_DASHBOARD": "0"}  # the dashboard is most of what has to start


def launch(grid: Path, data: Path, out: Path, *more: str, environment: dict[str, str] = QUICK) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(grid, data, out, *more), cwd=ROOT, capture_output=True, text=True, timeout=420, env=environment)


def stamps(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("stages/*/result.json")}


def test_the_tables_hold_the_documented_columns_in_their_order() -> None:
    assert list(RUN_COLUMNS) == list(DOCUMENTED_RUNS)
    assert list(STAGE_COLUMNS) == list(DOCUMENTED_STAGES)


@pytest.fixture(scope="module")
def whole(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was never killed; its first launch had a stage that fails."""
    folder = tmp_path_factory.mktemp("whole")
    grid_file, out = folder / "grid.yaml", folder / "study"
    grid_file.write_text(GRID)
    settings = ["--set", "pretrain.recipe.learning_rate=1.0e+30", "--set", "pretrain.recipe.clip_norm=0", *ONE_SEED]
    done = launch(grid_file, small_data, out, *settings)
    assert done.returncode == 1, done.stdout + done.stderr
    (out / "printed.txt").write_text(done.stdout)
    shutil.copytree(out, folder / "failed")
    # with the mistake put right only what it touched runs
    mended = launch(grid_file, small_data, out, *ONE_SEED, environment=dict(os.environ))
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "6 stages to run, 5 done already" in mended.stdout
    assert "8 of 8" in mended.stdout
    assert re.search(r"dashboard: http://127\.0\.0\.1:\d+ ", mended.stdout)
    return out


@pytest.mark.slow
def test_a_failed_stage_blocks_its_descendants_by_name_and_nothing_else(whole: Path) -> None:
    out = whole.with_name("failed")
    printed = (out / "printed.txt").read_text()
    failed = re.findall(r"failed   (pretrain-\w+): .*lower its learning_rate", printed)
    assert len(failed) == 1
    assert printed.count(f"waits for {failed[0]}") == 5  # one intermediate stage and four fine-tunings
    assert "runs:    4 of 8" in printed
    stages = pd.read_parquet(out / "stages.parquet")
    assert stages["state"].value_counts().to_dict() == {"done": 5, "blocked": 5, "failed": 1}
    assert len(pd.read_parquet(out / "runs.parquet")) == 4
    for folder in (out, whole):
        assert (folder / "report.html").read_text().startswith("<!")


@pytest.mark.slow
def test_killed_in_the_middle_and_launched_again_it_ends_as_if_never_killed(grid_file: Path, small_data: Path, tmp_path: Path, whole: Path) -> None:
    cut = tmp_path / "cut"
    arguments = command(grid_file, small_data, cut, *ONE_SEED)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=QUICK) as process:
        deadline = time.monotonic() + 300
        while len(stamps(cut)) < 3:
            assert process.poll() is None, "the launch ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(3)  # its Ray notices and goes
    before = stamps(cut)
    assert 3 <= len(before) < 11

    again = launch(grid_file, small_data, cut, *ONE_SEED)
    assert again.returncode == 0, again.stdout + again.stderr
    after = stamps(cut)
    assert len(after) == 11
    assert {name: after[name] for name in before} == before, "a finished stage was trained again"
    pd.testing.assert_frame_equal(pd.read_parquet(whole / "runs.parquet"), pd.read_parquet(cut / "runs.parquet"))
    assert (whole / "runs.csv").read_bytes() == (cut / "runs.csv").read_bytes()

    # a third launch has nothing to do, and needs no Ray to find out
    third = launch(grid_file, small_data, cut, *ONE_SEED)
    assert third.returncode == 0
    assert "every stage is done" in third.stdout
    assert stamps(cut) == after
    stages = pd.read_parquet(cut / "stages.parquet")
    assert set(stages["state"]) == {"done"}
    assert (stages["cpu_hours"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["finetune.imges=[8]"], "unknown key 'imges' in 'finetune'; did you mean 'images'?"),
        (["pretrain.source=intel-scenes"], "Data for 'intel-scenes' not found"),
        (["resources.gpus=99"], "gpus must be 'auto' or a number from 0 to 1"),
        (["resources.cpus=9999"], "asks for 9999 CPU cores, but this machine has"),
    ],
)
def test_a_mistake_ends_with_status_2_one_sentence_and_nothing_started(
    grid_file: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], sentence: str
) -> None:
    out = tmp_path / "out"
    more = [part for setting in settings for part in ("--set", setting)]
    assert main([str(grid_file), "--data", str(small_data), "--out", str(out), *more]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == f"reading {grid_file} ...\n"
    assert not out.exists()


def test_a_folder_that_holds_another_study_is_left_alone(
    grid_file: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_text(json.dumps({"study": "another"}))
    assert main([str(grid_file), "--data", str(small_data), "--out", str(out)]) == 2
    assert "holds the study 'another', but the grid is 'small': choose another folder with --out" in capsys.readouterr().err
    (out / "plan.json").unlink()
    (out / "thesis.tex").touch()
    assert main([str(grid_file), "--data", str(small_data), "--out", str(out)]) == 2
    assert "is not empty and holds no study (thesis.tex is there)" in capsys.readouterr().err


def test_a_plan_has_the_state_and_reason_of_every_stage_and_runs_nothing(
    grid_file: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(grid_file), "--data", str(small_data), "--out", str(out), "--plan"]) == 0
    text = capsys.readouterr().out
    assert not out.exists()
    assert len(re.findall(r"^(?:pretrain|intermediate|finetune)-[0-9a-f]{12} and 1 more +missing", text, re.MULTILINE)) == 22 / 2
    assert text.count("parent is not done") == (16 - 4 + 2) / 2
    assert "22 stages (22 missing) for 16 runs" in text
    assert re.search(r"sharing stages saves 208, 36% of the 576", text)
    assert "time: about" in text


def test_two_launches_do_not_work_on_one_study(grid_file: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scaling import Study

    with Study(tmp_path / "out").locked():
        assert main([str(grid_file), "--data", str(small_data), "--out", str(tmp_path / "out")]) == 2
    assert "Another launch is working on" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_signal_lets_stages_write_a_checkpoint_and_the_second_is_immediate(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    settings = ["--set", "pretrain.images=0", "--set", "intermediate.objective=none", "--set", "finetune.images=8", "--set", "seeds=1"]
    settings += ["--set", "finetune.length=200000 steps"]

    def begun() -> int:
        """Attempts that have come to their first step."""
        return sum(path.read_text().count(" from step ") for path in out.glob("stages/*/log.txt"))

    def stop(*signals: signal.Signals) -> str:
        with subprocess.Popen(
            command(grid_file, small_data, out, *settings), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=QUICK
        ) as process:
            assert process.stdout is not None
            known = begun()
            while begun() == known:
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.05)
            time.sleep(1.0)
            for one in signals:
                process.send_signal(one)
                time.sleep(0.2)
            printed = process.stdout.read()
        assert process.returncode == 130, printed
        return printed

    printed = stop(signal.SIGTERM)
    assert "stopping: running stages write a checkpoint; press Ctrl-C again to stop at once" in printed
    assert "interrupted: 1 stage is left; the same command resumes" in printed
    (checkpoint,) = out.glob("stages/*/checkpoint/state-*")
    (log,) = out.glob("stages/*/log.txt")
    step = int(checkpoint.name.split("-")[1])
    assert step > 0
    assert "stopped at once: what is done is kept" in stop(signal.SIGINT, signal.SIGINT)
    assert f"from step {step}" in log.read_text()
    assert not list(out.glob("stages/*/error.json"))
    assert (out / ".lock").read_text() == ""


@pytest.mark.slow
def test_what_is_killed_at_random_moments_loses_no_stage_and_runs_none_twice() -> None:
    """One worker, whose stage is tried again in the same launch; `python -m benchmarks.faults`
    kills many of each kind.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--injections", "1", "--only", "worker", *ONE_SEED, "--set", "intermediate.objective=none"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines() if line.startswith("| worker")]
    assert [(row[1], row[2], row[5], row[6], row[7]) for row in rows] == [("worker", "1", "0", "0", "yes")]


@pytest.mark.slow
def test_a_smaller_grid_of_the_same_name_says_which_runs_it_leaves_out_and_loses_none(small_data: Path, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "study"
    shutil.copytree(whole, out)
    grid_file = whole.parent / "grid.yaml"
    before = stamps(out)
    smaller = ("--set", "finetune.images=[8]", *ONE_SEED)
    planned = launch(grid_file, small_data, out, "--plan", *smaller)
    line = "4 finished runs of earlier launches are not part of this grid: they stay on disk, and tables and report leave them out. "
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert line in planned.stdout
    assert not (out / "earlier_grids").exists()
    done = launch(grid_file, small_data, out, *smaller)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(line) == 1
    assert len(pd.read_csv(out / "runs.csv")) == 4
    assert stamps(out) == before
    (earlier,) = (out / "earlier_grids").iterdir()
    again = launch(earlier, small_data, out)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "not part of this grid" not in again.stdout
    assert (out / "runs.csv").read_bytes() == (whole / "runs.csv").read_bytes()
    assert stamps(out) == before
