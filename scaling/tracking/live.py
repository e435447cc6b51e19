"""Keeps a tracker up to date while a study runs, in a thread: a slow server delays nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from scaling.monitoring.watcher import NotPickled
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from scaling.tracking.tracker import TrackedRun, TrackedStage, Tracker, numbers, refusal, tracked
from trials.stage_files import read_result

EVERY_S = 10.0
RETRY_S = 60.0  # until a tracker that failed is tried again
FINISH_S = 30.0  # at the end of a launch, to log what is left


class LiveTracking(NotPickled):
    """A watcher that sends the metrics of running stages to a tracker, from `with` to its end.

    Args:
        show_message: prints a line. The thread calls it once if the tracker fails, and once if
            something is missing at the end.
    """

    def __init__(self, plan: Plan, study: Study, tracker: Tracker, show_message: Callable[[str], None], *, every_s: float = EVERY_S) -> None:
        self._study, self._tracker, self._show_message, self._every_s = study, tracker, show_message, every_s
        self._stages = tracked(plan, study)
        self._runs: dict[str, TrackedRun] = {}
        self._lock = threading.Lock()
        self._due: dict[str, str | None] = {}
        """Stages with new lines to log, each with its outcome once it has ended."""
        self._warned, self._not_before_s = False, float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"tracking {tracker.name}", daemon=True)

    def __enter__(self) -> LiveTracking:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(FINISH_S)
        with self._lock:
            left = len(self._due)
        if left:
            self._show_message(f"{self._tracker.name}: {left} stages are not fully logged; python -m scaling.tracking {self._where()} logs the rest")

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """A stage runs: log its new lines soon."""
        with self._lock:
            self._due.setdefault(name, None)

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage is done or failed: log its last lines and end its run."""
        with self._lock:
            self._due[name] = "done" if reason is None else "failed"

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Nothing: the next attempt continues the run."""

    def _where(self) -> str:
        return f"{self._study.folder} --to {self._tracker.name}"

    def _keep(self) -> None:
        while not self._over.wait(self._every_s):
            self._round()
        self._not_before_s = float("-inf")  # one last attempt
        with self._lock:  # stages that still run were cut off
            self._due = {name: outcome or "cut off" for name, outcome in self._due.items()}
        self._round()
        for name in list(self._runs):
            self._safely(lambda name=name: self._runs.pop(name).end("cut off", {}, 0))  # type: ignore[misc]
        self._safely(self._tracker.close)

    def _round(self) -> None:
        with self._lock:
            due = dict(self._due)
        for name, outcome in due.items():
            if time.monotonic() < self._not_before_s:
                return
            if self._safely(lambda name=name, outcome=outcome: self._follow(name, outcome)):  # type: ignore[misc]
                with self._lock:
                    if self._due.get(name) == outcome:  # else the stage has ended meanwhile
                        del self._due[name]

    def _follow(self, name: str, outcome: str | None) -> None:
        stage = self._stages[name]
        if name not in self._runs:
            self._runs[name] = self._tracker.open(stage)
        follow(stage, self._runs[name], outcome)
        if outcome is not None:
            del self._runs[name]

    def _safely(self, act: Callable[[], None]) -> bool:
        """Call the tracker; returns whether it succeeded. No error of a tracker stops a study."""
        try:
            act()
        except Exception as error:
            self._runs.clear()  # reopening a run shows which step it has
            self._not_before_s = time.monotonic() + RETRY_S
            if not self._warned:
                self._warned = True
                self._show_message(f"{refusal(self._tracker.name, error)}: the study continues, and the tracker is tried again")
            return False
        return True


def follow(stage: TrackedStage, run: TrackedRun, outcome: str | None) -> None:
    """Log what is new in a stage's metrics, and end its run if there is an outcome."""
    lines = list(stage.lines(run.last_step))
    if lines:
        run.log(lines)
    if outcome is not None:
        result = (read_result(stage.folder) or {}) if outcome == "done" else {}
        run.end(outcome, numbers(result.get("metrics", {})), int(result.get("steps", max(0, run.last_step))))
