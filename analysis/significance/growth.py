"""Does the effect of a later stage grow with the gain from pre-training, beyond regression to the
mean?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import p_value, percent
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import of_table
from analysis.significance.growth_cells import KEYS, MeanCells, SeedCells, chosen_stage, mean_cells, seed_cells
from analysis.significance.growth_moments import Array, directions, moment_from_seeds, moment_from_variances, solve_slope
from analysis.significance.summaries import Spread
from analysis.student import t_p_value, t_quantile

INDEPENDENT = "errors of different means taken as independent, so what the runs of one pre-training share is not allowed for"


@dataclass(frozen=True, kw_only=True)
class EffectGrowth:
    """Slope of a stage's effect on the gain from pre-training. From `analysis.effect_growth`."""

    intermediate: str
    """The stage."""
    outcome: str
    """The column; effect and gain are in its unit."""
    outcome_title: str
    """What sentences call it."""
    given: str
    """The column whose levels (or log) were held fixed; empty if none."""
    level: float
    """Nominal coverage of the intervals."""
    slope: float
    """Change of the effect per unit of gain, freed of shared noise; NaN if the gains do not differ
    beyond noise. -1: the stage undoes the gain.
    """
    low: float
    """Lower end of its interval; -inf where nothing bounds it."""
    high: float
    """Upper end; inf where nothing bounds it."""
    p: float
    """Of no relation, two-sided."""
    df: float
    """Degrees of freedom behind p."""
    naive_slope: float
    """Ordinary least squares over the cells' means, which noise alone pulls towards -1."""
    naive_low: float
    """Lower end of its interval, cells taken as independent."""
    naive_high: float
    """Upper end."""
    naive_p: float
    """Its p-value."""
    naive_r: float
    """Pearson correlation of effect and gain over the cells' means (given the column, if any)."""
    signal: float
    """Share of the gains' spread over cells that is not noise; the closer to 1, the less the naive
    slope is biased.
    """
    n_cells: int
    """Cells with all three kinds of runs."""
    n_seeds: int
    """Seeds that have all of them; 0 from a table of means."""
    points: pd.DataFrame
    """One row a cell: pretrain_images, finetune_images, gain (P - S), effect (I - P)."""
    note: str
    """What qualifies the result; empty if nothing."""

    def sentence(self) -> str:
        """The result in a sentence."""
        outcome = self.outcome_title
        held = f" at equal {self.given}" if self.given else ""
        start = f"Per point of {outcome} gained by pre-training, the effect of the intermediate {self.intermediate} stage"
        counted = f"{self.n_cells} cells" + (f", {self.n_seeds} seeds" if self.n_seeds else "")
        tail = f"least squares, which mistakes shared noise for a relation, gives {self.naive_slope:+z.2f}"
        tail = tail if np.isfinite(self.naive_slope) else "least squares gives none either"
        if not np.isfinite(self.slope):
            return f"{start} has no slope{held} that can be determined: the gains do not differ beyond noise ({counted}; {tail})."
        if np.isnan(self.p):
            return f"{start} changes by {self.slope:+z.2f} points{held} (no interval: {self.note}; {counted})."
        interval = "unbounded" if np.isinf([self.low, self.high]).all() else f"{self.low:+z.2f} to {self.high:+z.2f}"
        sure = self.p < 1.0 - self.level
        verdict = ("grows with the gain" if self.slope > 0 else "falls as the gain grows") if sure else "is not shown to depend on the gain"
        details = f"{percent(self.level)} interval {interval}, {p_value(self.p)}; {counted}; {tail}"
        return f"{start} changes by {self.slope:+z.2f} points{held} ({details}): it {verdict}."


