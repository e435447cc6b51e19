"""What was studied and what it cost, a sentence each, from the plan and the stages."""

from __future__ import annotations

import pandas as pd

from reports.report_data import ReportData
from reports.theme import count
from reports.wording import joined


def study_sentence(study: ReportData) -> str:
    """What the grid varies, in one sentence."""
    table = study.planned if study.planned is not None else study.runs
    if table.empty:
        return f"The study {study.name} plans no run."
    seeds = int(table.groupby("cell_id")["seed"].nunique().max()) if "cell_id" in table.columns else int(table["seed"].nunique())
    return f"{settings_phrase(table)}; {seeds} {'seed' if seeds == 1 else 'seeds'} a cell."


def settings_phrase(table: pd.DataFrame) -> str:
    """What the rows of a table vary: encoders, labels, pre-training, and the intermediate stage."""
    encoders = joined([str(name) for name in table["encoder"].dropna().unique()])
    labels = joined([count(size) for size in sorted(table["finetune_images"].unique())])
    text = f"{encoders} fine-tuned on {labels} labelled images"
    sources = _sources(table, "finetune_source")
    text += f" of {sources}" if sources else ""
    sizes = sorted(size for size in table["pretrain_images"].unique() if size > 0)
    scratch = bool((table["pretrain_images"] == 0).any())
    if sizes:
        start = "from scratch and after" if scratch else "after"
        text += f", {start} pre-training on {joined([count(size) for size in sizes])} images"
        sources = _sources(table, "pretrain_source")
        text += f" of {sources}" if sources else ""
    else:
        text += ", from scratch"
    stages = [str(name) for name in table["intermediate"].dropna().unique() if name != "none"]
    if stages:
        both = (table["intermediate"] == "none").any()
        text += f", {'with and without' if both else 'with'} an intermediate {joined(stages)} stage"
    return text


def cost_sentence(study: ReportData) -> str:
    """What the stages cost so far."""
    if not study.has_costs:
        return "Not known: the folder has no stages.parquet."
    stages = study.stages
    done = int((stages["state"] == "done").sum())
    if not done:
        return "Nothing to count yet: no stage is finished."
    parts = []
    for column, unit in (("gpu_hours", "GPU hours"), ("cpu_hours", "CPU core hours")):
        if column in stages.columns:
            parts.append(f"{_hours(float(stages[column].fillna(0).sum()))} {unit}")
    if "train_s" in stages.columns:
        parts.append(f"{_hours(float(stages['train_s'].fillna(0).sum()) / 3600)} hours if the stages ran one after another")
    return f"{joined(parts)}, for {count(done)} finished {'stage' if done == 1 else 'stages'}."


def _hours(hours: float) -> str:
    return "no" if hours == 0 else f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}" if 0 < hours < 1 else f"{hours:.1f}"


def _sources(table: pd.DataFrame, column: str) -> str:
    return joined([str(name) for name in table[column].dropna().unique()]) if column in table.columns else ""
