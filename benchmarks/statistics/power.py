"""Power by number of seeds: what `power_of` foretells, what simulated grids give, and what naive
tests pay for theirs in false alarms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.significance.power import power_of
from benchmarks.statistics.grids import Noise

SEEDS = (3, 5, 8, 12)
EFFECTS = (0.0, 0.005, 0.01, 0.02)
SIZES, LABELS = 3, 6
NOISE = Noise()
Array = NDArray[np.float64]


def simulate(random: np.random.Generator, *, seeds: int, effect: float, grids: int) -> tuple[Array, Array]:
    """Outcome without and with the intermediate stage, shape (grids, seeds, sizes, labels): the
    pre-trained part of `simulate_grid`, many at once.
    """
    shared = NOISE.seed * random.standard_normal((grids, seeds, 1, 1)) + NOISE.pretraining * random.standard_normal((grids, seeds, SIZES, 1))
    stage = effect + NOISE.intermediate * random.standard_normal((grids, seeds, SIZES, 1))
    own = NOISE.run * random.standard_normal((2, grids, seeds, SIZES, LABELS))
    return shared + own[0], shared + stage + own[1]


def run(*, simulations: int, seed: int) -> None:
    from scipy.stats import ttest_1samp, ttest_ind

    random = np.random.default_rng(seed)
    print(
        "| seeds | effect | one cell, paired: simulated | forecomputed | overall, paired by seed: simulated | forecomputed "
        "| naive: all pairs | naive: all runs |"
    )
    print("|---|---|---|---|---|---|---|---|")
    in_cell = float(np.sqrt(NOISE.intermediate**2 + 2.0 * NOISE.run**2))
    overall = float(np.sqrt(NOISE.intermediate**2 / SIZES + 2.0 * NOISE.run**2 / (SIZES * LABELS)))
    furthest = 0.0
    for seeds in SEEDS:
        for effect in EFFECTS:
            without, with_stage = simulate(random, seeds=seeds, effect=effect, grids=simulations)
            difference = with_stage - without
            one = difference[:, :, 0, 0]
            of_seed = difference.mean(axis=(2, 3))
            flat = difference.reshape(simulations, -1)
            found = [
                float(np.mean(result.pvalue < 0.05))
                for result in (
                    ttest_1samp(one, 0.0, axis=1),
                    ttest_1samp(of_seed, 0.0, axis=1),
                    ttest_1samp(flat, 0.0, axis=1),
                    ttest_ind(with_stage.reshape(simulations, -1), without.reshape(simulations, -1), axis=1),
                )
            ]
            computed = [power_of(effect, sd=sd, seeds=seeds) for sd in (in_cell, overall)]
            furthest = max(furthest, abs(found[0] - computed[0]), abs(found[1] - computed[1]))
            cells = [found[0], computed[0], found[1], computed[1], found[2], found[3]]
            print(f"| {seeds} | {effect:.3f} | " + " | ".join(f"{one:.1%}" for one in cells) + " |", flush=True)
    print(
        f"\nOver {simulations:,} grids of {SIZES} sizes and {LABELS} label counts (+-{200.0 * np.sqrt(0.25 / simulations):.1f}% at most). Power "
        f"forecomputed and simulated differ by {furthest:.1%} at most. The rows with effect 0 are error rates: the paired tests keep 5%; taking each "
        f"pair as independent errs about four times as often, as runs of one intermediate stage share its luck: its power is not to be had."
    )
