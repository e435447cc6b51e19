"""The rivals' training loops: each its own library's model, transforms and optimiser, written as
its example does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.throughput.laps import Laps
from benchmarks.throughput.models import Workload

ENDLESS = 10**8  # images of the one epoch that a loop trains for: no end of an epoch falls into a round


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What differs between the loops."""

    model: nn.Module
    dataset: Dataset[Any]
    loss: Callable[[nn.Module, Any], Tensor]
    """Of a batch that is on the device."""
    to_device: Callable[[Any, torch.device], Any]
    optimiser: torch.optim.Optimizer
    pin_memory: bool
    collate: Callable[[list[Any]], Any] | None = None
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None


class Loop:
    """Trains a rival one step at a time."""

    def __init__(self, rival: Rival, *, batch_images: int, device: torch.device, bf16: bool, laps: Laps) -> None:
        self._rival, self._batch_images, self._device, self._bf16, self._laps = rival, batch_images, device, bf16, laps
        self._batches: Iterator[Any] = iter(())

    def set_workers(self, workers: int) -> None:
        """Load with that many processes; 0 loads in this one."""
        self._batches = iter(())  # lets go of the processes that there were
        loader = DataLoader(
            self._rival.dataset,
            batch_size=self._batch_images,
            sampler=RandomSampler(self._rival.dataset, num_samples=ENDLESS),  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=self._rival.collate,
            pin_memory=self._rival.pin_memory and self._device.type == "cuda",
            drop_last=True,
        )
        self._batches = iter(loader)

    def step(self) -> None:
        rival, laps = self._rival, self._laps
        batch = next(self._batches)
        laps("data")
        batch = rival.to_device(batch, self._device)
        laps("to the device")
        with self._autocast():
            loss = rival.loss(rival.model, batch)
        laps("forward")
        loss.backward()
        laps("backward")
        rival.optimiser.step()
        if rival.scheduler is not None:
            rival.scheduler.step()
        rival.optimiser.zero_grad()
        laps("optimiser")

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, dtype=torch.bfloat16) if self._bf16 else contextlib.nullcontext()


@dataclass(frozen=True, kw_only=True)
class Library:
    """Where a rival comes from."""

    title: str
    module: str
    """Its `build(workload, files, device)` makes the rival."""
    needs: str
    """What must be installed."""
    has_swin: bool
    """Whether SwinV2 can be trained with it by SimMIM."""

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None


LIBRARIES = {
    "usual": Library(title="(b) the usual loop", module="benchmarks.throughput.usual", needs="vit_pytorch", has_swin=True),
    "transformers": Library(title="(c) transformers", module="benchmarks.throughput.with_transformers", needs="transformers", has_swin=True),
    "lightly": Library(title="(d) lightly", module="benchmarks.throughput.with_lightly", needs="lightly", has_swin=False),
}


def build_rival(name: str, workload: Workload, files: Path, device: torch.device) -> Rival:
    """The loop of that library for that model."""
    return importlib.import_module(LIBRARIES[name].module).build(workload, files, device)
