"""What compiling takes before a stage's first step: with no kernels on the disk, and with those of an
earlier process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.issuing import ready_run
from benchmarks.gpu.results import Results, number
from benchmarks.gpu.sizes import Sizes
from trials.training.captured import WARM_UP_STEPS

LIMIT_S = 150.0
"""Of one process: compiling a block took up to 38 s on an H200."""


def first_steps_s(sizes: Sizes, way: str) -> float:
    """Seconds from a stage's first step to its first replayed one, in this process."""
    run = ready_run(sizes.stage(batch_images=sizes.batches[0], steps=sizes.parity_steps), f"first-steps-{os.getpid()}", sizes, way)
    started = time.perf_counter()
    for step in range(WARM_UP_STEPS + 2):
        run.update(step, 1e-4)
    run.compute.synchronise()
    spent = time.perf_counter() - started
    run.release()
    return spent


def _in_a_new_process(sizes: Sizes, way: str, kernels: Path) -> float:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.first_steps", sizes.device, str(sizes.root), way],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(kernels), "TRITON_CACHE_DIR": str(kernels / "triton")},
    )
    if said.returncode:
        raise RuntimeError(said.stderr.strip().splitlines()[-1] if said.stderr.strip() else f"exit status {said.returncode}")
    return float(said.stdout.splitlines()[-1])


def compiling(sizes: Sizes, results: Results, left_s: Callable[[], float]) -> None:
    """The seconds that compiling adds to the first steps of a stage, each in a process of its own."""
    way = "compiled and captured" if "compiled and captured" in sizes.ways else "captured"
    sizes.stage(batch_images=sizes.batches[0], steps=sizes.parity_steps)  # its images, which no process should wait for
    kernels = sizes.root / "kernels-of-this-part"
    without = _in_a_new_process(sizes, "captured", kernels)
    cold, warm = (_in_a_new_process(sizes, way, kernels) - without for _ in range(2))
    results.keep(compile_cold_s=cold, compile_warm_s=warm)
    results.say(
        f"compiling takes {number(cold)} s (8 at most is wanted), and {number(warm)} s (2) with the kernels of an earlier process; "
        f"the first steps without it take {number(without)} s"
    )


if __name__ == "__main__":
    device, root, way = sys.argv[1:]
    print(first_steps_s((Sizes.whole if device == "cuda" else Sizes.tiny)(Path(root)), way))
