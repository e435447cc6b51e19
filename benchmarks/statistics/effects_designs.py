"""Simulated grids as matrices: the runs of one design, and the outcome of every run in every
simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analysis import PairedEffects, intermediate_effects, paired_effects
from benchmarks.statistics.grids import LABELS, SIZES, Noise, simulate_grid

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Design:
    """One scenario: what is simulated, and which effect is tested."""

    name: str
    pretraining: bool = False
    """Test pre-training on the largest size against scratch, instead of the intermediate stage."""
    seeds: int = 3
    sizes: tuple[int, ...] = SIZES
    labels: tuple[int, ...] = LABELS
    noise: Noise = field(default_factory=Noise)
    seed_in_effect: float = 0.0
    """SD of what a seed adds to the treated runs alone."""
    missing: float = 0.0
    """Share of runs that were lost, the same ones in every simulation."""


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """The design's pairs, and the outcomes of both arms in every simulation."""

    effects: PairedEffects
    """Of one simulation; the pairs are those of all."""
    baseline: Array
    """Shape (simulations, pairs)."""
    treatment: Array
    """Shape (simulations, pairs)."""

    @property
    def differences(self) -> Array:
        return self.treatment - self.baseline

    def one(self, number: int) -> PairedEffects:
        """Simulation `number` as PairedEffects; its table is still that of the template."""
        return replace(self.effects, pairs=self.effects.pairs.assign(difference=self.treatment[number] - self.baseline[number]))


def simulate(design: Design, *, simulations: int, random: np.random.Generator) -> Simulated:
    """No true effect; the tests are equivariant, so a true one is added to the differences where it
    is wanted.
    """
    options = {"seeds": design.seeds, "sizes": design.sizes, "labels": design.labels, "noise": design.noise}
    if design.pretraining:
        options |= {"intermediates": ("none",), "sizes": (0, design.sizes[-1])}
    runs = simulate_grid(random, **options)  # type: ignore[arg-type]
    there = np.flatnonzero(random.random(len(runs)) >= design.missing)
    runs = runs.iloc[there].reset_index(drop=True)
    treated = (runs["pretrain_images"] > 0 if design.pretraining else runs["intermediate"] != "none").to_numpy()
    if design.pretraining:
        effects = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=design.sizes[-1])
    else:
        effects = intermediate_effects(runs)
    outcomes = np.empty((simulations, len(runs)))
    seed = runs["seed"].to_numpy()
    for number in range(simulations):
        own = design.seed_in_effect * random.standard_normal(design.seeds)
        outcomes[number] = simulate_grid(random, **options)["miou"].to_numpy()[there] + treated * own[seed]  # type: ignore[arg-type]
    place = {name: position for position, name in enumerate(runs["run_id"])}
    sides = [[place[one] for one in effects.pairs[f"{arm}_run_id"]] for arm in ("baseline", "treatment")]
    return Simulated(effects=effects, baseline=outcomes[:, sides[0]], treatment=outcomes[:, sides[1]])


def group_means(values: Array, labels: NDArray[np.int64]) -> Array:
    """Mean over pairs of each group, shape (simulations, groups)."""
    indicator = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float64)
    return np.asarray(values @ (indicator / indicator.sum(axis=0)))
