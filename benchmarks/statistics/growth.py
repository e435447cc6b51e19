"""Does the slope of effect on gain hold its error rate where noise alone makes one? Beside least
squares over the cells' means.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from analysis.significance.growth import EffectGrowth, effect_growth
from benchmarks.statistics.grids import Noise, simulate_grid

OWN = Noise(seed=0.0, pretraining=0.0, intermediate=0.0)  # nothing shared: what a table of means has to assume
SCENARIOS: dict[str, tuple[dict[str, Any], float]] = {
    "no relation, gain up to 0.10": ({"pretraining_gain": 0.10}, 0.0),
    "no relation, gain up to 0.10, cells scatter by 0.005": ({"pretraining_gain": 0.10, "noise": Noise(cell=0.005)}, 0.0),
    "no relation, gain up to 0.03": ({"pretraining_gain": 0.03}, 0.0),
    "no relation, no gain": ({}, 0.0),
    "slope -0.5, gain up to 0.10": ({"pretraining_gain": 0.10, "effect_per_gain": -0.5}, -0.5),
    "no relation, gain up to 0.10, runs share nothing": ({"pretraining_gain": 0.10, "noise": OWN}, 0.0),
}


def means_of(runs: pd.DataFrame) -> pd.DataFrame:
    """The table that a paper would print: mean, SD and number of runs of each cell."""
    settings = ["pretrain_images", "intermediate", "finetune_images"]
    cells = runs.groupby(settings, sort=False)["miou"].agg(["mean", "std", "size"]).reset_index()
    return cells.rename(columns={"mean": "miou", "std": "miou_spread", "size": "n_runs"})


def run(*, simulations: int, seed: int) -> None:
    print(
        "| truth | from | corrected slope, median | zero rejected | true slope held | unbounded "
        "| least squares, mean | zero rejected | true slope held |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (settings, true) in SCENARIOS.items():
        random = np.random.default_rng(seed)
        found: dict[str, list[EffectGrowth]] = {"runs": [], "runs, at equal labels": [], "means and SDs": []}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(simulations):
                runs = simulate_grid(random, **settings)
                found["runs"].append(effect_growth(runs))
                found["runs, at equal labels"].append(effect_growth(runs, given="finetune_images"))
                found["means and SDs"].append(effect_growth(means_of(runs)))
        for source, results in found.items():
            print(f"| {name} | {source} | {_row(results, true)} |", flush=True)
    print(
        f"\nOver {simulations:,} grids of 3 seeds, {_error(simulations)} on a rate of 5%. Where the gains differ well beyond noise, the test on runs "
        "errs in 2-6% and its interval holds the truth in 93-98%. Where they do not (0.03 and none) no method can tell a slope: the interval is "
        "mostly unbounded, holds the truth more often than it says, and zero is rejected in fewer than 5%. Means and SDs hide what arms share, so "
        "there the correction takes off too much (+0.05 here). Least squares errs up to ten times as often as it says."
    )


def _row(results: list[EffectGrowth], true: float) -> str:
    p, naive_p = (np.array([getattr(one, name) for one in results]) for name in ("p", "naive_p"))
    held = np.mean([one.low <= true <= one.high for one in results])
    naive_held = np.mean([one.naive_low <= true <= one.naive_high for one in results])
    unbounded = np.mean([np.isinf(one.low) or np.isinf(one.high) for one in results])
    slope = np.nanmedian([one.slope for one in results])
    naive = np.mean([one.naive_slope for one in results])
    return f"{slope:+.2f} | {np.mean(p < 0.05):.1%} | {held:.1%} | {unbounded:.0%} | {naive:+.2f} | {np.mean(naive_p < 0.05):.1%} | {naive_held:.1%}"


def _error(simulations: int) -> str:
    return f"+-{200.0 * np.sqrt(0.05 * 0.95 / simulations):.1f}%"
