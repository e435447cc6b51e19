"""What the whole first paper costs here: GPU-hours, or core-hours, of its 42 cells with 3 seeds,
with stages shared between runs and without.

    # on this machine; about 2 minutes on 2 CPU cores
    python -m benchmarks.paper_cost
    # on a GPU: one stage at a time, and several at once
    python -m benchmarks.paper_cost --device cuda

The stages are those of grids/diminishing_returns.yaml, arm fixed_epochs. Nobody needs the data for
it: the plan is made from published counts, as with --assume-data. For a GPU that is not there,
`python -m scaling.launch grids/diminishing_returns.yaml --plan --machine 1xH200 --assume-data` says
what all arms cost, from the speeds that were measured on one. Here the speed of each kind
of stage is measured in the same run (`trials.cost.throughput` and `trials.cost.packing`, random
pixels), and so are start-up and decoding, on generated images. Expected: 157.6M image passes with
sharing, 1.42G without. The paper's own speed is 1,400 images/s on an RTX 4080.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from benchmarks.fitting.tables import show, verdict
from benchmarks.throughput.images import our_stage, prepare
from benchmarks.throughput.models import WORKLOADS
from scaling import load_grid, make_plan
from scaling.plan.plan import Plan
from trials import stage_id
from trials.cost.packing import best_packing, measure_packing
from trials.cost.throughput import measure_images_per_s
from trials.data.decoding import fit_short
from trials.data.leaves import leaf_image
from trials.data.published_counts import describe_or_assume, published_count
from trials.data.store import stored_px
from trials.spec import StageSpec

GRID = Path(__file__).resolve().parents[1] / "grids" / "diminishing_returns.yaml"
ARM = "fixed_epochs"
CELLS, SEEDS = 42, 3
SOURCES = ("imagenet", "intel-scenes", "oxford-iiit-pet-pooled")
PAPER_IMAGES_PER_S = 1_400
"""Of pre-training on an RTX 4080: about 4 hours for 200,000 images and 100 epochs."""
TARGET_H = 1.0
TYPICAL_PX = (500, 375)
"""Sides of a picture of ImageNet or of the pets, for measuring how long decoding takes."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Stages that do the same arithmetic for an image."""

    name: str
    spec: StageSpec
    """One of them."""
    stages: int
    shared: int
    """Image passes if each stage is trained once."""
    alone: int
    """Image passes if every run trained all of its own stages."""
    heldout: int
    """Held-out images looked at along the way and at the end, each stage trained once."""


def planned() -> Plan:
    """The plan of the grid, from published counts of images."""
    with tempfile.TemporaryDirectory() as empty:
        return make_plan(load_grid(GRID), Path(empty), describe=describe_or_assume)


def listed() -> dict[str, int]:
    """Images of the data sets that the paper uses, all splits together."""
    counts = {source: published_count(source) for source in SOURCES}
    return {source: one.train_images + one.heldout_images for source, one in counts.items() if one is not None}


def kinds_of(plan: Plan) -> list[Kind]:
    """What the paper's cells take, by kind of stage."""
    runs = [run for run in plan.runs if ARM in run["arm"].split(", ")]
    uses: dict[str, int] = {}
    for run in runs:
        for name in (run["pretrain_id"], run["intermediate_id"], run["run_id"]):
            if name is not None:
                uses[name] = uses.get(name, 0) + 1
    assert len(runs) == CELLS * SEEDS, f"{len(runs)} runs instead of {CELLS} cells x {SEEDS} seeds: {GRID.name} has changed"
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in uses:
        spec = plan.stages[name].spec
        groups.setdefault((spec.kind, spec.objective, spec.encoder, spec.recipe), []).append(name)
    kinds = []
    for names in groups.values():
        specs = [plan.stages[name].spec for name in names]
        kinds.append(
            Kind(
                name=f"{specs[0].kind} ({specs[0].objective})",
                spec=specs[0],
                stages=len(names),
                shared=sum(spec.image_passes for spec in specs),
                alone=sum(plan.stages[name].spec.image_passes * uses[name] for name in names),
                heldout=sum(spec.data.heldout_images * (1 if spec.kind == "finetune" else spec.eval_points + 1) for spec in specs),
            )
        )
    return sorted(kinds, key=lambda kind: ("pretrain", "intermediate", "finetune").index(kind.spec.kind))


