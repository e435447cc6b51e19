"""Images a second: in each way to take a step, of several processes, beside other loops, and of models
that fill the GPU.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.gpu.results import Results
from benchmarks.gpu.sizes import WAYS, Sizes
from benchmarks.throughput.ceiling import product_flops_per_s
from benchmarks.throughput.contender import Job
from benchmarks.throughput.images import prepare
from benchmarks.throughput.loops import LIBRARIES
from benchmarks.throughput.models import WORKLOADS
from benchmarks.throughput.rounds import Contender, GaveUp, running

Left = Callable[[], float]
ENOUGH_S = 60.0
"""Seconds that a model needs at least, where starting and compiling takes most of them."""
LIMIT_S = 120.0
"""Longest wait for one answer of a process. One that hangs is then ended, and the rest goes on."""
SAID = {"captured": "steps not captured", "compiled": "without torch.compile"}


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
    return Contender(name=f"{workload}, batch {batch:,}, {way}", job=job, files=files, limit_s=LIMIT_S)


@contextmanager
def _at_work(contenders: Sequence[Contender], results: Results, *, at_once: bool = False) -> Iterator[list[Contender]]:
    """Those that start; what the others said last is in the results."""
    with running(list(contenders), at_once=at_once, on_gave_up=lambda one, words: _gave_up(one, words, results)) as able:
        yield able


def _gave_up(one: Contender, words: GaveUp, results: Results) -> None:
    results.say(f"{one.name}: gave up: {words}")
    results.attach(one.name, words.log)


def _each(able: list[Contender], results: Results, what: Callable[[Contender], object]) -> None:
    """Do it with each; one that gives up is named and taken out, and costs its own row alone."""
    for one in list(able):
        try:
            what(one)
        except GaveUp as words:
            one.stop()
            able.remove(one)
            _gave_up(one, words, results)


def _as_asked(one: Contender, results: Results) -> bool:
    """Whether it takes its steps in the way that was asked for; else its reason is told."""
    wanted = [SAID["captured"]] * (one.job.capture == "on") + [SAID["compiled"]] * (one.job.compile == "default")
    fallen = [line for line in one.ask("said")["lines"] if any(words in line for words in wanted) or "without a captured step" in line]
    for line in fallen:
        results.say(f"{one.name}: NOT as asked: {line}")
    return not fallen


def steps(sizes: Sizes, results: Results, left_s: Left) -> None:
    """The small model at each batch size in each way, one process at a time, in turns."""
    # at other sizes than the least and the most compiling is left out: it takes longer than the rest
    ends = {min(sizes.batches), max(sizes.batches)}
    kinds = [(way, batch) for batch in sizes.batches for way in sizes.ways if batch in ends or "compiled" not in way]
    made = {kind: _ours(sizes, workload=sizes.small, way=kind[0], batch=kind[1]) for kind in kinds}
    found: dict[str, float] = {}
    with _at_work(list(made.values()), results, at_once=True) as able:
        _each(able, results, lambda one: one.round(sizes.seconds))
        fallen = [one for one in able if not _as_asked(one, results)]
        for _ in range(sizes.rounds):
            if left_s() > 0:
                _each(able, results, lambda one: one.rates.append(one.round(sizes.seconds)))
        for (way, batch), one in made.items():
            if one.rates and one not in fallen:
                found[f"{way} {batch}"] = statistics.median(one.rates)
    results.keep(steps_images_per_s=found)
    results.say("\n| step | " + " | ".join(f"batch {batch:,}" for batch in sizes.batches) + " |")
    results.say("|---" * (1 + len(sizes.batches)) + "|")
    for way in sizes.ways:
        rates = [found.get(f"{way} {batch}") for batch in sizes.batches]
        results.say(f"| {way} | " + " | ".join("-" if rate is None else f"{rate:,.0f} images/s" for rate in rates) + " |")
    best = {batch: max((found.get(f"{way} {batch}", 0.0) for way in sizes.ways[1:]), default=0.0) for batch in sizes.batches}
    results.keep(**{f"{'viny' if sizes.gpus else sizes.small}_{batch}": rate for batch, rate in best.items() if rate})
    first = sizes.batches[0]
    if found.get(f"eager {first}") and best[first]:
        results.keep(viny_64_over_eager=best[first] / found[f"eager {first}"])


def fastest_way(sizes: Sizes, results: Results) -> str:
    """The way in which `steps` was fastest at the smallest batch, so that a way which does not work
    here costs its own rows alone; captured steps where nothing was measured.
    """
    measured = results.values.get("steps_images_per_s", {})
    rates = {way: rate for way in sizes.ways if (rate := measured.get(f"{way} {sizes.batches[0]}"))}
    return max(rates, key=lambda way: rates[way]) if rates else "captured"


def together(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Several processes at once on one GPU."""
    way = fastest_way(sizes, results)
    totals: dict[int, float] = {}
    made = [_ours(sizes, workload=sizes.small, way=way, batch=sizes.batches[0]) for _ in range(max(sizes.processes))]
    with _at_work(made, results, at_once=True) as able:
        _each(able, results, lambda one: one.round(sizes.seconds))
        able = [one for one in able if _as_asked(one, results)]
        for count in sizes.processes:
            if count <= len(able) and left_s() > 0:
                totals[count] = _all_at_once(able[:count], 2 * sizes.seconds)
                results.say(f"{count} processes, batch {sizes.batches[0]}: {totals[count]:,.0f} images/s in all")
                results.keep(together_images_per_s={str(count): rate for count, rate in totals.items()}, viny_together=max(totals.values()))
    if not totals:
        raise GaveUp("no process was ready to train")


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
    ours = _ours(sizes, workload=sizes.small, way=fastest_way(sizes, results), batch=batch)
    rivals = {}
    for library in sizes.rivals:
        if not LIBRARIES[library].installed:
            results.say(f"{LIBRARIES[library].title}: skipped: {LIBRARIES[library].needs} is not installed")
            continue
        job = dataclasses.replace(ours.job, library=library, precision="fp32", threads=os.cpu_count() or 1, compile="auto", capture="auto")
        rivals[library] = Contender(name=LIBRARIES[library].title, job=job, files=ours.files, limit_s=LIMIT_S)

    def begin(one: Contender) -> None:
        one.choose_workers(sizes.workers, sizes.seconds)
        one.round(sizes.seconds)

    with _at_work([ours, *rivals.values()], results, at_once=True) as able:
        _each(able, results, begin)
        if ours in able and not _as_asked(ours, results):
            return
        for _ in range(sizes.rounds):
            if left_s() > 0:
                _each(able, results, lambda one: one.rates.append(one.round(sizes.seconds)))
        for library, one in rivals.items():
            if one in able and ours in able and one.rates:
                ratio = statistics.median(a / b for a, b in zip(ours.rates, one.rates, strict=True))
                results.keep(**{f"over_{library}": ratio})
                results.say(
                    f"{one.name}: {statistics.median(one.rates):,.0f} images/s ({one.workers} loading processes); ours {ratio:.1f} times as fast"
                )


