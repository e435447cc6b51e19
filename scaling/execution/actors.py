"""What Tune does with a worker that Ray ended because the machine was running out of memory."""

from __future__ import annotations

from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller


class WorkersOutOfMemory(RayActorManager):
    """Takes Ray's OutOfMemoryError for what it is, the end of one worker.

    Ray 2.60 knows RayActorError alone there and ends all that runs, so that the stage that outgrew
    the memory was never named, and ran again with no attempt counted.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, exception)


def name_workers_out_of_memory() -> None:
    """Let Tune use it in this process."""
    tune_controller.RayActorManager = WorkersOutOfMemory  # type: ignore[attr-defined]
