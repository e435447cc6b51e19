"""Times the steps of a stage, without what it does between them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

UNTIMED_STEPS = 8
"""The first steps of an attempt warm up, compile and capture."""


class StepClock:
    """Times windows of steps, each from `start` to `stop`, where the device has no work queued."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._first: int | None = None
        self._began = (0, 0.0)
        self._windows: list[tuple[bool, float]] = []

    def start(self, step: int) -> None:
        """Begin a timed window before this step."""
        self._first = step if self._first is None else self._first
        self._began = (step, self._clock())

    def stop(self, step: int) -> None:
        """End the timed window before this step."""
        began, moment = self._began
        if step > began and self._first is not None:
            warm = began - self._first >= UNTIMED_STEPS
            self._windows.append((warm, (self._clock() - moment) / (step - began)))

    @property
    def step_ms(self) -> float | None:
        """Median milliseconds of a step over the windows after the first steps, or over all where
        there are no others; None without a window.
        """
        warm = [seconds for is_warm, seconds in self._windows if is_warm] or [seconds for _, seconds in self._windows]
        return round(1e3 * statistics.median(warm), 4) if warm else None
