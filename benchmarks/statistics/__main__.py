"""How often do the tests of `analysis` err, and do their intervals hold the truth? Simulated grids
with known truth, beside naive tests.

    python -m benchmarks.statistics                          # everything, 2,000 simulations
    python -m benchmarks.statistics --only effects growth
    python -m benchmarks.statistics --simulations 100        # a look, in a minute or two

Every grid shares as a real one does (`benchmarks/statistics/grids.py`): three seeds, and
pre-trainings, intermediate stages and label subsets that several runs have in common. Rejections
are at a nominal 5%, intervals at a nominal 95%; `+-` is two standard errors of the simulation.
"""

from __future__ import annotations

import argparse
import importlib
import time

SECTIONS = {
    "effects": "Treatment effects: error rate and coverage",
    "summaries": "Tests from printed means",
    "power": "Power by number of seeds",
    "growth": "Does the effect grow with the gain? Regression to the mean",
    "correlation": "Correlations of loss and score",
    "overfitting": "Slopes and correlations by phase",
    "data_size": "Does more data help?",
    "claims": "Verdicts of `findings`",
    "worlds": "Worlds with known truth: wrong verdicts, the true cause named, power",
    "proxies": "The same worlds: does the loss predict, or is it a clock?",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.only:
        print(f"\n## {SECTIONS[name]}: `python -m benchmarks.statistics --only {name}`\n", flush=True)
        start = time.perf_counter()
        importlib.import_module(f"benchmarks.statistics.{name}").run(simulations=given.simulations, seed=given.seed)
        print(f"\n{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
