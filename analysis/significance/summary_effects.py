"""The result of comparisons of published means: effects with intervals, and their mean over cells."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.formatting import format_setting, p_value, percent
from analysis.significance.paired_effects import condition


@dataclass(frozen=True, kw_only=True)
class SummaryEffects:
    """Differences between cells with only mean, spread and number of runs. From `summary_effects`."""

    factor: str
    """The column that differs between treatment and baseline."""
    baseline: object
    """Its value in the cells that are compared against."""
    treatments: tuple[object, ...]
    """Its other values."""
    outcome: str
    """The column of means, in its own unit."""
    outcome_title: str
    """What sentences call it."""
    by: tuple[str, ...]
    """Columns that define the rows: one row per combination of their values."""
    level: float
    """Nominal coverage of the intervals."""
    spread: str
    """How the spread was read: 'sd' of single runs, or 'se' of the mean."""
    variance: str
    """'welch', 'pooled' or 'moderated'."""
    treatment_stage: str
    """The intermediate stage that only the treatment cells have had; empty where the two sides
    differ in the factor alone.
    """
    table: pd.DataFrame
    """One row per pair of cells: factor, baseline, treatment, the columns of `by`, n_treatment,
    n_baseline (runs), baseline_mean, treatment_mean, difference (treatment - baseline), se, df,
    low, high (NaN where there is no interval), p (two-sided), p_holm, p_bh (over the rows of this
    table), hedges_g, g_low, g_high (standardised by the two cells' own pooled SD; exact under
    normal runs of equal variance), note.
    """
    overall: pd.DataFrame
    """The mean difference over the rows that have an interval, per treatment: factor, baseline,
    treatment, n_cells, difference, se, df, low, high, p (each cell's runs taken as independent of
    other cells'; a baseline cell that stands in several rows counts once), n_clusters,
    low_clustered, high_clustered, p_clustered (t over the means of pre-training sizes, so what a
    size shares widens the interval), note. With several treatments a last row, treatment 'all',
    takes them together.
    """
    n_unmatched: int
    """Cells of either side that found no partner."""

    def sentence(self, row: int | pd.Series) -> str:
        """One row of `table` (or of `overall`) as a sentence; an integer is a position in `table`."""
        cells = self.table.iloc[row] if isinstance(row, int) else row
        outcome = self.outcome_title
        alone = "p_holm" in cells.index
        where = "".join(f" {condition(name, cells[name])}" for name in self.by) if alone else f" by a mean over {cells['n_cells']} cells of"
        verb = "changes" if str(cells["treatment"]) != "all" else "change"
        claim = f"{self._subject(cells['treatment'])} {verb} {outcome}{where}" + (
            f" by {cells['difference']:+z.3f}" if alone else f" {cells['difference']:+z.3f}"
        )
        if pd.isna(cells["low"]):
            return f"{claim} (no interval: {cells['note']})"
        interval = f"{percent(self.level)} interval {cells['low']:+z.3f} to {cells['high']:+z.3f}"
        if not alone:
            return f"{claim} ({interval}, {p_value(cells['p'])}; {cells['note']})"
        holm = " after Holm" if len(self.table) > 1 else ""
        runs = f"{cells['n_treatment']:.0f} against {cells['n_baseline']:.0f} runs"
        note = f"; {cells['note']}" if cells["note"] else ""
        return f"{claim} ({interval}, {p_value(cells['p_holm'])}{holm}, {runs}, spread read as {self.spread.upper()}{note})"

    def sentences(self) -> list[str]:
        """Every row of `table` as a sentence."""
        return [self.sentence(position) for position in range(len(self.table))]

    def counts(self) -> dict[str, int]:
        """How many rows are cells, above, below (the difference's sign), significantly_above,
        significantly_below (Holm) and untested.
        """
        sure = self.table["p_holm"] < 1.0 - self.level
        above, below = self.table["difference"] > 0, self.table["difference"] < 0
        return {
            "cells": len(self.table),
            "above": int(above.sum()),
            "below": int(below.sum()),
            "significantly_above": int((above & sure).sum()),
            "significantly_below": int((below & sure).sum()),
            "untested": int(self.table["p"].isna().sum()),
        }

    def counted(self) -> str:
        """`counts` as a sentence."""
        n = self.counts()
        untested = f"; {n['untested']} could not be tested" if n["untested"] else ""
        return (
            f"Of {n['cells']} cells {n['above']} lie above the baseline ({n['significantly_above']} of them significantly after Holm) and "
            f"{n['below']} below ({n['significantly_below']} significantly), with the spread read as {self.spread.upper()}{untested}."
        )

    def _subject(self, treatment: object) -> str:
        new, old = format_setting(treatment), format_setting(self.baseline)
        if self.factor == "pretrain_images" and self.baseline == 0:
            amount = "Pre-training" if new == "all" else f"Pre-training on {new} images"
            return f"{amount} and an intermediate {self.treatment_stage} stage" if self.treatment_stage else amount
        if self.factor == "intermediate" and self.baseline == "none":
            return "Intermediate stages" if new == "all" else f"An intermediate {new} stage"
        return f"{self.factor} {new} rather than {old}"
