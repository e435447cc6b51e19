"""What a contender's process does between its steps: it asks what to do next, and keeps the clock.

The parent writes a line, the process answers with one that begins with `@`:

    round SECONDS     train for so long, answer images, seconds
    parts SECONDS     the same with a clock between the parts of each step, answer the seconds of each
    workers NUMBER    load with so many processes (rivals)
    memory            the most that was held at once
    said              what the loop had to say of how it trains
    quit
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TextIO

import torch

from benchmarks.throughput.laps import Laps

LEAST_STEPS = 2


class Session:
    """Called before each step; true once there are no more."""

    def __init__(
        self,
        *,
        batch_images: int,
        synchronise: Callable[[], None],
        laps: Laps,
        timing: Callable[[Laps], AbstractContextManager[None]],
        set_workers: Callable[[int], None],
        about: dict[str, Any],
        first_steps: int = LEAST_STEPS,
        said: Callable[[], list[str]] = list,
    ) -> None:
        """
        Args:
            first_steps: of the first round at least, so that warming up is over.
            timing: within what it returns, the loop calls `laps`.
            set_workers: load with so many processes from here on.
            about: what to answer first, once the loop is ready.
        """
        self._batch_images, self._synchronise, self._laps, self._timing = batch_images, synchronise, laps, timing
        self._set_workers, self._about, self._said = set_workers, about, said
        self._least_steps = first_steps
        self._steps, self._seconds, self._started, self._first = 0, 0.0, 0.0, True
        self._timed: AbstractContextManager[None] | None = None
        self._running = False
        # everything else that is printed goes to the log
        self._answers: TextIO = sys.stdout
        sys.stdout = sys.stderr

    def __call__(self) -> bool:
        if self._running:
            self._steps += 1
            self._laps("else")
            if self._steps < self._least_steps or time.perf_counter() - self._started < self._seconds:
                return False
            self._end_round()
        if self._first:
            self._first = False
            self._answer(self._about)
        while True:
            command, _, value = sys.stdin.readline().strip().partition(" ")
            if command in ("", "quit"):
                return True
            if command in ("round", "parts"):
                self._begin_round(float(value), timed=command == "parts")
                return False
            if command == "workers":
                self._set_workers(int(value))
                self._answer({})
            if command == "said":
                self._answer({"lines": self._said()})
            if command == "memory":
                self._answer({"bytes": peak_memory_bytes()})

    def _begin_round(self, seconds: float, *, timed: bool) -> None:
        self._steps, self._seconds, self._running = 0, seconds, True
        if timed:
            self._timed = self._timing(self._laps)
            self._timed.__enter__()
            self._laps.start()
        self._synchronise()
        self._started = time.perf_counter()

    def _end_round(self) -> None:
        self._synchronise()
        elapsed = time.perf_counter() - self._started
        self._running, self._least_steps = False, LEAST_STEPS
        if self._timed is not None:
            self._timed.__exit__(None, None, None)
            self._timed = None
            self._laps.stop()
        self._answer({"images": self._steps * self._batch_images, "seconds": elapsed, "parts": dict(self._laps.seconds)})

    def _answer(self, values: dict[str, Any]) -> None:
        print("@ " + json.dumps(values), file=self._answers, flush=True)


def peak_memory_bytes() -> int:
    """Of the GPU if there is one in use, else of this process, its loading processes not counted."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
