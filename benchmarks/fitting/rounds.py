"""How well do runs chosen in rounds forecast large models, by the share of the budget spent?

7 large runs are to be forecast from a pool of small ones, where the truth is a law of the library
(chinchilla), another one (coupled, which is skaling), and none of its laws (a mixture of
scales). Beside it, runs taken at random for as many GPU-hours, and the whole pool. R2 is relative
to the spread of the 7 in their world, which is small in some: read it beside the RMSLE.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from analysis import AnalysisError, choose_surface, run_in_rounds
from benchmarks.fitting.curves import rmsle
from benchmarks.fitting.surfaces import TRUTHS, true_loss
from benchmarks.fitting.tables import Options, show, verdict

Array = NDArray[np.float64]

SHARES = (0.01, 0.05, 0.10)
TARGETS = (0.60, 0.88, 0.93)
WORLDS = 6
FEWEST = 8  # runs that random choice takes at least


def run(options: Options) -> None:
    """Print mean RMSLE and median R2 by truth, way of choosing and share of the budget."""
    worlds = options.simulations or options.count(WORLDS, 1)
    table: list[list[object]] = []
    chosen = {}
    for truth in TRUTHS[::-1] if not options.quick else TRUTHS[-1:]:
        found = [_scores(truth, seed) for seed in range(options.seed, options.seed + worlds)]
        for way in found[0]:
            off, R2 = np.mean([one[way][0] for one in found], axis=0), np.median([one[way][1] for one in found], axis=0)
            table.append([truth, way, *(f"{one:.4f}" for one in off), *(f"{one:.2f}" for one in R2)])
            if way == "in rounds":
                chosen[truth] = off, R2
        whole = [
            _score(truth, seed, lambda pool, y, targets, cost: _forecast(pool, y, np.arange(len(pool)), targets))
            for seed in range(options.seed, options.seed + worlds)
        ]
        off, R2 = np.mean([one[0] for one in whole]), np.median([one[1] for one in whole])
        table.append([truth, "the whole pool", "", "", f"{off:.4f}", "", "", f"{R2:.2f}"])
    print(f"\nmean RMSLE and median R2 on 7 large runs over {worlds} worlds, by the share of what the whole pool costs")
    show(["truth", "runs", *(f"RMSLE at {one:.0%}" for one in SHARES), *(f"R2 at {one:.0%}" for one in SHARES)], table)
    falls = all(off[-1] < off[0] for off, _ in chosen.values())
    verdict(f"ten times the budget forecasts {'better' if falls else 'not better'} in each truth", "better", falls, judged=not options.quick)
    R2 = chosen[TRUTHS[-1]][1]
    verdict(", ".join(f"{one:.2f}" for one in R2), "0.60, 0.88, 0.93", bool(np.all(R2 >= TARGETS)), judged=not options.quick)


def _scores(truth: str, seed: int) -> dict[str, tuple[list[float], list[float]]]:
    """Per way of choosing, RMSLE and R2 at each share."""
    found: dict[str, tuple[list[float], list[float]]] = {"in rounds": ([], []), "at random": ([], [])}
    for share in SHARES:
        for way, (off, R2) in found.items():

            def forecast(pool: Array, y: Array, targets: Array, cost: Array, way: str = way, share: float = share) -> Array:
                hours = share * float(cost.sum())
                if way == "in rounds":
                    return run_in_rounds(pool, lambda rows: y[rows], targets, cost, gpu_hours=hours).predict().mean
                order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(cost <= hours / FEWEST))
                return _forecast(pool, y, order[np.cumsum(cost[order]) <= hours], targets)

            one = _score(truth, seed, forecast)
            off.append(one[0])
            R2.append(one[1])
    return found


def _forecast(pool: Array, y: Array, rows: NDArray[np.int64], targets: Array) -> Array:
    return choose_surface(pool[rows], y[rows]).predict(targets).mean


def _score(truth: str, seed: int, forecast: Callable[[Array, Array, Array, Array], Array]) -> tuple[float, float]:
    """RMSLE and R2 on the large runs of one world."""
    random = np.random.default_rng(seed)
    sizes, tokens = np.geomspace(2e6, 4e8, 22), np.geomspace(4e7, 8e9, 20)
    pool = np.array([(n, d) for n in sizes for d in tokens if 1.0 < d / n < 400.0])
    targets = 10 ** np.column_stack([random.uniform(8.7, 9.6, 7), random.uniform(10.0, 11.0, 7)])
    y = true_loss(truth, np.concatenate([pool, targets]), random) * np.exp(0.003 * random.standard_normal(len(pool) + 7))
    large = y[len(pool) :]
    try:
        mean = forecast(pool, y[: len(pool)], targets, pool.prod(axis=1))
    except AnalysisError:
        return np.inf, -np.inf
    return rmsle(mean, large), float(1.0 - np.sum((mean - large) ** 2) / np.sum((large - large.mean()) ** 2))
