"""Ray that does not start is tried again, and then reported in a sentence; one that does says where
it can be watched.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private.node import Node

from scaling.execution import tuner
from scaling.execution.searcher import RayGone
from trials.errors import InputError


def test_a_ray_that_starts_at_the_second_attempt_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bool] = []

    def init(dashboard: bool) -> Any:
        attempts.append(dashboard)
        if len(attempts) == 1:
            raise Exception("The current node timed out during startup.")
        return "context"

    monkeypatch.setattr(tuner, "_init", init)
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    messages: list[str] = []
    assert tuner._own_ray(messages.append) == "context"
    assert messages == ["Ray did not start (The current node timed out during startup): attempt 2 of 3, without its dashboard"]
    assert attempts == [True, False], "the dashboard is most of what has to start"


def test_a_dashboard_that_misses_its_time_limit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(dashboard: bool) -> Any:
        if dashboard:  # as Ray 2.60 does: the last lines of the log
            raise Exception("\nINFO head.py:341 -- Loaded 9 subprocess modules: [<ray.dashboard.subprocesses.handle.SubprocessModuleHandle object")
        return "context"

    monkeypatch.setattr(tuner, "_init", init)
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    messages: list[str] = []
    assert tuner._own_ray(messages.append) == "context"
    assert messages == ["Ray did not start (its dashboard did not start in time): attempt 2 of 3, without its dashboard"]


def test_a_start_that_failed_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class HalfStarted(Node):
        def __init__(self) -> None:
            self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            begun.append(self.process)
            raise Exception("The current node timed out during startup.")

        def kill_all_processes(self, check_alive: bool = True, allow_graceful: bool = False, wait: bool = False) -> None:
            self.process.kill()
            self.process.wait()

    begun: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(tuner, "_init", lambda dashboard: HalfStarted())
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    with pytest.raises(RayGone):
        tuner._own_ray()
    assert len(begun) == tuner.STARTS
    for process in begun:
        assert process.poll() is not None


def test_a_launch_can_do_without_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setenv(tuner.DASHBOARD, "0")
    monkeypatch.setattr(tuner, "_init", asked.append)
    tuner._own_ray()
    assert asked == [False]


def test_a_start_that_takes_long_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "STARTING_S", 0.01)
    shown = threading.Event()
    with tuner._waiting(lambda sentence: shown.set() if sentence.startswith("Ray is still starting, for ") else None):
        assert shown.wait(60)


def test_a_ray_that_never_starts_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(dashboard: bool) -> Any:
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(tuner, "_init", init)
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    with pytest.raises(RayGone, match=r"Ray could not be started on this machine \(The current node timed out .*\), 3 times in a row"):
        tuner._own_ray()


def test_of_several_machines_the_one_that_launches_has_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"NodeID": name, "Alive": True, "NodeManagerAddress": f"10.0.0.{number}", "MetricsExportPort": number} for number, name in enumerate("abc")
    ]
    monkeypatch.setattr(tuner, "join", lambda address: SimpleNamespace(dashboard_url="127.0.0.1:8265"))
    monkeypatch.setattr(tuner.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(tuner.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "b"))
    assert tuner.start_ray("auto").metrics == "http://10.0.0.1:1/metrics"


def test_a_cluster_that_cannot_be_joined_again_does_not_make_the_grid_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(address: str | None, show_message: Any) -> Any:
        raise InputError(f"No Ray can be joined at {address} (refused): start it.")

    monkeypatch.setattr(tuner, "start_ray", start)
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    with pytest.raises(RayGone, match=r"^Ray stopped working, and what is done is kept\. No Ray can be joined at auto \(refused\): start it\.$"):
        tuner._restart("auto")
