"""Reads a study folder for the report: plan, runs, stages, curves and provenance. Computes nothing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import load_runs, load_stages
from analysis.runs.columns import RUN_COLUMNS, STAGE_COLUMNS, USUAL_VALUES
from analysis.runs.received_files import MOST_BYTES, MOST_TABLE_BYTES, FileRefusedError, file_inside, is_plain_name, is_stage_id
from reports.assumed_score import with_assumed_score
from reports.errors import ReportError

NEEDED_OF_PLAN = ("run_id", "seed", "encoder", "pretrain_id", "pretrain_images", "intermediate", "finetune_images")
_NUMBERS, _TEXTS = ("seed", "pretrain_images", "finetune_images"), ("run_id", "encoder", "intermediate")
_LARGEST = 1e15
NEEDED_OF_RUNS = ("run_id", "seed", "encoder", "pretrain_id", "pretrain_images", "val_mim_loss", "intermediate", "finetune_images")


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
    refused: tuple[str, ...] = ()
    """What of the folder is not read, since it could lead to files outside it: a sentence each."""
    assumed: str = ""
    """Which column is taken for the score, where none is documented as one: a sentence."""


def read_study(folder: Path) -> ReportData:
    """Read a study folder.

    Raises:
        ReportError: if the folder is missing, or holds neither a plan nor runs.
        AnalysisError: if the runs table is there and cannot be read as one.
    """
    if not folder.is_dir():
        raise ReportError(f"There is no study folder {folder}; launch a grid first, or name a folder under runs/.")
    refused: list[str] = []
    tables = [name for name in ("runs.parquet", "stages.parquet") if _is_there(folder, name, MOST_TABLE_BYTES, refused)]
    _is_there(folder, "columns.json", MOST_BYTES, refused)
    plan = read_json(folder, "plan.json") if _is_there(folder, "plan.json", MOST_BYTES, refused) else None
    if plan is not None and (wrong := _foreign_stage(plan)):
        refused.append(f"plan.json names the stage {wrong[:60]!r}, which is no stage id, so it is not used.")
        plan = None
    has_runs = "runs.parquet" in tables
    if plan is None and not has_runs:
        reason = refused[0] if refused else "so it is not a study folder: name one that a launch wrote, such as runs/quickstart."
        raise ReportError(f"{folder} holds neither plan.json nor runs.parquet{': ' if refused else ', '}{reason}")
    # A table without rows says the same as no table: analysis refuses it, and a page on an
    # unfinished study must not.
    has_runs = has_runs and not (plan is not None and _is_empty(folder / "runs.parquet"))
    planned = _planned_runs(folder / "plan.json", plan) if plan is not None else None
    runs = load_runs(folder, required=NEEDED_OF_RUNS) if has_runs else pd.DataFrame(columns=list(RUN_COLUMNS))
    has_costs = "stages.parquet" in tables and not _is_empty(folder / "stages.parquet")
    has_grid = _is_there(folder, "grid.yaml", MOST_BYTES, refused)
    stages = _with_columns(load_stages(folder)) if has_costs else states_from_files(folder, plan)
    runs, stages = _own_rows(runs, ("run_id", "pretrain_id", "intermediate_id"), refused), _own_rows(stages, ("stage_id",), refused)
    runs, stages = _whole_rows(runs, _NUMBERS, _TEXTS, refused), _whole_rows(stages, (), ("stage_id", "kind", "state"), refused)
    refused += _refused_of_stages(folder)
    runs, assumed = with_assumed_score(runs)
    return ReportData(
        folder=folder,
        name=str((plan or {}).get("study") or folder.resolve().name),
        runs=runs,
        planned=planned,
        stages=stages,
        has_costs=has_costs,
        grid_text=(folder / "grid.yaml").read_text(encoding="utf-8", errors="replace") if has_grid else None,
        refused=tuple(refused),
        assumed=assumed,
    )


def _with_columns(stages: pd.DataFrame) -> pd.DataFrame:
    """The stages with every documented column, missing where the table has not got it."""
    return stages.reindex(columns=[*stages.columns, *(name for name in STAGE_COLUMNS if name not in stages.columns)])


def _is_there(folder: Path, name: str, most_bytes: int, refused: list[str]) -> bool:
    """Whether a file is there and is read; why it is not read is added to `refused`."""
    try:
        return file_inside(folder, name, most_bytes=most_bytes) is not None
    except FileRefusedError as error:
        refused.append(str(error).replace(f"{folder}/", ""))  # a page names no folder of its builder's machine
        return False


def _foreign_stage(plan: dict[str, Any]) -> str:
    """The first id of a plan's stages that is none; '' where all are."""
    stages = plan.get("stages")
    named = [stage["id"] for stage in stages if isinstance(stage, dict) and {"id", "kind"} <= set(stage)] if isinstance(stages, list) else []
    return next((str(one) or "''" for one in named if not is_stage_id(one)), "")


