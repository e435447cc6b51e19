"""Read files with one JSON object per line, one file a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import LoggedRun, Rows, existing, json_lines_of, json_of, table_of


def read_json_lines(folder: str | Path, pattern: str = "**/*.jsonl", *, settings: str = "", rows: Rows = "runs") -> pd.DataFrame:
    """A table of runs that each wrote a file with one JSON object per line.

    Args:
        folder: the folder with the files; or one such file.
        pattern: which files of the folder are runs, as `Path.glob` reads it.
        settings: name of a JSON file beside each run's file that holds its settings, such as
            'config.json'; '' for none.
        rows: 'runs' for one row a run with its last values, 'evaluations' for one row a line.

    The column `run` is the file's path within the folder, without its ending. Raises AnalysisError
    where nothing matches, or a file is not as described.
    """
    place = existing(folder, "a folder with .jsonl files, or one of them")
    files = [place] if place.is_file() else sorted(file for file in place.glob(pattern) if file.is_file())
    if not files:
        raise AnalysisError(f"{place} has no file that matches '{pattern}': name another pattern.")
    runs = []
    for file in files:
        beside = file.with_name(settings) if settings else None
        known = json_of(beside) if beside is not None and beside.is_file() else {}
        if not isinstance(known, dict):
            raise AnalysisError(f"{beside} does not hold settings by name.")
        name = file.stem if place.is_file() else file.relative_to(place).with_suffix("").as_posix()
        runs.append(LoggedRun(name=name, settings=known, evaluations=json_lines_of(file)))
    return table_of(runs, rows, where=str(place))
