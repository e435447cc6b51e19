"""The parts of the benchmark, each a function of the sizes, the results and the seconds left."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.gpu.first_steps import compiling
from benchmarks.gpu.issuing import issuing
from benchmarks.gpu.results import Results, number
from benchmarks.gpu.sizes import WAYS, Sizes
from benchmarks.throughput.ceiling import product_flops_per_s
from benchmarks.throughput.contender import Job
from benchmarks.throughput.images import prepare
from benchmarks.throughput.loops import LIBRARIES
from benchmarks.throughput.models import WORKLOADS
from benchmarks.throughput.rounds import Contender, GaveUp, running
from trials.cost.gpu_sharing import MOST, Sharer, compiled_load
from trials.cost.stage_probe import LIMIT_S, probe_stages
from trials.cost.throughput import measure_images_per_s
from trials.stage_files import WEIGHTS, read_json
from trials.training.interrupts import Interrupted

Left = Callable[[], float]
ENOUGH_S = 60.0
"""Seconds that a part needs at least, where starting processes takes most of them."""


def _losses(folder: Path, name: str = "train_mim_loss") -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def _largest_difference(first: Sequence[float], second: Sequence[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(first, second, strict=True))


def parity(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Captured steps train as eager ones do, on the GPU and the CPU, and a stopped stage resumes."""
    batch = sizes.batches[0]
    spec = dataclasses.replace(sizes.stage(batch_images=batch, steps=sizes.parity_steps), eval_points=5)
    eager = sizes.run(spec, "eager", **WAYS["eager"])
    captured = sizes.run(spec, "captured", **WAYS["captured"])
    about = read_json(captured / "provenance.json") or {}
    results.say(f"captured: {about['captured']} ({about['reason_not_captured'] or 'as asked'}), in {about['precision']}")
    apart = _largest_difference(_losses(captured), _losses(eager))
    results.keep(parity_captured=apart, parity_captured_is_captured=about["captured"])
    results.say(f"captured beside eager: losses of {sizes.parity_steps} steps differ by {number(apart)} of their size at most")
    evaluated = [_losses(captured, name) + _losses(eager, name) for name in ("val_mim_loss", "train_eval_mim_loss")]
    apart = max(_largest_difference(both[: len(both) // 2], both[len(both) // 2 :]) for both in evaluated)
    eagerly = "was not captured" in (captured / "log.txt").read_text()
    results.keep(parity_evaluated=apart, parity_evaluated_is_captured=about["captured"] and not eagerly)
    results.say(f"held-out losses {'NOT captured' if eagerly else 'captured'}, beside eager ones: {number(apart)} of their size at most")
    stop_at = random.Random(time.time_ns()).randrange(4, sizes.parity_steps - 1)
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > stop_at

    try:
        sizes.run(spec, "stopped", stop=stop, **WAYS["captured"])
    except Interrupted:
        results.say(f"stopped before step {stop_at}, and resumed")
    stopped = sizes.run(spec, "stopped", **WAYS["captured"])
    weights = [load_file(folder / WEIGHTS) for folder in (captured, stopped)]
    equal = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    most = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
    results.keep(resumed_equal=float(equal), resumed_largest_difference=most)
    results.say(f"resumed weights equal: {equal} (largest difference {number(most)})")
    on_cpu = sizes.run(sizes.stage(batch_images=batch, steps=sizes.parity_steps, precision="fp32"), "cpu", gpus=0.0, capture="off")
    apart = _largest_difference(_losses(captured), _losses(on_cpu))
    results.keep(parity_cpu=apart)
    results.say(f"captured beside fp32 on the CPU: {number(apart)} of their size at most")
    issuing(spec, sizes, results)


def _ours(sizes: Sizes, *, workload: str, way: str, batch: int, threads: int = 1, images: int | None = None) -> Contender:
    files = prepare(WORKLOADS[workload], sizes.root, images=images or sizes.images)
    job = Job(
        library="ours",
        precision="auto",
        workload=workload,
        device=sizes.device,
        threads=threads,
        batch_images=batch,
        images=images or sizes.images,
        root=str(sizes.root),
        **WAYS[way],
    )
    return Contender(name=f"{workload}, batch {batch:,}, {way}", job=job, files=files)


def steps(sizes: Sizes, results: Results, left_s: Left) -> None:
    """The small model at each batch size in each way, one process at a time, in turns."""
    made = {(way, batch): _ours(sizes, workload=sizes.small, way=way, batch=batch) for batch in sizes.batches for way in sizes.ways}
    found: dict[str, float] = {}
    with running(list(made.values()), at_once=True) as able:
        for one in able:
            one.round(sizes.seconds)
        for _ in range(sizes.rounds):
            for one in able:
                one.rates.append(one.round(sizes.seconds))
        results.say("\n| step | " + " | ".join(f"batch {batch:,}" for batch in sizes.batches) + " |")
        results.say("|---" * (1 + len(sizes.batches)) + "|")
        for way in sizes.ways:
            rates = [statistics.median(made[way, batch].rates) if made[way, batch] in able else None for batch in sizes.batches]
            results.say(f"| {way} | " + " | ".join("-" if rate is None else f"{rate:,.0f} images/s" for rate in rates) + " |")
            found |= {f"{way} {batch}": rate for batch, rate in zip(sizes.batches, rates, strict=True) if rate is not None}
    best = {batch: max((found.get(f"{way} {batch}", 0.0) for way in sizes.ways[1:]), default=0.0) for batch in sizes.batches}
    results.keep(steps_images_per_s=found, **{f"{'viny' if sizes.gpus else sizes.small}_{batch}": rate for batch, rate in best.items() if rate})
    first = sizes.batches[0]
    if found.get(f"eager {first}") and best[first]:
        results.keep(viny_64_over_eager=best[first] / found[f"eager {first}"])


def _fastest_way(sizes: Sizes, results: Results) -> str:
    """The way in which `steps` was fastest at the smallest batch, so that a way which does not work
    here costs its own rows alone; the last of all ways where nothing was measured.
    """
    measured = results.values.get("steps_images_per_s", {})
    rates = {way: rate for way in sizes.ways if (rate := measured.get(f"{way} {sizes.batches[0]}"))}
    return max(rates, key=lambda way: rates[way]) if rates else sizes.ways[-1]


def together(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Several processes at once on one GPU."""
    way = _fastest_way(sizes, results)
    totals: dict[int, float] = {}
    made = [_ours(sizes, workload=sizes.small, way=way, batch=sizes.batches[0]) for _ in range(max(sizes.processes))]
    with running(made, at_once=True) as able:
        for one in able:
            one.round(sizes.seconds)
        for count in sizes.processes:
            if count <= len(able):
                totals[count] = _all_at_once(able[:count], 2 * sizes.seconds)
                results.say(f"{count} processes, batch {sizes.batches[0]}: {totals[count]:,.0f} images/s in all")
    if not totals:
        raise GaveUp("no process was ready to train")
    results.keep(together_images_per_s={str(count): rate for count, rate in totals.items()}, viny_together=max(totals.values()))


def _all_at_once(contenders: Sequence[Contender], seconds: float) -> float:
    """Images a second of all, in one round that they train together."""
    rates: list[float] = []

    def go(one: Contender) -> None:
        rates.append(one.round(seconds))

    threads = [threading.Thread(target=go, args=(one,)) for one in contenders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(rates) < len(contenders):
        raise GaveUp("a process ended in its round")
    return sum(rates)


def loops(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Ours beside the usual loop and transformers', in turns."""
    batch = sizes.batches[0]
    ours = _ours(sizes, workload=sizes.small, way=_fastest_way(sizes, results), batch=batch)
    rivals = {}
    for library in sizes.rivals:
        if not LIBRARIES[library].installed:
            results.say(f"{LIBRARIES[library].title}: skipped: {LIBRARIES[library].needs} is not installed")
            continue
        job = dataclasses.replace(ours.job, library=library, precision="fp32", threads=os.cpu_count() or 1, compile="auto", capture="auto")
        rivals[library] = Contender(name=LIBRARIES[library].title, job=job, files=ours.files)
    with running([ours, *rivals.values()], at_once=True) as able:
        for one in able:
            one.choose_workers(sizes.workers, sizes.seconds)
            one.round(sizes.seconds)
        for _ in range(sizes.rounds):
            for one in able:
                one.rates.append(one.round(sizes.seconds))
        for library, one in rivals.items():
            if one in able and ours in able:
                ratio = statistics.median(a / b for a, b in zip(ours.rates, one.rates, strict=True))
                results.keep(**{f"over_{library}": ratio})
                results.say(
                    f"{one.name}: {statistics.median(one.rates):,.0f} images/s ({one.workers} loading processes); ours {ratio:.1f} times as fast"
                )


def large(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Models that fill the GPU: images a second and share of the measured ceiling."""
    for name in sizes.large:
        if left_s() < (ENOUGH_S if sizes.gpus else 0):
            results.say(f"{name}: skipped: the minutes are over")
            continue
        workload = WORKLOADS[name]
        batch, images = workload.batch_on[sizes.device], min(1024, workload.images_on[sizes.device])
        one = _ours(sizes, workload=name, way=_fastest_way(sizes, results), batch=batch, images=images)
        with running([one]) as able:
            if not able:
                continue
            ceiling = product_flops_per_s(sizes.device, one.about["precision"], threads=1, seconds=min(0.3, sizes.seconds))
            one.round(sizes.seconds)
            rate = statistics.median(one.round(2 * sizes.seconds) for _ in range(sizes.rounds))
            reached, peak = rate * one.about["flops"], one.ask("memory")["bytes"]
        results.keep(**{f"{name.replace('-', '_')}_images_per_s": rate, f"{name.replace('-', '_')}_utilisation": reached / ceiling})
        results.say(
            f"{workload.title}, batch {batch}: {rate:,.0f} images/s, {reached / 1e12:.3g} TFLOP/s, "
            f"{reached / ceiling:.0%} of the ceiling {ceiling / 1e12:.3g}, {peak / 2**30:.1f} GiB at most"
        )


def overhead(sizes: Sizes, results: Results, left_s: Left) -> None:
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


def packing(sizes: Sizes, results: Results, left_s: Left) -> None:
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
    chosen = Sharer(load=load, most=min(int(cores), MOST, load.fitting(memory) if sizes.gpus else MOST), images=1.0, cores=cores).best
    results.keep(packing_decided_s=decided_s, packing_chosen=chosen, packing_load=dataclasses.asdict(load))
    results.say(
        f"gpus: auto takes {decided_s:.1f} s and chooses {chosen} stages at once: a step takes {1e3 * load.step_s:.3g} ms; the CPU starts kernels "
        f"for {1e3 * load.start_s:.3g} and the GPU has no time for others in {1e3 * load.occupied_s:.3g}, with {load.memory_bytes / 2**30:.1f} GiB"
    )
    processes = results.values.get("together_images_per_s", {})
    modelled = compiled_load(load) if _fastest_way(sizes, results) == "compiled and captured" else load
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


def study(sizes: Sizes, results: Results, left_s: Left) -> None:
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(60.0, left_s()))
    elapsed = time.perf_counter() - started
    count = len(list((stages / "runs").glob("stages/*/result.json")))
    results.say(f"{count} stages in {elapsed:.0f} s, exit status {done.returncode}")
    results.keep(study_s=elapsed, study_stages=count)
    if shares:
        results.keep(study_busy_share=statistics.mean(shares))
        results.say(f"the GPU was busy {statistics.mean(shares):.0%} of the time, start included")
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the launch failed")


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


PARTS: dict[str, Callable[[Sizes, Results, Left], None]] = {
    "parity": parity,
    "steps": steps,
    "together": together,
    "loops": loops,
    "large": large,
    "overhead": overhead,
    "packing": packing,
    "compiling": compiling,
    "study": study,
}
"""In order of value."""
