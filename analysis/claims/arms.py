"""Claims about an arm against its baseline, in every cell and on average: what the pre-training and the intermediate stage share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from analysis.claims.finding import Estimate, Finding, estimate_of
from analysis.claims.material import READINGS, Material, Spread
from analysis.claims.rules import ALPHA, ROW_COLUMNS, for_every_cell, for_one, rows_of, tally, told
from analysis.claims.wording import NAMES, both_readings, cleaned
from analysis.effects import PairedEffects
from analysis.significance.checks import Check, checks
from analysis.significance.mixed import mixed_effect
from analysis.significance.summary_effects import SummaryEffects
from analysis.student import t_p_value, t_quantile
from analysis.wording import level_of, p_value

Effects = PairedEffects | SummaryEffects


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm's effects under each reading of the spread."""

    material: Material
    effects: tuple[tuple[Spread, Effects], ...]

    @property
    def first(self) -> Effects:
        """The effects that estimates are of: the only ones, or those with the spread read as SD."""
        return self.effects[0][1]

    def rows(self) -> pd.DataFrame:
        """The tests of all cells under all readings, as rows of a finding."""
        parts = []
        for spread, effects in self.effects:
            part = rows_of(effects.table, partial(_label, effects), _counted)
            parts.append(part.assign(reading=READINGS[spread] if self.material.kind == "cells" else ""))
        return pd.concat(parts, ignore_index=True)

    def mean(self, effects: Effects) -> tuple[Estimate, float, float, str, str]:
        """The effect over all treatments and cells: estimate, p, degrees of freedom, what was counted, and what it is conditional on."""
        unit, what = self.material.outcome_name, f"mean difference in {self.material.outcome_name}"
        if isinstance(effects, PairedEffects):
            value, low, high, p, df, note = _over_seeds(effects)
            estimate = Estimate(what=what, value=value, low=low, high=high, level=effects.level, unit=unit)
            return estimate, p, df, _pairs(effects), note
        row = effects.overall.iloc[-1]  # of several treatments the last row takes them together
        estimate = estimate_of(row, "difference", what=what, level=effects.level, unit=unit)
        return estimate, float(row["p"]), float(row["df"]), f"{len(effects.table)} cells", str(row["note"])


def _over_seeds(effects: PairedEffects) -> tuple[float, float, float, float, float, str]:
    """Mean difference over all treatments, interval, p, degrees of freedom and note: cells weigh alike within a seed, and t is over seeds."""
    if len(effects.overall) == 1:
        row = effects.overall.iloc[0]
        df = float(len(effects.units(row)) - 1)
        return float(row["difference"]), float(row["low"]), float(row["high"]), float(row["p"]), df, str(row["note"])
    nothing = float("nan")
    pairs = effects.pairs
    value = float(effects.overall["difference"].mean())
    if "seed" not in pairs.columns:
        return value, nothing, nothing, nothing, nothing, "the table does not say which runs share a seed"
    cells = ["treatment", *effects.by]
    wide = pairs.pivot_table(index="seed", columns=cells, values="difference", aggfunc="mean", dropna=False).dropna(axis=1, how="all")
    whole = wide.dropna()
    left_out = f"{len(wide) - len(whole)} seeds without all cells left out" if len(whole) < len(wide) else ""
    means = whole.mean(axis=1).to_numpy()
    if len(means) < 2 or float(means.std(ddof=1)) <= 1e-12 * abs(float(means.mean())):
        why = "fewer than two seeds have all cells" if len(means) < 2 else "all seeds agree exactly, so their spread says nothing"
        return value, nothing, nothing, nothing, nothing, why
    centre, error = float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))
    half = t_quantile(effects.level, len(means) - 1) * error
    conditional = next((str(note) for note in effects.overall["note"] if "conditional" in str(note)), "")
    note = "; ".join(one for one in (left_out, conditional) if one)
    return centre, centre - half, centre + half, t_p_value(centre / error, len(means) - 1), len(means) - 1.0, note


def everywhere(arm: Arm, *, identity: str, topic: str, claim: str, direction: int, source: str = "", subject: str) -> Finding:
    """The claim that the arm differs from its baseline in this direction in every cell."""
    rows = arm.rows()
    decided = []
    for place, (spread, _) in enumerate(arm.effects):
        part = rows if arm.material.kind == "runs" else rows.loc[rows["reading"] == READINGS[spread]]
        decided.append((READINGS[spread], place, part, *for_every_cell(part, direction)))
    verdict, reading, _ = both_readings([(name, verdict) for name, _, _, verdict, _ in decided], arm.material)
    mean, _, _, counted, _ = arm.mean(arm.first)
    said = "; ".join((f"{name}: " if arm.material.kind == "cells" else "") + tally(part, direction) for name, _, part, _, _ in decided)
    first = decided[0][2]
    ahead = int((first["estimate"] * direction > 0).sum())
    worst = first.iloc[int(np.argmin(first["estimate"].to_numpy(dtype=float) * direction))]
    side = "above" if direction > 0 else "below"
    sentence = (
        f"{subject} changes {arm.material.outcome_name} by {mean.value:+.3f} on average, {side} zero in {ahead} of {len(first)} cells as measured; "
        f"{said}; the cell that speaks most against the claim is {worst['label']} ({_one(worst, mean.level)})"
    )
    return Finding(
        identity=identity,
        topic=topic,
        claim=claim,
        source=source,
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=mean,
        p=max((p for *_, p in decided), default=np.nan),
        p_adjusted=np.nan,
        test="the cell that decides, after Holm over cells",
        n=counted,
        reading=reading,
        checks=_checked(arm),
        rows=rows,
    )


