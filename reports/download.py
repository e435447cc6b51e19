"""Tables as CSV inside the page, safe to open in a spreadsheet."""

from __future__ import annotations

import base64
import gzip
import re
from typing import Any

import pandas as pd

# What a spreadsheet takes for the start of a formula, which could send the reader's cells to a
# stranger. Numbers keep their sign.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")


PLAIN = "data:text/csv;charset=utf-8;base64,"
GZIP = "data:application/gzip;base64,"
COMPRESSED_FROM_BYTES = 150_000
"""From this size on a CSV is gzipped, which pandas and R read as it is: the runs of a study of
10,000 would else be half of its page.
"""


def csv_address(frame: pd.DataFrame) -> tuple[str, int]:
    """The table as a data: address, every column and digit, gzipped where it is large; and how many
    texts had an apostrophe put before them.

    A text that begins like a formula and is no number gets the apostrophe, at the price of one
    character: whoever reads a report did not write the study's names. The study folder's own CSV
    holds them as they are.
    """
    kept = frame.rename(columns=_text)
    changed = sum(map(_is_formula, frame.columns))
    for place, dtype in enumerate(frame.dtypes):
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            column = frame.iloc[:, place]
            found = int(column.map(_is_formula).astype(bool).sum())
            if found:
                kept.isetitem(place, column.astype("object").map(_text).array)
            changed += found
    text = kept.to_csv(index=False, lineterminator="\n").encode("utf-8", errors="replace")
    if len(text) > COMPRESSED_FROM_BYTES:
        # Without a time in it, so that the same table gives the same bytes.
        return f"{GZIP}{base64.b64encode(gzip.compress(text, mtime=0)).decode('ascii')}", changed
    return f"{PLAIN}{base64.b64encode(text).decode('ascii')}", changed


def _is_formula(value: Any) -> bool:
    return isinstance(value, str) and _FORMULA.match(value) is not None and _NUMBER.fullmatch(value) is None


def _text(value: Any) -> Any:
    return f"'{value}" if _is_formula(value) else value
