"""What this machine offers, and what the stages of a grid may hold of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from scaling.grid import KINDS, Grid, Resources
from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Machine:
    """CPU cores and GPUs that a launch may use."""

    cpus: int
    gpus: int

    @classmethod
    def here(cls) -> Machine:
        """This machine; cores as this process may use them."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cpus=cpus, gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0)

    def grant(self, grid: Grid) -> dict[str, Granted]:
        """What each kind of stage gets.

        Raises:
            InputError: a stage asks for more than the machine has, which Ray would wait for without end.
        """
        return {kind: self._grant(grid, kind, grid.resources[kind]) for kind in KINDS}

    def _grant(self, grid: Grid, kind: str, asked: Resources) -> Granted:
        def where(key: str) -> str:
            own = f"resources.{kind}.{key}"
            return grid.where.get(own, grid.where.get(f"resources.{key}", "resources"))

        gpus = float(min(1, self.gpus)) if asked.gpus is None else asked.gpus
        if gpus > self.gpus:
            has = "none" if self.gpus == 0 else str(self.gpus)
            raise InputError(f"{where('gpus')}: {kind} asks for {gpus:g} GPU, but this machine has {has}: lower gpus, or set it to 'auto' or 0.")
        if asked.cpus > self.cpus:
            raise InputError(f"{where('cpus')}: {kind} asks for {asked.cpus} CPU cores, but this machine has {self.cpus}: lower cpus.")
        side_by_side = self.cpus // asked.cpus
        if gpus > 0:
            side_by_side = min(side_by_side, int(self.gpus / gpus))
        return Granted(cpus=asked.cpus, gpus=gpus, side_by_side=side_by_side)


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What one stage holds, and how many such stages run at once."""

    cpus: int
    gpus: float
    side_by_side: int
