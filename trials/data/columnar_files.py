"""Parquet files, and Arrow streams as the library `datasets` keeps them, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trials.data.decoding import Broken
from trials.errors import InputError

SUFFIXES = (".parquet", ".arrow")


def row_count(file: Path) -> int:
    """Rows of a file."""
    return int(_stream(file).num_rows if _is_arrow(file) else _metadata(file).num_rows)


def schema_of(file: Path) -> pa.Schema:
    """Its columns."""
    return _stream(file).schema if _is_arrow(file) else _metadata(file).schema.to_arrow_schema()


def whole_numbers(file: Path, column: str) -> np.ndarray:
    """A column of labels, (rows,) int64.

    Raises:
        InputError: it cannot be read, or has rows without a number.
    """
    try:
        found = _stream(file).column(column) if _is_arrow(file) else pq.read_table(file, columns=[column]).column(0)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{file} has no column {column!r} that can be read ({str(error)[:200]}): download it anew.") from None
    if found.null_count:
        raise InputError(f"The column {column!r} of {file} has rows without a label: take a split whose labels are public.")
    return np.asarray(found.to_numpy(), dtype=np.int64)


def image_bytes(file: Path, column: str, row: int) -> bytes:
    """The bytes of one image; of a Parquet file from its row group.

    Raises:
        Broken: they are not there.
    """
    if _is_arrow(file):
        value = _stream(file).column(column)[row].as_py()
    else:
        metadata, group = _metadata(file), 0
        while row >= metadata.row_group(group).num_rows:
            row -= metadata.row_group(group).num_rows
            group += 1
        value = _images_of_group(file, column, group)[row].as_py()
    data = value.get("bytes") if isinstance(value, dict) else None
    if not data:
        raise Broken("has no bytes in its row: only a path was stored")
    return bytes(data)


def _is_arrow(file: Path) -> bool:
    return file.suffix == ".arrow"


@lru_cache(maxsize=256)
def _stream(file: Path) -> pa.Table:
    """An Arrow stream, mapped into memory."""
    try:
        return pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} is no Arrow stream that can be read ({' '.join(str(error).split())[:200]}): load the data set anew.") from None


@lru_cache(maxsize=1024)
def _metadata(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} is no Parquet file that can be read ({' '.join(str(error).split())[:200]}): download it anew.") from None


@lru_cache(maxsize=4)
def _images_of_group(file: Path, column: str, group: int) -> Sequence[Any]:
    try:
        found: Sequence[Any] = pq.ParquetFile(file).read_row_group(group, columns=[column]).column(0)
    except (OSError, pa.ArrowException) as error:
        raise Broken(f"cannot be read from its file ({str(error)[:200]})") from error
    return found
