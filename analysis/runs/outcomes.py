"""The scores that a table may be about: which one is meant where none is named, and what each is
called.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

OUTCOMES: Final = ("miou", "accuracy", "miou_ucl", "pixel_accuracy")
"""Columns with a score, the one meant first: a table is about the first that it has numbers in."""
OUTCOME_NAMES: Final = {
    "miou": "mIoU",
    "accuracy": "top-1 accuracy",
    "top5_accuracy": "top-5 accuracy",
    "miou_ucl": "per-image mIoU (UCL)",
    "pixel_accuracy": "pixel accuracy",
    "test_loss": "test loss",
}


def first_outcome(table: pd.DataFrame) -> str | None:
    """The first of OUTCOMES that has a finite number in the table, or None."""
    for name in OUTCOMES:
        if name in table.columns and bool(np.isfinite(pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)).any()):
            return name
    return None


def outcome_of(table: Any, named: str | None = None) -> str:
    """The score that a table is about: `named` if it is given, else the first that has numbers,
    else the first that has a column, else miou.
    """
    if named is not None:
        return named
    if not isinstance(table, pd.DataFrame):
        return OUTCOMES[0]
    return first_outcome(table) or next((name for name in OUTCOMES if name in table.columns), OUTCOMES[0])
