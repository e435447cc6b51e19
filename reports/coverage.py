"""Which runs of the grid are done, failed, blocked or missing: the plan minus the results."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.report_data import ReportData
from reports.series import with_series

STATES = ("done", "failed", "blocked", "missing")


@dataclass(frozen=True, kw_only=True, eq=False)
class GridState:
    """How much of a study is done."""

    whole: ReportData
    """The study with the runs of all its tasks."""
    part: ReportData
    """The study with the runs of the task that the page is about."""
    states: pd.DataFrame
    """Every planned run with its state, from `run_states(whole)`."""


def run_states(study: ReportData) -> pd.DataFrame:
    """Adds series, panel, state and reason to every planned run.

    A run is done if it is in the runs table. Of the others, the fine-tuning stage's state says
    which they are; one that no stage table knows is missing. Without a plan, the runs that are
    there are all that is known.
    """
    planned = study.planned if study.planned is not None else study.runs
    if planned.empty:
        return planned.assign(series=[], panel=[], state=[], reason=[])
    stages = study.stages.drop_duplicates("stage_id").set_index("stage_id")
    done = set(study.runs["run_id"])
    states, reasons = [], []
    for run_id in planned["run_id"]:
        known = stages.loc[run_id] if run_id in stages.index else None
        state = "missing" if known is None else str(known["state"])
        reason = "" if known is None or pd.isna(known["reason"]) else str(known["reason"])
        if run_id in done:
            state, reason = "done", ""
        elif state == "done":
            # Its result was written after the last runs table: it will be there when the table is
            # next collected.
            state, reason = "missing", "finished, and not yet collected into the runs table"
        states.append(state if state in STATES else "missing")
        reasons.append(reason)
    return with_series(planned, planned).assign(state=states, reason=reasons)


def coverage_by_cell(states: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: panel, series, finetune_images, planned, done, failed, blocked, missing, in
    the plan's order.
    """
    rows = []
    for (panel, series, images), cell in states.groupby(["panel", "series", "finetune_images"], sort=False, dropna=False):
        counts = {state: int((cell["state"] == state).sum()) for state in STATES}
        rows.append({"panel": panel, "series": series, "finetune_images": images, "planned": len(cell), **counts})
    return pd.DataFrame(rows, columns=["panel", "series", "finetune_images", "planned", *STATES])


def unfinished_reasons(study: ReportData) -> pd.DataFrame:
    """Stages that are not done for a reason, failures first: stage_id, kind, state, reason."""
    held = study.stages.loc[study.stages["state"].isin(["failed", "blocked"]), ["stage_id", "kind", "state", "reason"]]
    order = held["state"].map({"failed": 0, "blocked": 1})
    return held.assign(order=order).sort_values(["order", "kind", "stage_id"], kind="stable").drop(columns="order")


def completeness_sentence(study: ReportData, states: pd.DataFrame) -> str:
    """States how many runs are finished, failed, blocked or missing, with the first reason of a
    failure.
    """
    if study.planned is None:
        return f"The folder has no plan.json, so it is only known that {len(states)} runs are finished, not how many were planned."
    if states.empty:
        return "The plan holds no run, so there is nothing to finish."
    counts = {state: int((states["state"] == state).sum()) for state in STATES}
    if counts["done"] == len(states) > 0:
        return f"Complete: all {len(states)} runs are finished."
    labels = {"failed": "failed", "blocked": "blocked by a stage that failed", "missing": "not run yet"}
    parts = [f"{counts[state]} {text}" for state, text in labels.items() if counts[state]]
    phrase = f"Not complete: {counts['done']} of {len(states)} runs are finished; {', '.join(parts)}."
    failed = unfinished_reasons(study).loc[lambda table: table["state"] == "failed"]
    if len(failed):
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        phrase += f" Failed: {failed['stage_id'].iloc[0]}{more}: {failed['reason'].iloc[0]}"
    return phrase
