"""The result of paired comparisons: effects with intervals, the pairs, and a sentence for each row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from analysis.formatting import format_setting, p_value, percent


@dataclass(frozen=True, kw_only=True)
class PairedEffects:
    """Differences between runs that are equal but for one factor. From `analysis.paired_effects`."""

    factor: str
    """The column that differs between treatment and baseline."""
    baseline: object
    """Its value in the runs that are compared against."""
    treatments: tuple[object, ...]
    """Its other values, in the order of the table."""
    outcome: str
    """The column that is compared, in its own unit."""
    outcome_title: str
    """What sentences call it."""
    by: tuple[str, ...]
    """Columns that define the rows, one per combination of their values.

    Those asked for, then settings that vary and must not be mixed.
    """
    level: float
    """Nominal coverage of the intervals."""
    matched_on: tuple[str, ...]
    """Columns in which the two runs of a pair are equal."""
    table: pd.DataFrame
    """One row per treatment and combination of values: factor, baseline, treatment, the columns of
    `by`, n_pairs, n_groups (independent groups of runs), n_seeds, baseline_mean, treatment_mean,
    difference (treatment - baseline, mean over groups), low, high (NaN where there is no interval),
    p (two-sided t test over groups), p_holm and p_bh (p after Holm, and after Benjamini-Hochberg,
    over the rows of this table), note (empty, or what qualifies the row).
    """
    overall: pd.DataFrame
    """One row per treatment over all combination of valuess, with the same columns but those of `by`;
    corrected over its own rows.
    """
    pairs: pd.DataFrame
    """One row per matched pair: treatment, the columns of `by`, seed (if there), baseline_value,
    treatment_value, difference, group (independent group within its table row), unit and
    overall_unit (what the row of `table`, or of `overall`, counts: the group, or the seed where all
    share one pre-training), baseline_row (label of the baseline run, which may stand in several
    pairs), and baseline_ and treatment_ before pretrain_id, trunk_id, intermediate_id and run_id
    (if there).
    """
    n_unmatched_treatment: int
    """Treatment runs without a baseline run that equals them in all other settings."""
    n_unmatched_baseline: int
    """Baseline runs that no treatment run matched."""
    n_without_outcome: int
    """Runs of either side left out because their outcome is missing."""

    def rows(self) -> list[pd.Series]:
        """Every row of `table`, then every row of `overall`."""
        return [one.iloc[position] for one in (self.table, self.overall) for position in range(len(one))]

    def in_cell(self, row: int | pd.Series) -> pd.DataFrame:
        """The pairs of one row of `table` (or of `overall`)."""
        cells = self.table.iloc[row] if isinstance(row, int) else row
        there = self.pairs["treatment"] == cells["treatment"]
        for name in self.by:
            if name in cells.index:
                there &= (self.pairs[name] == cells[name]) | (self.pairs[name].isna() & pd.isna(cells[name]))
        return self.pairs[there]

    def restricted(self, row: int | pd.Series) -> PairedEffects:
        """These effects with only the pairs of one row of `table` (or of `overall`)."""
        cells = self.table.iloc[row] if isinstance(row, int) else row
        return replace(self, treatments=(cells["treatment"],), pairs=self.in_cell(cells))

    def units(self, row: int | pd.Series) -> pd.DataFrame:
        """The independent units that the row's t test counts, with the mean of each.

        One row per independent group of pairs (or per seed, where the row's note says that it is
        conditional): baseline_value, treatment_value, difference and n_pairs.
        """
        cells = self.table.iloc[row] if isinstance(row, int) else row
        within = any(name in cells.index for name in self.by) or not self.by
        grouped = self.in_cell(cells).groupby("unit" if within else "overall_unit")
        means = grouped[["baseline_value", "treatment_value", "difference"]].mean()
        return means.assign(n_pairs=grouped.size()).reset_index(drop=True)

    def sentence(self, row: int | pd.Series) -> str:
        """One row of `table` (or of `overall`) as a sentence; an integer is a position in `table`."""
        cells = self.table.iloc[row] if isinstance(row, int) else row
        where = "".join(f" {condition(name, cells[name])}" for name in self.by if name in cells.index)
        outcome = self.outcome_title
        claim = f"{self.subject(cells['treatment'])} changes {outcome}{where} by {cells['difference']:+z.3f}"
        if pd.isna(cells["low"]):
            return f"{claim} (no interval: {cells['note']})"
        family = len(self.table if any(name in cells.index for name in self.by) else self.overall)
        holm = " after Holm" if family > 1 else ""
        interval = f"{percent(self.level)} interval {cells['low']:+z.3f} to {cells['high']:+z.3f}"
        note = f"; {cells['note']}" if cells["note"] else ""
        return f"{claim} ({interval}, {p_value(cells['p_holm'])}{holm}, {_units(cells)}{note})"

    def sentences(self) -> list[str]:
        """Every row of `table` as a sentence."""
        return [self.sentence(position) for position in range(len(self.table))]

    def matching(self) -> str:
        """A sentence on how many runs were paired, and how many were left out."""
        text = f"{len(self.pairs)} pairs of runs equal in {', '.join(self.matched_on) or 'nothing but the factor'}"
        left = [
            (self.n_unmatched_treatment, "treatment runs without a baseline run"),
            (self.n_unmatched_baseline, "baseline runs without a treatment run"),
            (self.n_without_outcome, f"runs without {self.outcome}"),
        ]
        parts = [f"{count} {what}" for count, what in left if count]
        return text + (f"; left out: {', '.join(parts)}" if parts else "; none left out")

    def subject(self, treatment: object) -> str:
        """The treatment as the subject of a sentence."""
        new, old = format_setting(treatment), format_setting(self.baseline)
        if self.factor == "pretrain_images":
            return f"Pre-training on {new} images" if self.baseline == 0 else f"Pre-training on {new} rather than {old} images"
        if self.factor == "intermediate" and self.baseline == "none":
            return f"An intermediate {new} stage"
        if self.factor == "finetune_images":
            return f"Fine-tuning on {new} rather than {old} labels"
        return f"{self.factor} {new} rather than {old}"


def _units(cells: pd.Series) -> str:
    if cells["note"]:  # the note says what was counted
        return f"{cells['n_pairs']} pairs"
    noun = "seeds" if cells["n_groups"] == cells["n_seeds"] else "groups of runs"
    return f"{cells['n_groups']} independent {noun}"


def condition(name: str, value: object) -> str:
    """How a sentence names the setting under which an effect holds."""
    if name == "finetune_images":
        return f"at {format_setting(value)} labels"
    if name == "pretrain_images":
        return "without pre-training" if value == 0 else f"after pre-training on {format_setting(value)} images"
    if name == "intermediate":
        return "without an intermediate stage" if value == "none" else f"after intermediate {value}"
    return f"with {name} {format_setting(value)}"
