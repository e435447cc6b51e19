"""What a report of anyone's table is about: the file, and which of its columns are what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from analysis import AnalysisError, load_runs
from analysis.formatting import format_setting, in_order, size_in
from analysis.runs.columns import first_score
from analysis.runs.matching import SETTINGS
from analysis.runs.table import numeric_column, require_columns
from reports.errors import ReportError
from reports.table.direction import usual_direction

MOST_GROUPS: Final = 24
"""Groups that a page can show; more are likely a mistake in --by."""
EVERYTHING: Final = "all rows"
"""Name of the only group where the rows are not divided."""
X: Final = "x"
Y: Final = "y"
GROUP: Final = "group"
MISSING: Final = "missing"
"""The level of rows without a value in a column of `by`."""


@dataclass(frozen=True, kw_only=True)
class TableQuestion:
    """A table and the columns that a report of it is about."""

    file: Path
    runs: pd.DataFrame
    """The table, of the rows that have a finite x and y."""
    x: str
    """The column of sizes."""
    y: str
    """The column of scores."""
    by: tuple[str, ...]
    """Columns that divide the rows into groups."""
    seed: str | None
    """The column that tells repeated runs apart."""
    better: Literal["higher", "lower"]
    """Which y is better."""
    x_title: str
    """What sentences call x: the table's own name."""
    y_title: str
    """What sentences call y: the table's own name."""
    titles: Mapping[str, str]
    """What sentences call the columns of `by`."""
    left_out: int
    """Rows without a finite x or y."""
    columns: Mapping[str, str]
    """This project's names of columns that have others in the file."""

    def points(self) -> pd.DataFrame:
        """One row a run: x, y, group (its values of `by` in words), and seed where there is one."""
        table = pd.DataFrame({X: self.runs[self.x].astype(float), Y: self.runs[self.y].astype(float)})
        values = [self.runs[name].astype(object).map(level_in_words) for name in self.by]
        if not values:
            table[GROUP] = EVERYTHING
        elif len(values) == 1:
            table[GROUP] = values[0]
        else:
            shared = {one for one, number in Counter(level for part in values for level in part.unique()).items() if number > 1}
            named = [
                part.map(lambda one, column=self.titles[name]: one if stands_alone(one) and one not in shared else f"{column} {one}")
                for name, part in zip(self.by, values, strict=True)
            ]
            table[GROUP] = [", ".join(parts) for parts in zip(*named, strict=True)]
        if self.seed is not None:
            table["seed"] = self.runs[self.seed]
        return table

    def runs_by_seed(self) -> pd.DataFrame:
        """The rows with the column of seeds as `seed`, the name by which analysis finds it; another
        column of that name is left out.
        """
        if self.seed in (None, "seed"):
            return self.runs
        return self.runs.drop(columns="seed", errors="ignore").rename(columns={self.seed: "seed"})

    def levels(self) -> dict[str, tuple[str, ...]]:
        """The values of `by` of each group, in words."""
        values = self.runs[list(self.by)].astype(object).map(level_in_words)
        return dict(zip(self.points()[GROUP], values.itertuples(index=False, name=None), strict=True))

    def groups(self) -> list[str]:
        """Every group, by the columns of `by`: numbers from low to high, names as they first stand."""
        place = {name: {level_in_words(level): number for number, level in enumerate(self.levels_of(name))} for name in self.by}
        levels = self.levels()
        return sorted(levels, key=lambda group: [place[name].get(level, -1) for name, level in zip(self.by, levels[group], strict=True)])

    def levels_of(self, column: str) -> list[object]:
        """The values of a column of `by`: numbers from low to high, names as they first stand."""
        found = list(dict.fromkeys(self.runs[column].dropna()))
        return in_order(found) if all(np.isfinite(size_in(level)) for level in found) else found