def start_up_s(threads: int, gpus: float) -> float:
    """Seconds from starting a process to the end of a stage of one step: more than a stage takes in
    a process that is kept.
    """
    small = replace(WORKLOADS["viny"], encoder="viny/16@32")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        prepare(small, root, images=8)
        spec = our_stage(small, root, images=8, batch_images=8, precision="auto", steps=1)
        folder = root / "stages" / stage_id(spec)
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps(spec.to_dict()))
        command = [sys.executable, "-m", "trials.stage", str(folder), "--store", str(root / "store"), "--cpus", str(threads), "--gpus", str(gpus)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def decode_s(store_px: int, images: int = 16) -> float:
    """Seconds of one core for a JPEG file of a photograph's usual size: decoded and resized."""
    width, height = TYPICAL_PX
    picture = Image.fromarray(leaf_image("paper-cost", 0, max(TYPICAL_PX))[0]).crop((0, 0, width, height))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    started = time.perf_counter()
    for _ in range(images):
        fit_short(Image.open(io.BytesIO(file.getvalue())).convert("RGB"), None, store_px)
    return (time.perf_counter() - started) / images


def hours(kinds: Iterable[Kind], passes: Callable[[Kind], int], rate: Callable[[Kind], float]) -> float:
    """Of all kinds together."""
    return sum(passes(kind) / rate(kind) for kind in kinds) / 3600


def report(kinds: list[Kind], alone: dict[str, float], packed: dict[str, tuple[int, float]], options: argparse.Namespace) -> None:
    """The tables and the verdict."""
    gpu = options.device == "cuda"
    best = {kind.name: max(alone[kind.name], packed.get(kind.name, (1, 0.0))[1]) for kind in kinds}
    unit, of_hour = ("GPU-hours", 1) if gpu else ("core-hours", options.threads)

    def rate(kind: Kind) -> float:
        return best[kind.name]

    rows = [
        [
            kind.name,
            kind.stages,
            f"{kind.shared / 1e6:.1f}M",
            f"{kind.alone / 1e6:.1f}M",
            f"{alone[kind.name]:,.0f}",
            *([f"{packed[kind.name][1]:,.0f} ({packed[kind.name][0]} at once)"] if packed else []),
            f"{of_hour * hours([kind], lambda one: one.shared, rate):.3g}",
            f"{of_hour * hours([kind], lambda one: one.alone, rate):.3g}",
        ]
        for kind in kinds
    ]
    shared, unshared = (hours(kinds, passes, rate) for passes in (lambda one: one.shared, lambda one: one.alone))
    rows.append(
        [
            "all training",
            sum(kind.stages for kind in kinds),
            f"{sum(kind.shared for kind in kinds) / 1e6:.1f}M",
            f"{sum(kind.alone for kind in kinds) / 1e6:.1f}M",
            *([""] * (2 if packed else 1)),
            f"{of_hour * shared:.3g}",
            f"{of_hour * unshared:.3g}",
        ]
    )
    show(
        [
            "kind of stage",
            "stages",
            "image passes, shared",
            "not shared",
            "images/s, one stage",
            *(["images/s, several"] if packed else []),
            f"{unit}, shared",
            "not shared",
        ],
        rows,
    )
    stages = sum(kind.stages for kind in kinds)
    heldout = hours(kinds, lambda one: one.heldout, rate)
    start = stages * start_up_s(options.threads, float(gpu)) / 3600
    decoding = sum(listed().values()) * decode_s(stored_px(kinds[0].spec.data.image_px, 0)) / 3600
    print(
        f"\nBesides training, at most: held-out scores {of_hour * heldout:.2g} {unit} ({sum(kind.heldout for kind in kinds) / 1e6:.2f}M images at "
        f"the speed of training, which a forward pass alone exceeds); start-up {of_hour * start:.2g} {unit} if each of the {stages} stages started "
        f"a process of its own (they share processes); decoding all {sum(listed().values()):,} listed images once, {decoding:.2g} core-hours"
        f"{', on no GPU' if gpu else ''}, measured on generated files of {TYPICAL_PX[0]} x {TYPICAL_PX[1]} px. Writing checkpoints is left out: "
        "one in 20 s, some milliseconds each."
    )
    theirs, theirs_alone = (hours(kinds, passes, lambda _: PAPER_IMAGES_PER_S) for passes in (lambda one: one.shared, lambda one: one.alone))
    print(
        f"\nThe paper's own speed, {PAPER_IMAGES_PER_S:,} images/s of pre-training on an RTX 4080, taken for every kind of stage: {theirs:.3g} "
        f"GPU-hours shared, {theirs_alone:.3g} not shared. Here, sharing stages saves {1 - shared / unshared:.0%} of the time of runs that each "
        "train all of their own."
    )
    total = shared + heldout + start
    passes = sum(kind.shared for kind in kinds)
    left_s = 3600 * TARGET_H - 3600 * (heldout + start)
    print(
        f"\nUnder {TARGET_H:g} hour in total needs {passes / (3600 * TARGET_H):,.0f} images/s over all kinds of stage alike"
        + (f", or {passes / left_s:,.0f} beside the held-out scores and start-up measured here." if left_s > 0 and gpu else ".")
    )
    if gpu:
        where = torch.cuda.get_device_name()
        verdict(f"whole paper, shared: {total:.2f} hours of {where}", f"under {TARGET_H:g} H200-hour", total < TARGET_H, judged=not options.quick)
    else:
        print(
            f"\nwhole paper, shared: {of_hour * total + decoding:.3g} core-hours; the target, under {TARGET_H:g} H200-hour, is not judged: no GPU "
            "was used. On a machine with one: `python -m benchmarks.paper_cost --device cuda`."
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_cost", description="What the whole first paper costs on this machine.")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure each kind of stage for")
    parser.add_argument("--packing", type=int, nargs="*", help="numbers of stages at once; default on a GPU 1 2 4 8 12 16, else none")
    parser.add_argument("--quick", action="store_true", help="measure for moments, only to show that it runs")
    options = parser.parse_args(arguments)
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    gpu = options.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use")
    if options.packing is None:
        options.packing = [1, 2, 4, 8, 12, 16] if gpu else []
    seconds = 0.2 if options.quick else options.seconds
    where = torch.cuda.get_device_name() if gpu else f"{options.threads} CPU threads"
    counted = ", ".join(f"{number:,} of {source}" for source, number in listed().items())
    print(
        f"## The whole first paper: {CELLS} cells, {SEEDS} seeds, on {where}\n\n"
        f"Planned from the published counts of images ({counted}); speeds measured on random pixels in this run."
    )
    kinds = kinds_of(planned())
    alone: dict[str, float] = {}
    packed: dict[str, tuple[int, float]] = {}
    for kind in kinds:
        # parents and trunks move no arithmetic
        spec = replace(kind.spec, parent=None, trunk=None)
        alone[kind.name] = measure_images_per_s(spec, cpus=options.threads, gpus=float(gpu), seconds=seconds)
        if options.packing:
            found = measure_packing(spec, cpus=1, gpus=float(gpu), candidates=options.packing, seconds=seconds)
            number = best_packing(found)
            packed[kind.name] = number, next(one.images_per_s for one in found if one.stages == number)
    report(kinds, alone, packed, options)


if __name__ == "__main__":
    main()
