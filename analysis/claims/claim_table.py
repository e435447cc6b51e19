"""What every question is asked of: the table in one form, whether its rows are runs or cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.claims.columns import check_distinct, check_spreads, is_percent, plain_columns
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.points import checked_level
from analysis.published.load import Published
from analysis.runs.columns import documented_scores, first_score
from analysis.runs.matching import SETTINGS
from analysis.runs.outcomes import title_of
from analysis.runs.table import numeric_column, require_columns

Array = NDArray[np.float64]
MARGIN: Final = 0.01
Spread = Literal["sd", "se"]
READINGS: Final[dict[Spread, str]] = {"sd": "spread read as SD", "se": "spread read as SE"}
WHERE = "the table of the study"


@dataclass(frozen=True, kw_only=True)
class Material:
    """A study's table, ready for questions."""

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
    """Differences below this, in the unit of the outcome, are called negligible."""
    cell: NDArray[np.int64]
    """Cell of each row, shape (n,): rows that differ in seed alone share one."""
    cells: pd.DataFrame
    """The settings of each cell; its index is the cell's number."""

    @property
    def outcome_name(self) -> str:
        """The outcome in words."""
        return title_of(self.outcome, self.table)

    @property
    def best(self) -> float:
        """The highest value that the outcome can have: 1, or 100 where it is in percent."""
        return 100.0 if is_percent(self.table[self.outcome]) else 1.0

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

    def variances(self, spread: Spread) -> tuple[Array, Array]:
        """Variance of each cell's mean and its degrees of freedom, shapes (cells,); NaN where the
        table does not tell. Cells only.
        """
        printed = numeric_column(self.table, f"{self.outcome}_spread", where=WHERE).to_numpy()
        n = numeric_column(self.table, "n_runs", where=WHERE).to_numpy()
        error = printed / np.sqrt(n) if spread == "sd" else printed
        known = (n > 1) & (error**2 > 0)
        return np.where(known, error**2, np.nan), np.where(known, n - 1, np.nan)

    def find(self, **wanted: Hashable) -> int | None:
        """The number of the one cell with these settings; None where none or several have them."""
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
) -> Material:
    """Check a table and bring it into form. Raises AnalysisError for a missing column or an outcome
    without numbers.
    """
    table = study.table if isinstance(study, Published) else study
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"findings needs a runs table or a published one, and got {type(study).__name__}: read it with load_runs first.")
    checked_level(level)
    if margin is not None and not (isinstance(margin, (int, float)) and np.isfinite(margin) and margin > 0):
        raise AnalysisError(f"margin = {margin!r} is not a difference above zero: state the largest negligible difference, as in margin=0.01.")
    name = study.name if isinstance(study, Published) else _name(table)
    table = plain_columns(table)
    chosen = outcome or (study.outcome if isinstance(study, Published) else _first_outcome(table))
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
        check_spreads(kept, chosen)
    settings = [column for column in SETTINGS if column in kept.columns and column != "seed"]
    grouped = kept.groupby(settings, dropna=False, sort=True)
    cell = grouped.ngroup().to_numpy()
    cells = kept.loc[~pd.Series(cell).duplicated().to_numpy(), settings].assign(cell=pd.unique(cell)).set_index("cell").sort_index()
    check_distinct(kept, cell, kind, settings)
    margin = margin if margin is not None else MARGIN * (100.0 if is_percent(kept[chosen]) else 1.0)
    return Material(name=name, kind=kind, table=kept, outcome=chosen, level=level, margin=float(margin), cell=cell, cells=cells)


def _name(table: pd.DataFrame) -> str:
    names = table["study"].dropna().unique().tolist() if "study" in table.columns else []
    return str(names[0]) if len(names) == 1 else "the study"


def _first_outcome(table: pd.DataFrame) -> str:
    found = first_score(table)
    if found is not None:
        return found.name
    known = ", ".join(column.name for column in documented_scores(table))
    raise AnalysisError(f"{WHERE} has no outcome among {known} ({nearest_name('miou', table.columns)}): name one in outcome=.")