def read_question(
    file: str | Path,
    *,
    x: str | None = None,
    y: str | None = None,
    by: Sequence[str] = (),
    seed: str | None = None,
    columns: Mapping[str, str] | None = None,
    lower_is_better: bool | None = None,
) -> TableQuestion:
    """Read a .csv or .parquet file and check that a report can be made of these columns.

    Args:
        x, y: the columns of sizes and of scores, in the table's own names. With `columns` they may
            be left out: x is then finetune_images, y the first documented score.
        by: columns that divide the rows into groups; with `columns` by default every other setting
            of a run that varies.
        seed: the column that tells repeated runs apart; by default `seed`, where there is one.
        columns: this project's names and the table's own, as in `load_runs`.
        lower_is_better: whether a lower y is better; by default as the score is documented, as its
            name says, or as it goes with x (`usual_direction`).

    Raises:
        ReportError: if a column is named twice, x or y take one value only, there are too few rows
            or too many groups.
        AnalysisError: if the file cannot be read, a column is missing, or text stands where numbers
            belong.
    """
    where, names = str(file), dict(columns or {})
    if (x is None or y is None) and not names:
        raise ReportError("Name the columns of the table with --x and --y, or what they are with --columns.")
    runs = load_runs(file, required=[], columns=names)
    ours = {theirs: name for name, theirs in names.items()}
    x = ours.get(x, x) if x is not None else "finetune_images"
    score = first_score(runs)
    y = ours.get(y, y) if y is not None else score.name if score is not None else "accuracy"
    seed = ours.get(seed, seed) if seed is not None else "seed" if "seed" in runs.columns else None
    by = tuple(dict.fromkeys(ours.get(name, name) for name in by))
    if not by and names:
        by = tuple(name for name in SETTINGS if name in runs.columns and name not in (x, y, "seed") and runs[name].nunique(dropna=False) > 1)
    require_columns(runs, [x, y, *by, *([seed] if seed is not None else [])], where=where)
    used = [x, y, *by, *([seed] if seed is not None else [])]
    twice = next((name for name in used if used.count(name) > 1), None)
    if twice is not None:
        raise ReportError(f"The column '{twice}' is named twice: x, y, by and seed are different columns.")
    if seed not in (None, "seed") and "seed" in used:
        raise ReportError(f"The column 'seed' of {where} is named as x, y or by, and '{seed}' as the seeds: give 'seed' another name in the table.")
    kept = _finite(runs, x, y, where)
    direction = usual_direction(kept, x, y, by) if lower_is_better is None else "lower" if lower_is_better else "higher"
    question = TableQuestion(
        file=Path(file),
        runs=kept,
        x=x,
        y=y,
        by=by,
        seed=seed,
        better=direction,
        x_title=names.get(x, x),
        y_title=names.get(y, y),
        titles={name: names.get(name, name) for name in by},
        left_out=len(runs) - len(kept),
        columns=names,
    )
    groups = question.groups()
    if len(groups) > MOST_GROUPS:
        many = f"{len(groups):,} groups, and a page shows {MOST_GROUPS}"
        raise ReportError(f"--by divides the rows of {where} into {many}: name columns of few values.")
    return question


def _finite(runs: pd.DataFrame, x: str, y: str, where: str) -> pd.DataFrame:
    """The rows with a finite x and y. Raises ReportError where they are too few or all alike."""
    numbers = {name: numeric_column(runs, name, where=where) for name in (x, y)}
    # a column that is text in a study, such as 'arm', holds numbers here
    as_text = {name: values for name, values in numbers.items() if not pd.api.types.is_numeric_dtype(runs[name])}
    kept: pd.DataFrame = runs.assign(**as_text).loc[np.isfinite(np.column_stack(list(numbers.values()))).all(axis=1)].reset_index(drop=True)
    kept.attrs = runs.attrs
    if len(kept) < 2:
        many = "no row" if len(kept) == 0 else "one row"
        raise ReportError(f"{where} has {many} with a finite '{x}' and '{y}': a report compares rows, so give at least two.")
    if kept[x].nunique() < 2:
        raise ReportError(f"The column '{x}' of {where} is {kept[x].iloc[0]:g} in every row: name a column of several sizes with --x.")
    return kept


def stands_alone(level: str) -> bool:
    """Whether a level needs no column's name beside it: 'vit-b' does not, '100,000' and 'no' do."""
    return re.search(r"[A-Za-z]{2}", level) is not None and level.lower() not in ("true", "false", "yes", "no", "on", "off", "none", "missing")


def level_in_words(value: object) -> str:
    """A value of a column of `by`: '100,000', 'vit', 'missing'."""
    return MISSING if pd.isna(value) else format_setting(value)  # type: ignore[call-overload]


def column_pairs(text: str) -> dict[str, str]:
    """'finetune_images=n_labels,accuracy=acc' as a mapping. Raises AnalysisError."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        ours, equals, theirs = (one.strip() for one in part.partition("="))
        if not (ours and equals and theirs):
            raise AnalysisError(f"--columns {text!r} is not of the form ours=theirs,ours=theirs, such as finetune_images=n_labels,accuracy=acc.")
        if ours in pairs:
            raise AnalysisError(f"--columns names '{ours}' twice: once '{pairs[ours]}', once '{theirs}'.")
        pairs[ours] = theirs
    return pairs
