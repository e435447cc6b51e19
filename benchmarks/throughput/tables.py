"""What is printed of a model: speeds and ratios, parts of a step, and targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.fitting.tables import show, verdict
from benchmarks.throughput.laps import PARTS
from benchmarks.throughput.models import Workload
from benchmarks.throughput.rounds import Contender, ratios
from trials.cost.packing import Packing


def show_speeds(contenders: Sequence[Contender]) -> None:
    """One row a contender; ratios are of the first one to it."""
    ours, rows = contenders[0], []
    for one in contenders:
        median = statistics.median(one.rates)
        useful = median * one.about["flops"]
        rows.append(
            [
                one.name,
                one.about["precision"],
                "none" if one.workers is None else one.workers,
                f"{one.about['parameters'] / 1e6:.2f}",
                f"{one.about['flops'] / 1e9:.2f}",
                f"{_rate(median)} ({_rate(min(one.rates))} to {_rate(max(one.rates))})",
                "1" if one is ours else _span(ours, one),
                f"{useful / 1e12:.3g}",
                f"{statistics.median(one.shares):.0%}",
                f"{one.peak_bytes / 2**30:.2f}",
            ]
        )
    show(
        [
            "loop",
            "precision",
            "loading processes",
            "M parameters",
            "GFLOPs an image",
            "images/s, median (range)",
            "ours / this, median (range)",
            "TFLOP/s",
            "of the ceiling",
            "peak memory, GiB",
        ],
        rows,
    )
    tried = [f"{one.name} {', '.join(f'{n}: {_rate(rate)}' for n, rate in one.tried.items())}" for one in contenders if one.tried]
    if tried:
        print(f"\nimages/s by number of loading processes, when choosing: {'; '.join(tried)}", flush=True)


def show_parts(contenders: Sequence[Contender], loading: tuple[float, float]) -> None:
    """Where a step's time goes."""
    print("\nWhere the time of a step goes, with a clock that waits for the device between its parts:")
    share = [[one.name, *(f"{one.parts[part]:.0%}" if part in one.parts else "" for part in PARTS)] for one in contenders]
    show(["loop", *PARTS], share)
    print(
        "\n`data` is what a step waits for images: ours copies them out of the store (and to the device); a rival's are decoded and augmented in it, "
        f"or before it by its loading processes. One core takes {loading[0]:.2f} ms to decode a JPEG file of these and {loading[1]:.2f} ms for "
        "torchvision's transforms. `else` is drawing masks, keeping the loss and setting the rate.",
        flush=True,
    )


def show_split(contenders: dict[str, Contender]) -> None:
    """What of the ratio to each rival is arithmetic in bf16, and what is left."""
    ours = contenders["ours"]
    for name in ("usual", "transformers", "lightly"):
        if name not in contenders:
            continue
        words = [f"{_span(ours, contenders[name])} times as fast as it comes (fp32)"]
        if f"{name} bf16" in contenders:
            words.append(f"{_span(ours, contenders[f'{name} bf16'])} as fast as with bf16 autocast")
        if "ours fp32" in contenders:
            words.append(f"ours in fp32 {_span(contenders['ours fp32'], contenders[name])}")
        print(f"\nours against {name}: {'; '.join(words)}", flush=True)


def show_packing(measured: Sequence[Packing], device: str) -> None:
    """Several stages at once on one device."""
    print("\nSeveral such stages at once on random pixels (`trials.cost.packing`):")
    rows = [[one.stages, f"{one.images_per_s:,.0f}", f"{one.peak_memory_bytes / 2**30:.2f}" if device == "cuda" else ""] for one in measured]
    show(["stages", "images/s, all together", "peak memory of one, GiB"], rows)


def judge(workload: Workload, contenders: dict[str, Contender], *, device: str, packed: float, judged: bool) -> None:
    """Targets, met or not."""
    ours = contenders["ours"]
    target = workload.target_ratio_on.get(device)
    if target is not None and "usual" in contenders:
        median = ratios(ours, contenders["usual"])[0]
        verdict(f"{workload.title} on {device}: {median:.2f} times the usual loop", f">= {target:g}", median >= target, judged=judged)
    if device != "cuda":
        return
    best = max((one for name, one in contenders.items() if name.startswith("ours")), key=lambda one: statistics.median(one.rates))
    rate = statistics.median(best.rates)
    if workload.target_images_per_s is not None:
        goal = workload.target_images_per_s
        verdict(f"{workload.title}: {rate:,.0f} images/s in one stage ({best.name})", f">= {goal:,.0f} on an H200", rate >= goal, judged=judged)
        if packed:
            verdict(f"{workload.title}: {packed:,.0f} images/s of several stages", f">= {goal:,.0f} on an H200", packed >= goal, judged=judged)
    if workload.target_utilisation is not None:
        share = statistics.median(best.shares)
        goal = workload.target_utilisation
        verdict(f"{workload.title}: {share:.0%} of the ceiling ({best.name})", f">= {goal:.0%} on an H200", share >= goal, judged=judged)


def _rate(images_per_s: float) -> str:
    return f"{images_per_s:,.0f}" if images_per_s >= 100 else f"{images_per_s:.3g}"


def _span(first: Contender, second: Contender) -> str:
    median, least, most = ratios(first, second)
    return f"{median:.2f} ({least:.2f} to {most:.2f})"
