"""Simulated runs tables that share as a real grid does: the truth is known, the sharing is that of
`scaling.plan.plan`.

A pre-training belongs to one size and one seed, and every fine-tuning of that size and seed starts
from it, whatever its labels; an intermediate stage belongs to one pre-training (or to one seed,
from scratch); a seed draws one label subset and one initialisation for all of its runs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIZES = (0, 45_000, 100_000, 200_000)
LABELS = (250, 500, 1000, 2000, 4000, 6000)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations, in mIoU. The defaults are of the order seen in small real studies."""

    seed: float = 0.004
    """What all runs of a seed share: the label subset."""
    pretraining: float = 0.006
    """What all runs of one pre-training share."""
    intermediate: float = 0.005
    """What all runs of one intermediate stage share."""
    cell: float = 0.0
    """By how much the effect of an arm differs from cell to cell."""
    run: float = 0.006
    """Of each run alone."""


def simulate_grid(
    random: np.random.Generator,
    *,
    seeds: int = 3,
    sizes: tuple[int, ...] = SIZES,
    labels: tuple[int, ...] = LABELS,
    intermediates: tuple[str, ...] = ("none", "classification"),
    pretraining_gain: float = 0.0,
    intermediate_effect: float = 0.0,
    effect_per_gain: float = 0.0,
    loss_slope: float = 0.0,
    noise: Noise = Noise(),
) -> pd.DataFrame:
    """A finished study with columns as in RUN_COLUMNS (those that the tests read).

    Args:
        pretraining_gain: what pre-training on the largest size adds at the fewest labels; it grows
            with log size, and halves over the labels.
        intermediate_effect: what the intermediate stage adds in every cell.
        effect_per_gain: how much more it adds per unit of the cell's gain from pre-training.
        loss_slope: mIoU per unit of a pre-training's own deviation in validation loss (its SD is
            0.004).
    """
    of_seed = noise.seed * random.standard_normal(seeds)
    rows = []
    for size, seed in itertools.product(sizes, range(seeds)):
        loss_deviation, train_deviation = 0.004 * random.standard_normal(2)
        own = noise.pretraining * random.standard_normal() + loss_slope * loss_deviation if size else 0.0
        for objective in intermediates:
            stage = noise.intermediate * random.standard_normal() if objective != "none" else 0.0
            for place, count in enumerate(labels):
                share = np.log1p(size / 10_000) / np.log1p(max(sizes) / 10_000) if size else 0.0
                gain = pretraining_gain * share * 0.5 ** (place / max(1, len(labels) - 1))
                effect = (intermediate_effect + effect_per_gain * gain) if objective != "none" else 0.0
                rows.append(
                    {
                        "study": "simulated",
                        "run_id": f"finetune-{size}-{objective}-{count}-{seed}",
                        "cell_id": f"{size}-{objective}-{count}",
                        "seed": seed,
                        "encoder": "tiny/16@128",
                        "pretrain_id": f"pretrain-{size}-{seed}" if size else None,
                        "trunk_id": f"pretrain-{size}-{seed}" if size else None,
                        "intermediate_id": f"intermediate-{size}-{seed}" if objective != "none" else None,
                        "pretrain_source": "simulated" if size else None,
                        "pretrain_images": size,
                        "pretrain_length": "100 epochs" if size else None,
                        "pretrain_steps": size * 100 // 64,
                        "intermediate": objective,
                        "finetune_source": "simulated",
                        "finetune_images": count,
                        "train_mim_loss": 0.40 + 0.02 * share + train_deviation if size else np.nan,
                        "val_mim_loss": 0.50 - 0.02 * share + loss_deviation if size else np.nan,
                        "miou": 0.40 + 0.06 * place + gain + effect + of_seed[seed] + own + stage + noise.run * random.standard_normal(),
                    }
                )
    table = pd.DataFrame(rows)
    if noise.cell:
        cells = table["cell_id"].drop_duplicates()
        shift = pd.Series(noise.cell * random.standard_normal(len(cells)), index=cells.to_numpy())
        table.loc[table["intermediate"] != "none", "miou"] += table["cell_id"].map(shift)
    return table
