"""The queue of stages that are ready to run; every operation takes O(log n) for n stages."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from scaling.cluster.capacity import Shape
from scaling.execution.attempts import RETRIES, Outcome, backoff_s
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.provenance import now
from trials.stage import Log
from trials.stage_files import read_result, write_json

LOSSES = 10  # machines that a stage may lose before the stage itself counts as the cause


class ReadyQueue:
    """The stages of a plan that are not done. A stage is ready once all that it needs is done.

    The stage folders are read once, at the start; after that `ended` reports every change. A failed
    stage blocks its descendants and nothing else.

    Args:
        shape: what a stage holds.
        retries: further attempts at a stage whose failure may be temporary or whose process died.
        rank: of the ready stages of a shape the one of lowest rank goes first; by default the
            deepest, so that runs finish early.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        study: Study,
        shape: Callable[[str], Shape],
        *,
        retries: int = RETRIES,
        rank: Callable[[str], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._shape, self._retries, self._clock = study, shape, retries, clock
        place = {name: position for position, name in enumerate(reversed(plan.stages))}
        self._key = {name: ((rank(name) if rank else 0.0), place[name]) for name in plan.stages}
        self._unmet: dict[str, int] = {}
        self._children = plan.children
        self._ready: dict[Shape, list[tuple[tuple[float, int], str]]] = defaultdict(list)
        self._resting: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._stopped = False
        self.failed: dict[str, str] = {}
        """Why each failed stage failed."""
        self.blocked: dict[str, str] = {}
        """For each stage that cannot run, the failed stage that it waits for."""
        self.errors: dict[str, list[str]] = defaultdict(list)
        """Every error of a stage, attempt by attempt; also of stages that succeeded later."""
        self._losses: dict[str, int] = defaultdict(int)
        self.ended_count = 0
        """Stages that succeeded or finally failed since the start."""
        wanted = plan.wanted({name for name in plan.stages if study.is_done(name)})
        for name in wanted:
            self._unmet[name] = 0
            for need in plan.stages[name].spec.needs:
                self._unmet[name] += need in self._unmet  # a stage comes after all that it needs
            if not self._unmet[name]:
                self._make_ready(name)

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will become ready."""
        return not self._running and (self._stopped or not (self._resting or any(self._ready.values())))

    @property
    def running(self) -> frozenset[str]:
        """The stages that are running."""
        return frozenset(self._running)

    def stop(self) -> None:
        """Give out no more stages."""
        self._stopped = True

    def ready(self) -> dict[Shape, tuple[int, tuple[float, int]]]:
        """For each shape the number of ready stages and the key of the first; small keys go first."""
        if self._stopped:
            return {}
        while self._resting and self._resting[0][0] <= self._clock():
            self._make_ready(heapq.heappop(self._resting)[1])
        return {shape: (len(heap), heap[0][0]) for shape, heap in self._ready.items() if heap}

    def take(self, shape: Shape) -> str | None:
        """Take the first ready stage of a shape; None if there is none."""
        if shape not in self.ready():
            return None
        name = heapq.heappop(self._ready[shape])[1]
        self._running.add(name)
        return name

    def reshape(self) -> None:
        """Ask anew what ready stages hold, after that has changed."""
        names = [name for heap in self._ready.values() for _, name in heap]
        self._ready.clear()
        for name in names:
            self._make_ready(name)

    def ended(self, name: str, outcome: Outcome) -> float | None:
        """Record the end of an attempt; returns the seconds until the next one, if any."""
        self._running.discard(name)
        if outcome.done:
            self.ended_count += 1
            for child in self._children[name]:
                if child in self._unmet:  # else it was done before
                    self._unmet[child] -= 1
                    if self._unmet[child] == 0 and child not in self.blocked:
                        self._make_ready(child)
            return None
        if outcome.type == "interrupted":
            return None
        self.errors[name].append(outcome.reason)
        attempts = len(self.errors[name]) - self._losses[name]
        if outcome.may_pass and attempts <= self._retries:
            wait_s = backoff_s(attempts)
            heapq.heappush(self._resting, (self._clock() + wait_s, name))
            self._log(name, f"attempt {attempts} of {self._retries + 1} failed ({outcome.reason}); the next is in {wait_s:g} s")
            return wait_s
        self.ended_count += 1
        self._fail(name, outcome)
        return None

    def died(self, name: str, why: str, *, machine_lost: bool = False) -> float | None:
        """Record that the process of a stage is gone; returns as `ended` does.

        If its whole machine is gone, the stage is not to blame and no attempt is counted, unless it
        loses many machines.
        """
        if self._study.is_done(name):  # it died after it had written its result
            return self.ended(name, Outcome(done=True))
        if machine_lost and self._losses[name] < LOSSES:
            self._losses[name] += 1
            self._running.discard(name)
            self.errors[name].append(why)
            heapq.heappush(self._resting, (self._clock() + backoff_s(1), name))
            self._log(name, f"{why} It is tried again in {backoff_s(1):g} s.")
            return backoff_s(1)
        return self.ended(name, Outcome(done=False, reason=why, type="died", may_pass=True))

    def metrics(self, name: str) -> dict[str, Any]:
        """A stage's metrics from its folder, in case its process died; empty if it is not done."""
        result = read_result(self._study.stage_folder(name))
        return dict(result["metrics"]) if result else {}

    def put_back(self, names: Iterable[str]) -> None:
        """Make interrupted stages ready again; no attempt is counted, since they are not to blame."""
        for name in list(names):
            self._running.discard(name)
            if self._study.is_done(name):
                self.ended(name, Outcome(done=True))
            else:
                self._make_ready(name)

    def _make_ready(self, name: str) -> None:
        heapq.heappush(self._ready[self._shape(name)], (self._key[name], name))

    def _fail(self, name: str, outcome: Outcome) -> None:
        self.failed[name] = outcome.reason
        attempts = len(self.errors[name])
        self._log(name, f"attempt {attempts} failed and was the last of this launch: {outcome.reason}")
        if self._study.error(name) is None:  # its process died before it could write it
            with contextlib.suppress(OSError):  # a full disk; the end of the launch still names what failed
                write_json(self._study.stage_folder(name) / "error.json", {"error": outcome.reason, "type": outcome.type, "time": now()})
        below = list(self._children[name])
        while below:
            child = below.pop()
            if child in self._unmet and child not in self.blocked:
                self.blocked[child] = name
                below += self._children[child]

    def _log(self, name: str, text: str) -> None:
        Log(self._study.stage_folder(name) / "log.txt")(text)
