"""The table that every claim is tested on, in one form whether its rows are runs or means of cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError, nearest_name
from analysis.factorial.contrast import scatter
from analysis.factorial.main_effects import main_effects
from analysis.factorial.result import MainEffects
from analysis.fitting.inputs import checked_level
from analysis.published.load import Published
from analysis.runs.columns import Column, column_of, documented_scores, first_score
from analysis.runs.matching import SETTINGS
from analysis.runs.table import numeric_column, require_columns

Array = NDArray[np.float64]
MARGIN: Final = 0.01
OF_NOISE: Final = 0.5
"""Default margin: at most this share of the standard deviation of a single run."""
OF_RANGE: Final = 0.05
"""Default margin: at most this share of the range of the cell means."""
Spread = Literal["sd", "se"]
READINGS: Final[dict[Spread, str]] = {"sd": "spread read as SD", "se": "spread read as SE"}
WHERE = "the table of the study"
COUNTS = ("pretrain_images", "finetune_images", "pretrain_steps", "encoder_params", "intermediate_images", "intermediate_steps", "finetune_steps")
TEXT_COLUMNS = (
    "encoder",
    "pretrain_id",
    "trunk_id",
    "intermediate_id",
    "pretrain_source",
    "pretrain_recipe",
    "pretrain_length",
    "intermediate",
    "intermediate_source",
    "finetune_source",
    "finetune_task",
    "finetune_recipe",
)


@dataclass(frozen=True, kw_only=True)
class ClaimTable:
    """A study's table, checked and ready for the tests."""

    name: str
    """Name of the study."""
    kind: Literal["runs", "cells"]
    """Whether a row is one run, or the mean of `n_runs` runs with a spread."""
    table: pd.DataFrame
    """Its rows with a finite outcome; index 0 to n - 1."""
    outcome: str
    """The column that is tested."""
    level: float
    """Nominal coverage of the intervals."""
    margin: float
    """Differences between two cells below this, in the unit of the outcome, are called negligible."""
    cell: NDArray[np.int64]
    """Cell of each row, shape (n,): rows that differ in seed alone share one."""
    cells: pd.DataFrame
    """The settings of each cell; its index is the cell's number."""
    margin_reason: str = ""
    """How the margin was derived from the study; '' where it was stated."""

    def margin_of(self, scale: float) -> float:
        """The margin of a weighted sum of cell means, such as a gain per doubling.

        `scale` is half the sum of the absolute weights: 1 for a difference of two cells, 1/d for a
        gain per doubling over d doublings. A stated margin holds for every number as it is.
        """
        return self.margin * scale if self.margin_reason else self.margin

    @property
    def column(self) -> Column:
        """The documentation of the outcome."""
        return column_of(self.table, self.outcome)

    @property
    def outcome_name(self) -> str:
        """The outcome's title, as used in sentences."""
        return self.column.title

    @property
    def better(self) -> int:
        """1 where higher values of the outcome are better, -1 where lower ones are."""
        return -1 if self.column.better == "lower" else 1

    @property
    def improves(self) -> str:
        """The verb for a change to the better: 'raises', or 'lowers' where lower values are better."""
        return "raises" if self.better > 0 else "lowers"

    @property
    def worsens(self) -> str:
        """The verb for a change to the worse."""
        return "lowers" if self.better > 0 else "raises"

    def errors(self, values: Array) -> Array:
        """Distance of outcomes from the best possible one, in the unit of the outcome.

        The best is the bound that the column documents; of an undocumented one 1, or 100 in percent.
        Raises AnalysisError where the documentation has no such bound.
        """
        column = self.column
        best = column.highest if self.better > 0 else column.lowest
        if best is None and column.role == "score":
            raise AnalysisError(f"the score '{self.outcome}' has no best value: document its bound, and a law of its error can be fitted.")
        if is_percent(self.table[self.outcome]) and self._is_share:
            best = 100.0
        return self.better * ((1.0 if best is None else best) - values)

    @property
    def _is_share(self) -> bool:
        """True if the outcome is a share of 1 (or in percent); an undocumented one counts as such."""
        return self.column.highest == 1.0 or self.column.role != "score"

    @property
    def readings(self) -> tuple[Spread, ...]:
        """The readings of the spread that are tested: both for cells; one, without meaning, for
        runs.
        """
        return ("sd", "se") if self.kind == "cells" else ("sd",)

    @property
    def seeds(self) -> int:
        """Distinct seeds among the runs; 0 for cells."""
        return int(self.table["seed"].nunique()) if self.kind == "runs" and "seed" in self.table.columns else 0

    @cached_property
    def by_seed(self) -> pd.DataFrame:
        """Outcome by seed (rows) and cell (columns), NaN where a run is missing; runs only."""
        seeds = self.table["seed"].to_numpy() if "seed" in self.table.columns else np.zeros(len(self.table))
        long = pd.DataFrame({"seed": seeds, "cell": self.cell, "value": self.table[self.outcome].to_numpy(dtype=float)})
        return long.pivot_table(index="seed", columns="cell", values="value", aggfunc="mean")

    @cached_property
    def means(self) -> Array:
        """Mean outcome of each cell, shape (cells,)."""
        sums = np.bincount(self.cell, weights=self.table[self.outcome].to_numpy(dtype=float), minlength=len(self.cells))
        return np.asarray(sums / np.bincount(self.cell, minlength=len(self.cells)))

    @cached_property
    def effects(self) -> MainEffects | None:
        """The main effect of everything that varies; None where nothing does."""
        try:
            return main_effects(self.table, outcome=self.outcome, level=self.level)
        except AnalysisError:
            return None

    def effect_of(self, axis: str) -> pd.Series | None:
        """The main effect of one axis, a row of `MainEffects.table`; None where it does not vary, or
        has a row for each of its kinds.
        """
        rows = self.effects.table[self.effects.table["axis"] == axis] if self.effects is not None else pd.DataFrame()
        return rows.iloc[0] if len(rows) == 1 and not rows["kind"].iloc[0] else None

    def variances(self, spread: Spread) -> tuple[Array, Array]:
        """Variance of each cell's mean and its degrees of freedom, shapes (cells,). Cells only.

        NaN where a cell is of one run or its spread is zero.
        """
        printed = numeric_column(self.table, f"{self.outcome}_spread", where=WHERE).to_numpy()
        n = numeric_column(self.table, "n_runs", where=WHERE).to_numpy()
        error = printed / np.sqrt(n) if spread == "sd" else printed
        known = (n > 1) & (error**2 > 0)
        return np.where(known, error**2, np.nan), np.where(known, n - 1, np.nan)

    def find(self, **wanted: Hashable) -> int | None:
        """Number of the cell with these settings; None if no cell has them, or several do."""
        there = np.ones(len(self.cells), dtype=bool)
        for name, value in wanted.items():
            column = self.cells[name]
            there &= (column.isna() if value != value else column == value).to_numpy()
        found = np.flatnonzero(there)
        return int(found[0]) if len(found) == 1 else None


