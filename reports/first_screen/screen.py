"""Puts the first screen together: study line, sentence, two figures, three verdicts, strip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from analysis import AnalysisError, MainEffects, main_effects
from analysis.published.load import Published
from reports.findings import Answer, card_of, counts_of, ranked, says_something
from reports.first_screen.agreement import beside
from reports.first_screen.levels import sentence_of
from reports.first_screen.moved import moved_figure
from reports.first_screen.scaling import OwnColumns, scaling_figure
from reports.page import Screen, Statement
from reports.score import Score
from reports.theme import FigureError

if TYPE_CHECKING:
    from analysis.claims.finding import Findings

MOST_VERDICTS = 3
CELLS = re.compile(r"(?<=of )(\d+) cells?\b")


def first_screen(source: pd.DataFrame | Published, score: Score, answer: Answer, screen: Screen) -> Screen:
    """Fills a screen, of which the study line and the strip are there, with what analysis found in a
    runs table or a published one.
    """
    table = source.table if isinstance(source, Published) else source
    effects, reason = _effects(source, score)
    screen = with_figures(screen, table, effects, reason, score)
    return screen if answer.findings is None else with_findings(screen, effects, answer.findings)


def with_figures(
    screen: Screen, table: pd.DataFrame, effects: MainEffects | None, reason: str, score: Score, own: OwnColumns | None = None
) -> Screen:
    """The screen with the sentence and both figures; `reason` says why there are no effects, and
    `own` names the columns of a table that is no study.
    """
    screen = replace(screen, sentence=sentence_of(effects) if effects is not None else reason)
    # Where it cannot be drawn, the section below says why.
    with suppress(FigureError, AnalysisError):
        screen = replace(screen, scaling=scaling_figure(table, effects, score, own))
    if effects is not None:
        screen = replace(screen, moved=moved_figure(effects, table, score, None if own is None else (own.x, *own.axes)))
    return screen


def with_findings(screen: Screen, effects: MainEffects | None, findings: Findings) -> Screen:
    """The screen with the first verdicts, and why one of them differs from the sentence."""
    top = ranked(findings)
    telling = [one for one in top if says_something(one)] or top
    verdicts = glossed([card_of(one) for one in telling[:MOST_VERDICTS]])
    return replace(screen, verdicts=verdicts, counts=counts_of(findings), beside=beside(effects, findings) if effects is not None else "")


def glossed(verdicts: Sequence[Statement]) -> tuple[Statement, ...]:
    """The verdicts, of which the first that counts cells says what a cell is."""
    made = list(verdicts)
    for place, one in enumerate(made):
        detail, found = CELLS.subn(r"\g<0> (all other settings equal)", one.detail, count=1)
        if found:
            made[place] = replace(one, detail=detail)
            break
    return tuple(made)


def _effects(source: pd.DataFrame | Published, score: Score) -> tuple[MainEffects | None, str]:
    try:
        return main_effects(source, outcome=score.column), ""
    except AnalysisError:
        return None, f"Nothing can be compared yet: no two finished runs differ in one setting alone, so there is no effect on {score.title}."
