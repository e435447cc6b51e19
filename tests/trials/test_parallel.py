"""One stage over several processes gives the numbers of one process, and can be stopped and go on
with another number of them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, lines, run
from trials import InputError, StageSpec
from trials.stage import main
from trials.stage_files import WEIGHTS, write_json
from trials.training.checkpoints import list_checkpoints
from trials.training.execution import Execution
from trials.training.parallel import Group, ProcessLost, joined
from trials.training.run import Run

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> str:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return str(asked.getsockname()[1])


def start(spec: StageSpec, root: Path, store: Path, *, processes: int = 1, before: str = "") -> list[subprocess.Popen[str]]:
    """`python -m trials.stage` in each process of a group, as torchrun would start it; `before` is
    run in each beforehand.
    """
    folder = folder_of(spec, root)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "spec.json", spec.to_dict())
    code = f"import sys; from trials.stage import main\n{before}\nsys.exit(main([{str(folder)!r}, '--store', {str(store)!r}]))"
    alike = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(processes)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=alike | {"RANK": str(rank)}, **pipes) for rank in range(processes)]


def errors_of(group: list[subprocess.Popen[str]]) -> list[str]:
    """What the processes wrote to stderr, once all have ended."""
    try:
        return [process.communicate(timeout=60)[1] for process in group]
    finally:
        for process in group:
            process.kill()
            process.communicate()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


EVERY_STEP = "import trials.stage; trials.stage.CHECKPOINT_S = 0; trials.stage.run_stage.__kwdefaults__['checkpoint_s'] = 0"


@pytest.mark.slow
def test_two_processes_train_as_one_also_where_the_batch_does_not_divide(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", batch_images=7, steps=20)
    run(spec, tmp_path / "one", leaves_store)
    group = start(spec, tmp_path / "two", leaves_store, processes=2)
    said = [process.communicate(timeout=120) for process in group]
    assert [process.returncode for process in group] == [0, 0], said
    one, two = lines(spec, tmp_path / "one"), lines(spec, tmp_path / "two")
    assert [line.keys() for line in one] == [line.keys() for line in two]
    for line, other in zip(one, two, strict=True):
        assert other == pytest.approx(line, abs=1e-5)
    assert said[0][0].count('"train_mim_loss"') == 1  # the first process alone prints the result
    assert said[1][0] == ""
    provenance = json.loads((folder_of(spec, tmp_path / "two") / "provenance.json").read_text())
    assert (provenance["processes"], provenance["cpus"]) == (2, 2)


@pytest.mark.slow
def test_a_group_that_loses_a_process_fails_in_a_sentence_and_one_process_goes_on(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", batch_images=8, steps=100)
    folder = folder_of(spec, tmp_path)
    group = start(spec, tmp_path, leaves_store, processes=2, before=EVERY_STEP)
    wait_until(lambda: list_checkpoints(folder))
    group[1].kill()
    error, _ = errors_of(group)
    assert [process.returncode for process in group] == [1, -signal.SIGKILL]
    sentence = json.loads((folder / "error.json").read_text())["error"]
    assert sentence in error
    assert sentence.startswith("Another process of this stage is gone (")
    assert "run the stage again, with any number of processes; it goes on from its checkpoint." in sentence
    reached = int(list_checkpoints(folder)[0].name.split("-")[1])
    result = run(spec, tmp_path, leaves_store, checkpoint_s=1000)
    assert f"from step {reached}, on" in (folder / "log.txt").read_text()
    whole = run(spec, tmp_path / "one", leaves_store, checkpoint_s=1000)
    assert result["metrics"] == pytest.approx(whole["metrics"], abs=1e-3)  # rounding, over 100 steps of a model that learns
    assert load_file(folder / WEIGHTS).keys() == load_file(folder_of(spec, tmp_path / "one") / WEIGHTS).keys()


@pytest.mark.slow
def test_a_group_stops_together_if_one_process_is_told_to(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=100_000)
    folder = folder_of(spec, tmp_path)
    group = start(spec, tmp_path, leaves_store, processes=2)
    wait_until(lambda: (folder / "metrics.jsonl").exists())
    group[1].send_signal(signal.SIGINT)
    errors = errors_of(group)
    assert [process.returncode for process in group] == [143, 130]
    assert errors[0] == errors[1]
    assert "of 100000: run again, it goes on from there." in errors[0]
    assert not (folder / "error.json").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_end_writes_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals,
    status: int,
    make_spec: MakeSpec,
    leaves_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = make_spec("pretrain")
    folder = folder_of(spec, tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "spec.json", spec.to_dict())
    stopping = iter([False, False, False, True, False])  # the losses are looked at after each step, and once more before a checkpoint
    monkeypatch.setattr(Run, "_check", lambda self, done: next(stopping) and signal.raise_signal(number))
    assert main([str(folder), "--store", str(leaves_store)]) == status
    assert "was asked to stop after step 4 of 6: run again, it goes on from there." in capsys.readouterr().err
    assert [path.name.split("-")[1] for path in list_checkpoints(folder)] == ["4"]
    monkeypatch.undo()
    assert main([str(folder), "--store", str(leaves_store)]) == 0


def test_data_parallel_without_a_group_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    sentence = "Data parallel needs RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT in the environment: start the stage with torchrun"
    with pytest.raises(InputError, match=sentence):
        joined(gpus=0).__enter__()


def test_more_processes_than_images_are_refused(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec("pretrain", batch_images=2)
    monkeypatch.setattr(Group, "share", lambda self, value: value)
    group = Group(rank=0, size=3)
    with pytest.raises(InputError, match="A batch of 2 images cannot be shared by 3 processes in 1 micro-batches each"):
        Run(spec, folder_of(spec, tmp_path), leaves_store, execution=Execution(), group=group, log=print)


@pytest.mark.parametrize(
    ("message", "reason"), [("Connection closed\nat line 3", "RuntimeError: Connection closed"), ("", "RuntimeError: no message")]
)
def test_a_lost_process_is_told_whatever_the_backend_says(message: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **named: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr("trials.training.parallel.distributed.broadcast_object_list", fail)
    with pytest.raises(ProcessLost, match=f"Another process of this stage is gone .{reason}.: run the stage again"):
        Group(rank=0, size=2).share(1)