def prepare(
    study: pd.DataFrame | Published,
    *,
    outcome: str | None,
    level: float,
    margin: float | None,
    keep: Mapping[str, Hashable] | None = None,
) -> ClaimTable:
    """Check a table and bring it into form.

    Raises AnalysisError for a missing column or an outcome without numbers.
    """
    table = study.table if isinstance(study, Published) else study
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"findings needs a runs table or a published one, and got {type(study).__name__}: read it with load_runs first.")
    checked_level(level)
    if margin is not None and not (isinstance(margin, (int, float)) and np.isfinite(margin) and margin > 0):
        raise AnalysisError(f"margin = {margin!r} is not a difference above zero: state the largest negligible difference, as in margin=0.01.")
    name = study.name if isinstance(study, Published) else _name(table)
    given = list(table.columns)
    table = _plain_columns(table)
    chosen = outcome or (study.outcome if isinstance(study, Published) else _first_outcome(table, given))
    require_columns(table, (chosen,), where=WHERE)
    values = numeric_column(table, chosen, where=WHERE)
    there = np.isfinite(values.to_numpy())
    for column, value in (keep or {}).items():
        there &= (table[column] == value).to_numpy()
    if not there.any():
        raise AnalysisError(f"no row of {WHERE} has a finite '{chosen}': finish a run, or name another outcome.")
    kept = table.loc[there].reset_index(drop=True)
    kept[chosen] = values.loc[there].to_numpy()
    kind: Literal["runs", "cells"] = "cells" if f"{chosen}_spread" in kept.columns else "runs"
    if kind == "cells":
        _check_spreads(kept, chosen)
    settings = [column for column in SETTINGS if column in kept.columns and column != "seed"]
    grouped = kept.groupby(settings, dropna=False, sort=True)
    cell = grouped.ngroup().to_numpy()
    cells = kept.loc[~pd.Series(cell).duplicated().to_numpy(), settings].assign(cell=pd.unique(cell)).set_index("cell").sort_index()
    _check_distinct(kept, cell, kind, settings, given)
    margin, reason = (margin, "") if margin is not None else _default_margin(kept, chosen, cell, settings)
    return ClaimTable(
        name=name, kind=kind, table=kept, outcome=chosen, level=level, margin=float(margin), cell=cell, cells=cells, margin_reason=reason
    )


