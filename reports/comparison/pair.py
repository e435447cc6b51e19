"""Reads two studies side by side: their names, their runs in one table, and the runs they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.runs.columns import column_of, score_columns
from reports.errors import ReportError
from reports.report_data import ReportData, read_study
from reports.score import Score, named_score, of_task, tasks_of
from reports.wording import joined

STUDY_SETTINGS = (
    "encoder",
    "pretrain_source",
    "pretrain_images",
    "pretrain_recipe",
    "pretrain_length",
    "pretrain_sampling",
    "intermediate",
    "intermediate_source",
    "intermediate_images",
    "finetune_source",
    "finetune_recipe",
)
"""Settings that may make two studies two treatments: where each study has one value of its own, that
difference is what is compared.
"""
STEPS = ("intermediate_steps", "finetune_steps")
"""These follow from lengths and sizes, so that pairs need not agree in them where the rest tells
runs apart.
"""
MATCHED = ("seed", *STUDY_SETTINGS, "finetune_images", "finetune_task")
MEASURED_ROLES = frozenset({"measure", "loss", "score"})
"""Columns with these roles hold results; the others identify a run or set it up."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two studies to compare. A difference is always the second minus the first, B - A."""

    studies: tuple[ReportData, ReportData]
    names: tuple[str, str]
    """What they are called on the page; never equal."""
    runs: pd.DataFrame
    """The finished runs of both with a finite score. The column `study` holds the name; a setting
    that makes the studies two treatments has the second's value in both, so that runs match.
    """
    planned: pd.DataFrame
    """The settings of the runs that either wants, in the same form."""
    differing: dict[str, tuple[object, object]]
    """Settings of which each study has one value of its own: the value of the first and of the
    second.
    """
    score: Score
    """What both are scored by."""
    match: tuple[str, ...]
    """The columns in which the two runs of a pair are equal."""
    same: pd.DataFrame
    """Finished runs that both have under one id: run_id, equal (all measured columns, to the last
    digit), largest_difference (in the score).
    """


def read_pair(first: str | Path, second: str | Path, *, task: str | None = None) -> Pair:
    """Read both studies, the runs of one task where it is named.

    Raises:
        ReportError: if both are one folder, one is not a study, or has no finished run with a
            finite score, or they have no cell in common.
        AnalysisError: if a table cannot be read.
    """
    folders = (Path(first), Path(second))
    if folders[0].resolve() == folders[1].resolve():
        raise ReportError(f"{folders[0]} and {folders[1]} are one folder; name two studies to compare.")
    studies = (read_study(folders[0]), read_study(folders[1]))
    if task is not None:
        studies = (of_task(studies[0], task)[0], of_task(studies[1], task)[0])
    names = _names(studies)
    score = _shared_score(studies)
    finite = [study.runs.loc[np.isfinite(study.runs[score.column].to_numpy(dtype=float))] for study in studies]
    plans = [study.planned if study.planned is not None and len(study.planned) else runs for study, runs in zip(studies, finite, strict=True)]
    differing = _differing(plans[0], plans[1])
    runs = _together(finite[0], finite[1], names, differing)
    planned = _together(plans[0], plans[1], names, differing)
    match = _match(planned)
    keys = [set(_keys(runs.loc[runs["study"] == name], match)) for name in names]
    if not keys[0] & keys[1]:
        raise ReportError(f"{names[0]} and {names[1]} have no finished run in common{_why(runs, names, match)}; compare studies that share cells.")
    return Pair(
        studies=studies,
        names=names,
        runs=runs,
        planned=planned,
        differing=differing,
        score=score,
        match=match,
        same=_same(finite[0], finite[1], score.column),
    )


def shared_tasks(first: str | Path, second: str | Path) -> tuple[str, ...]:
    """The tasks of fine-tuning that both studies have, in the order of the first.

    Raises:
        ReportError: if one is not a study.
    """
    there = tasks_of(read_study(Path(second)))
    return tuple(task for task in tasks_of(read_study(Path(first))) if task in there)


