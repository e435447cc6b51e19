"""The events that everything which watches a launch gets: display, tables, metrics, trackers."""

from __future__ import annotations

from typing import Any, Protocol


class NotPickled:
    """An object that Tune pickles for a restore that we never make: it pickles as empty.

    What it really holds, such as a thread or a terminal, cannot be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        """An empty state: nothing of a watcher is pickled."""
        return {}


class Watcher(Protocol):
    """Is called at every change of a stage.

    The scheduler waits for each of these calls, so they must return quickly.
    """

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Called about once a second: step, steps, images_per_s, newest losses and scores."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """Called when a stage is done (with its metrics) or has finally failed (with the reason)."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Called when an attempt failed for `reason`; another follows after `wait_s` seconds."""
