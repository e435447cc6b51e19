"""What a stage takes beyond its steps, how many share a GPU, and a study of short stages."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.gpu.rates import fastest_way
from benchmarks.gpu.results import Results
from benchmarks.gpu.sizes import Sizes
from trials.cost.gpu_sharing import MOST, Sharer, compiled_load
from trials.cost.stage_probe import LIMIT_S, probe_stages
from trials.cost.throughput import measure_images_per_s


def overhead(sizes: Sizes, results: Results, left_s: Callable[[], float]) -> None:
    """A short fine-tuning, the second in its process, and what it takes beyond its steps."""
    from trials.data.sources import split_name
    from trials.data.store import describe_split
    from trials.prepare import prepare_split
    from trials.recipes.named import get_recipe

    encoder, count, batch = sizes.finetune
    base = sizes.stage(batch_images=8, steps=1)
    side = int(encoder.rpartition("@")[2])
    splits = {part: split_name("leaves", "finetune", part) for part in ("train", "heldout")}
    for split in splits.values():
        prepare_split("leaves", sizes.root, sizes.root / "store", split, side, images=256)
    data = dataclasses.replace(
        base.data,
        image_px=side,
        train_split=splits["train"],
        train_fingerprint=describe_split("leaves", sizes.root, splits["train"]).fingerprint,
        train_images=256,
        heldout_split=splits["heldout"],
        heldout_fingerprint=describe_split("leaves", sizes.root, splits["heldout"]).fingerprint,
        heldout_images=256,
    )
    recipe = get_recipe("finetune", "compact", {"batch_images": batch})

    def seconds(steps: int, seed: int) -> float:
        spec = dataclasses.replace(
            base, kind="finetune", objective="segmentation", encoder=encoder, data=data, recipe=recipe, steps=steps, seed=seed, eval_points=0
        )
        started = time.perf_counter()
        sizes.run(spec, f"overhead-{steps}-{seed}")
        return time.perf_counter() - started

    seconds(count, 0)
    once = statistics.median(seconds(count, seed) for seed in range(1, 1 + sizes.repeats))
    thrice = statistics.median(seconds(3 * count, seed) for seed in range(1, 1 + sizes.repeats))
    steps_s = (thrice - once) / 2
    results.keep(finetune_250_s=once, stage_overhead_s=once - steps_s, finetune_step_ms=1e3 * steps_s / count)
    results.say(f"fine-tuning of {count} steps, batch {batch}, {encoder}: {once:.2f} s, of which {once - steps_s:.2f} s beyond its steps")


def packing(sizes: Sizes, results: Results, left_s: Callable[[], float]) -> None:
    """How long `gpus: auto` takes to decide, how far its choice is from the best number, and its
    model beside what several processes reached.
    """
    spec = sizes.stage(batch_images=sizes.batches[0], steps=100)
    started = time.perf_counter()
    (load,) = probe_stages([spec], cpus=1, gpus=sizes.gpus, limit_s=LIMIT_S if sizes.gpus else 10 * LIMIT_S)
    decided_s = time.perf_counter() - started
    if isinstance(load, str):
        raise RuntimeError(f"the probe gave no load: {load}")
    cores = float(os.cpu_count() or 1)
    memory = torch.cuda.get_device_properties(0).total_memory if sizes.gpus else float("inf")
    modelled = compiled_load(load) if fastest_way(sizes, results) == "compiled and captured" else load
    chosen = Sharer(load=modelled, most=min(int(cores), MOST, load.fitting(memory) if sizes.gpus else MOST), images=1.0, cores=cores).best
    results.keep(packing_decided_s=decided_s, packing_chosen=chosen, packing_load=dataclasses.asdict(load))
    results.say(
        f"gpus: auto takes {decided_s:.1f} s and chooses {chosen} stages at once: a step takes {1e3 * load.step_s:.3g} ms; the CPU starts kernels "
        f"for {1e3 * load.start_s:.3g} and the GPU has no time for others in {1e3 * load.occupied_s:.3g}, with {load.memory_bytes / 2**30:.1f} GiB"
    )
    processes = results.values.get("together_images_per_s", {})
    for count, measured in processes.items():
        expected = modelled.images_per_s(int(count), cores=cores)
        results.say(f"{count} processes: {expected:,.0f} images/s by the model, {measured:,.0f} measured")
    if processes:
        nearest = min(processes, key=lambda count: abs(int(count) - chosen))
        results.keep(packing_share_of_best=processes[nearest] / max(processes.values()))
        results.say(
            f"with {nearest}, the nearest number measured, the stages above reach {results.values['packing_share_of_best']:.0%} of the best total"
        )
    alone = measure_images_per_s(spec, cpus=1, gpus=sizes.gpus, seconds=sizes.seconds)
    results.say(f"the forecast's own measurement of one stage: {alone:,.0f} images/s")


GRID = """\
study: short_stages
encoder: {encoder}
pretrain:
  source: leaves
  images: [0, 256]
  length: {steps} steps
  heldout_images: 64
  recipe: {{name: compact, batch_images: 64}}
intermediate: {{objective: none}}
finetune:
  source: leaves
  task: segmentation
  images: [32, 64]
  length: {steps} steps
  test_images: 64
  recipe: {{name: compact, batch_images: 32}}
seeds: {seeds}
resources: {{cpus: 1, gpus: {gpus}}}
"""


def study(sizes: Sizes, results: Results, left_s: Callable[[], float]) -> None:
    """A grid of short stages through `scaling.launch`: its time, and how busy the GPU is meanwhile."""
    if importlib.util.find_spec("ray") is None:
        results.say("skipped: Ray is not installed")
        return
    stages = sizes.root / "study"
    stages.mkdir(exist_ok=True)
    grid = stages / "grid.yaml"
    steps = 250 if sizes.gpus else 2
    grid.write_text(GRID.format(encoder=sizes.finetune[0], steps=steps, seeds=sizes.study_seeds, gpus=0.125 if sizes.gpus else 0))
    command = [sys.executable, "-m", "scaling.launch", str(grid), "--data", str(stages / "data"), "--out", str(stages / "runs")]
    started = time.perf_counter()
    with busy_share(sizes.gpus > 0) as shares:
        status, last = _ended_within(command, max(60.0, left_s()))
    elapsed = time.perf_counter() - started
    count = len(list((stages / "runs").glob("stages/*/result.json")))
    results.say(f"{count} stages in {elapsed:.0f} s, exit status {status}")
    results.keep(study_s=elapsed, study_stages=count)
    if shares:
        results.keep(study_busy_share=statistics.mean(shares))
        results.say(f"the GPU was busy {statistics.mean(shares):.0%} of the time, start included")
    if status:
        raise RuntimeError(last or "the launch failed")


def _ended_within(command: list[str], seconds: float) -> tuple[int, str]:
    """Exit status of a command and the last line of its errors; after so long it is ended with all
    that it started.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        errors.seek(0)
        return process.returncode, (errors.read().strip().splitlines() or [""])[-1]


@contextmanager
def busy_share(gpu: bool) -> Iterator[list[float]]:
    """Samples of the share of time that the GPU had work, from nvidia-smi, while in the context."""
    shares: list[float] = []
    over = threading.Event()

    def sample() -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not over.wait(0.5):
            try:
                said = subprocess.run(query, capture_output=True, text=True, timeout=10)
                shares.append(float(said.stdout.splitlines()[0]) / 100)
            except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
                return

    thread = threading.Thread(target=sample, daemon=True)
    if gpu:
        thread.start()
    try:
        yield shares
    finally:
        over.set()
        if gpu:
            thread.join()
