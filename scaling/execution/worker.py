"""What a Ray worker runs: a lane, which trains one stage after another in one warm process."""

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
from trials.training.interrupts import Interrupted

LANE_RESOURCES = {"memory": 1.0}  # of a lane whose workers hold the rest: a byte, since Ray Tune wants a trial to hold something
REPORT_S = 1.0  # a busy lane answers at least this often
IDLE_S = (0.05, 1.0)  # how soon an idle lane asks again: at first, and at last
VISIBLE_S = 60.0  # a network file system may show a file that another machine wrote this much later

Report = Callable[[dict[str, Any]], None]
Stop = Callable[[], bool]
Work = Callable[["Assignment", Report, Stop], dict[str, Any]]
"""Runs one stage, calling back with its progress, until it is done or told to stop; returns its
metrics. Raises as run_stage does.
"""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One stage for a lane to run."""

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
    workers: int = 1
    """Its processes."""
    remote: str = ""
    """Address of the store that the study lies in, if it lies in none of the folders that all
    machines see.
    """
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `trials.stage.run_stage`, which decide how it runs and not what comes
    out.
    """


@dataclass(frozen=True, kw_only=True)
class LaneReport:
    """What a lane says at the end of each of its steps."""

    stage: str | None
    """The stage that it runs or has just ended; None if it is idle."""
    values: dict[str, Any] = field(default_factory=dict)
    """New progress, or the metrics of a stage that is done."""
    outcome: Outcome | None = None
    """Set once, when the stage ends."""
    node: str = ""
    """Ray's id of the machine."""
    unfit: str = ""
    """What the machine lacks to run stages; empty where nothing."""


def train_stage(work: Assignment, report: Report, stop: Stop) -> dict[str, Any]:
    """Train the stage; its folder holds the outcome, also when it fails."""
    from trials.spec import StageSpec
    from trials.stage import Log, run_stage

    spec = StageSpec.from_dict(work.spec)
    if work.remote:
        from scaling.study.remote_stage import train_remote_stage

        return train_remote_stage(work, spec, report, stop)
    stages = Path(work.folder) / "stages"
    place = stages / work.stage
    Log(place / "log.txt")(f"given to Ray's node {ray.get_runtime_context().get_node_id()} on {platform.node()}")
    await_results(stages, spec.needs)
    if work.workers > 1:
        from scaling.execution.data_parallel import train_in_parallel

        return train_in_parallel(work, report, stop)
    result = run_stage(spec, place, Path(work.store), cpus=work.cpus, gpus=work.gpus, on_progress=report, stop=stop, **work.options)
    metrics: dict[str, Any] = result["metrics"]
    return metrics


def await_results(stages: Path, needs: tuple[str, ...], *, wait_s: float = VISIBLE_S) -> None:
    """Wait until the results of the stages that were said to be done can be seen from this machine
    too; then go on in any case.
    """
    deadline = time.monotonic() + wait_s
    for need in needs:
        while not (stages / need / "result.json").exists() and time.monotonic() < deadline:
            os.listdir(stages / need if (stages / need).is_dir() else stages)  # makes a network file system look again
            time.sleep(0.5)


class Lane(tune.Trainable):
    """A Tune trial that lives as long as there are stages of its shape: the scheduler assigns one
    after another.

    A process a stage would spend seconds importing torch for each, and Tune keeps every trial that
    it ever had: with lanes a stage costs two messages, and what Tune holds does not grow with the
    plan.
    """

    work: ClassVar[Work] = staticmethod(train_stage)
    expected: ClassVar[Expected | None] = None
    """What the machine must have; asked again by every lane, since machines may join a cluster
    while a study runs.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start the thread that trains; one for all stages, as each new thread would bring a pool
        of OpenMP threads of its own.
        """
        self._node = ray.get_runtime_context().get_node_id()
        self._changed = threading.Condition()
        self._assigned: Assignment | None = None
        self._values: dict[str, Any] = {}
        self._outcome: Outcome | None = None
        self._told_to_stop = False
        lacks = [] if self.expected is None else faults(self.expected)
        self._unfit = f"{platform.node()}: {' '.join(lacks)}" if lacks else ""
        self._idle_s = IDLE_S[0]
        threading.Thread(target=self._train, name="stages", daemon=True).start()

    def assign(self, work: Assignment) -> None:
        """Begin a stage; called by the scheduler while the lane is idle."""
        with self._changed:
            self._assigned, self._values, self._outcome = work, {}, None
            self._idle_s = IDLE_S[0]
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Stop the stage at its next step."""
        self._told_to_stop = True

    def step(self) -> dict[str, Any]:
        """Wait for news of the stage, but not long: calls to the lane are served between two steps."""
        with self._changed:
            if self._assigned is None:
                self._changed.wait(self._idle_s)
                self._idle_s = min(2 * self._idle_s, IDLE_S[1])
                return {"lane": LaneReport(stage=None, node=self._node, unfit=self._unfit)}
            self._changed.wait_for(lambda: self._outcome is not None or self._values, timeout=REPORT_S)
            report = LaneReport(stage=self._assigned.stage, values=self._values, outcome=self._outcome, node=self._node)
            self._values = {}
            if self._outcome is not None:
                self._assigned = self._outcome = None
            return {"lane": report}

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
            metrics = type(self).work(assigned, self._report, lambda: self._told_to_stop)
            return metrics, Outcome(done=True)
        except Interrupted:
            return {}, Outcome(done=False, reason="the launch was told to stop", type="interrupted")
        except Exception as error:
            return {}, failure(error)

    def _report(self, values: dict[str, Any]) -> None:
        with self._changed:
            self._values = values
            self._changed.notify_all()


def lane_that_does(work: Work, expected: Expected | None = None) -> type[Lane]:
    """A lane that runs its stages with another function, such as one that only pretends to train,
    on machines that have what is expected.
    """
    return type("Lane", (Lane,), {"work": staticmethod(work), "expected": expected})
