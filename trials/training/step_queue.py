"""Keeps the CPU from starting steps far ahead of the GPU.

A replayed step costs the CPU a tenth of a millisecond and the GPU several: without a limit a stage
that is asked to stop, or that writes a checkpoint, would first wait for all that is queued.
"""

from __future__ import annotations

import torch

EVERY_STEPS = 8
"""At most twice as many steps are queued."""


class StepQueue:
    """Called after each step; waits where too many are queued."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._steps = device, 0
        self._mark: torch.cuda.Event | None = None

    def __call__(self) -> None:
        """Count a step that was started."""
        self._steps += 1
        if self._device.type != "cuda" or self._steps % EVERY_STEPS:
            return
        if self._mark is not None:
            self._mark.synchronize()  # steps since this mark are still queued, so the GPU does not run dry
        self._mark = torch.cuda.Event(blocking=True)  # a core that waits is free for other processes
        self._mark.record()
