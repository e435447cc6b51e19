"""Sections of an unfinished study: progress of each stage, and losses and pictures of the pre-
trainings so far.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.charts.losses import validation_loss_during_training
from reports.coverage import GridState
from reports.errors import ReportError
from reports.page import Figure, Panel, PictureBlock, Section, make_table
from reports.pictures import gallery
from reports.registry import FigureKind, SectionKind, register
from reports.report_data import ReportData, own_file, read_json, read_validation_curves
from reports.series import ordered_series, series_phrase, with_series
from reports.theme import NO_PRETRAINING, count, decimals

COLUMNS = ["stage_id", "kind", "step", "of_steps", "percent", "latest", "loss"]
TAIL_BYTES = 65_536
"""Enough for the last lines of a metrics.jsonl, which may be long."""


def under_way(study: ReportData) -> pd.DataFrame:
    """Every stage that has begun and has not ended, from its spec.json and the last line of its
    metrics.jsonl.

    Columns: stage_id, kind, step and of_steps (optimiser steps), percent, latest (which loss) and
    loss. That a process still works on one cannot be read from files: it may have been cut off.
    """
    rows = []
    waiting = study.stages.loc[study.stages["state"] == "missing", ["stage_id", "kind"]]
    for identity, kind in waiting.itertuples(index=False, name=None):
        stage = study.folder / "stages" / str(identity)
        # The stages table is written seconds after a stage ends; the stage's own files are ahead of
        # it.
        ended = (stage / "result.json").exists() or (stage / "error.json").exists()
        metrics = None if ended else own_file(study.folder, "stages", str(identity), "metrics.jsonl")
        last = None if metrics is None else _last_line(metrics)
        if last is not None:
            steps = _steps(study.folder, str(identity))
            name = next((key for key in ("val_mim_loss", "train_mim_loss", "train_loss") if last.get(key) is not None), "")
            percent = 100 * last["step"] / steps if steps else float("nan")
            rows.append((identity, kind, last["step"], steps, percent, name, last.get(name, float("nan"))))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"of_steps": "float64"})


def with_stages_under_way(grid: GridState, section: Section) -> Section | None:
    """The section with the stages under way; None where there is none."""
    table = under_way(grid.whole)
    if table.empty:
        return None
    description = "One stage has begun and is" if len(table) == 1 else f"{count(len(table))} stages have begun and are"
    shown = make_table(
        table.assign(percent=table["percent"].round(1)), caption="Stages under way, at their last line of metrics", file_name="under_way.csv"
    )
    return replace(section, paragraphs=(f"{description} not finished.",), tables=(shown,))


def _pretrainings(study: ReportData) -> tuple[pd.DataFrame, list[str]] | None:
    """The planned pre-trainings and every series in order, while no pre-trained run is finished; else
    None.
    """
    if study.planned is None or study.planned.empty or (study.runs["pretrain_images"] > 0).any():
        return None
    planned = with_series(study.planned, study.planned)
    trained = planned.loc[planned["pretrain_id"].notna() & (planned["series"] != NO_PRETRAINING)].drop_duplicates("pretrain_id")
    return trained, ordered_series(planned)


def loss_so_far(grid: GridState) -> Figure | str:
    """Validation loss of the pre-trainings, while no pre-trained run is finished."""
    study, found = grid.part, _pretrainings(grid.part)
    if found is None:
        return ""
    trained, series_names = found
    curves = read_validation_curves(study, [str(identity) for identity in trained["pretrain_id"]])
    curves = curves.merge(trained[["pretrain_id", "series"]], on="pretrain_id", how="inner")
    # The axis is logarithmic, so the measurement before the first step has no place on it; it stays
    # in the table.
    drawn = curves.loc[(curves["image_passes"] > 0) & np.isfinite(curves["val_mim_loss"])].sort_values(["pretrain_id", "image_passes"])
    if drawn.empty:
        return ""
    last = drawn.drop_duplicates("pretrain_id", keep="last")
    phrases = [
        f"{series_phrase(str(series))} {decimals(part['val_mim_loss'].min())}"
        + ("" if len(part) == 1 else f" to {decimals(part['val_mim_loss'].max())} ({len(part)} pre-trainings)")
        for series, part in last.groupby("series", sort=False)
    ]
    description = f"Latest validation loss: {'; '.join(phrases)}."
    return Figure(
        claim=f"{len(last)} of {len(trained)} pre-trainings have a validation loss so far, the lowest {decimals(last['val_mim_loss'].min())}",
        subtitle=f"One line is one pre-training, finished or under way; {count(len(drawn))} measurements; horizontal axis logarithmic. "
        "A line has no interval.",
        description=description,
        panels=(Panel(identity="loss-so-far", chart=validation_loss_during_training(drawn, series_names=series_names), alternative=description),),
        tables=(make_table(curves, caption="Validation loss by step", file_name="validation_curves.csv"),),
    )


def with_reconstructions_so_far(grid: GridState, section: Section) -> Section | None:
    """The section with reconstructions of finished pre-trainings, while no pre-trained run is
    finished; else None.
    """
    study, found = grid.part, _pretrainings(grid.part)
    if found is None:
        return None
    trained, series_names = found
    folders = []
    for series in series_names:
        # The lowest seed that has pictures: a choice that looks at no outcome.
        for identity in trained.loc[trained["series"] == series].sort_values("seed", kind="stable")["pretrain_id"]:
            folder = study.folder / "stages" / str(identity)
            if (folder / "result.json").exists() and (folder / "examples" / "index.json").exists():
                folders.append((series_phrase(series), folder))
                break
    if not folders:
        return None
    block = PictureBlock(
        heading="Reconstructions",
        subtitle="What masked image modelling fills in, one finished pre-training for each series, with the same held-out images and masks.",
        pictures=gallery(folders, shared=("image", "masked"), own="reconstruction"),
    )
    return replace(section, galleries=(block,))


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line with a step; None where there is none. Only the end of the file is read."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = handle.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue  # cut off while being written
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            return value
    return None


def _steps(folder: Path, stage: str) -> float:
    """The steps that the stage will take; NaN where its spec does not say."""
    try:
        steps = (read_json(folder, "stages", stage, "spec.json") or {}).get("steps")
    except ReportError:
        steps = None
    return float(steps) if isinstance(steps, int) else float("nan")


# Scratch runs are often the first to finish; what the pre-trainings left so far then stands in place
# of 'there is no loss'.
register(
    SectionKind(
        name="losses-so-far",
        heading="Validation loss of pre-training, so far",
        place=6,
        subject=GridState,
        optional=True,
        instead_of="losses",
    )
)
register(
    FigureKind(
        name="loss-so-far",
        section="losses-so-far",
        place=10,
        subject=GridState,
        title="Validation loss of pre-training, so far",
        draws="the validation loss by images shown, a line for each pre-training",
        build=loss_so_far,
    )
)
register(
    SectionKind(
        name="reconstructions-so-far",
        heading="Reconstructions, so far",
        place=7,
        instead_of="losses",
        subject=GridState,
        finish=with_reconstructions_so_far,
    )
)
register(SectionKind(name="progress", heading="Under way", place=905, folded=True, subject=GridState, finish=with_stages_under_way))