def _default_margin(table: pd.DataFrame, outcome: str, cell: NDArray[np.int64], settings: list[str]) -> tuple[float, str]:
    """The margin where none is stated, to two digits, and how it was derived.

    It is the smaller of OF_NOISE x the standard deviation of a single run (around its cell and
    seed; of printed means the typical spread) and OF_RANGE x the range of the cell means: a
    difference that one run would not show, and that is small in this study.
    """
    values = table[outcome].to_numpy(dtype=float)
    means = np.bincount(cell, weights=values) / np.bincount(cell)
    if f"{outcome}_spread" in table.columns:
        noise = float(np.sqrt(np.mean(numeric_column(table, f"{outcome}_spread", where=WHERE).to_numpy(dtype=float) ** 2)))
    else:
        noise, _ = scatter(table, values, settings)
    span = float(np.ptp(means))
    size = float(np.abs(values).max())
    parts = []
    if np.isfinite(noise) and noise > 1e-9 * size:
        parts.append((OF_NOISE * noise, f"half the scatter of single runs ({noise:.2g})"))
    if span > 1e-9 * size:
        parts.append((OF_RANGE * span, f"a twentieth of the range of the cell means ({span:.2g})"))
    if not parts:
        return _documented_margin(table, outcome), "a hundredth of the score's range"
    reason = " and ".join(text for _, text in parts)
    return float(f"{min(value for value, _ in parts):.2g}"), f"the smaller of {reason}" if len(parts) > 1 else reason


def _documented_margin(table: pd.DataFrame, outcome: str) -> float:
    """A hundredth of the score's documented range.

    Without documentation the range is 1, or 100 in percent; of a score without bounds it is its
    largest absolute value.
    """
    column = column_of(table, outcome)
    if column.role != "score" or column.highest == 1.0:
        return MARGIN * (100.0 if is_percent(table[outcome]) else 1.0)
    if column.lowest is not None and column.highest is not None:
        return MARGIN * (column.highest - column.lowest)
    return MARGIN * (float(table[outcome].abs().max()) or 1.0)


def is_percent(values: pd.Series) -> bool:
    """True if scores are in percent rather than shares of 1."""
    return bool(values.max() > 1.5)


def _name(table: pd.DataFrame) -> str:
    names = table["study"].dropna().unique().tolist() if "study" in table.columns else []
    return str(names[0]) if len(names) == 1 else "the study"


def _first_outcome(table: pd.DataFrame, given: list[str]) -> str:
    """The first documented score; `given` are the columns that the caller has, for the message."""
    found = first_score(table)
    if found is not None:
        return found.name
    known = ", ".join(column.name for column in documented_scores(table))
    raise AnalysisError(f"{WHERE} has no outcome among {known} ({nearest_name('miou', given)}): name yours with outcome= (--outcome).")