@of_table
def effect_growth(
    table: pd.DataFrame,
    *,
    intermediate: str | None = None,
    outcome: str | None = None,
    given: Literal["", "finetune_images", "log finetune_images", "pretrain_images"] = "",
    spread: Spread = "sd",
    n: str = "n_runs",
    level: float = 0.95,
) -> EffectGrowth:
    """Slope of effect (I - P) on gain (P - S) over cells, corrected for regression to the mean.

    Cells have equal pre-training and labels.

    I, P and S are a cell's means with the stage, pre-trained only, and from scratch. P's noise
    enters both differences with opposite signs, so least squares finds a slope below zero where
    there is none. Here the products of noise are taken off (`growth_moments`).

    Args:
        table: raw runs (it has a column `seed`): the noise is what differs between seeds, with a
            mean square of its own between sizes (a pre-training's runs share noise), between label
            counts, and within both. Or a table of means with `{outcome}_spread` and `n`: the noise
            is their standard error, means being independent but for the scratch mean that sizes
            share.
        given: hold this fixed: a column compares cells only within its levels; 'log
            finetune_images' takes out a line.
        spread: of a table of means: 'sd' of single runs or 'se' of the mean.

    Raises AnalysisError for missing columns, several runs of one cell and seed, fewer than 2 seeds,
    or fewer cells than the slope needs.
    """
    checked_level(level)
    outcome = outcome_of(table, outcome)
    stage = chosen_stage(table, intermediate)
    data: SeedCells | MeanCells
    if "seed" in table.columns:
        data = seed_cells(table, stage=stage, outcome=outcome)
        with_stage, trained, scratch = data.outcomes.mean(axis=1)
    else:
        data = mean_cells(table, stage=stage, outcome=outcome, spread=spread, n=n)
        with_stage, trained, scratch = data.means[data.place]
    effect, gain = with_stage - trained, trained - scratch
    removed = _removed(data.cells, given)
    size, label = (np.asarray(pd.factorize(data.cells[name])[0], dtype=np.int64) for name in KEYS)
    strata = directions(size, label, removed)
    count = sum(one.shape[1] for one in strata)
    if count < 2:
        raise AnalysisError(f"{len(gain)} cells leave no comparison once {given or 'their mean'} is held fixed: run more cells, or give no given=.")
    if isinstance(data, SeedCells):
        moment = moment_from_seeds(data.outcomes[0] - data.outcomes[1], data.outcomes[1] - data.outcomes[2], strata)
    else:
        unit = np.eye(len(data.means))[data.place]
        moment = moment_from_variances(unit[0] - unit[1], unit[1] - unit[2], data.means, data.variance, data.df, strata)
    contrasts = np.hstack(strata)
    e, g = contrasts.T @ effect, contrasts.T @ gain
    found = solve_slope(moment, float(g @ g), level=level)
    naive_slope, naive_low, naive_high, naive_p, naive_r = _least_squares(e, g, level)
    notes = [data.note, "" if isinstance(data, SeedCells) else INDEPENDENT]
    if not np.isfinite(found.slope):
        notes.append("the gains do not differ beyond noise, so there is no slope to tell")
    elif np.isnan(found.p):
        notes.append("nothing differs between seeds, so there is no noise to set a slope against")
    elif np.isinf([found.low, found.high]).any():
        notes.append("the gains differ too little beyond noise to bound the slope")
    return EffectGrowth(
        intermediate=stage,
        outcome=outcome,
        outcome_title=title_of(outcome, table),
        given=given,
        level=level,
        slope=found.slope,
        low=found.low,
        high=found.high,
        p=found.p,
        df=found.df,
        naive_slope=naive_slope,
        naive_low=naive_low,
        naive_high=naive_high,
        naive_p=naive_p,
        naive_r=naive_r,
        signal=found.signal,
        n_cells=len(gain),
        n_seeds=data.outcomes.shape[1] if isinstance(data, SeedCells) else 0,
        points=data.cells.assign(gain=gain, effect=effect),
        note="; ".join(one for one in notes if one),
    )


def _removed(cells: pd.DataFrame, given: str) -> Array:
    """What is held fixed, shape (cells, k)."""
    ones = np.ones((len(cells), 1))
    if not given:
        return ones
    if given == "log finetune_images":
        return np.hstack([ones, np.log(cells["finetune_images"].to_numpy(dtype=np.float64))[:, None]])
    if given not in KEYS:
        raise AnalysisError(f"given is '{given}': choose {', '.join(map(repr, KEYS))} or 'log finetune_images'.")
    return np.asarray(pd.get_dummies(cells[given]).to_numpy(dtype=np.float64))


def _least_squares(e: Array, g: Array, level: float) -> tuple[float, float, float, float, float]:
    nothing = (float("nan"),) * 5
    if not (g @ g > 0.0 and e @ e > 0.0) or len(g) < 2:
        return nothing
    slope = float(e @ g / (g @ g))
    se = float(np.sqrt(((e - slope * g) ** 2).sum() / (len(g) - 1) / (g @ g)))
    half = t_quantile(level, len(g) - 1) * se
    p = t_p_value(slope / se, len(g) - 1) if se > 0.0 else 0.0
    return slope, slope - half, slope + half, p, float(e @ g / np.sqrt((e @ e) * (g @ g)))
