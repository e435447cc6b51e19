"""A worker: a Ray process that trains one stage after another."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import ray
from ray import tune

from scaling.cluster.node_checks import Expected, faults
from scaling.execution.attempts import Outcome, failure
from trials.errors import StageError
from trials.training.interrupts import Interrupted

COORDINATOR_RESOURCES = {"memory": 1.0}  # of a worker that only starts a stage's processes: one byte, since Tune does not accept nothing
REPORT_S = 1.0  # a busy worker answers at least this often
IDLE_S = (0.05, 1.0)  # how soon an idle worker asks again: doubled from the first to the second
VISIBLE_S = 60.0  # a network file system may show another machine's file this much later

Report = Callable[[dict[str, Any]], None]
Stop = Callable[[], bool]
Work = Callable[["Assignment", Report, Stop], dict[str, Any]]
"""Runs one stage, reporting its progress, until it is done or asked to stop; returns its metrics.
Raises what run_stage raises.
"""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A stage for a worker to run."""

    stage: str
    spec: dict[str, Any]
    """The stage's spec as plain JSON values."""
    folder: str
    """The study folder."""
    store: str
    study: str
    cpus: int
    """Of each of its processes."""
    gpus: float
    """Of each of its processes."""
    processes: int = 1
    remote: str = ""
    """Address of the remote store that holds the study; empty for a study in a folder."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `trials.stage.run_stage`; they change how it runs, not its result."""


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """What a worker reports at the end of each of its steps."""

    stage: str | None
    """The stage that is running or has just ended; None if the worker is idle."""
    values: dict[str, Any] = field(default_factory=dict)
    """New progress, or the metrics of a stage that is done."""
    outcome: Outcome | None = None
    """Set once, when the stage ends."""
    node: str = ""
    """Ray's id of the machine."""
    unfit: str = ""
    """What the machine lacks to run stages; empty if nothing."""


def train_stage(work: Assignment, report: Report, stop: Stop) -> dict[str, Any]:
    """Train the stage. Its folder holds the result, or the error if it fails."""
    from trials.spec import StageSpec
    from trials.stage import Log, run_stage

    spec = StageSpec.from_dict(work.spec)
    if work.remote:
        from scaling.study.remote_stage import train_remote_stage

        return train_remote_stage(work, spec, report, stop)
    stages = Path(work.folder) / "stages"
    if not stages.is_dir():  # it is not made anew, which would leave half a study there
        raise StageError(f"The study folder {work.folder} was deleted or moved while it was worked on.")
    place = stages / work.stage
    Log(place / "log.txt")(f"given to Ray's node {ray.get_runtime_context().get_node_id()} on {platform.node()}")
    await_results(stages, spec.needs)
    if work.processes > 1:
        from scaling.execution.data_parallel import train_in_parallel

        return train_in_parallel(work, report, stop)
    result = run_stage(spec, place, Path(work.store), cpus=work.cpus, gpus=work.gpus, on_progress=report, stop=stop, **work.options)
    metrics: dict[str, Any] = result["metrics"]
    return metrics


def await_results(stages: Path, needs: tuple[str, ...], *, wait_s: float = VISIBLE_S) -> None:
    """Wait until this machine sees the results of these stages, at most `wait_s` seconds.

    A network file system may show them late.
    """
    deadline = time.monotonic() + wait_s
    for need in needs:
        while not (stages / need / "result.json").exists() and time.monotonic() < deadline:
            os.listdir(stages / need if (stages / need).is_dir() else stages)  # makes a network file system look again
            time.sleep(0.5)


class StageWorker(tune.Trainable):
    """A Tune trial that runs one stage after another, as the scheduler assigns them.

    One trial per stage would import torch for each, which takes seconds, and Tune remembers every
    trial. With workers a stage costs two messages, and Tune's state does not grow with the plan.
    """

    work: ClassVar[Work] = staticmethod(train_stage)
    expected: ClassVar[Expected | None] = None
    """What the machine must have. Every worker checks it: machines may join during a study."""

    def setup(self, config: dict[str, Any]) -> None:
        """Start the thread that trains all stages; each new thread would add OpenMP threads."""
        self._node = ray.get_runtime_context().get_node_id()
        self._changed = threading.Condition()
        self._assigned: Assignment | None = None
        self._values: dict[str, Any] = {}
        self._outcome: Outcome | None = None
        self._stop_requested = False
        lacks = [] if self.expected is None else faults(self.expected)
        self._unfit = f"{platform.node()}: {' '.join(lacks)}" if lacks else ""
        self._idle_s = IDLE_S[0]
        threading.Thread(target=self._train, name="stages", daemon=True).start()

    def assign(self, work: Assignment) -> None:
        """Start a stage; the scheduler calls this while the worker is idle."""
        with self._changed:
            self._assigned, self._values, self._outcome = work, {}, None
            self._idle_s = IDLE_S[0]
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Stop the stage at its next step."""
        self._stop_requested = True

    def step(self) -> dict[str, Any]:
        """Wait briefly for news of the stage; Ray serves other calls between two steps."""
        with self._changed:
            if self._assigned is None:
                self._changed.wait(self._idle_s)
                self._idle_s = min(2 * self._idle_s, IDLE_S[1])
                return {"report": WorkerReport(stage=None, node=self._node, unfit=self._unfit)}
            self._changed.wait_for(lambda: self._outcome is not None or self._values, timeout=REPORT_S)
            report = WorkerReport(stage=self._assigned.stage, values=self._values, outcome=self._outcome, node=self._node)
            self._values = {}
            if self._outcome is not None:
                self._assigned = self._outcome = None
            return {"report": report}

    def _train(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._assigned is not None and self._outcome is None)
                assert self._assigned is not None
                assigned = self._assigned
            values, outcome = self._attempt(assigned)
            with self._changed:
                self._values, self._outcome = values, outcome
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._outcome is None)

    def _attempt(self, assigned: Assignment) -> tuple[dict[str, Any], Outcome]:
        try:
            metrics = type(self).work(assigned, self._report, lambda: self._stop_requested)
            return metrics, Outcome(done=True)
        except Interrupted:
            return {}, Outcome(done=False, reason="the launch was asked to stop", type="interrupted")
        except Exception as error:
            return {}, failure(error)

    def _report(self, values: dict[str, Any]) -> None:
        with self._changed:
            self._values = values
            self._changed.notify_all()


def worker_class(work: Work, expected: Expected | None = None) -> type[StageWorker]:
    """The class of workers that run stages with `work`, on machines that have what is expected."""
    return type("StageWorker", (StageWorker,), {"work": staticmethod(work), "expected": expected})
