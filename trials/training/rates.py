"""The learning rate of each group of parameters, as a number or in a tensor on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Rates:
    """Sets the rates of an optimiser's groups: the schedule's, times each group's `lr_scale`."""

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._groups = optimiser.param_groups
        self._scales = [group.get("lr_scale", 1.0) for group in self._groups]
        self._on_device: tuple[Tensor, Tensor] | None = None

    def set(self, rate: float) -> None:
        """Set all groups' rates for the next update, without waiting for the device."""
        if self._on_device is not None:
            torch.mul(self._on_device[0], rate, out=self._on_device[1])
            return
        for group, scale in zip(self._groups, self._scales, strict=True):
            group["lr"] = rate * scale

    def hold(self, device: torch.device) -> None:
        """Keep the rates in one tensor from now on, where a captured step finds them.

        It is float32 on a GPU, whose fused AdamW reads no other, and float64 on a CPU, as numbers are.
        """
        scales = torch.tensor(self._scales, dtype=torch.float32 if device.type == "cuda" else torch.float64, device=device)
        self._on_device = (scales, torch.zeros_like(scales))
        for group, rate in zip(self._groups, self._on_device[1], strict=True):
            group["lr"] = rate
            group["capturable"] = device.type == "cuda"

    def release(self) -> None:
        """Set numbers again from the next `set` on."""
        self._on_device = None