def on_average(arm: Arm, *, identity: str, topic: str, claim: str, direction: int, source: str = "", subject: str) -> Finding:
    """The claim that the arm differs from its baseline in this direction on average over its cells."""
    found = [(spread, *arm.mean(effects)) for spread, effects in arm.effects]
    verdict, reading, agreed = both_readings([(READINGS[spread], for_one(one.value, p, direction)) for spread, one, p, *_ in found], arm.material)
    _, estimate, p, _, counted, how = found[0]
    sentence = f"{subject} changes {arm.material.outcome_name} by {told(estimate, p, extra=[counted])} on average"
    within = max(_within(one, df, arm.material.margin) for _, one, _, df, *_ in found)
    if within < ALPHA:  # whichever sign it has, an effect that small bears no claim of one
        sentence += f", within the {arm.material.margin:g} that was stated as negligible ({p_value(within)})"
        verdict, p = "refuted", within
    sentence += agreed
    return Finding(
        identity=identity,
        topic=topic,
        claim=claim,
        source=source,
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=estimate,
        p=p,
        p_adjusted=np.nan,
        test="two one-sided tests against the margin" if within < ALPHA else "no effect on average, two-sided t",
        n=counted,
        reading="; ".join(part for part in (reading, how) if part),
        checks=_checked(arm),
        rows=_overall(arm),
    )


def _within(estimate: Estimate, df: float, margin: float) -> float:
    """p of two one-sided tests that the effect lies within the margin (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657-680); 1 if none."""
    error = (estimate.high - estimate.low) / 2.0 / t_quantile(estimate.level, df) if np.isfinite(estimate.low) and df > 0 else float("nan")
    if not error > 0.0:
        return 1.0
    distance = (margin - abs(estimate.value)) / error
    one_sided = t_p_value(distance, df) / 2.0
    return one_sided if distance > 0 else 1.0 - one_sided


def _one(row: pd.Series, level: float) -> str:
    estimate = estimate_of(row, "estimate", what="", level=level)
    return told(estimate, np.nan).partition(" (")[0] + (
        f", {p_value(row['p_holm'])} after Holm" if np.isfinite(row["p_holm"]) else f", {row['note']}"
    )


def _checked(arm: Arm) -> tuple[Check, ...]:
    effects = arm.first
    if isinstance(effects, PairedEffects):
        return (
            tuple(check for _, row in effects.overall.iterrows() for check in checks(effects, row)) if len(effects.overall) < 3 else _worst(effects)
        )
    return ()


def _worst(effects: PairedEffects) -> tuple[Check, ...]:
    """Of many treatments, the checks of the one whose p is largest: where they pass, the others are the safer."""
    p = effects.overall["p"].fillna(1.0).to_numpy()
    return checks(effects, effects.overall.iloc[int(np.argmax(p))])


def _overall(arm: Arm) -> pd.DataFrame:
    """The mean over cells of each treatment; of runs also by the mixed model, for cells like these."""
    parts = []
    for spread, effects in arm.effects:
        table = effects.overall if isinstance(effects, PairedEffects) else effects.overall.assign(p_holm=np.nan)
        part = rows_of(table, partial(_of_treatment, effects), _counted)
        parts.append(part.assign(reading=READINGS[spread] if arm.material.kind == "cells" else ""))
        if isinstance(effects, PairedEffects):
            parts.append(_mixed(effects))
    return pd.concat(parts, ignore_index=True)


def _mixed(effects: PairedEffects) -> pd.DataFrame:
    rows = []
    for treatment in effects.treatments:
        found = mixed_effect(effects, treatment=treatment)
        counted = f"{found.n_pairs} pairs, {found.n_cells} cells, {found.degrees_of_freedom:.1f} degrees of freedom"
        label = f"{_treatment(effects, treatment)}, mixed model: a cell like these"
        rows.append((label, found.estimate, found.low, found.high, found.p, np.nan, np.nan, counted, found.note))
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS)).assign(reading="")


def _of_treatment(effects: Effects, row: pd.Series) -> str:
    return _treatment(effects, row["treatment"])


def _treatment(effects: Effects, treatment: object) -> str:
    if str(treatment) == "all":
        return "all together"
    return NAMES.get(effects.factor, f"{effects.factor} {{}}").format(level_of(treatment))


def _label(effects: Effects, row: pd.Series) -> str:
    """The treatment and the cell of a row, in words; what does not vary is left out."""
    told = []
    if len(effects.treatments) > 1 or not _varying(effects):
        told.append(_treatment(effects, row["treatment"]))
    for name in _varying(effects):
        if name in row.index:
            value = level_of(row[name])
            told.append("from scratch" if name == "pretrain_images" and value == "0" else (NAMES.get(name) or f"{name} {{}}").format(value))
    return ", ".join(told) or "all cells"


def _varying(effects: Effects) -> Sequence[str]:
    return [name for name in effects.by if effects.table[name].nunique(dropna=False) > 1]


def _counted(row: pd.Series) -> str:
    if "n_pairs" in row.index:
        return f"{row['n_pairs']} pairs, {row['n_groups']} groups"
    if "n_treatment" in row.index:
        return f"{row['n_treatment']:.0f} against {row['n_baseline']:.0f} runs"
    return ""


def _pairs(effects: PairedEffects) -> str:
    seeds = effects.pairs["seed"].nunique() if "seed" in effects.pairs.columns else 0
    return f"{len(effects.pairs)} pairs in {len(effects.table)} cells" + (f", {seeds} seeds" if seeds else "")
