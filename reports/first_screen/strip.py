"""The line above the sentence, and the strip under the figures: what the numbers rest on."""

from __future__ import annotations

import re
from datetime import datetime

import pandas as pd

from analysis.plots.labels import short_number
from reports.coverage import GridState
from reports.page import Fact, Screen
from reports.report_data import ReportData, last_finished
from reports.theme import count
from reports.wording import joined, sets_of_test_images

MOST_NAMED = 2
VIT = re.compile(r"[\w-]+/(\d+)@(\d+)")
"""The name of a vision transformer: size/patch@image, both in pixels."""


def study_screen(grid: GridState) -> Screen:
    """The screen of a study folder, with the study line and the strip."""
    study, states = grid.whole, grid.states
    table = study.planned if study.planned is not None and len(study.planned) else study.runs
    planned, done = len(states), int((states["state"] == "done").sum()) if len(states) else 0
    known = study.planned is not None and planned > 0
    return Screen(
        about=about(table),
        state=f"{100 * done // planned}% of runs done" if known and done < planned else "all runs done" if known else "",
        share_done=done / planned if known else None,
        strip=tuple(_strip(grid, done, planned if known else 0)),
        links=(*((("Data (CSV)", "#runs"),) if len(study.runs) else ()), ("Methods", "#provenance"), ("All tests", "#claims"))
        if len(study.runs)
        else (("Methods", "#provenance"),),
    )


def about(table: pd.DataFrame) -> str:
    """'pre-train on imagenet, segment oxford-iiit-pet · milli/8@64', as far as the table says."""
    parts = []
    sources = _named(table, "pretrain_source")
    if sources:
        parts.append(f"pre-train on {sources}")
    tasks = [str(task) for task in table["finetune_task"].dropna().unique()] if "finetune_task" in table.columns else []
    verb = {"segmentation": "segment", "classification": "classify"}.get(tasks[0], "fine-tune on") if len(tasks) == 1 else "fine-tune on"
    target = _named(table, "finetune_source")
    if target:
        parts.append(f"{verb} {target}")
    encoders = encoders_text(table)
    return " · ".join(part for part in (", ".join(parts), encoders) if part)


def encoders_text(table: pd.DataFrame) -> str:
    """'milli/8@64 (ViT of 1.8M parameters, 8 px patches, 64 px images)'; of several, their names."""
    text = _named(table, "encoder")
    names: list[object] = list(table["encoder"].dropna().unique()) if "encoder" in table.columns else []
    if len(names) != 1:
        return text
    parts = []
    if "encoder_params" in table.columns and table["encoder_params"].notna().any():
        parts.append(f"{short_number(float(table['encoder_params'].dropna().iloc[0]))} parameters")
    patch = VIT.fullmatch(str(names[0]))
    if patch:
        parts += [f"{patch[1]} px patches", f"{patch[2]} px images"]
        parts[0] = f"ViT of {parts[0]}" if len(parts) == 3 else f"ViT, {parts[0]}"
    return f"{text} ({', '.join(parts)})" if parts else text


def _named(table: pd.DataFrame, column: str) -> str:
    names = [str(name) for name in table[column].dropna().unique()] if column in table.columns else []
    return joined(names) if len(names) <= MOST_NAMED else f"{len(names)} {'encoders' if column == 'encoder' else 'data sets'}"


def _strip(grid: GridState, done: int, planned: int) -> list[Fact]:
    study, states = grid.whole, grid.states
    rest = []
    if planned:
        for state, word in (("failed", "failed"), ("blocked", "blocked"), ("missing", "to run")):
            number = int((states["state"] == state).sum())
            if number:
                rest.append(f"{count(number)} {word}")
    text = f"of {count(planned)} runs" if planned and done < planned else "runs, all done" if planned else "runs"
    facts = [Fact(term=count(done), text=f"{text}{'; ' if rest else ''}{', '.join(rest)}", kind="" if planned and done < planned else "complete")]
    facts += _cost(study)
    runs = grid.part.runs
    if "seed" in runs.columns and len(runs):
        seeds = int(runs["seed"].nunique())
        facts.append(Fact(term=count(seeds), text="seed" if seeds == 1 else "seeds"))
    if "test_images" in runs.columns and runs["test_images"].nunique() == 1:
        sets = sets_of_test_images(runs)
        text = "test images" if sets == 1 else f"test images in each of {sets} sets"
        facts.append(Fact(term=count(float(runs["test_images"].dropna().iloc[0])), text=text))
    finished = last_finished(study)
    if finished is not None:
        facts.append(Fact(term="", text=day(finished)))
    return facts


def day(moment: datetime) -> str:
    """'28 Nov 2026'; in English on every machine."""
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.month - 1]
    return f"{moment.day} {month} {moment.year}"


def _cost(study: ReportData) -> list[Fact]:
    """GPU hours where there are any, else core hours, and the device that most of them were on."""
    if not study.has_costs:
        return []
    for column, unit in (("gpu_hours", "GPU-hours"), ("cpu_hours", "core-hours")):
        hours = float(study.stages[column].fillna(0).sum()) if column in study.stages.columns else 0.0
        if hours > 0:
            devices = study.stages["device"].dropna().mode() if "device" in study.stages.columns else pd.Series(dtype=object)
            device = f", {str(devices.iloc[0])[:24]}" if len(devices) and unit == "GPU-hours" else ""
            return [Fact(term=f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}", text=f"{unit}{device}")]
    return []
