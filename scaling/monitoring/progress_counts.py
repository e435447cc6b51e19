"""Counts how far a launch is, from the events that its watchers get; for display and metrics."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scaling.plan.forecast import STAGE_OVERHEAD_S, Forecast, Range, rate_key
from scaling.plan.plan import Plan

STATES = ("done", "running", "waiting", "retrying", "failed", "blocked")
# the share of the forecast work after which this launch's own speed counts as much as the forecast's
PRIOR = 0.05
SHOWN = 0.2
"""Share of the width of a forecast from a GPU model that stays once stages have shown their speed."""
KEY_PRIOR = 0.02  # the same for stages of one speed against all stages


@dataclass(frozen=True, kw_only=True)
class RunningStage:
    """A stage that is running."""

    name: str
    kind: str
    values: dict[str, Any]
    """The newest of each value that it has reported."""
    since_s: float
    """When it reported first, on the clock of `ProgressCounts`."""
    reported_s: float
    """When it reported last."""

    @property
    def share(self) -> float:
        """Share of its optimiser steps that are done, 0 to 1."""
        return float(self.values.get("step", 0)) / max(1, self.values.get("steps", 1))


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A launch at one moment."""

    counts: dict[tuple[str, str], int]
    """Stages by kind and state, one of `STATES`."""
    retries: dict[str, int]
    """Attempts of this launch that failed and were followed by another, by kind."""
    running: list[RunningStage]
    """In the order in which they started."""
    share: float
    """Share that is done of the work that this launch can do, 0 to 1; blocked stages do not count."""
    left_s: Range
    """Seconds until the last stage that can run is done."""
    elapsed_s: float

    def number(self, state: str) -> int:
        """Stages in a state."""
        return sum(number for (_, each), number in self.counts.items() if each == state)

    @property
    def images_per_s(self) -> float:
        """Of all running stages together."""
        return sum(float(one.values.get("images_per_s", 0.0)) for one in self.running)


