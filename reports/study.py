"""What the report reads from a study folder: plan, runs, stages, curves, pictures and provenance. Nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import load_runs, load_stages
from analysis.columns import RUN_COLUMNS, STAGE_COLUMNS

NEEDED_OF_RUNS = ("run_id", "seed", "encoder", "pretrain_id", "pretrain_images", "val_mim_loss", "intermediate", "finetune_images")


class ReportError(Exception):
    """A study that cannot be reported on; the message is a sentence for the reader."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study folder, read."""

    folder: Path
    name: str
    runs: pd.DataFrame
    """The finished runs, columns as in analysis.columns.RUN_COLUMNS; empty where none has finished."""
    planned: pd.DataFrame | None
    """The settings of every run of the grid; None where there is no plan.json."""
    stages: pd.DataFrame
    """State and cost of every stage, columns as in analysis.columns.STAGE_COLUMNS."""
    has_costs: bool
    """Whether the stages came from stages.parquet; without it only their states are known."""
    grid_text: str | None


def read_study(folder: Path) -> Study:
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
    # A table without rows says the same as no table: analysis refuses it, and a page on an unfinished study must not.
    has_runs = has_runs and not (plan is not None and _is_empty(folder / "runs.parquet"))
    runs = load_runs(folder, required=NEEDED_OF_RUNS) if has_runs else pd.DataFrame(columns=list(RUN_COLUMNS))
    has_costs = (folder / "stages.parquet").exists() and not _is_empty(folder / "stages.parquet")
    grid = folder / "grid.yaml"
    return Study(
        folder=folder,
        name=str(plan.get("study", folder.resolve().name)) if plan else folder.resolve().name,
        runs=runs,
        planned=pd.DataFrame(plan["runs"]) if plan and plan.get("runs") else None,
        stages=load_stages(folder) if has_costs else states_from_files(folder, plan),
        has_costs=has_costs,
        grid_text=grid.read_text(encoding="utf-8") if grid.exists() else None,
    )


def _is_empty(file: Path) -> bool:
    """Whether a Parquet file is there, can be read, and has no rows; one that cannot be read is left for analysis to speak of."""
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
    """The stages table without costs, from result.json and error.json: what stages.parquet would say of the states."""
    rows: dict[str, dict[str, Any]] = {}
    pending = {str(stage["id"]): stage for stage in (plan or {}).get("stages", [])}

    def row_of(identity: str) -> dict[str, Any]:
        if identity not in rows:
            stage = pending[identity]
            parent = stage.get("parent")
            above = row_of(parent) if parent in pending else None
            row = {"stage_id": identity, "kind": stage["kind"], "parent_id": parent, "state": "missing", "reason": None}
            failure = read_json(folder / "stages" / identity / "error.json")
            if (folder / "stages" / identity / "result.json").exists():
                row["state"] = "done"
            elif above is not None and above["state"] in ("failed", "blocked"):
                row |= {"state": "blocked", "reason": f"{parent} {above['state']}."}
            elif failure is not None:
                row |= {"state": "failed", "reason": str(failure.get("error", "it says no reason"))}
            rows[identity] = row
        return rows[identity]

    for identity in pending:
        row_of(identity)
    return pd.DataFrame(rows.values(), columns=list(STAGE_COLUMNS))


def read_provenance(study: Study) -> pd.DataFrame:
    """One row per finished stage: stage_id and the settings of its machine, as provenance.json gives them, versions joined in one text."""
    rows = []
    for identity in sorted(study.stages.loc[study.stages["state"] == "done", "stage_id"]):
        found = read_json(study.folder / "stages" / identity / "provenance.json")
        if found is not None:
            versions = ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items())
            keys = ("device", "precision", "precision_reason", "git_commit", "platform")
            rows.append({"stage_id": identity, **{key: found.get(key) for key in keys}, "versions": versions})
    return pd.DataFrame(rows)


def read_validation_curves(study: Study, pretrainings: Iterable[str]) -> pd.DataFrame:
    """Validation loss during pre-training, a row per measurement: pretrain_id, step, image_passes, val_mim_loss."""
    rows = []
    for identity in sorted(pretrainings):
        for line in read_metrics(study.folder / "stages" / identity / "metrics.jsonl"):
            if line.get("val_mim_loss") is not None:
                passes = line.get("image_passes", line["step"])
                rows.append((identity, int(line["step"]), float(passes), float(line["val_mim_loss"])))
    table = pd.DataFrame(rows, columns=["pretrain_id", "step", "image_passes", "val_mim_loss"])
    return table.astype({"image_passes": "float64", "val_mim_loss": "float64"})


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that was cut off while being written is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            yield value
