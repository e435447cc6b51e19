"""The two tables of a study, made from the ledger: one row per finished run, and one row per stage
with its state and cost.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pandas as pd

from scaling.plan.plan import Plan
from scaling.study.folder import Study
from scaling.study.retention import SET_ASIDE
from trials.stage_files import atomic, read_json, read_result

EVERY_S = 10.0  # between two writes while a study runs
WRITE_SHARE = 20  # tables of thousands of runs take seconds to write: at most a twentieth of the time

_MEASURED = {
    "pretrain": {"train_mim_loss": "train_mim_loss", "val_mim_loss": "val_mim_loss"},
    "intermediate": {"val_accuracy": "intermediate_accuracy"},
    "finetune": {"train_loss": "finetune_train_loss"},
}
# What each column means is documented in analysis/runs/columns.py, which this package does not
# import; a test holds the two equal. fmt: off
RUN_COLUMNS = (
    "study",
    "arm",
    "run_id",
    "cell_id",
    "seed",
    "trunk_id",
    "pretrain_id",
    "intermediate_id",
    "encoder",
    "encoder_params",
    "pretrain_source",
    "pretrain_images",
    "pretrain_recipe",
    "pretrain_length",
    "pretrain_sampling",
    "pretrain_steps",
    "pretrain_image_passes",
    "train_mim_loss",
    "val_mim_loss",
    "intermediate",
    "intermediate_source",
    "intermediate_images",
    "intermediate_steps",
    "intermediate_recipe",
    "intermediate_accuracy",
    "finetune_source",
    "finetune_task",
    "finetune_images",
    "finetune_recipe",
    "finetune_steps",
    "finetune_train_loss",
    "test_images",
    "test_loss",
    "accuracy",
    "top5_accuracy",
    "pixel_accuracy",
    "miou",
    "miou_ucl",
    "iou_foreground",
    "iou_background",
    "iou_border",
)
STAGE_COLUMNS = (
    "stage_id",
    "kind",
    "parent_id",
    "state",
    "reason",
    "steps",
    "image_passes",
    "train_s",
    "images_per_s",
    "gpu_hours",
    "cpu_hours",
    "device",
    "precision",
    "attempts",
)
# fmt: on


def run_rows(study: Study, plan: Plan) -> list[dict[str, Any]]:
    """One row for each finished run: its settings and what was measured. Empty while no run is
    done.
    """
    rows = []
    for run in plan.runs:
        results = {kind: _metrics(study, run[key]) for kind, key in (("pretrain", "pretrain_id"), ("intermediate", "intermediate_id"))}
        finetune = _metrics(study, run["run_id"])
        if finetune is None:
            continue
        row = dict(run)
        for kind in ("pretrain", "intermediate"):
            values = results[kind] or {}
            row |= {column: values.get(name) for name, column in _MEASURED[kind].items()}
        row |= {_MEASURED["finetune"].get(name, name): value for name, value in finetune.items()}
        rows.append(row)
    return rows


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
                "attempts": provenance.get("attempts", 0),
            }
        )
    return rows


_TEXT = ("study", "arm", "run_id", "cell_id", "stage_id", "parent_id", "kind", "state", "reason", "device", "precision", "encoder", "intermediate")


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A frame whose column types do not depend on which runs happen to be there."""
    frame = pd.DataFrame(rows, columns=list(columns))
    for column in columns:
        if column in _TEXT or column.endswith(("_id", "_source", "_recipe", "_task", "_length", "_sampling")):
            frame[column] = frame[column].astype("string")
        elif column in ("seed", "encoder_params", "steps", "image_passes", "attempts") or column.endswith(("_images", "_steps", "_passes")):
            frame[column] = frame[column].astype("Int64").astype("int64")
        else:
            frame[column] = frame[column].astype("float64")
    return frame


def write_tables(study: Study, plan: Plan) -> int:
    """Write runs.parquet, stages.parquet and their CSV twins, atomically; returns how many runs are
    done.
    """
    runs = _frame(run_rows(study, plan), RUN_COLUMNS)
    stages = _frame(stage_rows(study, plan), STAGE_COLUMNS)
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
        """Nothing."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Nothing."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage ended."""
        started = time.monotonic()
        if started < self._next_s:
            return
        with contextlib.suppress(OSError):  # a full disk; the launch writes them again at its end
            write_tables(self._study, self._plan)
        took = time.monotonic() - started
        self._next_s = started + took + max(EVERY_S, WRITE_SHARE * took)
