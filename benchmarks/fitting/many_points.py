"""How much processor time do m4 and the broken powers take on 10,000 points?"""

from __future__ import annotations

import time

import numpy as np

from analysis import fit
from benchmarks.fitting.tables import Options, show, verdict

POINTS = 10_000
LAWS = ("m4", "broken_power", "broken_power_2", "falling_broken_power")
SECONDS = 10.0


def run(options: Options) -> None:
    """Print the processor time of each law on a training curve with 1% noise and some outliers."""
    random = np.random.default_rng(options.seed)
    x = np.linspace(1e3, 1e6, options.count(POINTS, 2_500))
    y = (0.1 + 2.0 * (x + 2e4) ** -0.3) * np.exp(0.01 * random.standard_normal(len(x)))
    y[::97] *= 1.3
    rows: list[list[object]] = []
    slowest = 0.0
    for law in LAWS[: options.count(len(LAWS), 1)]:
        start = time.process_time()
        fitted = fit(x, y, law=law)
        slowest = max(slowest, taken := time.process_time() - start)
        rows.append([law, f"{taken:.1f}", fitted.status, f"{fitted.objective:.6f}"])
    show([f"law, {len(x):,} points", "s of processor time", "status", "loss over all points"], rows)
    verdict(f"at most {slowest:.1f} s", f"under {SECONDS:g} s each", slowest < SECONDS, judged=not options.quick)
