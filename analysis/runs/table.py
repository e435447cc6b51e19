"""Read the runs table of a study, or any CSV or Parquet file, into one normal form.

The same table read from CSV and from Parquet comes out equal: text columns are pandas `str` with
NaN where missing, whole-number columns are int64 (float64 if any value is missing), all other
numbers are float64.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, nearest_name
from analysis.runs.columns import MAIN_SCORES, RUN_COLUMNS, STAGE_COLUMNS, documented_scores, read_columns
from analysis.runs.received_files import MOST_TABLE_BYTES, file_inside

_ALL = RUN_COLUMNS | STAGE_COLUMNS
TEXT = pd.StringDtype(na_value=np.nan)
"""What pandas 3 calls `str`; pandas 2.3 has it by this name only."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_LARGEST = 10**308
MOST_COLUMNS = 5000
"""Of a table from elsewhere, whose columns are looked through one by one."""


def load_runs(path: str | Path, *, required: Sequence[str] | None = None, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read the runs table of a study folder (its runs.parquet), or of a .csv or .parquet file.

    Columns are those of RUN_COLUMNS. Further columns are kept, and nothing is added. Where the
    study's columns.json documents columns of its own, such as scores, `attrs["columns"]` holds
    them: name to the fields of `Column`. Someone's own table needs only the `required` columns, by
    default finetune_images and a documented score.

    Args:
        columns: names of this project and what someone's own table calls them, such as
            {"finetune_images": "n_labels", "accuracy": "acc"}. The table gets the former, and
            sentences go on calling the columns by the latter.

    Raises AnalysisError for a file or folder that is not there, an empty table, a missing column
    (naming the nearest), a name that is given twice, or text where numbers belong (naming column,
    line and value).
    """
    place = Path(path)
    file = place / "runs.parquet" if place.is_dir() else place
    own = read_columns(file.parent, "runs") if file.stem == "runs" else {}
    table = _read(file, folder=place if place.is_dir() else None, own=own, names=columns or {})
    if required is None:
        has_score = any(column.name in table.columns for column in documented_scores(table))
        required = ("finetune_images", *([] if has_score else [MAIN_SCORES[0]]))
    require_columns(table, required, where=str(place))
    return table


def load_stages(folder: str | Path) -> pd.DataFrame:
    """Read the stages table of a study folder (its stages.parquet); columns as in STAGE_COLUMNS.

    Raises AnalysisError as load_runs does.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise AnalysisError(f"{place} is a file, and load_stages reads a study folder: give the folder that holds stages.parquet.")
    table = _read(place / "stages.parquet", folder=place, own=read_columns(place, "stages"))
    require_columns(table, ("stage_id", "kind", "state"), where=str(place))
    return table


def require_columns(table: pd.DataFrame, needed: Sequence[str], *, where: str) -> None:
    """Raises AnalysisError that names the first missing column and the nearest one that is there, or
    the first that is there twice.
    """
    for name in needed:
        if name not in table.columns:
            raise AnalysisError(f"{where} has no column '{name}' ({nearest_name(name, table.columns)}): add it, or name another.")
        if list(table.columns).count(name) > 1:
            raise AnalysisError(f"{where} has two columns '{name}': rename or remove one.")


def of_table(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorates a public function whose first argument is a table of runs, which its caller may have
    made: it raises AnalysisError where `check_cells` does.
    """

    @wraps(function)
    def checked(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        first = arguments[0] if arguments else next(iter(named.values()), None)
        if isinstance(first, pd.DataFrame):
            check_cells(first)
        return function(*arguments, **named)

    return checked


def check_cells(table: pd.DataFrame, *, where: str = "the table") -> None:
    """Checks that each column has a name of its own, that cells hold no lists and no numbers beyond a
    float, and that no documented number is text. Only columns of Python objects and text are looked
    through.

    Raises AnalysisError that names the column and the row.
    """
    _check_names(map(str, table.columns), where=where)
    for name in table.columns:
        column = table[name]
        is_object = column.dtype == "object"
        if not (is_object or isinstance(column.dtype, pd.StringDtype)):
            continue
        for position, value in enumerate(column if is_object else ()):
            odd = not pd.api.types.is_scalar(value) or (isinstance(value, int) and abs(value) > _LARGEST)
            if odd:
                shown = repr(value)[:60] if not isinstance(value, int) else "a number beyond 1e+308"
                raise AnalysisError(f"{where}, column '{str(name)[:60]}', row {position}: {shown} is neither a number nor a text: take it out.")
        if is_object and name in _ALL and _ALL[name].dtype == "text" and len({isinstance(value, str) for value in column if not pd.isna(value)}) > 1:
            raise AnalysisError(f"{where}, column '{name}', mixes texts with other values: make all of them texts.")
        if name in _ALL and _ALL[name].dtype != "text":
            _as_numbers(column, where=where, places=[f"row {position}" for position in range(len(column))])


def numeric_column(table: pd.DataFrame, name: str, *, where: str) -> pd.Series:
    """A column as float64, missing values as NaN. Raises AnalysisError if it is absent or text."""
    require_columns(table, (name,), where=where)
    return _as_numbers(table[name], where=where, places=[f"row {position}" for position in range(len(table))]).astype("float64")


def inferred_columns(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """A table in the normal form: documented columns as documented, others as numbers where every
    cell is one.
    """
    return _normal_form(table.reset_index(drop=True), {}, where=where, places=[f"row {position}" for position in range(len(table))])


def _read(file: Path, *, folder: Path | None, own: Mapping[str, Mapping[str, Any]], names: Mapping[str, str] = {}) -> pd.DataFrame:
    if not file.is_file():
        if folder is not None and folder.is_dir():
            raise AnalysisError(
                f"{folder} holds no {file.name}: no run has finished there, or it is not a study folder; look with python -m scaling.status {folder}."
            )
        raise AnalysisError(f"{folder or file} does not exist: give a study folder, a .csv or a .parquet file.")
    if folder is not None:
        file_inside(folder, file.name, most_bytes=MOST_TABLE_BYTES)
    if file.suffix == ".parquet":
        try:
            table = pd.read_parquet(file)
        except Exception as error:
            raise AnalysisError(f"{file} cannot be read as Parquet ({' '.join(str(error).split())[:200]}): write it again.") from error
        _check_names(map(str, table.columns), where=str(file))
        places = [f"row {position}" for position in range(len(table))]
    elif file.suffix == ".csv":
        table, places = _read_csv(file)
    else:
        raise AnalysisError(f"{file} is neither .csv nor .parquet: give a study folder, or a file of one of these kinds.")
    if len(table) == 0:
        raise AnalysisError(f"{file} holds no rows: nothing to analyse yet.")
    if names:
        table, own = _renamed(table, names, own, where=str(file))
    table = _normal_form(table.reset_index(drop=True), {name: entry["dtype"] for name, entry in own.items()}, where=str(file), places=places)
    if own:
        table.attrs["columns"] = own
    return table


def _renamed(
    table: pd.DataFrame, names: Mapping[str, str], own: Mapping[str, Mapping[str, Any]], *, where: str
) -> tuple[pd.DataFrame, dict[str, Mapping[str, Any]]]:
    """The table under this project's names, and the documentation of the renamed columns, whose
    titles are the names that the table had.
    """
    theirs = list(names.values())
    require_columns(table, theirs, where=where)
    for name in theirs:
        if theirs.count(name) > 1:
            both = [ours for ours, named in names.items() if named == name]
            raise AnalysisError(f"the column '{name}' of {where} is to be both '{both[0]}' and '{both[1]}': name it once.")
    for ours, name in names.items():
        if ours != name and ours in table.columns and ours not in theirs:
            raise AnalysisError(f"{where} has a column '{ours}' already, and '{name}' is to be called that too: leave one of them out.")
    known = {name: column.to_dict() for name, column in _ALL.items()}
    titled = {ours: {**own.get(ours, known.get(ours, {"role": "measure"})), "title": name} for ours, name in names.items() if ours != name}
    return table.rename(columns={name: ours for ours, name in names.items()}), {**own, **titled}


def _check_names(names: Iterable[str], *, where: str) -> None:
    """Raises AnalysisError where there are too many columns, or two of one name."""
    counted = Counter(names)
    if counted.total() > MOST_COLUMNS:
        raise AnalysisError(f"{where} has {counted.total():,} columns, and at most {MOST_COLUMNS:,} are read: keep settings and results alone.")
    twice = next((name for name, count in counted.items() if count > 1), None)
    if twice is not None:
        raise AnalysisError(f"{where} has two columns '{twice[:60]}': rename or remove one.")


def _read_csv(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Reads all cells as text (an empty cell is missing), with the line that each row ends on.

    So 'NA' in a text column stays text.
    """
    rows: list[list[str | None]] = []
    places: list[str] = []
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise AnalysisError(f"{file} is empty: give a CSV with a line of column names and one line per run.")
            other = next((mark for mark in (";", "\t", "|") if mark in header[0]), "") if len(header) == 1 else ""
            if other:
                raise AnalysisError(f"{file} separates its columns by {other!r}: save it with commas.")
            _check_names(header, where=str(file))
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise AnalysisError(
                        f"{file}, line {reader.line_num}: {len(cells)} cells under {len(header)} column names: quote cells that hold a comma."
                    )
                rows.append([cell if cell != "" else None for cell in cells])
                places.append(f"line {reader.line_num}")
        except UnicodeDecodeError as error:
            raise AnalysisError(f"{file} is not UTF-8 text ({error.reason}): save the CSV as UTF-8.") from None
        except csv.Error as error:
            raise AnalysisError(f"{file}, line {reader.line_num}: {error}; write the CSV again.") from None
    return pd.DataFrame(rows, columns=header, dtype="object"), places


def _normal_form(table: pd.DataFrame, own: Mapping[str, str], *, where: str, places: Sequence[str]) -> pd.DataFrame:
    """Every documented column as its dtype says, those of `own` included; the others by what they
    hold.
    """
    documented: dict[str, str] = {name: column.dtype for name, column in _ALL.items()} | dict(own)
    columns: dict[str, pd.Series] = {}
    for name in table.columns:
        column = table[name]
        dtype = documented.get(name)
        if dtype == "text":
            columns[name] = _as_text(column)
        elif dtype is not None:
            numbers = _as_numbers(column, where=where, places=places)
            whole = dtype == "integer" and bool(np.all(np.isfinite(numbers) & (numbers == np.round(numbers))))
            columns[name] = numbers.astype("int64" if whole else "float64")
        elif pd.api.types.is_bool_dtype(column):
            columns[name] = column
        else:
            columns[name] = _inferred(column, places)
    return pd.DataFrame(columns)


def _as_text(column: pd.Series) -> pd.Series:
    text = column.astype("object").map(lambda value: None if _is_missing(value) else _storable(str(value)))
    return text.astype(TEXT)


def _storable(text: str) -> str:
    """The text, with '?' for halves of surrogate pairs, which JSON can hold and no table."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _is_missing(value: Any) -> bool:
    """Whether a cell holds nothing; a list or an array in a cell is something."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _number(value: Any) -> float:
    """The number that a cell holds; NaN where it holds none."""
    try:
        return float(value) if pd.api.types.is_scalar(value) else np.nan
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _as_numbers(column: pd.Series, *, where: str, places: Sequence[str]) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column.astype("float64")
    try:
        numbers = pd.to_numeric(column.astype("object"), errors="coerce").astype("float64")
    except (TypeError, ValueError, OverflowError):  # cells that hold lists, or whole numbers beyond a float
        numbers = column.astype("object").map(_number).astype("float64")
    said_missing = column.astype("object").map(lambda value: str(value).strip().lower() in ("nan", "na", "none", "null"))
    wrong = np.flatnonzero(numbers.isna() & ~column.map(_is_missing).astype(bool) & ~said_missing)
    if len(wrong):
        value = column.iloc[wrong[0]]
        raise AnalysisError(
            f"{where}, column '{column.name}', {places[wrong[0]]}: '{str(value)[:60]}' is not a number: correct it, or leave the cell empty."
        )
    return numbers


def _inferred(column: pd.Series, places: Sequence[str]) -> pd.Series:
    """An undocumented column: as numbers if every cell is one, else as text."""
    try:
        numbers = _as_numbers(column, where="", places=places)
    except AnalysisError:
        return _as_text(column)
    if column.notna().any() and bool(np.all(np.isfinite(numbers) & (numbers == np.round(numbers)))):
        return numbers.astype("int64")
    return numbers
