"""A real launch from outside: what it listens on, what others may read, and its folder deleted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.faults.processes import descendants, kill_family, listening, title, workers
from tests.scaling.conftest import GRID

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = ("127.0.0.1", "::1")
OPEN_TO_THE_NETWORK = ("gcs_server", "raylet", "ray::", "scaling.launch", "/dashboard/", "/autoscaler/")
"""What docs/security.md says of Ray: control store, raylet, agents, workers, the launch itself, and
the metrics of the dashboard and of the autoscaler.
"""


def check_sockets(pid: int) -> None:
    """The dashboard listens here, and what is open to the network is what the documents list."""
    sockets = listening([pid, *descendants(pid)])
    assert sockets
    others = [title(owner) for address, _, owner in sockets if address not in LOOPBACK]
    assert all(any(part in name for part in OPEN_TO_THE_NETWORK) for name in others), others
    dashboard = [address for address, _, owner in sockets if "/dashboard/" in title(owner)]
    assert "127.0.0.1" in dashboard


def check_priority(pid: int) -> None:
    """Stages have the priority of the launch, and not Ray's, which is 15 lower."""
    assert {os.getpriority(os.PRIO_PROCESS, worker) for worker in workers(pid)} == {os.getpriority(os.PRIO_PROCESS, pid)}


def check_modes(folder: Path) -> None:
    """Nothing of the study may be written by others, and nothing runs."""
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        assert not mode & stat.S_IWOTH, path
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert stat.S_ISDIR(mode) or not mode & 0o111, path


@pytest.mark.slow
def test_a_launch_whose_folder_is_deleted_ends_with_1_and_a_relaunch_completes(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "runs" / "study"
    command = [sys.executable, "-m", "scaling.launch", "grid.yaml", "--data", "data", "--out", str(out), "--no-report"]
    command += ["--set", "seeds=1", "--set", "pretrain.images=[0]", "--set", "intermediate.objective=none"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    endless = [*command, "--set", "finetune.length=200000 steps"]
    with subprocess.Popen(endless, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            while not any(" from step " in path.read_text() for path in out.glob("stages/*/log.txt")):
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.1)
            check_sockets(process.pid)
            check_priority(process.pid)
            check_modes(out)
            shutil.rmtree(out)
        except BaseException:
            kill_family(process.pid)
            raise
        printed = process.stdout.read()
    assert process.returncode == 1, printed
    assert "stopped: the study folder" in printed
    assert "was deleted, moved or replaced" in printed
    assert "Traceback" not in printed
    assert not (out / "runs.csv").exists()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment | {"SCALING_RAY_DASHBOARD": "0"})
    assert again.returncode == 0, again.stdout + again.stderr
    assert "runs:    2 of 2" in again.stdout
