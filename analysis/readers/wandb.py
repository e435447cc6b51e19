"""Read Weights & Biases: the folder of an offline run, or a table exported from its page.

An offline run is a file of records in LevelDB's log format, each record a protocol buffer. W&B has
no public reader of it, so the few fields that are needed are read here, by their numbers in W&B's
`wandb_internal.proto`; W&B itself is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import MOST_FILE_BYTES, LoggedRun, Rows, existing, table_of
from analysis.runs.table import load_runs

BLOCK_BYTES = 32_768
HEADER_BYTES = 7
MAGIC = b":W&B"
# LevelDB's log format: a record is whole, or its first, a middle or its last part
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# fields of Record, RunRecord, HistoryRecord, SummaryRecord, ConfigRecord and their items
HISTORY, SUMMARY, CONFIG, RUN = 2, 3, 5, 17
RUN_ID, RUN_CONFIG, RUN_SUMMARY, RUN_NAME = 1, 4, 5, 8
ITEMS, REMOVED = 1, 2
KEY, NESTED_KEY, VALUE = 1, 2, 16


def read_wandb(place: str | Path, *, rows: Rows = "runs") -> pd.DataFrame:
    """A table of W&B's runs.

    Args:
        place: a folder with offline runs (`wandb/`, or one `offline-run-...`), a `.wandb` file, or
            a table exported from W&B's page as .csv or .parquet.
        rows: 'runs' for one row a run with its summary, 'evaluations' for one row for each entry of
            its history. An exported table is read as it is.

    The column `run` is the run's name, with its id where two have one name; `step` is W&B's step.
    Keys that begin with '_', which W&B adds itself, are left out. Raises AnalysisError where there
    is no run, or a file is not W&B's.
    """
    found = existing(place, "a folder of offline runs of W&B, a .wandb file, or an exported .csv")
    if found.is_file() and found.suffix in (".csv", ".parquet"):
        return load_runs(found, required=())
    files = [found] if found.is_file() else sorted({file.resolve() for file in found.rglob("*.wandb")})
    if not files:
        raise AnalysisError(f"{found} holds no .wandb file: give the folder of offline runs, or an exported .csv.")
    read = [_readable(file) for file in files]
    names = [name for name, _, _ in read]
    runs = [
        LoggedRun(
            name=name if name and names.count(name) == 1 else f"{name} {identity}".strip(),
            settings=run.settings,
            evaluations=run.evaluations,
            summary=run.summary,
        )
        for name, identity, run in read
    ]
    return table_of(runs, rows, where=str(found))


def _readable(file: Path) -> tuple[str, str, LoggedRun]:
    """The run in one file. Raises AnalysisError where the file is damaged."""
    try:
        return _run_of(file)
    except (ValueError, IndexError, RecursionError) as error:
        raise AnalysisError(f"{file} is damaged ({error}): its run cannot be read.") from error


def _run_of(file: Path) -> tuple[str, str, LoggedRun]:
    """Name, id and content of the run in one file."""
    name, identity = "", file.stem.removeprefix("run-")
    settings: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    history = []
    for record in _records(file):
        for number, content in _fields(record):
            if not isinstance(content, bytes):
                continue
            if number == RUN:
                inside = list(_fields(content))
                for field, value in inside:
                    if isinstance(value, bytes):
                        name = value.decode() if field == RUN_NAME else name
                        identity = value.decode() if field == RUN_ID else identity
                        settings |= _items(value) if field == RUN_CONFIG else {}
                        summary |= _items(value) if field == RUN_SUMMARY else {}
            elif number == CONFIG:
                settings |= _items(content)
            elif number == SUMMARY:
                summary |= _items(content)
            elif number == HISTORY:
                entry = _items(content)
                step = {"step": entry["_step"]} if "_step" in entry else {}
                history.append(step | _own(entry))
    return name, identity, LoggedRun(name=identity, settings=_own(settings), evaluations=history, summary=_own(summary))


def _own(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Without what W&B adds itself, and what is no value, such as a picture."""
    return {key: value for key, value in entry.items() if not key.startswith("_") and not (isinstance(value, dict) and "_type" in value)}


def _items(content: bytes) -> dict[str, Any]:
    """The items of a config, a summary or a row of the history; nested keys joined by dots."""
    found: dict[str, Any] = {}
    for number, item in _fields(content):
        if number != ITEMS or not isinstance(item, bytes):
            continue
        key, nested, value = "", [], None
        for field, part in _fields(item):
            if not isinstance(part, bytes):
                continue
            if field == KEY:
                key = part.decode()
            elif field == NESTED_KEY:
                nested.append(part.decode())
            elif field == VALUE:
                value = json.loads(part)
        found[key or ".".join(nested)] = value
    return found


def _records(file: Path) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format. A last record that was cut off is left out."""
    if file.stat().st_size > MOST_FILE_BYTES:
        raise AnalysisError(f"{file} has {file.stat().st_size / 2**30:.1f} GiB: a file of logged values may have 2 at most.")
    data = file.read_bytes()
    if not data.startswith(MAGIC):
        raise AnalysisError(f"{file} is not a file of W&B.")
    position, parts = HEADER_BYTES, b""
    while position + HEADER_BYTES <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < HEADER_BYTES:
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        content = data[position + HEADER_BYTES : position + HEADER_BYTES + length]
        if kind == 0 or len(content) < length:
            return
        position += HEADER_BYTES + length
        if kind in (WHOLE, FIRST):
            parts = content
        elif kind in (MIDDLE, LAST):
            parts += content
        else:
            raise ValueError(f"a record of kind {kind}")
        if kind in (WHOLE, LAST):
            yield parts


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number, and a whole number or bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        elif kind == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field longer than its record")
            yield number, message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A whole number of variable length, and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number longer than 64 bits")
