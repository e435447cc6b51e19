"""Limits of memory end in a sentence that says what to lower."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller

from scaling.execution.actors import name_workers_out_of_memory
from scaling.execution.attempts import failure
from scaling.execution.searcher import Assigning, _why
from tests.trials.conftest import MakeSpec, leaves_store, make_spec  # noqa: F401 - fixtures
from trials import run_stage
from trials.errors import StageError
from trials.spec import stage_id
from trials.training.run import Run


def test_too_little_virtual_memory_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    """As `ulimit -v` sets it; importing torch would fail with the loader's own words."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000))

    done = subprocess.run(
        [sys.executable, "-m", "scaling.launch", "grid.yaml", "--out", str(tmp_path / "out")], capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 2
    assert done.stderr.startswith("ulimit -v allows 0.5 GiB of virtual memory")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("most", "refused"), [(64, True), (512, False)])
def test_too_few_open_files_are_refused_and_a_low_soft_limit_is_raised(most: int, refused: bool, tmp_path: Path) -> None:
    """As `ulimit -n` sets it; Ray's control store would end without a word."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))

    code = "import resource, sys; from scaling.launch import main; status = main(sys.argv[1:])"
    code += "; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0]); sys.exit(status)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "grid.yaml"), "--out", str(tmp_path / "out")], capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 2  # there is no grid
    assert done.stderr.startswith("ulimit -n allows 64 open files, and Ray needs at least 256: raise it") == refused
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout.splitlines()[-1] == ("64" if refused else "512")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")])
def test_a_stage_that_outgrows_the_memory_says_what_to_lower(
    error: Exception,
    tmp_path: Path,
    make_spec: MakeSpec,  # noqa: F811
    leaves_store: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def outgrow(run: Run) -> None:
        raise error

    monkeypatch.setattr(Run, "go", outgrow)
    spec = make_spec("pretrain")
    with pytest.raises(StageError, match=r"^The machine ran out of memory: lower batch_images, or run fewer stages at once") as caught:
        run_stage(spec, tmp_path / stage_id(spec), leaves_store)
    assert failure(caught.value).may_pass == isinstance(error, MemoryError)


@pytest.mark.parametrize("error", [OutOfMemoryError("Task was killed due to the node running low on memory."), ActorDiedError()])
def test_a_process_that_was_killed_for_memory_says_what_to_lower(error: Exception) -> None:
    assert _why(error).endswith("run fewer stages at once (raise resources.cpus), or lower batch_images")


def test_a_worker_that_ray_ended_for_memory_is_the_end_of_that_worker_alone() -> None:
    """Tune would raise, and the launch would restart Ray without naming a stage."""
    name_workers_out_of_memory()
    ended: list[Exception] = []
    actor = SimpleNamespace(actor_id=1, _on_error=lambda actor, error: ended.append(error))
    manager: Any = object.__new__(tune_controller.RayActorManager)
    manager._failed_actor_ids, manager._cleanup_actor = set(), lambda tracked_actor: None
    killed = OutOfMemoryError("Task was killed due to the node running low on memory.")
    manager._actor_task_failed(SimpleNamespace(_tracked_actor=actor, _on_error=None), killed)
    assert manager._failed_actor_ids == {1}
    (error,) = ended
    assert _why(error).startswith("was ended by Ray because the machine was running out of memory: run fewer stages at once")
    with pytest.raises(RuntimeError, match="unexpected"):
        manager._actor_task_failed(SimpleNamespace(_tracked_actor=actor, _on_error=None), ValueError("unexpected"))


def test_the_message_of_ray_reaches_the_stage(tmp_path: Path) -> None:
    """Tune writes the error into a folder of its own, and copies it later to where it looks for it."""
    (tmp_path / "error.pkl").write_bytes(cloudpickle.dumps(RayActorError(error_msg="Ray killed this worker: the node was running low on memory.")))
    ended: list[tuple[str, str]] = []
    pool: Any = SimpleNamespace(closed=lambda worker, why: ended.append((worker, why)))
    for trial in (
        SimpleNamespace(trial_id="a", pickled_error_file=str(tmp_path / "error.pkl")),
        SimpleNamespace(trial_id="b", pickled_error_file=None),
    ):
        Assigning(pool).on_trial_error(None, trial)
    assert [worker for worker, _ in ended] == ["a", "b"]
    assert ended[0][1].startswith("was ended by Ray because the machine was running out of memory")
    assert ended[1][1].startswith("ended without a message")
