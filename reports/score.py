"""The score of a page, and the part of a study that has it: a page shows one fine-tuning task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from analysis.runs.columns import Column, column_of
from analysis.runs.outcomes import outcome_of
from reports.errors import ReportError
from reports.report_data import ReportData
from reports.wording import joined

NO_TASK = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A column of the runs table with what its documentation says."""

    column: str
    title: str
    """What it is called within a sentence: 'mIoU', 'top‑1 accuracy'."""
    better: Literal["higher", "lower"] = "higher"
    lowest: float | None = None
    highest: float | None = None
    """Bounds of its values; None where there is none."""

    @property
    def start(self) -> str:
        """The title as a sentence begins with it."""
        keeps = self.title == self.column or any(letter.isupper() for letter in self.title)  # a column keeps its name as it is
        return self.title if keeps else self.title[0].upper() + self.title[1:]

    @property
    def better_side(self) -> str:
        """Where a better difference lies: 'Above' or 'Below' zero."""
        return "Above" if self.better == "higher" else "Below"

    def clipped(self, domain: tuple[float, float]) -> tuple[float, float]:
        """The range without values that the score cannot have."""
        low, high = domain
        return (low if self.lowest is None else max(low, self.lowest), high if self.highest is None else min(high, self.highest))


def named_score(column: Column) -> Score:
    """A documented column; the hyphen of 'top-1' becomes one that no line breaks at."""
    return Score(
        column=column.name,
        title=column.title.replace("top-", "top‑"),
        better=column.better or "higher",
        lowest=column.lowest,
        highest=column.highest,
    )


def score_of(runs: pd.DataFrame) -> Score:
    """Finds the score of a table by the rule of analysis."""
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
    text = (
        f"This page is about {chosen}. The study also holds runs of {joined(others)}, which have a score of their own and are left out of findings "
        f"and figures: python -m reports.build runs/{study.folder.resolve().name} --task {others[0]} writes a page about them."
    )
    return replace(study, runs=part(study.runs), planned=None if study.planned is None else part(study.planned)), text
