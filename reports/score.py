"""The score that a page is about, and the part of a study that has it: a page is about one task of
fine-tuning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from analysis.runs.columns import Column, column_of
from analysis.runs.outcomes import outcome_of
from reports.report_data import ReportData, ReportError
from reports.wording import joined

NO_TASK = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A column of the runs table, higher being better, in shares of 1."""

    column: str
    words: str
    """What it is called within a sentence: 'mIoU', 'top‑1 accuracy'."""

    @property
    def start(self) -> str:
        """What it is called where a sentence begins with it."""
        return self.words if any(letter.isupper() for letter in self.words) else self.words[0].upper() + self.words[1:]

    @property
    def is_of_classes(self) -> bool:
        """Whether it counts images whose class was named, and not pixels."""
        return self.column in ("accuracy", "top5_accuracy")


def named_score(column: Column) -> Score:
    """A column with its words, the hyphen of 'top-1' one that no line breaks at."""
    return Score(column=column.name, words=column.title.replace("top-", "top‑"))


def score_of(runs: pd.DataFrame) -> Score:
    """The score that a table is about, by analysis's own rule."""
    return named_score(column_of(runs, outcome_of(runs)))


def tasks_of(study: ReportData) -> tuple[str, ...]:
    """The tasks of a study's runs, in the order of the grid; none where it does not say."""
    table = study.planned if study.planned is not None and len(study.planned) else study.runs
    if "finetune_task" not in table.columns:
        return ()
    return tuple(str(task) for task in table["finetune_task"].dropna().unique())


def of_task(study: ReportData, task: str | None) -> tuple[ReportData, str]:
    """The study with only the runs of one task, by default its first; and a sentence about those
    left out, '' where there are none.

    Raises:
        ReportError: if the study has no such task.
    """
    tasks = tasks_of(study)
    if task is not None and task not in tasks:
        raise ReportError(f"{study.folder} has no runs of the task {task!r}; its tasks are {joined(tasks) or 'not named'}.")
    if len(tasks) < 2:
        return study, ""
    chosen = task if task is not None else tasks[0]

    def part(table: pd.DataFrame) -> pd.DataFrame:
        return table.loc[table["finetune_task"] == chosen].reset_index(drop=True) if "finetune_task" in table.columns else table

    others = [one for one in tasks if one != chosen]
    said = (
        f"This page is about {chosen}. The study also holds runs of {joined(others)}, which have a score of their own and are left out of findings "
        f"and figures: python -m reports.build runs/{study.folder.resolve().name} --task {others[0]} writes a page about them."
    )
    return replace(study, runs=part(study.runs), planned=None if study.planned is None else part(study.planned)), said
