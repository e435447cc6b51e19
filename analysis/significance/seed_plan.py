"""How many seeds the next study needs, from the spread over the seeds of a finished one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import format_setting, percent
from analysis.significance.paired_effects import PairedEffects
from analysis.significance.power import MOST_SEEDS, power_of, seeds_needed, smallest_effect


@dataclass(frozen=True, kw_only=True)
class SeedPlan:
    """Seeds needed for a stated effect, row by row of a finished study. Make one with
    `analysis.plan_seeds`.
    """

    effect: float
    """The effect to be found, in the outcome's unit."""
    outcome: str
    """The column that is compared."""
    outcome_title: str
    """What sentences call it."""
    power: float
    """Probability with which it is to be found."""
    level: float
    """The test is at 1 - level over `tests`; also the coverage of the intervals."""
    tests: int
    """Tests in the family (Bonferroni)."""
    table: pd.DataFrame
    """One row per row of the study's table: treatment, the columns of `by`, units (independent
    groups, or seeds where all share a pre-training), sd (of the units' mean differences), sd_low,
    sd_high (chi-square on units - 1), seeds, seeds_low, seeds_high (under sd, sd_low, sd_high; inf
    above a million), power_now and smallest_now (power for `effect`, and the effect found with
    `power`, at the study's own units and sd), note.
    """

    def sentence(self, row: int = 0) -> str:
        """One row as a sentence."""
        cells = self.table.iloc[row]
        outcome = self.outcome_title
        where = ", ".join(f"{name} {format_setting(cells[name])}" for name in self.table.columns[: list(self.table.columns).index("units")])
        start = f"To find a change of {self.effect:.3g} in {outcome} with probability {percent(self.power)} ({where})"
        if pd.isna(cells["seeds"]):
            return f"{start}: no number of seeds can be determined ({cells['note']})"
        low, high = (f"{cells[name]:,.0f}" if np.isfinite(cells[name]) else "over a million" for name in ("seeds_low", "seeds_high"))
        note = "; run 5 all the same: fewer can agree by chance" if cells["seeds"] < 5 else ""
        note += f"; {cells['note']}" if cells["note"] else ""
        return f"{start}: {cells['seeds']:,.0f} seeds; {low} to {high} given how poorly {cells['units']} units tell the SD{note}"

    def sentences(self) -> list[str]:
        """Every row as a sentence."""
        return [self.sentence(row) for row in range(len(self.table))]


def plan_seeds(effects: PairedEffects, effect: float, *, power: float = 0.8, tests: int = 1) -> SeedPlan:
    """How many seeds a study needs to find `effect` in each row of a finished one, at its level.

    Each seed has its own pre-training.

    The SD is that of the mean differences of independent groups of runs; its interval, from (units
    - 1) sd^2 / chi-square, carries over to the number of seeds. Where all runs share a pre-training
    the units are seeds, and the answer holds for that pre-training alone. A row with one unit or no
    spread has no answer, and its note says why. Raises AnalysisError for an effect of zero or a
    power out of range.
    """
    if not (math.isfinite(effect) and effect != 0.0):
        raise AnalysisError(f"effect is {effect:g}: state the smallest difference that would matter, in the unit of {effects.outcome}.")
    rows = []
    for _, row in effects.table.iterrows():
        key = {"treatment": row["treatment"], **{name: row[name] for name in effects.by}}
        rows.append(key | _planned(_units(effects.pairs, key), effect, power, effects.level, tests, str(row["note"])))
    return SeedPlan(
        effect=effect,
        outcome=effects.outcome,
        outcome_title=effects.outcome_title,
        power=power,
        level=effects.level,
        tests=tests,
        table=pd.DataFrame(rows),
    )


def _units(pairs: pd.DataFrame, key: dict[str, object]) -> pd.Series:
    """Mean difference of each independent unit in a row."""
    inside = np.ones(len(pairs), dtype=bool)
    for name, value in key.items():
        inside &= (pairs[name].isna() if pd.isna(value) else pairs[name] == value).to_numpy()  # type: ignore[call-overload]
    cell = pairs[inside]
    by = "group" if cell["group"].nunique() > 1 or "seed" not in cell.columns else "seed"
    return cell.groupby(by)["difference"].mean()


def _planned(means: pd.Series, effect: float, power: float, level: float, tests: int, note: str) -> dict[str, object]:
    from scipy.special import chdtri

    names = ("sd", "sd_low", "sd_high", "seeds", "seeds_low", "seeds_high", "power_now", "smallest_now")
    count = len(means)
    sd = float(means.std(ddof=1)) if count > 1 else float("nan")
    if not sd > 1e-12 * abs(float(means.mean())):
        why = "one independent unit, so no spread" if count < 2 else "all differences are the same, so their spread says nothing"
        return {"units": count, **dict.fromkeys(names, float("nan")), "note": note or why}
    tail = (1.0 - level) / 2.0
    low, high = (sd * math.sqrt((count - 1) / float(chdtri(count - 1, q))) for q in (tail, 1.0 - tail))
    seeds = [_seeds(effect, one, power, level, tests) for one in (sd, low, high)]
    now = power_of(effect, sd=sd, seeds=count, level=level, tests=tests)
    least = smallest_effect(count, sd=sd, power=power, level=level, tests=tests)
    return {"units": count, **dict(zip(names, (sd, low, high, *seeds, now, least), strict=True)), "note": note}


def _seeds(effect: float, sd: float, power: float, level: float, tests: int) -> float:
    # a million seeds find an effect of about 0.003 SD: beyond it no search is worth its time
    if 2.0 * sd / abs(effect) > math.sqrt(MOST_SEEDS):
        return float("inf")
    return float(seeds_needed(effect, sd=sd, power=power, level=level, tests=tests))
