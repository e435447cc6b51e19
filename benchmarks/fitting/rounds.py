"""How well do runs chosen in rounds forecast large models, by the share of the budget spent?

A mixture of scales, which no law of the library is; 7 large runs are to be forecast from a pool of
small ones. The score is R2 on the 7, the median over worlds.
"""

from __future__ import annotations

import numpy as np

from analysis import AnalysisError, run_in_rounds
from benchmarks.fitting.surfaces import mixture_of_scales
from benchmarks.fitting.tables import Options, show, verdict

SHARES = (0.01, 0.05, 0.10)
TARGETS = (0.60, 0.88, 0.93)
WORLDS = 5
EXPONENTS = (0.3, 0.5, 1.0)


def run(options: Options) -> None:
    """Print the median R2 by exponent of the cost and share of the budget."""
    worlds = options.simulations or options.count(WORLDS, 1)
    table, best = [], np.full(len(SHARES), -np.inf)
    for exponent in EXPONENTS[: options.count(3, 1)]:
        scores = np.array([[_score(seed, share, exponent) for share in SHARES] for seed in range(options.seed, options.seed + worlds)])
        middle = np.median(scores, axis=0)
        best = np.maximum(best, middle)
        table.append([f"cost^{exponent:g}", *(f"{one:.2f}" for one in middle)])
    print(f"\nmedian R2 on 7 large runs over {worlds} worlds; the pool costs 100%")
    show(["gain per", *(f"{share:.0%} of the budget" for share in SHARES)], table)
    met = bool(np.all(best >= TARGETS))
    verdict(", ".join(f"{one:.2f}" for one in best), "0.60, 0.88, 0.93", met, judged=not options.quick)


def _score(seed: int, share: float, exponent: float) -> float:
    random = np.random.default_rng(seed)
    sizes, tokens = np.geomspace(2e6, 4e8, 22), np.geomspace(4e7, 8e9, 20)
    pool = np.array([(n, d) for n in sizes for d in tokens if 1.0 < d / n < 400.0])
    targets = 10 ** np.column_stack([random.uniform(8.7, 9.6, 7), random.uniform(10.0, 11.0, 7)])
    y = mixture_of_scales(np.concatenate([pool, targets]), random) * np.exp(0.003 * random.standard_normal(len(pool) + 7))
    cost, large = pool.prod(axis=1), y[len(pool) :]
    try:
        found = run_in_rounds(pool, lambda rows: y[rows], targets, cost, gpu_hours=share * float(cost.sum()), cost_exponent=exponent)
    except AnalysisError:
        return -np.inf
    return float(1.0 - np.sum((found.predict().mean - large) ** 2) / np.sum((large - large.mean()) ** 2))
