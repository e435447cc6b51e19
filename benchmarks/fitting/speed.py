"""How long one curve takes: a power law with 1,000 bootstraps against lmfit's, and a default fit of
every law.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable

import numpy as np

from analysis import LAWS, fit
from benchmarks.fitting import rivals
from benchmarks.fitting.parameters import TRUTH, points
from benchmarks.fitting.tables import Options, show, verdict

Array = np.ndarray
POINTS = 12
MILLISECONDS, RATIO = 100.0, 50.0


def _ours(x: Array, y: Array, samples: int) -> float:
    start = time.perf_counter()
    fit(x, y, bootstrap=samples)
    return time.perf_counter() - start


def _lmfit(x: Array, y: Array, samples: int, random: np.random.Generator) -> float:
    """Fit and refits of resampled points from the fit, the loop that its users write."""
    import lmfit

    with rivals.quietly():
        start = time.perf_counter()
        model = lmfit.Model(rivals.power)
        first = model.fit(y, model.make_params(**TRUTH), x=x)
        for _ in range(samples):
            drawn = random.integers(len(x), size=len(x))
            model.fit(y[drawn], first.params, x=x[drawn])
        return time.perf_counter() - start


def _each_law(x: Array, y: Array, laws: Iterable[str], rounds: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for law in laws:
        fit(x, y, law=law)
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            fitted = fit(x, y, law=law)
            times.append(1e3 * (time.perf_counter() - start))
        rows.append([law, float(np.median(times)), float(min(times)), fitted.status])
    return rows


def run(options: Options) -> None:
    """Print both tables."""
    random = np.random.default_rng(options.seed)
    samples, rounds = options.count(1000, 100), options.count(5, 2)
    x, y = points(random, POINTS, 2.0)
    fit(x, y, bootstrap=50)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_ours(x, y, samples))
        if importlib.util.find_spec("lmfit"):
            theirs.append(_lmfit(x, y, samples, random))
    table = [[f"fit(x, y, bootstrap={samples})", 1e3 * float(np.median(ours)), 1e3 * min(ours), ""]]
    if theirs:
        ratio = float(np.median(np.array(theirs) / np.array(ours)))
        table.append([f"lmfit fit from the truth and {samples} refits", 1e3 * float(np.median(theirs)), 1e3 * min(theirs), f"{ratio:.0f}x"])
    show([f"power law, {POINTS} points", f"ms, median of {rounds}", "ms, best", "median ratio of pairs"], table)
    verdict(
        f"{samples} bootstraps in {1e3 * float(np.median(ours)):.0f} ms warm",
        f"1000 in under {MILLISECONDS:g} ms",
        bool(1e3 * np.median(ours) < MILLISECONDS),
        judged=not options.quick,
    )
    if theirs:
        verdict(f"{ratio:.0f} times as fast as lmfit", f"at least {RATIO:g}", ratio >= RATIO, judged=not options.quick)
    x, y = points(random, 24, 3.0)
    show(
        ["law, default fit of 24 points", "ms, median", "ms, best", "status"],
        _each_law(x, y, ("power", "last_value") if options.quick else LAWS, options.count(9, 1)),
    )
