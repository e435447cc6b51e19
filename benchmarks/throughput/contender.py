"""One contender in a process of its own: `python -m benchmarks.throughput.contender JSON`, driven
through its standard input (`session.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.throughput.images import our_stage
from benchmarks.throughput.laps import Laps, laps_of_ours, synchroniser
from benchmarks.throughput.loops import Loop, Rival, build_rival
from benchmarks.throughput.models import WORKLOADS, Workload
from benchmarks.throughput.session import LEAST_STEPS, Session
from trials import run_stage, stage_id
from trials.cost.costs import stage_cost
from trials.errors import StageError
from trials.training.captured import WARM_UP_STEPS, CaptureMode
from trials.training.compiling import CompileMode
from trials.training.precision import choose_compute

STEPS = 1_000_000  # of our stage, which is asked to stop long before: its log's lines are 20,000 steps apart


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process trains."""

    library: str
    """'ours', or a rival of `loops.LIBRARIES`."""
    precision: str
    """'auto', 'fp32' or 'bf16'."""
    workload: str
    device: str
    threads: int
    batch_images: int
    images: int
    root: str
    """Folder of the images."""
    compile: str = "auto"
    """Ours only."""
    capture: str = "auto"
    """Ours only."""


def train_ours(job: Job, workload: Workload) -> None:
    """`trials.run_stage`, unchanged, asks the session before every step whether to stop.

    What falls outside the rounds: building, the held-out loss before the first step, and the
    checkpoint that is written on stopping. No checkpoint, held-out loss or line of the log falls
    into them.
    """
    spec = our_stage(workload, Path(job.root), images=job.images, batch_images=job.batch_images, precision=job.precision, steps=STEPS)
    gpus = float(job.device == "cuda")
    compute, cost = choose_compute(job.precision, gpus=gpus), stage_cost(spec)
    about = {"precision": compute.precision, "reason": compute.reason, "parameters": cost.parameters, "flops": cost.train_flops_per_image}
    laps = Laps(synchroniser(job.device))
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(StageError):
        folder = Path(scratch) / stage_id(spec)
        captures = job.device == "cuda" and job.capture != "off"
        run_stage(
            spec,
            folder,
            Path(job.root) / "store",
            cpus=job.threads,
            gpus=gpus,
            checkpoint_s=float("inf"),
            compile=cast(CompileMode, job.compile),
            capture=cast(CaptureMode, job.capture),
            stop=Session(
                batch_images=job.batch_images,
                synchronise=synchroniser(job.device),
                laps=laps,
                timing=laps_of_ours,
                set_workers=lambda number: None,
                about=about,
                first_steps=WARM_UP_STEPS + 3 if captures else LEAST_STEPS,
                said=lambda: (folder / "log.txt").read_text().splitlines(),
            ),
        )


def train_rival(job: Job, workload: Workload, files: Path) -> None:
    """A rival's loop."""
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    laps = Laps(synchroniser(job.device))
    rival = build_rival(job.library, workload, files, device)
    loop = Loop(rival, batch_images=job.batch_images, device=device, bf16=job.precision == "bf16", laps=laps)
    finished = Session(
        batch_images=job.batch_images,
        synchronise=synchroniser(job.device),
        laps=laps,
        timing=lambda _: contextlib.nullcontext(),
        set_workers=loop.set_workers,
        about={
            "precision": job.precision,
            "reason": "",
            "parameters": sum(one.numel() for one in rival.model.parameters()),
            "flops": train_flops_per_image(rival, device),
        },
    )
    while not finished():
        loop.step()
    loop.set_workers(0)


def train_flops_per_image(rival: Rival, device: torch.device) -> float:
    """Floating-point operations of one image's forward and backward pass, counted as
    `trials.cost.costs` counts ours.
    """
    first: Any = [rival.dataset[0], rival.dataset[1]]
    batch = rival.to_device((rival.collate or torch.utils.data.default_collate)(first), device)
    counter = FlopCounterMode(display=False)
    with counter:
        rival.loss(rival.model, batch).backward()
    rival.optimiser.zero_grad()
    return counter.get_total_flops() / len(first)


def main(arguments: list[str]) -> None:
    values = json.loads(arguments[0])
    files = Path(values.pop("files"))
    job = Job(**values)
    workload = WORKLOADS[job.workload]
    if job.library == "ours":
        train_ours(job, workload)
    else:
        train_rival(job, workload, files)


def as_argument(job: Job, files: Path) -> str:
    """What `main` reads."""
    return json.dumps(dataclasses.asdict(job) | {"files": str(files)})


if __name__ == "__main__":
    main(sys.argv[1:])