def _shared_score(studies: tuple[ReportData, ReportData]) -> Score:
    """The first documented score that finished runs of both studies have. Raises ReportError where
    there is none.
    """
    scores = [{column.name: column for column in score_columns(study.runs)} for study in studies]
    for study, found in zip(studies, scores, strict=True):
        if not found:
            raise ReportError(f"{study.folder} has no finished run with a finite score yet, so there is nothing to compare; wait until one is.")
    common = next((column for name, column in scores[0].items() if name in scores[1]), None)
    if common is None:
        titles = [joined([column.title for column in found.values()]) for found in scores]
        raise ReportError(
            f"{studies[0].folder} is scored by {titles[0]} and {studies[1].folder} by {titles[1]}, so they have no score in common; "
            "compare studies of one task."
        )
    return named_score(common)


def _names(studies: tuple[ReportData, ReportData]) -> tuple[str, str]:
    """Names the studies so that the two differ: by name, else by folder, else by folder and the
    folder above.
    """
    first, second = (study.folder.resolve() for study in studies)
    choices = [
        (studies[0].name, studies[1].name),
        (first.name, second.name),
        (f"{first.parent.name}/{first.name}", f"{second.parent.name}/{second.name}"),
    ]
    return next((names for names in choices if names[0] != names[1]), (f"{studies[0].name} (A)", f"{studies[1].name} (B)"))


def _differing(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, tuple[object, object]]:
    differing: dict[str, tuple[object, object]] = {}
    for name in STUDY_SETTINGS:
        if name in first.columns and name in second.columns:
            whole = [_values(table[name]) for table in (first, second)]
            # Scratch runs, and those without an intermediate stage, stand beside the others and
            # have no value of their own.
            own = [values - {0, "none", None} for values in whole]
            values = next((two for two in (whole, own) if len(two[0]) == len(two[1]) == 1), None)
            if values is not None and values[0] != values[1]:
                differing[name] = (next(iter(values[0])), next(iter(values[1])))
    return differing


def _values(column: pd.Series) -> set[object]:
    return {None if pd.isna(value) else value for value in column.unique()}


def _together(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str], differing: dict[str, tuple[object, object]]) -> pd.DataFrame:
    first = first.assign(study=names[0])
    for column, (old, new) in differing.items():
        alike = [value == old or (old is None and pd.isna(value)) for value in first[column]]
        values = [new if same else value for same, value in zip(alike, first[column], strict=True)]
        first = first.assign(**{column: pd.Series(values, index=first.index)})
    shared = [name for name in second.columns if name in first.columns]
    return pd.concat([first[shared], second.assign(study=names[1])[shared]], ignore_index=True)


def _match(planned: pd.DataFrame) -> tuple[str, ...]:
    """The settings, without steps that tell no runs apart; the cell's own id where the settings do
    not name a run.
    """
    columns = [name for name in MATCHED if name in planned.columns]
    for match in (columns, [*columns, *(name for name in STEPS if name in planned.columns)], ["cell_id", "seed"]):
        if set(match) <= set(planned.columns) and not planned.duplicated(["study", *match]).any():
            return tuple(match)
    return tuple(columns)


def _keys(runs: pd.DataFrame, match: tuple[str, ...]) -> list[tuple[object, ...]]:
    rows = runs.loc[:, list(match)].astype("object").itertuples(index=False, name=None)
    return [tuple(None if pd.isna(value) else value for value in row) for row in rows]


def _why(runs: pd.DataFrame, names: tuple[str, str], match: tuple[str, ...]) -> str:
    """Returns a clause that names a setting in which the studies never agree."""
    for name in match:
        values = [sorted({"missing" if pd.isna(value) else str(value) for value in runs.loc[runs["study"] == study, name]}) for study in names]
        if not set(values[0]) & set(values[1]):
            return f": they never agree in {name} ({', '.join(values[0][:3])} against {', '.join(values[1][:3])})"
    return f": no two agree in all of {', '.join(match)}"


def _same(first: pd.DataFrame, second: pd.DataFrame, score: str) -> pd.DataFrame:
    columns = [name for name in first.columns if name in second.columns and column_of(first, name).role in MEASURED_ROLES]
    both = first.drop_duplicates("run_id").merge(second.drop_duplicates("run_id"), on="run_id", suffixes=("_a", "_b"))
    equal = np.ones(len(both), dtype=bool)
    for name in columns:
        old, new = both[f"{name}_a"].to_numpy(dtype=float), both[f"{name}_b"].to_numpy(dtype=float)
        equal &= (old == new) | (np.isnan(old) & np.isnan(new))
    return pd.DataFrame({"run_id": both["run_id"], "equal": equal, "largest_difference": (both[f"{score}_b"] - both[f"{score}_a"]).abs()})
