"""Reads a study folder for the report: plan, runs, stages, curves and provenance. Computes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import load_runs, load_stages
from analysis.runs.columns import RUN_COLUMNS, STAGE_COLUMNS

NEEDED_OF_PLAN = ("run_id", "seed", "encoder", "pretrain_id", "pretrain_images", "intermediate", "finetune_images")
NEEDED_OF_RUNS = ("run_id", "seed", "encoder", "pretrain_id", "pretrain_images", "val_mim_loss", "intermediate", "finetune_images")


class ReportError(Exception):
    """Raised for a study that cannot be reported on; the message is a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The contents of a study folder that the report uses."""

    folder: Path
    name: str
    runs: pd.DataFrame
    """The finished runs, columns as in analysis.runs.columns.RUN_COLUMNS; empty where none has
    finished.
    """
    planned: pd.DataFrame | None
    """The settings of every run of the grid; None where there is no plan.json."""
    stages: pd.DataFrame
    """State and cost of every stage, columns as in analysis.runs.columns.STAGE_COLUMNS."""
    has_costs: bool
    """Whether the stages came from stages.parquet; without it only their states are known."""
    grid_text: str | None


def read_study(folder: Path) -> ReportData:
    """Read a study folder.

    Raises:
        ReportError: if the folder is missing, or holds neither a plan nor runs.
        AnalysisError: if the runs table is there and cannot be read as one.
    """
    if not folder.is_dir():
        raise ReportError(f"There is no study folder {folder}; launch a grid first, or name a folder under runs/.")
    plan = read_json(folder / "plan.json")
    has_runs = (folder / "runs.parquet").exists()
    if plan is None and not has_runs:
        raise ReportError(f"{folder} holds neither plan.json nor runs.parquet, so it is not a study folder.")
    # A table without rows says the same as no table: analysis refuses it, and a page on an
    # unfinished study must not.
    has_runs = has_runs and not (plan is not None and _is_empty(folder / "runs.parquet"))
    planned = _planned_runs(folder / "plan.json", plan) if plan is not None else None
    runs = load_runs(folder, required=NEEDED_OF_RUNS) if has_runs else pd.DataFrame(columns=list(RUN_COLUMNS))
    has_costs = (folder / "stages.parquet").exists() and not _is_empty(folder / "stages.parquet")
    grid = folder / "grid.yaml"
    return ReportData(
        folder=folder,
        name=str((plan or {}).get("study") or folder.resolve().name),
        runs=runs,
        planned=planned,
        stages=load_stages(folder) if has_costs else states_from_files(folder, plan),
        has_costs=has_costs,
        grid_text=grid.read_text(encoding="utf-8", errors="replace") if grid.exists() else None,
    )


def _planned_runs(path: Path, plan: dict[str, Any]) -> pd.DataFrame | None:
    """The settings of every run of a plan, no row if it plans none; None where it does not say.

    Raises:
        ReportError: if the plan does not name its stages, or lacks a setting of its runs.
    """
    runs, stages = plan.get("runs"), plan.get("stages") or []
    right = isinstance(stages, list) and all(isinstance(stage, dict) and {"id", "kind"} <= set(stage) for stage in stages)
    right = right and (runs is None or (isinstance(runs, list) and all(isinstance(run, dict) for run in runs)))
    if not right:
        raise ReportError(f"{path} is no plan as docs/study_folder.md has it (a list of stages and one of runs); launch the study again.")
    if runs is None:
        return None
    table = pd.DataFrame(runs, columns=None if runs else list(NEEDED_OF_PLAN))
    missing = [name for name in NEEDED_OF_PLAN if name not in table.columns]
    if missing:
        raise ReportError(f"The runs in {path} lack {', '.join(missing)}; launch the study again to write it anew.")
    return table


def _is_empty(file: Path) -> bool:
    """Whether a Parquet file can be read and has no rows; analysis reports one that cannot be read."""
    try:
        return pd.read_parquet(file).empty
    except (OSError, ValueError):
        return False


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None where the file is missing.

    Raises:
        ReportError: if the file is there and is not a JSON object.
    """
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ReportError(f"{path} cannot be read as JSON ({error}); launch the study again to write it anew.") from error
    if not isinstance(value, dict):
        raise ReportError(f"{path} holds no JSON object; launch the study again to write it anew.")
    return value


def states_from_files(folder: Path, plan: dict[str, Any] | None) -> pd.DataFrame:
    """The stages table without costs, from result.json and error.json: what stages.parquet would
    say of the states.
    """
    rows: dict[str, dict[str, Any]] = {}
    pending = {str(stage["id"]): stage for stage in (plan or {}).get("stages") or []}

    def row_of(identity: str) -> dict[str, Any]:
        if identity not in rows:
            stage = pending[identity]
            parent = stage.get("parent")
            # Put down before its parent is looked up, so that stages which go in a circle come to
            # an end.
            row = rows[identity] = {"stage_id": identity, "kind": stage["kind"], "parent_id": parent, "state": "missing", "reason": None}
            above = row_of(parent) if parent in pending else None
            failure = read_json(folder / "stages" / identity / "error.json")
            if (folder / "stages" / identity / "result.json").exists():
                row["state"] = "done"
            elif above is not None and above["state"] in ("failed", "blocked"):
                row |= {"state": "blocked", "reason": f"{parent} {above['state']}."}
            elif failure is not None:
                row |= {"state": "failed", "reason": str(failure.get("error", "it says no reason"))}
        return rows[identity]

    for identity in pending:
        row_of(identity)
    return pd.DataFrame(rows.values(), columns=list(STAGE_COLUMNS))


def read_provenance(study: ReportData) -> pd.DataFrame:
    """One row per finished stage: stage_id and the settings of its machine, as provenance.json
    gives them, versions joined in one text.
    """
    rows = []
    for identity in sorted(study.stages.loc[study.stages["state"] == "done", "stage_id"]):
        found = read_json(study.folder / "stages" / identity / "provenance.json")
        if found is not None:
            named = found.get("versions")
            versions = ", ".join(f"{name} {version}" for name, version in named.items()) if isinstance(named, dict) else None
            keys = ("device", "precision", "precision_reason", "git_commit", "platform")
            # As text: what is compared and counted here must be of one kind.
            values = {key: None if found.get(key) is None else str(found[key]) for key in keys}
            rows.append({"stage_id": identity, **values, "versions": versions})
    return pd.DataFrame(rows)


def read_validation_curves(study: ReportData, pretrainings: Iterable[str]) -> pd.DataFrame:
    """Validation loss during pre-training, a row per measurement: pretrain_id, step, image_passes,
    val_mim_loss.
    """
    rows = []
    for identity in sorted(pretrainings):
        for line in read_metrics(study.folder / "stages" / identity / "metrics.jsonl"):
            step, passes, loss = (_finite(line.get(key)) for key in ("step", "image_passes", "val_mim_loss"))
            if step is not None and loss is not None:
                rows.append((identity, int(step), step if passes is None else passes, loss))
    table = pd.DataFrame(rows, columns=["pretrain_id", "step", "image_passes", "val_mim_loss"])
    return table.astype({"image_passes": "float64", "val_mim_loss": "float64"})


def _finite(value: object) -> float | None:
    """The number, or None for what is none or not finite, such as the loss of a training that
    diverged.
    """
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that was cut off while being written is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            yield value
