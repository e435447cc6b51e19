"""Images a second, end to end, from files already prepared on disk to updated weights: ours beside
three rivals, in one run.

    # transformers, lightly, vit-pytorch; what is not installed is skipped
    uv sync --group benchmark
    # ViNy on this machine; about 6 minutes on 2 CPU cores
    python -m benchmarks.throughput
    # without ours in fp32 and the rivals in bf16; about 3 minutes
    python -m benchmarks.throughput --few
    # ViT-S/16 at 224 px and SwinV2-B at 192 px too; about 25 minutes on 2 cores, 16 GB
    python -m benchmarks.throughput --all
    # on a GPU: ViT-B/16 too, torch.compile and CUDA graphs, several stages at once
    python -m benchmarks.throughput --device cuda --all
    # a tiny model, only to show that it runs; under a minute
    python -m benchmarks.throughput --quick

(a) ours: `trials.run_stage`, the whole training loop, from the decoded store. (b) the usual loop:
vit-pytorch's ViT and SimMIM, ImageFolder, DataLoader, torchvision's transforms, float32. (c)
transformers' ViT or SwinV2 for masked image modelling in its example's loop. (d) lightly's
transforms and modules in its example's loop. All read the same generated pictures, at the model's
side, from the page cache, crop and flip them afresh, mask as much, predict raw pixels and update
with AdamW. Each rival loads with the number of processes that is best for it here.

A round is so many seconds of training; the rounds of all contenders take turns, and a ratio is the
median of the ratios within each turn. A contender that is not on stands still. Expected on 2 cores:
at least 3 times the usual loop at ViNy. Times are of this machine: read ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torchvision

from benchmarks.throughput.ceiling import product_flops_per_s
from benchmarks.throughput.contender import Job
from benchmarks.throughput.images import our_stage, prepare
from benchmarks.throughput.loops import LIBRARIES
from benchmarks.throughput.models import COMPARED, WORKLOADS, Workload
from benchmarks.throughput.rounds import Contender, compete, running
from benchmarks.throughput.tables import judge, show_packing, show_parts, show_speeds, show_split
from benchmarks.throughput.usual import usual_images, work_of_loading
from trials.cost.packing import measure_packing

MODES = {"off": "torch.compile off", "default": "torch.compile", "reduce-overhead": "torch.compile, CUDA graphs"}


def contenders_of(workload: Workload, options: argparse.Namespace, root: Path, files: Path) -> dict[str, Contender]:
    """Who takes part, ours first."""

    def job(library: str, precision: str, compile: str = "auto") -> Job:
        return Job(
            library=library,
            precision=precision,
            workload=workload.name,
            device=options.device,
            threads=options.threads,
            batch_images=options.batch or workload.batch_on[options.device],
            images=options.images or workload.images_on[options.device],
            root=str(root),
            compile=compile,
        )

    made = {"ours": Contender(name="(a) ours", job=job("ours", "auto"), files=files)}
    if not options.few:
        made["ours fp32"] = Contender(name="(a) ours, fp32", job=job("ours", "fp32"), files=files)
    for mode in options.modes:
        made[f"ours {mode}"] = Contender(name=f"(a) ours, {MODES[mode]}", job=job("ours", "auto", mode), files=files)
    for library in options.rivals:
        of = LIBRARIES[library]
        if not of.installed:
            print(f"\n{of.title}: skipped: {of.needs} is not installed (uv sync --group benchmark)", flush=True)
            continue
        if workload.is_swin and not of.has_swin:
            print(f"\n{of.title}: skipped: it has no SwinV2", flush=True)
            continue
        made[library] = Contender(name=of.title, job=job(library, "fp32"), files=files)
        if not options.few:
            made[f"{library} bf16"] = Contender(name=f"{of.title}, bf16 autocast", job=job(library, "bf16"), files=files)
    return made


def compare(workload: Workload, options: argparse.Namespace, root: Path) -> None:
    """Everything about one model."""
    started = time.monotonic()
    images = options.images or workload.images_on[options.device]
    files = prepare(workload, root, images=images)
    print(
        f"\n## {workload.title}: batches of {options.batch or workload.batch_on[options.device]}, {images:,} images; "
        f"{options.rounds} rounds of {options.seconds:g} s each",
        flush=True,
    )
    made = contenders_of(workload, options, root, files)
    with running(list(made.values())) as able:
        ceiling = partial(product_flops_per_s, options.device, threads=options.threads, seconds=min(0.3, options.seconds))
        ceilings = compete(able, rounds=options.rounds, seconds=options.seconds, candidates=options.workers, ceiling=ceiling)
    found = {name: one for name, one in made.items() if one in able}
    if "ours" not in found:
        return
    show_speeds(able)
    reached = ", ".join(f"{one} {value / 1e12:.3g} TFLOP/s" for one, value in ceilings.items())
    ours = made["ours"].about
    print(
        f"\nceiling: {reached}, the best of square products in each turn, on {options.threads} threads; "
        f"ours computes in {ours['precision']}: {ours['reason']}"
    )
    show_split(found)
    show_parts(able, work_of_loading(usual_images(files, workload.of.image_px), images=min(64, images)))
    packed = 0.0
    if options.packing:
        gpus = float(options.device == "cuda")
        batch = options.batch or workload.batch_on[options.device]
        spec = our_stage(workload, root, images=images, batch_images=batch, precision="auto", steps=1)
        measured = measure_packing(
            spec, cpus=1 if gpus else max(1, options.threads // 2), gpus=gpus, candidates=options.packing, seconds=options.seconds
        )
        show_packing(measured, options.device)
        packed = max(one.images_per_s for one in measured)
    judge(workload, found, device=options.device, packed=packed, judged=not options.quick)
    print(f"\n{time.monotonic() - started:.0f} s", flush=True)


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Images a second, ours beside three rivals.")
    parser.add_argument("--model", nargs="+", choices=WORKLOADS, help="what to train; default viny")
    parser.add_argument("--all", action="store_true", help="viny, vit-s and swinv2-b; on a GPU vit-b too")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of a round, two steps at least; default 4, on a GPU 3")
    parser.add_argument("--batch", type=int, help="images a batch, in place of each model's own")
    parser.add_argument("--images", type=int, help="images on disk")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of loading processes that each rival tries; default 0 1 2 4, on a GPU to 16")
    parser.add_argument("--rivals", nargs="*", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--few", action="store_true", help="leave out ours in fp32 and the rivals in bf16")
    parser.add_argument("--modes", nargs="*", choices=MODES, help="ours also with these modes of torch.compile; default on a GPU all, else none")
    parser.add_argument("--packing", type=int, nargs="*", help="numbers of stages at once; default on a GPU 1 2 4 8, else none")
    parser.add_argument("--data", type=Path, help="folder to keep the generated images in; default a temporary one")
    parser.add_argument("--quick", action="store_true", help="a tiny model for moments, only to show that it runs")
    options = parser.parse_args(arguments)
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    gpu = options.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use")
    defaults = {"seconds": 3.0 if gpu else 4.0, "workers": [0, 1, 2, 4, 8, 16] if gpu else [0, 1, 2, 4]}
    defaults |= {"modes": list(MODES) if gpu else [], "packing": [1, 2, 4, 8] if gpu else []}
    if options.quick:
        options.rounds, options.few = min(options.rounds, 2), True
        defaults |= {"seconds": 0.2, "workers": [0, 1], "modes": [], "packing": []}
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.model is None:
        options.model = [*COMPARED, *(["vit-b"] if gpu else [])] if options.all else ["pico" if options.quick else "viny"]
    return options


def main(arguments: list[str] | None = None) -> None:
    options = read_options(arguments)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{platform.machine()} CPU"
    print(
        f"{where}, {options.threads} threads, torch {torch.__version__}, torchvision {torchvision.__version__}; "
        f"loading processes tried: {', '.join(map(str, options.workers))}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.model:
            compare(WORKLOADS[name], options, options.data or Path(scratch))
    if options.device == "cpu":
        print("\nNo GPU was used: `python -m benchmarks.throughput --device cuda --all` on a machine that has one prints the rest.")


if __name__ == "__main__":
    main()
