"""Whether captured steps train as eager ones do, on the GPU and the CPU, and whether a stopped stage
resumes.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.gpu.issuing import issuing
from benchmarks.gpu.results import Results, number
from benchmarks.gpu.sizes import WAYS, Sizes
from trials.stage_files import WEIGHTS, read_json
from trials.training.interrupts import Interrupted


def _losses(folder: Path, name: str = "train_mim_loss") -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def _largest_difference(first: Sequence[float], second: Sequence[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(first, second, strict=True))


def parity(sizes: Sizes, results: Results, left_s: Callable[[], float]) -> None:
    """Captured steps train as eager ones do, on the GPU and the CPU, and a stopped stage resumes."""
    batch = sizes.batches[0]
    for key in ("parity_captured", "parity_evaluated", "parity_cpu", "resumed_equal"):
        results.values.pop(key, None)  # of an earlier command
    spec = dataclasses.replace(sizes.stage(batch_images=batch, steps=sizes.parity_steps), eval_points=5)
    eager = sizes.run(spec, "eager", **WAYS["eager"])
    captured = sizes.run(spec, "captured", **WAYS["captured"])
    about, log = read_json(captured / "provenance.json") or {}, (captured / "log.txt").read_text()
    results.attach("captured", log)
    results.say(f"captured: {about['captured']} ({about['reason_not_captured'] or 'as asked'}), in {about['precision']}")
    apart = _largest_difference(_losses(captured), _losses(eager))
    results.keep(parity_captured_is_captured=about["captured"])
    if about["captured"]:  # else eager steps would stand beside eager ones
        results.keep(parity_captured=apart)
    results.say(f"captured beside eager: losses of {sizes.parity_steps} steps differ by {number(apart)} of their size at most")
    evaluated = [_losses(captured, name) + _losses(eager, name) for name in ("val_mim_loss", "train_eval_mim_loss")]
    apart = max(_largest_difference(both[: len(both) // 2], both[len(both) // 2 :]) for both in evaluated)
    repeated = about["captured"] and "was not captured" not in log
    results.keep(parity_evaluated_is_captured=repeated)
    if repeated:
        results.keep(parity_evaluated=apart)
    results.say(f"held-out losses {'captured' if repeated else 'NOT captured'}, beside eager ones: {number(apart)} of their size at most")
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
    beside = dataclasses.replace(sizes.stage(batch_images=batch, steps=sizes.parity_steps, precision="fp32"), eval_points=5)
    on_cpu = sizes.run(beside, "cpu", gpus=0.0, capture="off")
    # a GPU draws other masks to train with; those of held-out images are drawn on the CPU
    apart = _largest_difference(_losses(captured, "val_mim_loss"), _losses(on_cpu, "val_mim_loss"))
    results.keep(parity_cpu=apart)
    results.say(f"held-out losses beside those of fp32 on the CPU: {number(apart)} of their size at most")
    issuing(spec, sizes, results)
