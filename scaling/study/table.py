"""The two tables of a study, made from the ledger: one row per finished run, and one row per stage
with its state and cost.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pandas as pd

from analysis.runs.columns import FILE, OCCASIONAL_COLUMNS, RUN_COLUMNS, STAGE_COLUMNS, USUAL_VALUES, Column, documented
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from scaling.study.retention import SET_ASIDE
from trials.objectives.objective import scores_of
from trials.objectives.scores import Measure
from trials.stage_files import atomic, read_json, read_result, write_json

EVERY_S = 10.0  # between two writes while a study runs
WRITE_SHARE = 20  # tables of thousands of runs take seconds to write: at most a twentieth of the time


def run_columns(plan: Plan) -> dict[str, Column]:
    """The columns of the plan's runs table: the standard ones, those that only some studies need,
    and the scores that the plan's objectives add.
    """
    columns = dict(RUN_COLUMNS)
    for name, column in OCCASIONAL_COLUMNS.items():
        if any(name in run for run in plan.runs):
            columns[name] = column
    for kind, objective in dict.fromkeys((stage.spec.kind, stage.spec.objective) for stage in plan.stages.values()):
        for score in scores_of(kind, objective):
            if score.column is not None and score.column not in columns:
                columns[score.column] = _column(score)
    return columns


def _column(score: Measure) -> Column:
    return Column(
        name=str(score.column),
        description=score.description,
        unit=score.unit,
        role=score.role,
        better=score.better,
        lowest=score.lowest,
        highest=score.highest,
        title=score.title,
    )


def run_rows(study: Study, plan: Plan) -> list[dict[str, Any]]:
    """One row for each finished run: its settings and what was measured. Empty while no run is
    done.
    """
    rows = []
    for run in plan.runs:
        if _metrics(study, run["run_id"]) is None:
            continue
        row = (USUAL_VALUES if run["pretrain_id"] is not None else {}) | run
        for key in ("pretrain_id", "intermediate_id", "run_id"):
            if run[key] is not None:
                row |= _scores(study, plan, run[key])
        rows.append(row)
    return rows


def _scores(study: Study, plan: Plan, stage_id: str) -> dict[str, Any]:
    """What a stage measured, by column of the runs table."""
    spec, metrics = plan.stages[stage_id].spec, _metrics(study, stage_id) or {}
    return {score.column: metrics.get(score.name) for score in scores_of(spec.kind, spec.objective) if score.column is not None}


def _metrics(study: Study, stage_id: str | None) -> dict[str, Any] | None:
    if stage_id is None:
        return None
    folder = study.stage_folder(stage_id)
    result = read_result(folder) or read_json(folder / SET_ASIDE)  # of one that is trained again for its weights
    return result["metrics"] if result else None


def stage_rows(study: Study, plan: Plan) -> list[dict[str, Any]]:
    """One row for each stage of the plan: its state, and what it cost if it ran."""
    rows = []
    for name, state in study.states(plan).items():
        spec = plan.stages[name].spec
        provenance = read_json(study.stage_folder(name) / "provenance.json") or {}
        train_s = provenance.get("train_s")
        rows.append(
            {
                "stage_id": name,
                "kind": spec.kind,
                "parent_id": spec.parent,
                "state": state.state,
                "reason": "" if state.state == "done" else state.reason,
                "steps": spec.steps,
                "image_passes": plan.stages[name].own_image_passes,
                "train_s": train_s,
                "images_per_s": provenance.get("images_per_s"),
                "gpu_hours": None if train_s is None else train_s / 3600 * provenance["gpus"],
                "cpu_hours": None if train_s is None else train_s / 3600 * provenance["cpus"],
                "device": provenance.get("device"),
                "precision": provenance.get("precision"),
                "compile": provenance.get("compile"),
                "captured": {"True": "yes", "False": "no"}.get(str(provenance.get("captured"))),
                "attempts": provenance.get("attempts", 0),
            }
        )
    return rows


_DTYPES: dict[str, Any] = {"text": "string", "integer": "int64", "number": "float64"}


def _frame(rows: list[dict[str, Any]], columns: dict[str, Column]) -> pd.DataFrame:
    """A frame whose column types do not depend on which runs happen to be there."""
    frame = pd.DataFrame(rows, columns=list(columns))
    for name, column in columns.items():
        values = frame[name].astype("Int64") if column.dtype == "integer" else frame[name]
        # a plug-in's objective may not count what the others do, such as test images
        missing = column.dtype == "integer" and values.isna().any()
        frame[name] = values.astype("float64" if missing else _DTYPES[column.dtype])
    return frame


def write_tables(study: Study, plan: Plan) -> int:
    """Write runs.parquet, stages.parquet, their CSV twins, and columns.json, which documents their
    columns, atomically; returns how many runs are done.
    """
    columns = run_columns(plan)
    runs, stages = _frame(run_rows(study, plan), columns), _frame(stage_rows(study, plan), STAGE_COLUMNS)
    write_json(study.folder / FILE, documented(columns, STAGE_COLUMNS))
    for name, frame in (("runs", runs), ("stages", stages)):
        with atomic(study.folder / f"{name}.parquet") as handle:
            frame.to_parquet(handle, index=False)
        with atomic(study.folder / f"{name}.csv") as handle:
            frame.to_csv(handle, index=False)
    return len(runs)


class TableWriter:
    """A watcher that writes both tables after a stage has ended, at most every few seconds.

    So a report can be built while the study runs, and a kill loses no row.
    """

    def __init__(self, plan: Plan, study: Study) -> None:
        self._plan, self._study = plan, study
        self._next_s = float("-inf")

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Does nothing: only ended stages matter here."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Does nothing: only ended stages matter here."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage ended."""
        started = time.monotonic()
        if started < self._next_s:
            return
        with contextlib.suppress(OSError):  # a full disk; the launch writes them again at its end
            write_tables(self._study, self._plan)
        took = time.monotonic() - started
        self._next_s = started + took + max(EVERY_S, WRITE_SHARE * took)
