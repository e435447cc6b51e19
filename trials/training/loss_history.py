"""The training loss of every step, kept on the device, so that no step waits for the host to read
it.
"""

from __future__ import annotations

import torch
from torch import Tensor


class LossHistory:
    """One float32 per step: 4 bytes, 2 MB for 500,000 steps.

    Means over any range and the first step that was not finite come from it exactly. It is part of
    each checkpoint, so a resumed stage or a branch has all of it.
    """

    def __init__(self, steps: int, device: torch.device) -> None:
        self._losses = torch.zeros(steps, dtype=torch.float32, device=device)

    def record(self, step: int, loss: Tensor) -> None:
        """Keep the loss of a step, by a copy on the device."""
        self._losses[step] = loss

    def mean(self, start: int, stop: int) -> float:
        """The mean over steps start to stop - 1, added up one after another in float64."""
        return float(self._losses[start:stop].cpu().double().cumsum(0)[-1]) / (stop - start)

    def first_not_finite(self, start: int, stop: int) -> int | None:
        """The first of the steps start to stop - 1 whose loss is NaN or infinite."""
        wrong = torch.nonzero(~torch.isfinite(self._losses[start:stop].cpu()))
        return start + int(wrong[0]) if len(wrong) else None

    def first(self, stop: int) -> Tensor:
        """(stop,) losses of the steps before `stop`, on the CPU."""
        return self._losses[:stop].cpu().clone()

    def restore(self, losses: Tensor) -> None:
        """Set the losses of the first steps, as `first` returned them."""
        self._losses[: len(losses)] = losses.to(self._losses.device)
