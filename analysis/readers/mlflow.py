"""Read the runs of MLflow: its SQLite file or its folder `mlruns`. MLflow itself is not needed."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import LoggedRun, Rows, existing, steps_merged, table_of, text_of


def read_mlflow(place: str | Path, *, experiment: str | None = None, rows: Rows = "runs") -> pd.DataFrame:
    """A table of the runs of MLflow, deleted ones left out.

    Args:
        place: an SQLite file such as `mlflow.db`, or the folder `mlruns`.
        experiment: name of the experiment; by default all, told apart by the column `experiment`.
        rows: 'runs' for one row a run with its last values, 'evaluations' for one row a step.

    The column `run` is the run's name, with its id where two have one name. Raises AnalysisError
    where there is no run.
    """
    found = existing(place, "an SQLite file of MLflow, or its folder mlruns")
    runs = _from_folder(found) if found.is_dir() else _from_database(found)
    names = sorted({str(run.settings["experiment"]) for run in runs})
    if experiment is not None:
        runs = [run for run in runs if run.settings["experiment"] == experiment]
        if not runs:
            raise AnalysisError(f"{found} has no run of the experiment '{experiment}'; there are: {', '.join(names) or 'none'}.")
    if not runs:
        raise AnalysisError(f"{found} holds no run of MLflow.")
    return table_of(_named_apart(runs), rows, where=str(found))


def _named_apart(runs: list[LoggedRun]) -> list[LoggedRun]:
    """Runs under their names where these tell them apart, else with the id, which stands after a line
    break.
    """
    short = [run.name.split("\n")[0] for run in runs]
    return [
        LoggedRun(
            name=name if name and short.count(name) == 1 else " ".join(run.name.split("\n")).strip(),
            settings=run.settings,
            evaluations=run.evaluations,
        )
        for run, name in zip(runs, short, strict=True)
    ]


def _from_database(file: Path) -> list[LoggedRun]:
    query = (
        "SELECT runs.run_uuid, runs.name, experiments.name FROM runs JOIN experiments USING (experiment_id) "
        "WHERE runs.lifecycle_stage = 'active' ORDER BY runs.start_time, runs.run_uuid"
    )
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as base:
            runs = base.execute(query).fetchall()
            settings: dict[str, dict[str, Any]] = {}
            for identity, key, value in base.execute("SELECT run_uuid, key, value FROM params"):
                settings.setdefault(identity, {})[key] = value
            entries: dict[str, list[dict[str, Any]]] = {}
            metrics = "SELECT run_uuid, key, value, step, is_nan FROM metrics ORDER BY step, timestamp"
            for identity, key, value, step, is_nan in base.execute(metrics):
                entries.setdefault(identity, []).append({"step": step, key: float("nan") if is_nan else value})
    except sqlite3.Error as error:
        raise AnalysisError(f"{file} is not an SQLite file of MLflow ({error}).") from error
    return [
        LoggedRun(
            name=f"{name or ''}\n{identity}",
            settings={"experiment": experiment} | settings.get(identity, {}),
            evaluations=steps_merged(entries.get(identity, [])),
        )
        for identity, name, experiment in runs
    ]


def _from_folder(folder: Path) -> list[LoggedRun]:
    runs = []
    for of_run in sorted(path.parent for path in folder.glob("*/*/meta.yaml")):
        about = _meta(of_run / "meta.yaml")
        if about.get("lifecycle_stage") == "deleted" or of_run.parent.name == ".trash":
            continue
        of_experiment = of_run.parent / "meta.yaml"
        experiment = _meta(of_experiment).get("name", of_run.parent.name) if of_experiment.is_file() else of_run.parent.name
        entries = []
        for file in _files(of_run / "metrics"):
            for line in text_of(file).splitlines():
                parts = line.split()
                with contextlib.suppress(ValueError, IndexError):  # a line that is half written
                    entries.append({"step": int(parts[2]) if len(parts) > 2 else 0, _key(file, of_run / "metrics"): float(parts[1])})
        settings = {_key(file, of_run / "params"): text_of(file).strip() for file in _files(of_run / "params")}
        tag = of_run / "tags" / "mlflow.runName"
        name = text_of(tag).strip() if tag.is_file() else about.get("run_name", "")
        runs.append(LoggedRun(name=f"{name}\n{of_run.name}", settings={"experiment": experiment} | settings, evaluations=steps_merged(entries)))
    return runs


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _key(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _meta(file: Path) -> dict[str, str]:
    """The plain `name: value` lines of a meta.yaml, which is all that MLflow writes there."""
    found = {}
    for line in text_of(file).splitlines():
        name, colon, value = line.partition(":")
        if colon and name == name.strip():
            found[name] = value.strip().strip("'\"")
    return found
