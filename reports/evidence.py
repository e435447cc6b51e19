"""What analysis computes for a study, once: the figures are made from these objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis import (
    AnalysisError,
    Correlation,
    Fit,
    PairedEffects,
    correlate,
    fit,
    independent_groups,
    intermediate_effects,
    pretraining_effects,
    summarise_cells,
)
from reports.report_data import ReportData
from reports.score import Score, score_of
from reports.series import ordered_panels, ordered_series, spread_out, with_series

T = TypeVar("T")

LEVEL = 0.95
"""Nominal coverage of the laws' bands, as everywhere in analysis."""
REACH = 2.0
"""A law is drawn to this many times the largest number of labels; beyond the largest it is dashed."""
MOST_POINTS = 2000
"""Runs that are drawn one by one; of more, the cells' means are drawn, for some series and panels."""
MOST_SERIES, MOST_PANELS = 8, 6
"""Series and panels that are drawn of a study with more runs than MOST_POINTS."""


@dataclass(frozen=True, kw_only=True)
class SeriesLaw:
    """The law of one series in one panel, or why it has none."""

    panel: str
    series: str
    fit: Fit | None
    """None where no law could be fitted; a fit that is not identified is kept, and is not drawn."""
    reason: str
    """Why it is not drawn, a sentence; '' where it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """A study and the results of analysis. A result that is not available is None; `reasons` says
    why, by field.
    """

    study: ReportData
    score: Score
    """What the runs are scored by."""
    runs: pd.DataFrame
    """The finished runs with a finite score, with the columns series and panel."""
    whole: pd.DataFrame
    """The grid's settings where there is a plan, else the runs: what varies is decided here, so
    that words stay the same as runs finish.
    """
    not_finite: int
    """Finished runs left out because their score is not a finite number."""
    series_names: tuple[str, ...]
    panels: tuple[str, ...]
    sizes: tuple[int, ...]
    """Fine-tuning sizes of the finished runs, ascending."""
    cells: pd.DataFrame | None
    laws: tuple[SeriesLaw, ...]
    pretraining: PairedEffects | None
    intermediate: PairedEffects | None
    correlation: Correlation | None
    reasons: dict[str, str]
    focus: str = ""
    """Which series and panels were left out of what is drawn, a sentence; '' where none."""


@lru_cache(maxsize=2)
def focused(evidence: Evidence) -> Evidence:
    """Keeps some series and panels of a study with very many runs, evenly spread and chosen without
    their scores.
    """
    series_names, panels = _in_focus(len(evidence.runs), evidence.series_names, evidence.panels)
    if len(series_names) == len(evidence.series_names) and len(panels) == len(evidence.panels):
        return evidence

    def part(table: pd.DataFrame) -> pd.DataFrame:
        return table.loc[table["series"].isin(series_names) & table["panel"].isin(panels)].reset_index(drop=True)

    return replace(
        evidence,
        runs=part(evidence.runs),
        series_names=tuple(series_names),
        panels=tuple(panels),
        cells=None if evidence.cells is None else part(evidence.cells),
        laws=tuple(law for law in evidence.laws if law.series in series_names and law.panel in panels),
        focus=f"Of {len(evidence.series_names)} series {len(series_names)} and of {len(evidence.panels)} panels {len(panels)} are shown here, "
        "spread evenly.",
    )


def _in_focus(runs: int, series_names: Sequence[str], panels: Sequence[str]) -> tuple[list[str], list[str]]:
    if runs <= MOST_POINTS:
        return list(series_names), list(panels)
    return spread_out(series_names, MOST_SERIES), spread_out(panels, MOST_PANELS)


def gather(study: ReportData) -> Evidence:
    """Computes everything that the figures show."""
    score = score_of(study.runs)
    finite = np.isfinite(study.runs[score.column].to_numpy(dtype=float))
    plain = study.runs.loc[finite].reset_index(drop=True)
    planned = study.planned if study.planned is not None and len(study.planned) else plain
    whole = with_series(planned, planned)
    runs = with_series(plain, planned)
    reasons: dict[str, str] = {}
    return Evidence(
        study=study,
        score=score,
        runs=runs,
        whole=whole,
        not_finite=int((~finite).sum()),
        series_names=tuple(ordered_series(whole)),
        panels=tuple(ordered_panels(whole)),
        sizes=tuple(sorted(int(size) for size in runs["finetune_images"].unique())),
        cells=_ask("cells", reasons, runs, lambda table: _cells(table, whole, score)),
        laws=tuple(_law(part, panel, series, score) for panel, series, part in _parts(runs, whole)),
        pretraining=_ask("pretraining", reasons, plain, _effects_of(pretraining_effects, score)),
        intermediate=_ask("intermediate", reasons, plain, _effects_of(intermediate_effects, score)),
        correlation=_ask("correlation", reasons, plain, lambda table: correlate(table, y=score.column)),
        reasons=reasons,
    )


def _ask(name: str, reasons: dict[str, str], runs: pd.DataFrame, question: Callable[[pd.DataFrame], T]) -> T | None:
    """Returns the result of analysis, or None and puts its error into `reasons`."""
    if runs.empty:
        reasons[name] = "No run has finished yet."
        return None
    try:
        return question(runs)
    except AnalysisError as error:
        reasons[name] = str(error)
        return None


def _cells(runs: pd.DataFrame, whole: pd.DataFrame, score: Score) -> pd.DataFrame:
    """Mean and spread of the score for each panel, series and number of labels."""
    cells = summarise_cells(runs, by=["panel", "series", "finetune_images"], outcome=score.column, level=LEVEL)
    place = {name: index for names in (ordered_panels(whole), ordered_series(whole)) for index, name in enumerate(names)}
    # The page's order (no intermediate stage first, scratch first), where analysis sorts by name.
    keys = cells.assign(panel=cells["panel"].map(place), series=cells["series"].map(place))
    return cells.loc[keys.sort_values(["panel", "series", "finetune_images"], kind="stable").index].reset_index(drop=True)


def _effects_of(question: Callable[..., PairedEffects], score: Score) -> Callable[[pd.DataFrame], PairedEffects]:
    """Wraps a question for paired effects so that a result without pairs is an error."""

    def with_pairs(runs: pd.DataFrame) -> PairedEffects:
        effects = question(runs, outcome=score.column)
        if effects.table.empty:
            raise AnalysisError(f"No two finished runs differ in {effects.factor} alone.")
        return effects

    return with_pairs


def _parts(runs: pd.DataFrame, whole: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The runs of each panel and series that are drawn, in the order of the page."""
    series_names, panels = _in_focus(len(runs), ordered_series(whole), ordered_panels(whole))
    order = [(panel, series) for panel in panels for series in series_names]
    parts = [(panel, series, runs.loc[(runs["panel"] == panel) & (runs["series"] == series)]) for panel, series in order]
    return [part for part in parts if len(part[2])]


def _law(part: pd.DataFrame, panel: str, series: str, score: Score) -> SeriesLaw:
    """Fits a power law with an offset to one series, clustered on independent groups of runs."""
    part = part.reset_index(drop=True)
    try:
        fitted = fit(part["finetune_images"], part[score.column], law="power", level=LEVEL, cluster=independent_groups(part))
    except AnalysisError as error:
        return SeriesLaw(panel=panel, series=series, fit=None, reason=str(error))
    reason = "" if fitted.status != "not identified" else (fitted.status_detail or "The data cannot tell the law's parameters.")
    return SeriesLaw(panel=panel, series=series, fit=fitted, reason=reason)
