"""Read the folder that Ray Tune leaves of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import LoggedRun, Rows, existing, json_lines_of, json_of, table_of

OF_THE_MACHINE = frozenset(
    {"config", "date", "done", "experiment_tag", "hostname", "iterations_since_restore", "node_ip", "pid", "should_checkpoint"}
    | {"time_since_restore", "timestamp", "trial_id", "checkpoint_dir_name"}
)
"""What Tune adds to every result about the process and not about the run."""


def read_ray_tune(folder: str | Path, *, rows: Rows = "runs") -> pd.DataFrame:
    """A table of the trials of a Ray Tune experiment.

    Args:
        folder: the experiment's folder, which holds one folder a trial, each with `result.json` and
            `params.json`; or a folder of several experiments.
        rows: 'runs' for one row a trial with its last values, 'evaluations' for one row a report.

    The column `run` is the trial's id, or its folder where it reported none. Raises AnalysisError
    where there is no trial.
    """
    place = existing(folder, "the folder of a Ray Tune experiment")
    files = sorted(place.rglob("result.json")) if place.is_dir() else []
    runs = []
    for file in files:
        entries = json_lines_of(file)
        parameters = file.with_name("params.json")
        settings = json_of(parameters) if parameters.is_file() else (entries[-1].get("config", {}) if entries else {})
        name = str(entries[-1].get("trial_id", file.parent.name)) if entries else file.parent.name
        runs.append(LoggedRun(name=name, settings=settings, evaluations=[_without_machine(entry) for entry in entries]))
    if not runs:
        raise AnalysisError(f"{place} holds no result.json of a trial: give the folder of a Ray Tune experiment.")
    return table_of(runs, rows, where=str(place))


def _without_machine(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in OF_THE_MACHINE}