def _own_rows(table: pd.DataFrame, columns: Iterable[str], refused: list[str]) -> pd.DataFrame:
    """The rows whose stages are named by plain names; how many are not is added to `refused`."""
    named = [column for column in columns if column in table.columns]
    plain = table[named].map(lambda name: bool(pd.isna(name)) or is_plain_name(name)).all(axis=1) if named and len(table) else None
    if plain is None or plain.all():
        return table
    refused.append(f"{int((~plain).sum())} rows of a table name a stage that is no plain name, so they are left out.")
    return table.loc[plain].reset_index(drop=True)


def _whole_rows(table: pd.DataFrame, numbers: Iterable[str], texts: Iterable[str], refused: list[str]) -> pd.DataFrame:
    """The rows that have a finite number and a text in these columns; how many have not is added to
    `refused`.
    """
    if not len(table):
        return table
    whole = table[list(texts)].map(lambda value: isinstance(value, str)).all(axis=1)
    for name in numbers:
        whole &= np.abs(pd.to_numeric(table[name], errors="coerce")).lt(_LARGEST)
    if whole.all():
        return table
    refused.append(f"{int((~whole).sum())} rows of a table lack a setting that is needed to place them, so they are left out.")
    return table.loc[whole].reset_index(drop=True)


def _refused_of_stages(folder: Path) -> list[str]:
    """One sentence on what of stages/ is a link, a pipe or another thing that is not read; none where
    all are files and folders.
    """
    if (folder / "stages").is_symlink():
        return ["stages/ is a link, which may lead out of the study, so no stage's own files are read: put the folder itself there."]
    found: list[str] = []
    waiting = [folder / "stages"]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if len(place.relative_to(folder).parts) < 2 or entry.name in ("examples", "examples_train", "diagnostics"):
                            waiting.append(Path(entry.path))
                    elif not entry.is_file(follow_symlinks=False):
                        found.append(Path(entry.path).relative_to(folder).as_posix())
        except OSError:
            continue  # a study without stages, or one that a launch changes at this moment
    if not found:
        return []
    shown = ", ".join(name[-90:] for name in sorted(found)[:3])
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    return [f"Links and other things that are no regular files are not read: {shown}{more}."]


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
    if len(_whole_rows(table, _NUMBERS, _TEXTS, [])) < len(table):
        raise ReportError(f"A run in {path} has no number or no name where one is needed; launch the study again to write it anew.")
    for name, value in USUAL_VALUES.items():
        if name in table.columns:
            table.loc[table[name].isna() & (table["pretrain_images"] > 0), name] = value
    return table


def _is_empty(file: Path) -> bool:
    """Whether a Parquet file can be read and has no rows; analysis reports one that cannot be read."""
    try:
        return pd.read_parquet(file).empty
    except (OSError, ValueError):
        return False


def read_json(folder: Path, *names: str) -> dict[str, Any] | None:
    """The object in a JSON file of a study folder, or None where the file is missing or refused as by
    `file_inside`.

    Raises:
        ReportError: if the file is there and is not a JSON object.
    """
    path = own_file(folder, *names)
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ReportError(f"{path} cannot be read as JSON ({error}); launch the study again to write it anew.") from error
    if not isinstance(value, dict):
        raise ReportError(f"{path} holds no JSON object; launch the study again to write it anew.")
    return value


def own_file(folder: Path, *names: str) -> Path | None:
    """The path of a regular file of a study folder; None where it is missing or refused
    (`ReportData.refused` lists those).
    """
    try:
        return file_inside(folder, *names)
    except FileRefusedError:
        return None


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
            failure = read_json(folder, "stages", identity, "error.json")
            if own_file(folder, "stages", identity, "result.json") is not None:
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
        found = read_json(study.folder, "stages", identity, "provenance.json")
        if found is not None:
            named = found.get("versions")
            versions = ", ".join(f"{name} {version}" for name, version in named.items()) if isinstance(named, dict) else None
            keys = ("device", "precision", "precision_reason", "git_commit", "platform")
            # As text: what is compared and counted here must be of one kind.
            values = {key: None if found.get(key) is None else str(found[key]) for key in keys}
            rows.append({"stage_id": identity, **values, "versions": versions})
    return pd.DataFrame(rows)


def last_finished(study: ReportData) -> datetime | None:
    """When the newest finished stage ended, by its provenance.json; None where none says."""
    moments = []
    for identity in study.stages.loc[study.stages["state"] == "done", "stage_id"]:
        found = read_json(study.folder, "stages", str(identity), "provenance.json") or {}
        try:
            moments.append(datetime.fromisoformat(str(found.get("finished"))).replace(tzinfo=None))
        except ValueError:
            continue
    return max(moments, default=None)


def read_validation_curves(study: ReportData, pretrainings: Iterable[str]) -> pd.DataFrame:
    """Validation loss during pre-training, a row per measurement: pretrain_id, step, image_passes,
    val_mim_loss.
    """
    rows = []
    for identity in sorted(pretrainings):
        for line in read_metrics(study.folder, identity):
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


def read_metrics(folder: Path, stage: str) -> Iterator[dict[str, Any]]:
    """The lines of a stage's metrics.jsonl, without a last one that is only half written."""
    path = own_file(folder, "stages", stage, "metrics.jsonl")
    if path is None:
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "step" in value:
            yield value
