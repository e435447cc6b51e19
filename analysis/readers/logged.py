"""What any tracker holds of a run, and the table that readers make of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs.table import inferred_columns

Rows = Literal["runs", "evaluations"]
MOST_FILE_BYTES = 2**31
"""A file of logged values larger than this is refused: no study of runs needs it."""


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One run as a tracker holds it."""

    name: str
    """Tells the run from the others; the column `run`."""
    settings: Mapping[str, Any]
    """What was set before it started. Nested settings are joined by dots: `optimizer.lr`."""
    evaluations: Sequence[Mapping[str, Any]]
    """What was logged, in order; an entry may hold `step`."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Final values that the tracker states itself. They go before the last logged ones."""


def table_of(runs: Sequence[LoggedRun], rows: Rows, *, where: str) -> pd.DataFrame:
    """One table of all runs.

    Args:
        rows: 'runs' for one row a run, with the last value of everything it logged; 'evaluations'
            for one row for each entry, with the settings of its run beside it.
        where: the place the runs were read from, for messages.

    A setting with the name of a logged value is called `config.NAME`. Columns hold numbers where
    every cell is one. Raises AnalysisError where there is no run, or none has logged anything.
    """
    if rows not in ("runs", "evaluations"):
        raise AnalysisError(f"rows is {rows!r}: write 'runs' for one row a run, or 'evaluations' for one row for each logged entry.")
    logged = {name for run in runs for entry in (*run.evaluations, run.summary) for name in entry} | {"run"}
    if logged == {"run"} or (rows == "evaluations" and not any(run.evaluations for run in runs)):
        raise AnalysisError(f"{where} holds no logged value: nothing to analyse yet.")
    lines = []
    for run in runs:
        settings = {f"config.{name}" if name in logged else name: _cell(value) for name, value in flat(run.settings).items()}
        start = {"run": run.name} | settings
        if rows == "runs":
            lines.append(start | _last(run))
        else:
            lines += [start | {name: _cell(value) for name, value in entry.items()} for entry in run.evaluations]
    table = pd.DataFrame(lines, dtype="object")
    return inferred_columns(table, where=where)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level, names joined by dots; none of what a file holds in their place."""
    found: dict[str, Any] = {}
    if not isinstance(settings, Mapping):
        return found
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def json_of(file: Path) -> Any:
    """The content of a JSON file. Raises AnalysisError where it cannot be read."""
    try:
        return json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise AnalysisError(f"{file} is not JSON ({error}): name another file.") from error


def json_lines_of(file: Path) -> list[dict[str, Any]]:
    """One object per line. A last line that was cut off is left out; another that is no object
    raises AnalysisError with its number.
    """
    lines = text_of(file).splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise AnalysisError(f"{file}, line {number}: not JSON ({error}).") from error
        if not isinstance(entry, dict):
            raise AnalysisError(f'{file}, line {number}: not an object with names, such as {{"step": 1, "accuracy": 0.5}}.')
        found.append(entry)
    return found


def text_of(file: Path) -> str:
    """The text of a file. Raises AnalysisError where it cannot be read or is larger than 2 GiB."""
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise AnalysisError(f"{file} has {file.stat().st_size / 2**30:.1f} GiB: a file of logged values may have 2 at most.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{file} cannot be read ({error}).") from error


def existing(place: str | Path, what: str) -> Path:
    """The place as a path. Raises AnalysisError where it is not there, saying what belongs there."""
    found = Path(place)
    if not found.exists():
        raise AnalysisError(f"{found} does not exist: give {what}.")
    return found


def steps_merged(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries of one `step` as one, in order of steps; those without a step stay as they are."""
    by_step: dict[Any, dict[str, Any]] = {}
    alone = []
    for entry in entries:
        if isinstance(entry.get("step"), Real):
            by_step.setdefault(entry["step"], {}).update(entry)
        else:
            alone.append(dict(entry))
    return [by_step[step] for step in sorted(by_step)] + alone


def _last(run: LoggedRun) -> dict[str, Any]:
    """The last value of each thing that was logged, the summary's where there is one."""
    found: dict[str, Any] = {}
    for entry in (*run.evaluations, run.summary):
        found |= {name: cell for name, value in entry.items() if not _missing(cell := _cell(value))}
    return found


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any) -> Any:
    """A value that a cell of a table can hold: lists and the like as JSON text."""
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, default=str)
