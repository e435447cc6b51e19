"""What a short stage takes beyond its steps, in a process that has run others, as a worker does.

    # the stage as it is beside one that flushes each file by itself, in turns; about a minute
    python -m benchmarks.stage_overhead
    # of fine-tunings of 250 steps, on a GPU
    python -m benchmarks.stage_overhead --device cuda --steps 250 --encoder milli/8@64 --batch 32

Two lengths of the same stage give the seconds of a step; what is left is the overhead: opening the
stores, building the model, evaluation, examples, weights and tables of the stage. `each file` does
what stages did until November 2026: 34 flushes to disk a stage, one after another.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.throughput.images import our_stage, prepare
from benchmarks.throughput.models import WORKLOADS
from trials import StageSpec, run_stage, stage_id
from trials.data.sources import split_name
from trials.data.store import describe_split
from trials.prepare import prepare_split
from trials.recipes.named import get_recipe
from trials.stage_files import DeferredSync

IMAGES = 256
HOW = ("together", "each file")


@contextlib.contextmanager
def flushing(how: str) -> Iterator[list[int]]:
    """Flush files as named, and count the flushes."""
    flushes: list[int] = []
    fsync, collecting = os.fsync, DeferredSync.collecting

    def counted(descriptor: int) -> None:
        flushes.append(descriptor)
        fsync(descriptor)

    os.fsync = counted
    if how == "each file":
        DeferredSync.collecting = lambda self: contextlib.nullcontext()  # type: ignore[method-assign,assignment,return-value]
    try:
        yield flushes
    finally:
        os.fsync, DeferredSync.collecting = fsync, collecting  # type: ignore[method-assign]


def finetuning(root: Path, encoder: str, batch_images: int) -> StageSpec:
    """A fine-tuning on drawn leaves."""
    side = int(encoder.rpartition("@")[2])
    splits = {part: split_name("leaves", "finetune", part) for part in ("train", "heldout")}
    for split in splits.values():
        prepare_split("leaves", root, root / "store", split, side, images=IMAGES)
    found = {part: describe_split("leaves", root, split).fingerprint for part, split in splits.items()}
    base = our_stage(WORKLOADS["pico"], root, images=32, batch_images=8, precision="auto", steps=1)
    data = dataclasses.replace(
        base.data,
        source="leaves",
        image_px=side,
        train_split=splits["train"],
        train_fingerprint=found["train"],
        train_images=IMAGES,
        heldout_split=splits["heldout"],
        heldout_fingerprint=found["heldout"],
        heldout_images=IMAGES // 4,
    )
    recipe = get_recipe("finetune", "compact", {"batch_images": batch_images})
    return dataclasses.replace(base, kind="finetune", objective="segmentation", encoder=encoder, data=data, recipe=recipe, eval_points=0)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stage_overhead", description="What a stage takes beyond its steps.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--encoder", default="pico/8@16")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    gpus = float(options.device == "cuda")
    taken: dict[tuple[str, int], list[float]] = {(how, times): [] for how in HOW for times in (1, 3)}
    flushed: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        prepare(WORKLOADS["pico"], root, images=32)
        base = finetuning(root, options.encoder, options.batch)
        for turn in range(options.rounds + 1):
            for (how, times), seconds in taken.items():
                spec = dataclasses.replace(base, steps=times * options.steps, seed=turn)
                folder = root / "runs" / f"{turn}-{how}-{times}" / stage_id(spec)
                with flushing(how) as flushes:
                    started = time.perf_counter()
                    run_stage(spec, folder, root / "store", cpus=1, gpus=gpus)
                    if turn:  # the first is of a cold process
                        seconds.append(time.perf_counter() - started)
                flushed[how] = len(flushes)
    where = torch.cuda.get_device_name() if gpus else "1 CPU thread"
    print(f"a fine-tuning of {options.encoder}, {options.steps} steps of {options.batch}, {where}, median of {options.rounds} in turns\n")
    print("| files are flushed | flushes | a stage, s | beyond its steps, s |\n|---|---|---|---|")
    for how in HOW:
        once, thrice = taken[how, 1], taken[how, 3]
        step_s = max(0.0, (statistics.median(thrice) - statistics.median(once)) / 2 / options.steps)
        print(f"| {how} | {flushed[how]} | {statistics.median(once):.3f} | {statistics.median(once) - options.steps * step_s:.3f} |")
    ratios = sorted(after / before for after, before in zip(taken["together", 1], taken["each file", 1], strict=True))
    print(f"\ntogether over each file, the whole stage: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
