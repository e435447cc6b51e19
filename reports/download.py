"""A table as a CSV that the page carries, and that is safe to open in a spreadsheet."""

from __future__ import annotations

import base64
import re
from typing import Any

import pandas as pd

# What a spreadsheet takes for the start of a formula, which could send the reader's cells to a stranger. Numbers keep their sign.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")


def csv_address(frame: pd.DataFrame) -> tuple[str, int]:
    """The table as a data: address, every column and digit, and how many texts had an apostrophe put before them.

    A text that begins like a formula and is no number gets the apostrophe, at the price of one character: whoever reads a report did not
    write the study's names. The study folder's own CSV holds them as they are.
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
    text = kept.to_csv(index=False, lineterminator="\n")
    encoded = base64.b64encode(text.encode("utf-8", errors="replace")).decode("ascii")
    return f"data:text/csv;charset=utf-8;base64,{encoded}", changed


def _is_formula(value: Any) -> bool:
    return isinstance(value, str) and _FORMULA.match(value) is not None and _NUMBER.fullmatch(value) is None


def _text(value: Any) -> Any:
    return f"'{value}" if _is_formula(value) else value
