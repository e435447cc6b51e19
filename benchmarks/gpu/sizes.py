"""What the benchmark trains, and how long: for a GPU, or tiny."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.throughput.images import our_stage, prepare
from benchmarks.throughput.models import WORKLOADS
from trials import StageSpec, run_stage, stage_id

WAYS = {
    "eager": {"compile": "off", "capture": "off"},
    "captured": {"compile": "off", "capture": "on"},
    "compiled and captured": {"compile": "default", "capture": "on"},
}
"""Ways to take a step."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is trained, and how long: for a GPU, or tiny."""

    root: Path
    device: str
    small: str
    """The workload that is launch-bound."""
    large: tuple[str, ...]
    batches: tuple[int, ...]
    ways: tuple[str, ...]
    images: int
    processes: tuple[int, ...]
    repeats: int
    """Short stages that a median is taken of."""
    seconds: float
    """Of a round."""
    rounds: int
    parity_steps: int
    finetune: tuple[str, int, int]
    """Encoder, steps and images a batch of a short fine-tuning."""
    rivals: tuple[str, ...]
    workers: tuple[int, ...]
    """Loading processes that a rival tries."""
    study_seeds: int
    """Seeds of the study, which has six stages a seed."""

    @classmethod
    def whole(cls, root: Path) -> Sizes:
        """For a GPU."""
        return cls(
            root=root,
            device="cuda",
            small="viny",
            large=("vit-b", "swinv2-b", "vit-s"),
            batches=(64, 256, 1024),
            ways=tuple(WAYS),
            images=1024,
            processes=(1, 4, 8, 14),
            repeats=3,
            seconds=1.5,
            rounds=3,
            parity_steps=50,
            finetune=("milli/8@64", 250, 32),
            rivals=("usual", "transformers"),
            workers=(8, 16),
            study_seeds=10,
        )

    @classmethod
    def tiny(cls, root: Path) -> Sizes:
        """For a CPU, to show that it runs."""
        return cls(
            root=root,
            device="cpu",
            small="pico",
            large=("pico",),
            batches=(8,),
            ways=("eager", "captured"),
            images=32,
            processes=(1,),
            repeats=1,
            seconds=0.2,
            rounds=1,
            parity_steps=8,
            finetune=("pico/8@32", 8, 8),
            rivals=("usual",),
            workers=(0,),
            study_seeds=1,
        )

    @property
    def gpus(self) -> float:
        """Of a stage."""
        return float(self.device == "cuda")

    def stage(self, *, batch_images: int, steps: int, precision: str = "auto") -> StageSpec:
        """A pre-training of the small workload."""
        prepare(WORKLOADS[self.small], self.root, images=self.images)
        return our_stage(WORKLOADS[self.small], self.root, images=self.images, batch_images=batch_images, precision=precision, steps=steps)

    def run(self, spec: StageSpec, name: str, *, gpus: float | None = None, **options: Any) -> Path:
        """Train a stage in a folder of its own; returns the folder."""
        folder = self.root / "runs" / name / stage_id(spec)
        used = self.gpus if gpus is None else gpus
        run_stage(spec, folder, self.root / "store", cpus=1 if used else os.cpu_count() or 1, gpus=used, **options)
        return folder
