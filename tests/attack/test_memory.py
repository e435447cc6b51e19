"""Limits of memory end in a sentence that says what to lower."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError

from scaling.execution.attempts import failure
from scaling.execution.searcher import _why
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