def large(sizes: Sizes, results: Results, left_s: Left) -> None:
    """Models that fill the GPU: images a second and share of the measured ceiling."""
    for name in sizes.large:
        left = left_s()
        if left < (ENOUGH_S if sizes.gpus else 0):
            results.say(f"{name}: skipped: the minutes are over")
            continue
        # SwinV2's blocks differ in shape, and each shape is compiled
        way = fastest_way(sizes, results) if left > 2 * ENOUGH_S or not sizes.gpus else "captured"
        workload = WORKLOADS[name]
        batch, images = workload.batch_on[sizes.device], min(1024, workload.images_on[sizes.device])
        one = _ours(sizes, workload=name, way=way, batch=batch, images=images)
        with _at_work([one], results) as able:
            _each(able, results, lambda one, name=name: _measure_large(one, name, sizes, results))  # type: ignore[misc]


def _measure_large(one: Contender, name: str, sizes: Sizes, results: Results) -> None:
    ceiling = product_flops_per_s(sizes.device, one.about["precision"], threads=1, seconds=min(0.3, sizes.seconds))
    one.round(sizes.seconds)
    if not _as_asked(one, results):
        return
    rate = statistics.median(one.round(2 * sizes.seconds) for _ in range(sizes.rounds))
    reached, peak = rate * one.about["flops"], one.ask("memory")["bytes"]
    key = name.replace("-", "_")
    results.keep(**{f"{key}_images_per_s": rate, f"{key}_utilisation": reached / ceiling})
    results.say(
        f"{one.name} ({WORKLOADS[name].title}): {rate:,.0f} images/s, {reached / 1e12:.3g} TFLOP/s, "
        f"{reached / ceiling:.0%} of the ceiling {ceiling / 1e12:.3g}, {peak / 2**30:.1f} GiB at most"
    )