def _plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Copies the table with counts as numbers, names as plain text and whole seeds; an absent stage
    is 0 images or 'none'.

    Raises AnalysisError for two columns of one name, text among counts, or a seed that is missing
    in some rows alone.
    """
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise AnalysisError(f"{WHERE} has two columns '{twice[0]}': rename or remove one.")
    plain = table.reset_index(drop=True).copy()
    for name in COUNTS:
        if name in plain.columns:
            plain[name] = numeric_column(plain, name, where=WHERE)
    for name in TEXT_COLUMNS:
        if name in plain.columns:
            plain[name] = [None if pd.isna(value) else str(value) for value in plain[name].astype("object")]
    plain["pretrain_images"] = plain["pretrain_images"].fillna(0.0) if "pretrain_images" in plain.columns else 0.0
    plain["intermediate"] = ["none" if value is None or value != value else value for value in plain.get("intermediate", ["none"] * len(plain))]
    if "seed" in plain.columns:
        missing = plain["seed"].isna().to_numpy()
        if missing.all():
            return plain.drop(columns="seed")
        if missing.any():
            row = int(np.argmax(missing))
            raise AnalysisError(f"row {row} of {WHERE} has no seed, and others have: give every run its seed, or leave the column out.")
        seeds = plain["seed"].astype("object")
        whole = all(isinstance(value, (int, float, np.integer, np.floating)) for value in seeds)
        plain["seed"] = seeds.astype("float64") if whole else seeds.astype("str")
    return plain


def _check_spreads(cells: pd.DataFrame, outcome: str) -> None:
    """Checks the spreads and numbers of runs of a table of means.

    Raises AnalysisError where a cell does not say of how many runs it is, or a value is impossible.
    """
    spread = f"{outcome}_spread"
    if "n_runs" not in cells.columns:
        raise AnalysisError(f"{WHERE} has the spreads '{spread}' and no column 'n_runs': say of how many runs each mean is, or drop the spreads.")
    require_columns(cells, (spread, "n_runs"), where=WHERE)
    spreads, runs = (numeric_column(cells, name, where=WHERE).to_numpy() for name in (spread, "n_runs"))
    for bad, column, values, what in (
        (spreads < 0, spread, spreads, "a spread below zero"),
        (~(runs >= 1) | (runs != np.round(runs)), "n_runs", runs, "not a whole number of runs from 1 on"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise AnalysisError(f"{WHERE}, column '{column}', row {row}: {values[row]:g} is {what}; correct it.")


def _check_distinct(table: pd.DataFrame, cell: NDArray[np.int64], kind: str, settings: list[str], given: list[str]) -> None:
    """Raises AnalysisError where two rows describe the same cell, or two runs the same cell and
    seed. `given` are the columns that the caller has, for the message.
    """
    keys = pd.DataFrame({"cell": cell})
    if kind == "runs" and "seed" not in table.columns:
        return  # runs of a cell without seeds are its repetitions
    if kind == "runs":
        keys["seed"] = table["seed"].to_numpy()
    again = keys.duplicated().to_numpy()
    if again.any():
        row = int(np.argmax(again))
        first = int(np.argmax((keys == keys.iloc[row]).all(axis=1).to_numpy()))
        if not set(SETTINGS).difference(["seed"]).intersection(given):
            raise AnalysisError(
                f"{WHERE} has no column that a claim is about, such as finetune_images or encoder (there are: {', '.join(map(str, given))}): "
                "rename its own, as in load_runs(path, columns={'finetune_images': 'n_labels'}), or make a page of it with python -m reports.build."
            )
        same = ", ".join([*settings, *(["seed"] if kind == "runs" else [])])
        raise AnalysisError(
            f"rows {first} and {row} of {WHERE} are equal in all settings ({same}): keep one of them, or add the column that tells them apart, "
            f"such as pretrain_length."
        )
