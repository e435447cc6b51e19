"""A small seeded version of benchmarks/coverage.py: an interval that is too narrow by a fifth fails
here.
"""

import numpy as np

from analysis import fit

EXPONENT, FLOOR, SIZE, MIDDLE = 0.3, 1.0, 8.0, 3000.0
TRUTH = {"E": FLOOR, "A": SIZE, "b": EXPONENT}


def truth(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(FLOOR + SIZE * np.asarray(x) ** -EXPONENT)


def test_parameters_and_mean_are_covered_at_the_nominal_level() -> None:
    random = np.random.default_rng(11)
    x = np.geomspace(100.0, 10_000.0, 5)
    held = []
    for _ in range(300):
        result = fit(x, truth(x) + 0.01 * random.standard_normal(5), level=0.9)
        mean = result.predict(MIDDLE)
        ends = [result.intervals[name] for name in TRUTH]
        row = [end is not None and end[0] <= value <= end[1] for end, value in zip(ends, TRUTH.values(), strict=True)]
        held.append([*row, bool(mean.low[0] <= truth(MIDDLE) <= mean.high[0])])
    coverage = np.mean(held, axis=0)
    assert np.all((coverage > 0.86) & (coverage < 0.96)), coverage


def test_seeds_that_shift_all_their_runs_are_covered_by_the_jackknife_and_missed_without_it() -> None:
    random = np.random.default_rng(12)
    x, seed = np.tile(np.geomspace(100.0, 100_000.0, 4), 5), np.repeat(np.arange(5), 4)
    held = []
    for _ in range(150):
        y = truth(x) * (1.0 + 0.005 * random.standard_normal(20)) + 0.02 * random.standard_normal(5)[seed]
        means = [fit(x, y, level=0.9, cluster=cluster).predict(MIDDLE) for cluster in (seed, None)]
        held.append([bool(mean.low[0] <= truth(MIDDLE) <= mean.high[0]) for mean in means])
    clustered, naive = np.mean(held, axis=0)
    assert 0.84 < clustered < 0.97
    assert naive < 0.82
