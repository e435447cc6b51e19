"""Error rates and coverage of the tests of an arm's effect over matched cells, beside the naive
ones.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from analysis.significance.mixed import mixed_effect
from benchmarks.statistics.effects_designs import Array, Design, Simulated, group_means, simulate
from benchmarks.statistics.effects_families import effect_size_coverage, families, permutations, tost_at_margin
from benchmarks.statistics.grids import Noise

EFFECT = 0.008
WALD = 200  # simulations of statsmodels' MixedLM, which takes ten times as long
DESIGNS = (
    Design(name="stage"),
    Design(name="stage, cells vary", noise=Noise(cell=0.004)),
    Design(name="stage, 15% of runs lost", missing=0.15),
    Design(name="stage, seeds do not cancel", seed_in_effect=0.004),
    Design(name="stage, 8 seeds, cells vary", noise=Noise(cell=0.004), seeds=8, sizes=(0, 200_000)),
    Design(name="pre-training", pretraining=True),
    Design(name="pre-training, 15% lost", pretraining=True, missing=0.15),
)


@dataclass(frozen=True, kw_only=True)
class Tests:
    """One test over all simulations: estimate, standard error and degrees of freedom, each of shape
    (simulations,) or (simulations, rows).
    """

    estimate: Array
    error: Array
    degrees: Array | float

    def rejected(self, effect: float = 0.0) -> float:
        """Share of simulations (and rows) that are rejected at 5% when the true effect is `effect`."""
        # a Student interval misses the truth exactly when the test of the truth rejects, so
        # coverage is 1 - rejected()
        return float(np.mean(np.abs(self.estimate + effect) > stdtrit(self.degrees, 0.975) * self.error))


def run(*, simulations: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    results = {design.name: _all_tests(simulate(design, simulations=simulations, random=random), design) for design in DESIGNS}
    names = list(dict.fromkeys(name for tests in results.values() for name in tests))
    print(f"Error rate at 5% ({simulations:,} simulations); coverage of the 95% interval is 100% less that.\n")
    _table(["test", *results], [[name, *(_rate(results[one].get(name), 0.0) for one in results)] for name in names])
    print(f"\nPower for a true effect of {EFFECT:g} mIoU in the same grids.\n")
    honest = [name for name in names if "naive" not in name and "Wald" not in name]
    _table(["test", *results], [[name, *(_rate(results[one].get(name), EFFECT) for one in results)] for name in honest])
    print(
        "\nThe paired t over seeds keeps 4-6% for the mean of these cells, and the mixed model with seeds random never errs above 6% (with three "
        "seeds and cells random, or runs lost, it errs in 3-4%: on the safe side, but short of the 4-6% asked); "
        "with three seeds both have two degrees of freedom. Assuming that seeds cancel buys the power, at an honest rate only where it is true. "
        "The paired t speaks of these cells alone: where cells vary and others are meant, it errs too often.\n"
    )
    permutations(simulations, random)
    tost_at_margin(simulations, random)
    families(simulations, random)
    effect_size_coverage(simulations, random)


def _all_tests(simulated: Simulated, design: Design) -> dict[str, Tests]:
    pairs, d = simulated.effects.pairs, simulated.differences
    found = {
        "naive: unpaired t over all runs": _unpaired(simulated),
        "naive: paired t over all pairs": paired_t(d),
        f"Wald z of statsmodels' MixedLM ({min(WALD, len(d))} simulations)": _wald(simulated, design),
        "paired t over seeds, all cells": paired_t(group_means(d, pairs["overall_unit"].to_numpy())),
        "mixed model, cells random": _mixed(simulated, cells="random"),
    }
    if not design.noise.cell:  # otherwise the truth of one cell, or of these cells, is not zero
        found["paired t, each cell"] = _each_cell(simulated)
    if design.missing and not design.noise.cell:  # else it is the paired t over seeds, as a test shows
        found["mixed model, cells fixed"] = _mixed(simulated, cells="fixed")
    if not design.pretraining:
        found["mixed model, cells random, seeds cancel"] = _mixed(simulated, cells="random", seeds="cancel")
    return found


def _each_cell(simulated: Simulated) -> Tests:
    """One test per cell with at least two pairs, all side by side."""
    pairs, d = simulated.effects.pairs, simulated.differences
    rows = pairs.groupby(list(simulated.effects.by), sort=False).indices.values()
    cells = [paired_t(group_means(d[:, place], pairs["unit"].to_numpy()[place])) for place in rows if len(place) > 1]
    return Tests(
        estimate=np.concatenate([one.estimate for one in cells]),
        error=np.concatenate([one.error for one in cells]),
        degrees=np.concatenate([np.full(len(d), one.degrees) for one in cells]),
    )


def paired_t(means: Array) -> Tests:
    n = means.shape[1]
    return Tests(estimate=means.mean(axis=1), error=means.std(axis=1, ddof=1) / np.sqrt(n), degrees=n - 1)


def _unpaired(simulated: Simulated) -> Tests:
    new, old = simulated.treatment, simulated.baseline
    n = new.shape[1]
    error = np.sqrt((new.var(axis=1, ddof=1) + old.var(axis=1, ddof=1)) / n)
    return Tests(estimate=new.mean(axis=1) - old.mean(axis=1), error=error, degrees=2 * n - 2)


def _mixed(simulated: Simulated, **options: str) -> Tests:
    fits = [mixed_effect(simulated.one(number), **options) for number in range(len(simulated.baseline))]  # type: ignore[arg-type]
    return Tests(
        estimate=np.array([one.estimate for one in fits]),
        error=np.array([one.standard_error for one in fits]),
        degrees=np.array([one.degrees_of_freedom for one in fits]),
    )


def _wald(simulated: Simulated, design: Design) -> Tests:
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    pairs = simulated.effects.pairs
    levels = [pairs["seed"].to_numpy(), pairs.groupby(list(simulated.effects.by)).ngroup().to_numpy()]
    if not design.pretraining:
        levels.append(pairs.groupby(["seed", "pretrain_images"]).ngroup().to_numpy())
    matrices = [_indicator(one) for one in levels]
    names = [str(number) for number in range(len(matrices))]
    parts = VCSpec(names, [[[str(level) for level in range(one.shape[1])]] for one in matrices], [[one] for one in matrices])
    ones = np.ones(len(pairs))
    found = []
    for d in simulated.differences[:WALD]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = MixedLM(d * 100, ones[:, None], groups=ones, exog_vc=parts).fit(reml=True)
        found.append((fit.params[0] / 100, fit.bse[0] / 100))
    estimate, error = np.array(found).T
    return Tests(estimate=estimate, error=error, degrees=1e9)


def _indicator(labels: NDArray[np.int64]) -> Array:
    return np.asarray((labels[:, None] == np.unique(labels)).astype(np.float64))


def _rate(tests: Tests | None, effect: float) -> str:
    if tests is None:
        return "-"
    rate = tests.rejected(effect)
    n = len(tests.estimate) if tests.estimate.ndim == 1 else tests.estimate.size
    return f"{100 * rate:.1f} +-{200 * np.sqrt(rate * (1 - rate) / n):.1f}"


def _table(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
