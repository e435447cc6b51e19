"""Tests on means and spreads of 3 runs: error rate in a cell, after Holm, and power, for three ways
to take the variance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.significance.cell_variances import cell_variances
from analysis.significance.summaries import summary_intermediate_effects
from benchmarks.statistics.grids import simulate_grid
from benchmarks.statistics.growth import means_of

RUNS, PAIRS, EFFECT = 3, 18, 4.0  # the effect is in root mean square standard deviations of a run
Array = NDArray[np.float64]
HOW = ("welch", "moderated", "pooled")
# Miou spreads of the 18 pre-trained cells, then of the 18 with the intermediate stage
# (analysis/published/diminishing_returns.csv), in percent
PUBLISHED = np.array(
    [
        *(0.25, 0.19, 0.2, 0.05, 0.19, 0.19, 0.32, 0.93, 0.16, 0.18, 0.25, 0.14, 0.42, 0.13, 0.08, 0.14, 0.12, 0.13),
        *(0.66, 0.39, 0.13, 0.88, 0.68, 0.62, 0.29, 0.44, 0.1, 0.11, 0.61, 0.43, 0.56, 0.77, 0.57, 0.62, 0.77, 0.15),
    ]
)


def _scatter(name: str, random: np.random.Generator) -> Array:
    """True standard deviation of a run in each cell, baseline arm first, shape (2 x PAIRS,)."""
    if name == "all cells alike":
        return np.ones(2 * PAIRS)
    if name == "variances scatter (inverse chi-square, 4 df)":
        return np.asarray(np.sqrt(4.0 / random.chisquare(4, 2 * PAIRS)))
    if name == "one arm scatters 3 times as much":
        return np.repeat([1.0, 3.0], PAIRS)
    if name == "one arm scatters 10 times as much":
        return np.repeat([1.0, 10.0], PAIRS)
    if name == "half the cells scatter 5 times as much":
        return np.tile(np.repeat([1.0, 5.0], PAIRS // 2), 2)
    return PUBLISHED


NAMES = (
    "all cells alike",
    "variances scatter (inverse chi-square, 4 df)",
    "one arm scatters 3 times as much",
    "one arm scatters 10 times as much",
    "half the cells scatter 5 times as much",
    "the spreads of the first paper taken for true",
)


def run(*, simulations: int, seed: int) -> None:
    from scipy.special import stdtr

    random = np.random.default_rng(seed)
    print("| truth | variance | rejected in a cell | in the worst cell | interval holds | any after Holm | found after Holm (4 SD) |")
    print("|---|---|---|---|---|---|---|")
    arm = np.repeat([0, 1], PAIRS)
    for name in NAMES:
        single = {how: np.zeros(PAIRS) for how in HOW}
        family, found = dict.fromkeys(HOW, 0.0), dict.fromkeys(HOW, 0.0)
        for _ in range(simulations):
            sd = _scatter(name, random)
            mean = sd * random.standard_normal(2 * PAIRS) / np.sqrt(RUNS)
            variance = sd**2 * random.chisquare(RUNS - 1, 2 * PAIRS) / (RUNS - 1)
            shift = EFFECT * np.sqrt(np.mean(sd**2))
            difference = mean[PAIRS:] - mean[:PAIRS]
            for how in HOW:
                lent = cell_variances(variance, np.full(2 * PAIRS, RUNS - 1.0), how=how, arm=arm)
                weights = [np.where(np.arange(2 * PAIRS) % PAIRS == one, np.where(arm == 1, 1.0, -1.0), 0.0) for one in range(PAIRS)]
                known = np.array([lent.of_combination(one, np.full(2 * PAIRS, float(RUNS))) for one in weights])
                p = [2.0 * stdtr(known[:, 1], -np.abs(at) / np.sqrt(known[:, 0])) for at in (difference, difference + shift)]
                single[how] += p[0] < 0.05
                family[how] += bool(p[0].min() < 0.05 / PAIRS)
                found[how] += _survive(p[1]) / PAIRS
        for how in HOW:
            rate = single[how] / simulations
            cells = [rate.mean(), rate.max(), 1.0 - rate.mean(), family[how] / simulations, found[how] / simulations]
            print(f"| {name} | {how} | " + " | ".join(f"{one:.1%}" for one in cells) + " |", flush=True)
    _on_grids(random, simulations)


def _survive(p: Array) -> int:
    """How many of the p-values Holm lets stand at 5%."""
    ordered = np.sort(p) < 0.05 / np.arange(len(p), 0, -1)
    return int(len(p) if ordered.all() else np.argmin(ordered))


def _on_grids(random: np.random.Generator, simulations: int) -> None:
    """Where runs share seeds and pre-trainings, as a table of means cannot show."""
    cell, family, held, clustered = [], [], [], []
    grids = max(50, simulations // 4)
    for _ in range(grids):
        cells: pd.DataFrame = means_of(simulate_grid(random))
        effects = summary_intermediate_effects(cells[cells["pretrain_images"] > 0].reset_index(drop=True))
        cell.append((effects.table["p"] < 0.05).mean())
        family.append((effects.table["p_holm"] < 0.05).any())
        overall = effects.overall.iloc[0]
        held.append(overall["low"] <= 0.0 <= overall["high"])
        clustered.append(overall["low_clustered"] <= 0.0 <= overall["high_clustered"])
    print(
        f"\n{simulations:,} tables of {PAIRS} pairs; on {grids:,} simulated grids whose arms share seeds and pre-trainings the default rejects in "
        f"{np.mean(cell):.1%} of cells and in {np.mean(family):.1%} of grids after Holm (what the arms share cancels from their "
        f"difference, but not from its spread); the overall interval with cells as independent holds the truth in {np.mean(held):.1%}, the one over "
        f"pre-training sizes in {np.mean(clustered):.1%}."
    )
