"""What arguments of `python -m reports.build` may be, without the imports of what they choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

FORMATS: Final = ("svg", "png", "pdf")
"""Kinds of files that figures are written as; the first is the usual one."""
EVERY_S: Final = 15.0
"""Seconds between two looks at a study that is watched."""


def is_table(options: argparse.Namespace) -> bool:
    """Whether the report is to be of a table and not of a study."""
    return len(options.folder) == 1 and Path(options.folder[0]).suffix.lower() in (".csv", ".parquet") and not Path(options.folder[0]).is_dir()
