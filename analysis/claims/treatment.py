"""Claims about a treatment against its baseline, in every cell and on average. Pre-training and the
intermediate stage are such treatments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from analysis.claims.claim_table import READINGS, ClaimTable, Spread
from analysis.claims.contrasts import Contrast, Scores, mean_over_cells, seeds_of
from analysis.claims.finding import Estimate, Finding, estimate_of
from analysis.claims.headline import at_levels, changes, in_every_cell
from analysis.claims.rules import (
    ALPHA,
    ROW_COLUMNS,
    for_every_cell,
    for_one_or_negligible,
    format_estimate,
    other_intervals,
    rows_of,
    tally,
    unreachable_with,
    within_margin,
)
from analysis.claims.wording import NAMES, both_readings, cleaned
from analysis.formatting import format_setting, number_of, p_value
from analysis.significance.checks import MOST_PAIRS_MIXED, Check, checks
from analysis.significance.mixed import mixed_effect
from analysis.significance.paired_effects import PairedEffects
from analysis.significance.summary_effects import SummaryEffects

Effects = PairedEffects | SummaryEffects


@dataclass(frozen=True, kw_only=True)
class TreatmentEffects:
    """Effects of a treatment under each reading of the spread."""

    study: ClaimTable
    effects: tuple[tuple[Spread, Effects], ...]

    @property
    def first(self) -> Effects:
        """The effects that estimates come from: the only ones, or those with the spread read as SD."""
        return self.effects[0][1]

    @cached_property
    def checked(self) -> tuple[Check, ...]:
        """Checks of the assumptions of the overall effects; with more than two treatments only of
        the least certain.
        """
        effects = self.first
        if not isinstance(effects, PairedEffects):
            return ()
        if len(effects.overall) > 2:
            return _worst(effects)
        return tuple(check for _, row in effects.overall.iterrows() for check in checks(effects, row))

    def rows(self) -> pd.DataFrame:
        """The tests of all cells under all readings, as rows of a finding."""
        parts = []
        for spread, effects in self.effects:
            part = rows_of(effects.table, partial(_label, effects), _counted)
            parts.append(part.assign(reading=READINGS[spread] if self.study.kind == "cells" else ""))
        return pd.concat(parts, ignore_index=True)

    def mean(self, effects: Effects) -> tuple[Estimate, float, float, str, str]:
        """Effect over all treatments and cells: estimate, p, degrees of freedom, n, and what it is
        conditional on.
        """
        unit, what = self.study.outcome_name, f"mean difference in {self.study.outcome_name}"
        if isinstance(effects, PairedEffects):
            found = _together(effects, self.study.table)
            estimate = Estimate(what=what, value=found.value, low=found.low, high=found.high, level=effects.level, unit=unit)
            return estimate, found.p, found.df, found.n, found.note
        row = effects.overall.iloc[-1]  # of several treatments the last row takes them together
        estimate = estimate_of(row, "difference", what=what, level=effects.level, unit=unit)
        return estimate, float(row["p"]), float(row["df"]), f"{len(effects.table)} cells", str(row["note"])


def _together(effects: PairedEffects, runs: pd.DataFrame) -> Contrast:
    """Mean difference over all treatments and cells.

    Cells weigh alike, a missing pair costs its own cell alone, and t is over independent groups of
    seeds.
    """
    pairs = effects.pairs
    if len(effects.overall) == 1 or "seed" not in pairs.columns:
        row = effects.overall.iloc[0]
        conditional = "conditional" in str(row["note"])
        counted = _pairs(effects) + (f", {row['note']}" if conditional else "")
        p, low, high = (float(row[name]) for name in ("p", "low", "high"))
        value = float(effects.overall["difference"].mean())
        if len(effects.overall) > 1:
            p = low = high = float("nan")
        df = float(row["n_seeds"] if conditional else row["n_groups"]) - 1.0
        return Contrast(value=value, low=low, high=high, p=p, df=df, n=counted, note="" if conditional else str(row["note"]))
    cell = np.asarray(pairs.groupby(["treatment", *effects.by], dropna=False, sort=False).ngroup(), dtype=np.int64)
    rows = Scores(value=pairs["difference"].to_numpy(dtype=float), cell=cell, **seeds_of(pairs["seed"], runs))
    found, used = mean_over_cells(rows, level=effects.level)
    left_out = len(effects.table) - len(used)
    without = f"; {left_out} cells of one seed alone are left out" if left_out else ""
    return replace(found, n=f"{int(np.isin(cell, used).sum())} pairs in {len(used)} cells, {found.n}{without}")


def everywhere(treatment: TreatmentEffects, *, identity: str, topic: str, claim: str, direction: int, source: str = "", subject: str) -> Finding:
    """Tests that the treatment differs from its baseline in this direction in every cell."""
    rows = treatment.rows()
    decided = []
    for place, (spread, _) in enumerate(treatment.effects):
        part = rows if treatment.study.kind == "runs" else rows.loc[rows["reading"] == READINGS[spread]]
        decided.append((READINGS[spread], place, part, *for_every_cell(part, direction)))
    verdict, reading, _ = both_readings([(name, verdict) for name, _, _, verdict, _ in decided], treatment.study)
    mean, _, _, counted, _ = treatment.mean(treatment.first)
    tallies = "; ".join((f"{name}: " if treatment.study.kind == "cells" else "") + tally(part, direction) for name, _, part, _, _ in decided)
    first = decided[0][2]
    ahead = int((first["estimate"] * direction > 0).sum())
    worst = _most_against(first, direction)
    side = "above" if direction > 0 else "below"
    sentence = (
        f"{subject} changes {treatment.study.outcome_name} by {mean.value:+z.3f} on average, {side} zero in {ahead} of {len(first)} cells "
        f"as measured; {tallies}; the cell that speaks most against the claim is {worst['label']} ({_one(worst, mean.level)})"
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
        test="the cell that decides: for the claim its own p, against it after Holm over cells",
        unreachable=_unreachable(treatment, first, direction) if verdict == "open" else "",
        n=counted,
        reading=reading,
        wording=in_every_cell(subject, treatment.study.outcome_name, direction=direction, counted=tally(first, direction)),
        detail=cells_agreeing(first["estimate"], mean.value, counted),
        checks=treatment.checked,
        rows=rows,
    )


def _unreachable(treatment: TreatmentEffects, rows: pd.DataFrame, direction: int) -> str:
    effects = treatment.first
    if not isinstance(effects, PairedEffects):
        return ""
    table = effects.table
    units = table["n_groups"].where(table["n_groups"] > 1, table["n_seeds"])  # seeds, where all share a pre-training
    return unreachable_with(rows, units.tolist(), direction, effects.level)


def on_average(
    treatment: TreatmentEffects, *, identity: str, topic: str, claim: str, direction: int, source: str = "", subject: str, axis: str = ""
) -> Finding:
    """Tests that the treatment differs from its baseline in this direction on average over its
    cells. `axis` names its main effect, which says by level where effects differ.
    """
    found = [(spread, *treatment.mean(effects)) for spread, effects in treatment.effects]
    decided = [for_one_or_negligible(one, p, df, direction, treatment.study.margin) for _, one, p, df, *_ in found]
    verdict, reading, agreed = both_readings(
        [(READINGS[spread], one) for (spread, *_), (one, _) in zip(found, decided, strict=True)], treatment.study
    )
    _, estimate, p, df, counted, how = found[0]
    effects, row = treatment.study.effects, treatment.study.effect_of(axis)
    levels = [] if effects is None else effects.of_kinds(axis) if row is None else effects.at_levels(axis)
    by_level = f"{at_levels(levels)}, and by " if levels else ""
    sentence = f"{subject} changes {treatment.study.outcome_name} by {by_level}{format_estimate(estimate, p, extra=[counted])} on average"
    sentence += other_intervals(row) if row is not None and treatment.study.kind == "runs" else ""
    within = within_margin(estimate, df, treatment.study.margin)
    if within < ALPHA:
        sentence += f", within the {treatment.study.margin:g} that counts as negligible ({p_value(within)})"
    sentence += agreed
    p = decided[0][1]
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
        test="two one-sided tests against the margin" if p == within and within < ALPHA else "no effect on average, two-sided t",
        family="primary",
        generic=True,
        wording=changes(subject, treatment.study.outcome_name),
        margin=treatment.study.margin,
        levels=tuple(levels),
        cautions=tuple(effects.cautions_of(row)) if effects is not None and row is not None else (),
        detail=cells_agreeing(treatment.first.table["difference"], estimate.value, counted),
        n=counted,
        reading="; ".join(part for part in (reading, how) if part),
        checks=treatment.checked,
        rows=_overall(treatment),
    )


def cells_agreeing(cells: pd.Series, value: float, counted: str) -> str:
    """'Up in 12 of 12 cells, 3 seeds': how many cells have the sign of the mean."""
    known = cells.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if not len(known) or not np.isfinite(value):
        return ""
    side = "Up" if value > 0 else "Down"
    seeds = re.search(r"(\d+ independent groups of )?\d+ seeds?", counted)
    noun = "cell" if len(known) == 1 else "cells"
    return f"{side} in {int((known * np.sign(value) > 0).sum())} of {len(known)} {noun}" + (f", {seeds[0]}" if seeds else "")


def _most_against(rows: pd.DataFrame, direction: int) -> pd.Series:
    """The row with the most evidence against the claim.

    Of rows on the other side the most certain one, else the least certain one.
    """
    signed = rows["estimate"].to_numpy(dtype=float) * direction
    p = rows["p"].fillna(1.0).to_numpy(dtype=float)
    return rows.iloc[int(np.argmin(np.where(signed < 0, p - 2.0, -p)))]


def _one(row: pd.Series, level: float) -> str:
    estimate = estimate_of(row, "estimate", what="", level=level)
    return format_estimate(estimate, np.nan).partition(" (")[0] + (
        f", {p_value(row['p_holm'])} after Holm" if np.isfinite(row["p_holm"]) else f", {row['note']}"
    )


def _worst(effects: PairedEffects) -> tuple[Check, ...]:
    """The checks of the treatment with the largest p, where there are many treatments."""
    p = effects.overall["p"].fillna(1.0).to_numpy()
    return checks(effects, effects.overall.iloc[int(np.argmax(p))])


def _overall(treatment: TreatmentEffects) -> pd.DataFrame:
    """The mean over cells of each treatment.

    Of runs also by the mixed model, for cells like these, up to MOST_PAIRS_MIXED pairs.
    """
    parts = []
    for spread, effects in treatment.effects:
        table = effects.overall if isinstance(effects, PairedEffects) else effects.overall.assign(p_holm=np.nan)
        part = rows_of(table, partial(_of_treatment, effects), _counted)
        parts.append(part.assign(reading=READINGS[spread] if treatment.study.kind == "cells" else ""))
        if isinstance(effects, PairedEffects):
            parts.append(_mixed(effects))
    return pd.concat(parts, ignore_index=True)


def _mixed(effects: PairedEffects) -> pd.DataFrame:
    rows = []
    for treatment in effects.treatments:
        pairs = int((effects.pairs["treatment"] == treatment).sum())
        if pairs > MOST_PAIRS_MIXED:
            continue
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
    return NAMES.get(effects.factor, f"{effects.factor} {{}}").format(format_setting(treatment))


def _label(effects: Effects, row: pd.Series) -> str:
    """The treatment and the cell of a row, without settings that do not vary."""
    parts = []
    if len(effects.treatments) > 1 or not _varying(effects):
        parts.append(_treatment(effects, row["treatment"]))
    for name in _varying(effects):
        if name in row.index:
            value = format_setting(row[name])
            parts.append("from scratch" if name == "pretrain_images" and value == "0" else (NAMES.get(name) or f"{name} {{}}").format(value))
    return ", ".join(parts) or "all cells"


def _varying(effects: Effects) -> Sequence[str]:
    return [name for name in effects.by if effects.table[name].nunique(dropna=False) > 1]


def _counted(row: pd.Series) -> str:
    if "n_pairs" in row.index:
        return f"{number_of(row['n_pairs'], 'pair')}, {number_of(row['n_groups'], 'group')}"
    if "n_treatment" in row.index:
        return f"{row['n_treatment']:.0f} against {row['n_baseline']:.0f} runs"
    return ""


def _pairs(effects: PairedEffects) -> str:
    seeds = effects.pairs["seed"].nunique() if "seed" in effects.pairs.columns else 0
    return f"{len(effects.pairs)} pairs in {len(effects.table)} cells" + (f", {number_of(seeds, 'seed')}" if seeds else "")
