"""Where the time of a training step goes on a CPU core, and how much of it could be saved at most.

Matrix products are set beside the fastest products of this core, in turns and in CPU time, so that
other work on the machine weighs on both alike. What is neither a product nor attention is what
fusing kernels could save. In bf16 attention is written out, so its products stand among the others.

python -m benchmarks.cpu_step                       about two minutes on one core
python -m benchmarks.cpu_step --precision bf16
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.fitting.tables import show
from benchmarks.generated_data import data_of
from trials import StageSpec, get_recipe, stage_id
from trials.training.execution import Execution
from trials.training.parallel import Group
from trials.training.precision import Compute
from trials.training.run import Run

SIDES = (512, 1024, 2048)
PARTS = {"mm": "matrix products", "attention": "attention", "gelu": "GELU", "norm": "LayerNorm", "cat": "concatenation", "": "all else"}
"""What the name of a kernel holds, in the order in which it is looked for."""


def part_of(kernel: str) -> str:
    """The part of a step that a kernel belongs to."""
    return next(part for holds, part in PARTS.items() if holds in kernel)


def product_flops_per_cpu_s(precision: str, seconds: float = 0.5) -> float:
    """The best over square matrices of a few sides, a second of this thread's CPU time."""
    best = 0.0
    for side in SIDES:
        factors = [torch.randn(side, side, dtype=torch.bfloat16 if precision == "bf16" else torch.float32) for _ in range(2)]
        factors[0] @ factors[1]
        started, products = time.process_time(), 0
        while products < 2 or time.process_time() - started < seconds:
            factors[0] @ factors[1]
            products += 1
        best = max(best, products * 2 * side**3 / (time.process_time() - started))
    return best


@contextlib.contextmanager
def training_run(encoder: str, *, batch: int, precision: str, threads: int = 1) -> Iterator[Run]:
    """A pre-training of this encoder on generated images, ready for its first step."""
    Compute(device=torch.device("cpu"), precision=precision, reason="").choose_float32_products()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        side = int(encoder.rpartition("@")[2])
        spec = StageSpec(
            kind="pretrain",
            objective="simmim",
            encoder=encoder,
            data=data_of("leaves", "pretrain", root, image_px=side, images=2 * batch, heldout_images=8),
            recipe=get_recipe("pretrain", "compact", {"precision": precision, "batch_images": batch}),
            steps=1_000_000,
            eval_points=1,
            seed=0,
            parent=None,
        )
        folder = root / "stages" / stage_id(spec)
        folder.mkdir(parents=True)
        run = Run(spec, folder, root / "store", execution=Execution(cpus=threads, capture="off", compile="off"), group=Group(), log=lambda text: None)
        try:
            yield run
        finally:
            run.release()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_step", description="Where the time of a training step goes on a CPU core.")
    parser.add_argument("--encoder", default="viny/16@128")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with training_run(options.encoder, batch=options.batch, precision=options.precision) as run:
        for step in range(2):
            run.update(step, 1e-4)
        steps_s, ceilings = [], []
        for step in range(options.steps):
            started = time.process_time()
            run.update(2 + step, 1e-4)
            steps_s.append(time.process_time() - started)
            ceilings.append(product_flops_per_cpu_s(options.precision, 0.2))
        with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiled:
            for step in range(3):
                run.update(100 + step, 1e-4)
    _print(profiled, step_s=min(steps_s), ceiling=max(ceilings), options=options)


def _print(profiled: profile, *, step_s: float, ceiling: float, options: argparse.Namespace) -> None:
    times: Counter[str] = Counter()
    flops: Counter[str] = Counter()
    for kernel in profiled.key_averages():
        times[part_of(kernel.key)] += kernel.self_cpu_time_total
        flops[part_of(kernel.key)] += kernel.flops / 3
    whole = sum(times.values())
    rows = []
    for part, spent in times.most_common():
        speed = flops[part] / (step_s * spent / whole)
        rows.append(
            [
                part,
                f"{spent / whole:.0%}",
                f"{1000 * step_s * spent / whole:.0f}",
                *(_speed(speed, ceiling) if part == "matrix products" else ("", "")),
            ]
        )
    print(f"{options.encoder}, {options.batch} images, {options.precision}, one thread: {step_s:.3f} s of CPU a step, the least of {options.steps}")
    print(f"the fastest products of this core: {ceiling / 1e9:.0f} GFLOP/s\n")
    show(["part", "share", "ms of CPU", "GFLOP/s", "of the fastest"], rows)
    kept = times["matrix products"] + times["attention"]
    print(f"with all but products and attention for nothing, a step would be {whole / kept:.2f} times as fast")


def _speed(speed: float, ceiling: float) -> tuple[str, str]:
    return f"{speed / 1e9:.0f}", f"{speed / ceiling:.0%}"


if __name__ == "__main__":
    main()
