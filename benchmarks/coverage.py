"""How often do the intervals of `analysis` hold the truth? Simulated data, known truth, nominal
90%.

    python -m benchmarks.coverage                     # about a minute on an idle core
    python -m benchmarks.coverage --simulations 4000  # the second decimal, about 20 minutes

Prints a Markdown table; `+-` is two standard errors of the simulation itself. Expected, up to that
error: 0.86 to 0.95 but for two kinds of row. Naive rows show what ignoring a shared seed or
pre-training costs: about 0.80 for a mean and 0.65 for a paired effect, and parameters that look
less certain than they are. Means beyond the largest x hold more than nominal: there intervals allow
for a wrong law, and in this simulation it is right.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from analysis import Fit, correlate, fit, paired_effects

LEVEL = 0.90
FLOOR, SIZE, EXPONENT = 1.0, 8.0, 0.3  # y = E + B x^-0.3 with 0.5% noise
SPREAD_OF_SEEDS = 0.02
Held = dict[str, bool | None]  # whether each interval held the truth; None where there was no interval


def _holds(interval: tuple[float, float] | None, truth: float) -> bool | None:
    return None if interval is None else interval[0] <= truth <= interval[1]


def _of_fit(result: Fit, x_within: float, prefix: str = "") -> Held:
    held: Held = {}
    for name, truth in (("E", FLOOR), ("A", SIZE), ("b", EXPONENT)):
        held[f"{prefix}{name}"] = _holds(result.intervals[name], truth)
    at = result.predict([x_within, 2.0 * result.x_max])
    for place, x in enumerate(at.x):
        low, high = float(at.low[place]), float(at.high[place])
        interval = None if np.isnan(low) else (low, high)
        held[f"{prefix}mean at {'the middle' if place == 0 else 'twice the largest x'}"] = _holds(interval, FLOOR + SIZE * x**-EXPONENT)
    return held


def independent_points(random: np.random.Generator, *, n: int, decades: float) -> Held:
    """n sizes over some decades, one run each."""
    x = 100.0 * np.geomspace(1.0, 10.0**decades, n)
    y = (FLOOR + SIZE * x**-EXPONENT) * (1.0 + 0.005 * random.standard_normal(n))
    return _of_fit(fit(x, y, level=LEVEL), float(np.sqrt(x[0] * x[-1])))


def clustered_points(random: np.random.Generator, *, seeds: int) -> Held:
    """Four sizes over three decades for each seed; a seed shifts all of its runs."""
    x = np.tile(100.0 * np.geomspace(1.0, 1000.0, 4), seeds)
    seed = np.repeat(np.arange(seeds), 4)
    y = (FLOOR + SIZE * x**-EXPONENT) * (1.0 + 0.005 * random.standard_normal(len(x)))
    y += SPREAD_OF_SEEDS * random.standard_normal(seeds)[seed]
    middle = 100.0 * 1000.0**0.5
    by_seed = _of_fit(fit(x, y, level=LEVEL, cluster=seed), middle, "jackknife over seeds: ")
    drawn = _of_fit(fit(x, y, level=LEVEL, cluster=seed, bootstrap=200), middle, "bootstrap over seeds: ")
    return by_seed | drawn | _of_fit(fit(x, y, level=LEVEL), middle, "naive, seeds ignored: ")


def pairs(random: np.random.Generator, *, seeds: int, runs_each: int) -> Held:
    """Runs that share a pre-training in groups: its own luck moves all of them."""
    count = seeds * runs_each
    shared = np.repeat(np.arange(seeds), runs_each)
    baseline = 0.4 + 0.01 * random.standard_normal(count)
    gain = 0.03 + 0.01 * random.standard_normal(seeds)[shared] + 0.005 * random.standard_normal(count)
    runs = pd.DataFrame(
        {
            "seed": np.tile(np.arange(count), 2),
            "pretrain_id": [None] * count + [f"p{one}" for one in shared],
            "pretrain_images": np.repeat([0, 2000], count),
            "finetune_images": 60,
            "miou": np.concatenate([baseline, baseline + gain]),
        }
    )
    row = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=2000, level=LEVEL).table.iloc[0]
    difference = (runs["miou"][count:].to_numpy() - baseline).mean()
    sd = (runs["miou"][count:].to_numpy() - baseline).std(ddof=1)
    from scipy.stats import t

    half = t.ppf(0.5 + LEVEL / 2.0, count - 1) * sd / np.sqrt(count)
    return {
        "paired_effects": _holds((row["low"], row["high"]), 0.03),
        "naive, every pair counted as independent": _holds((difference - half, difference + half), 0.03),
    }


def correlations(random: np.random.Generator, *, pretrainings: int) -> Held:
    """Three runs of each pre-training; true correlation -0.707."""
    loss = random.standard_normal(pretrainings)
    shared = np.repeat(np.arange(pretrainings), 3)
    outcome = -loss[shared] + np.sqrt(0.5) * (random.standard_normal(pretrainings)[shared] + random.standard_normal(len(shared)))
    runs = pd.DataFrame({"pretrain_id": [f"p{one}" for one in shared], "val_mim_loss": loss[shared], "miou": outcome})
    table = correlate(runs, within=(), level=LEVEL).table.set_index("method")
    truths = {"pearson": -np.sqrt(0.5), "spearman": 6.0 / np.pi * np.arcsin(-np.sqrt(0.5) / 2.0)}  # of a bivariate normal
    ends = {method: (float(table.loc[method, "low"]), float(table.loc[method, "high"])) for method in truths}
    return {method: None if np.isnan(ends[method][0]) else _holds(ends[method], truth) for method, truth in truths.items()}


Scenario = tuple[str, float, Callable[[np.random.Generator], Held]]


def scenarios() -> Iterator[Scenario]:
    """Name, share of the simulations it gets, and one simulation."""
    for n in (5, 8, 16):
        for decades in (1.0, 2.0):
            yield (
                f"fit, {n} points over {decades:g} decade{'s' if decades > 1 else ''}",
                1.0,
                lambda r, n=n, d=decades: independent_points(r, n=n, decades=d),
            )
    yield "fit, 5 seeds x 4 sizes", 0.5, lambda r: clustered_points(r, seeds=5)
    yield "fit, 10 seeds x 4 sizes", 0.25, lambda r: clustered_points(r, seeds=10)
    yield "pairs, 5 pre-trainings x 1 run", 1.0, lambda r: pairs(r, seeds=5, runs_each=1)
    yield "pairs, 5 pre-trainings x 3 runs", 1.0, lambda r: pairs(r, seeds=5, runs_each=3)
    yield "correlation, 8 pre-trainings x 3 runs", 0.5, lambda r: correlations(r, pretrainings=8)
    yield "correlation, 20 pre-trainings x 3 runs", 0.25, lambda r: correlations(r, pretrainings=20)


def measure(simulate: Callable[[np.random.Generator], Held], *, simulations: int, random_seed: int) -> pd.DataFrame:
    """One row per interval: coverage among the intervals that were given, its standard error, and
    how many were withheld.
    """
    random = np.random.default_rng(random_seed)
    held = pd.DataFrame([simulate(random) for _ in range(simulations)]).astype("object")
    given = held.notna().sum()
    coverage = held.apply(lambda column: float(column.dropna().astype(float).mean()) if column.notna().any() else np.nan)
    error = np.sqrt(coverage * (1.0 - coverage) / given.clip(lower=1))
    return pd.DataFrame({"coverage": coverage, "error": error, "withheld": 1.0 - given / simulations})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=200, help="per scenario (some get half or a quarter)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"Coverage of intervals at nominal {LEVEL:.0%} (seed {options.seed})\n")
    print("| data | interval | coverage | +- | withheld | simulations |\n|---|---|---|---|---|---|")
    for name, share, simulate in scenarios():
        count = max(2, round(share * options.simulations))
        for interval, row in measure(simulate, simulations=count, random_seed=options.seed).iterrows():
            print(f"| {name} | {interval} | {row['coverage']:.3f} | {2 * row['error']:.3f} | {row['withheld']:.1%} | {count} |")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