class ProgressCounts:
    """Counts stages by state; a failed stage blocks its descendants.

    The scheduling thread updates it, and any thread may read it.

    Args:
        forecast: of the stages that this launch is to run; all others count as done.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, plan: Plan, forecast: Forecast, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._forecast, self.clock = plan, forecast, clock
        self._lock = threading.Lock()
        self._started_s = clock()
        self._first_s: float | None = None
        self._speeds: dict[str, tuple[float, float]] = {}
        self._state = {name: "waiting" if name in forecast.stage_s else "done" for name in plan.stages}
        self._counts = Counter((stage.spec.kind, self._state[name]) for name, stage in plan.stages.items())
        self._retries: Counter[str] = Counter()
        self._running: dict[str, RunningStage] = {}
        self._all_s = sum(forecast.stage_s.values())
        self._done_s, self._dropped_s = 0.0, 0.0

    def progressed(self, name: str, values: dict[str, Any]) -> bool:
        """A stage runs; returns whether this is its first report."""
        with self._lock:
            if self._state[name] in ("done", "failed"):
                return False  # a late report
            known, moment = self._running.get(name), self.clock()
            if self._first_s is None:
                self._first_s = moment
            self._running[name] = RunningStage(
                name=name,
                kind=self._plan.stages[name].spec.kind,
                values=(known.values if known else {}) | values,
                since_s=known.since_s if known else moment,
                reported_s=moment,
            )
            self._measure(self._running[name])
            self._move(name, "running")
            return known is None

    def ended(self, name: str, failed: bool) -> float | None:
        """A stage is done or finally failed; returns the seconds since its first report, if any."""
        with self._lock:
            if self._state[name] in ("done", "failed"):
                return None
            ran = self._running.pop(name, None)
            stage_s = self._forecast.stage_s
            if not failed:
                self._done_s += stage_s.get(name, 0.0)
                self._move(name, "done")
            else:
                self._move(name, "failed")
                self._dropped_s += stage_s.get(name, 0.0)
                below = list(self._plan.children[name])
                while below:
                    child = below.pop()
                    if self._state[child] == "waiting":
                        self._move(child, "blocked")
                        self._dropped_s += stage_s.get(child, 0.0)
                        below += self._plan.children[child]
            return None if ran is None else self.clock() - ran.since_s

    def retried(self, name: str) -> None:
        """An attempt failed and another follows."""
        with self._lock:
            self._running.pop(name, None)
            self._retries[self._plan.stages[name].spec.kind] += 1
            self._move(name, "retrying")

    def snapshot(self) -> Progress:
        """The launch as it is now."""
        with self._lock:
            running, moment = list(self._running.values()), self.clock()
            counts = {key: number for key, number in self._counts.items() if number}
            whole_s = self._all_s - self._dropped_s
            done_s = self._done_s + sum(one.share * self._forecast.stage_s.get(one.name, 0.0) for one in running)
            retries = dict(self._retries)
        share = min(1.0, done_s / whole_s) if whole_s > 0 else 1.0
        longest_s = max((self.left_s(one) for one in running), default=0.0)
        left_s = self._left_s(running, share, whole_s, moment, longest_s)
        return Progress(counts=counts, retries=retries, running=running, share=share, left_s=left_s, elapsed_s=moment - self._started_s)

    def left_s(self, one: RunningStage) -> float:
        """Seconds until a running stage is done, at its own speed if known, else as forecast."""
        rate, reported_ago_s = one.values.get("images_per_s"), self.clock() - one.reported_s
        if not rate or "step" not in one.values:
            return max(0.0, (1 - one.share) * self._forecast.stage_s.get(one.name, 0.0))
        images = (one.values["steps"] - one.values["step"]) * self._plan.stages[one.name].spec.recipe.batch_images
        return max(0.0, float(images / rate) - reported_ago_s)

    def _measure(self, one: RunningStage) -> None:
        """Note how a stage's own speed compares with its forecast, and how much work shows it."""
        rate, forecast_s = one.values.get("images_per_s"), self._forecast.stage_s.get(one.name, 0.0)
        if not rate or forecast_s <= 0.0:
            return
        own_s = self._plan.stages[one.name].own_image_passes / rate + STAGE_OVERHEAD_S
        self._speeds[one.name] = (own_s / forecast_s, one.share * forecast_s)

    def _paces(self) -> tuple[float, dict[tuple[str, ...], float]]:
        """Seconds that stages take over those forecast, of all stages and of those of one speed.
        Each is drawn to what was known before, the more the less work has shown it.
        """
        prior_s, key_prior_s = PRIOR * self._all_s, KEY_PRIOR * self._all_s
        took_s = done_s = 0.0
        by_key: dict[tuple[str, ...], tuple[float, float]] = {}
        for name, (ratio, shown_s) in self._speeds.items():
            took_s, done_s = took_s + ratio * shown_s, done_s + shown_s
            key = rate_key(self._plan.stages[name].spec)
            before = by_key.get(key, (0.0, 0.0))
            by_key[key] = (before[0] + ratio * shown_s, before[1] + shown_s)
        pace = (took_s + prior_s) / (done_s + prior_s) if self._all_s > 0 else 1.0
        return pace, {key: (took + key_prior_s * pace) / (done + key_prior_s) for key, (took, done) in by_key.items()}

    def _left_s(self, running: list[RunningStage], share: float, whole_s: float, moment: float, at_least_s: float) -> Range:
        """Seconds left: the work that is left at the speed that stages of its kind have had so far,
        on as many stages at once as forecast, plus the same share of time between stages as so far.
        Until the first stage has reported it is the forecast. The range narrows over time.
        """
        forecast = self._forecast.wall_range_s
        if whole_s <= 0 or self._all_s <= 0 or forecast.middle <= 0:
            return Range(low=at_least_s, middle=at_least_s, high=at_least_s)
        elapsed_s = moment - self._started_s
        with self._lock:
            pace, paces = self._paces()
            waiting = [name for name, state in self._state.items() if state in ("waiting", "retrying")]
            earlier_s, trained = (self._started_s, False) if self._first_s is None else (self._first_s, True)
            done_s = self._done_s
        stage_s, at_once = self._forecast.stage_s, self._all_s / forecast.middle

        def at_pace(name: str, share_left: float) -> float:
            return share_left * stage_s.get(name, 0.0) * paces.get(rate_key(self._plan.stages[name].spec), pace)

        work_s = sum(at_pace(name, 1.0) for name in waiting) + sum(at_pace(one.name, 1.0 - one.share) for one in running)
        done_s += sum(one.share * stage_s.get(one.name, 0.0) for one in running)
        middle = work_s / at_once
        if trained or done_s > 0.0:
            prior_s = PRIOR * forecast.middle * pace
            middle *= (moment - earlier_s + prior_s) / (done_s * pace / at_once + prior_s)
        else:
            middle += max(0.0, self._forecast.start_s - elapsed_s)
        middle = max(at_least_s, middle)
        width = 1 - share
        if self._forecast.scaled:  # what all stages share is shown by the first
            prior_s = PRIOR * self._all_s
            width *= max(SHOWN, prior_s / (prior_s + done_s))
        low, high = (1 - (1 - end / forecast.middle) * width for end in (forecast.low, forecast.high))
        return Range(low=max(at_least_s, middle * low), middle=middle, high=max(middle, middle * high))

    def _move(self, name: str, state: str) -> None:
        kind, before = self._plan.stages[name].spec.kind, self._state[name]
        if before != state:
            self._counts[kind, before] -= 1
            self._counts[kind, state] += 1
            self._state[name] = state
