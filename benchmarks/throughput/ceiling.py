"""How fast this machine multiplies matrices: the most that any model could make of it."""

from __future__ import annotations

import time

import torch

from benchmarks.throughput.laps import synchroniser
from trials.training.precision import Compute

SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}


def product_flops_per_s(device: str, precision: str, *, threads: int, seconds: float = 0.5) -> float:
    """The best over square matrices of a few sides, each multiplied for so many seconds; factors
    rounded as our stages round them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    Compute(device=torch.device(device), precision=precision, reason="").choose_float32_products()
    synchronise, best = synchroniser(device), 0.0
    try:
        for side in SIDES[device]:
            factors = [torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32) for _ in range(2)]
            factors[0] @ factors[1]
            synchronise()
            started, products = time.perf_counter(), 0
            while products < 2 or time.perf_counter() - started < seconds:
                factors[0] @ factors[1]
                products += 1
                if products % 8 == 0:
                    synchronise()
            synchronise()
            best = max(best, products * 2 * side**3 / (time.perf_counter() - started))
    finally:
        torch.set_num_threads(before)
    return best
