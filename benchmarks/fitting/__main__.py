"""How good, how fast and how honest are the fits of `analysis`? One section a question, beside
scipy, lmfit and the chinchilla package.

    # lmfit and chinchilla
    uv sync --group benchmark
    # everything: one to two hours on one core, most of it `parameters` and `lcdb`
    python -m benchmarks.fitting
    python -m benchmarks.fitting --only speed recovery
    # every section in a small form, one to three minutes; it only shows that they run
    python -m benchmarks.fitting --quick

Public sets are read from `--data`, tests/data unless given, which holds two of the four; a section
whose set is absent says so and is skipped. Every tool gets the same points in the same process.
Times are of a shared machine: read ratios. A section ends in what it measured against its target,
met or not.

Choices among laws are made inside the points to be fitted only, by rolling origin; the later points
are seen once, to score. Expected:

- chinchilla: 1018.2740 on 240 points, 1826.0105 on 245; scipy from p0 = 1 231,775 in silence;
  standard errors within 10% of the reference's
- starts: every random start reaches the best optimum
- parameters: ours 0.93 to 0.97; +-1.96 SE 0.79 to 0.93, residual bootstrap 0.78 to 0.91, Student's
  t 0.92 to 0.96, lmfit's profile 0.96
- speed: a fit and 1,000 bootstraps in under 100 ms, 50 times as fast as lmfit or more
- many_points: m4 and broken powers on 10,000 points in under 10 s each
- recovery: every law to 1e-13; curve_fit from p0 = 1 misses most laws of more than four parameters
- import: a small fraction of `import pandas`; neither torch nor Ray
- extrapolation: choose_law below the last value repeated, 0.0085
- lcdb: choose_law ranks before every single law at 20, 40 and 80%
- defaults: fit(x, y) below the last value on each set
- surfaces: choose_surface below each law on average, its intervals 85 to 95%
- rounds: ten times the budget forecasts better; R2 of 0.60, 0.88, 0.93 at 1, 5, 10% of the budget
- prediction_intervals: choose_law 85 to 95% on each set; the delta method alone 45 to 65%
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

from benchmarks.fitting.tables import MissingData, Options

SECTIONS = {
    "chinchilla": "The Chinchilla surface",
    "starts": "Random starts",
    "parameters": "Intervals of parameters, simulated, nominal 95%",
    "speed": "Speed on one curve",
    "many_points": "Processor time on 10,000 points",
    "recovery": "Exact recovery of noise-free points",
    "import": "Import",
    "extrapolation": "Extrapolation of language curves",
    "defaults": "The default fit beside the last value",
    "lcdb": "Extrapolation of LCDB's learning curves",
    "prediction_intervals": "Intervals for new runs, real curves, nominal 90%",
    "surfaces": "Surfaces beyond the budgets seen",
    "rounds": "Runs chosen in rounds",
}
MODULES = {"import": "importing"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--data", type=Path, default=Path("tests/data"), help="folder of the public sets")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--simulations", type=int, help="per cell")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    options = Options(data=given.data, quick=given.quick, simulations=given.simulations, seed=given.seed)
    for name in given.only:
        print(f"\n## {SECTIONS[name]}: `python -m benchmarks.fitting --only {name}`", flush=True)
        start = time.perf_counter()
        try:
            importlib.import_module(f"benchmarks.fitting.{MODULES.get(name, name)}").run(options)
        except MissingData as missing:
            print(f"\nskipped: {missing}")
        print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
