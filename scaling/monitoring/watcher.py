"""What is told to whatever watches a study run: a display, the tables, metrics."""

from __future__ import annotations

from typing import Any, Protocol


class Watcher(Protocol):
    """Told of every stage by the scheduler, in its own process and between two of its steps: so
    each answer must be quick.
    """

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """About once a second while a stage runs: step, steps, images_per_s and the newest losses
        and scores.
        """

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage is done, with its metrics, or failed for good, with the reason."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """An attempt failed for `reason`, and another is made after `wait_s` seconds."""
