"""Decisions and next runs: where more labels stop paying, and which runs would tell most."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from analysis import AnalysisError, diminishing_returns, suggest_runs
from analysis.decisions.decision import with_names
from analysis.student import t_quantile
from reports.evidence import Evidence, SeriesLaw
from reports.page import Section, make_table
from reports.registry import SectionKind, register
from reports.series import series_phrase
from reports.theme import NO_PRETRAINING, count
from reports.wording import joined, sentence

BEYOND: Final = 2.0
"""A forecast is asked for at this many times the largest number of labels."""
RUNS: Final = 3
ENOUGH_SEEDS: Final = 5


def with_next_runs(evidence: Evidence, section: Section) -> Section | None:
    """The section with a paragraph for each decision; None where there is none to take."""
    said, tables = [*unfinished(evidence), *seeds(evidence)], []
    for law in chosen_laws(evidence):
        sentences, candidates = decisions(law, evidence)
        said += sentences
        tables += [candidates.assign(law=_named(law))] if candidates is not None else []
    if not tables:
        return None
    whole = pd.concat(tables, ignore_index=True)[["law", "labels", "half_width_now", "half_width_after", "extrapolated"]]
    table = make_table(whole, caption="One more run, by its number of labels, and the half-width of the forecast", file_name="next_runs.csv")
    return replace(section, paragraphs=tuple(said), tables=(table,))


def unfinished(evidence: Evidence) -> list[str]:
    """What of the grid is to run, in one sentence; none where all is done."""
    planned, study = len(evidence.whole), evidence.study
    if study.planned is None or len(study.runs) >= planned:
        return []
    return [
        f"Finish the grid first: {count(planned - len(study.runs))} of {count(planned)} planned runs are not done, and comparisons "
        "of equal settings use the runs that both sides have."
    ]


def seeds(evidence: Evidence) -> list[str]:
    """By how much more seeds would narrow the intervals; none where there are enough."""
    number = int(evidence.runs["seed"].nunique()) if "seed" in evidence.runs.columns else 0
    if not 2 <= number < ENOUGH_SEEDS:
        return ["Add a second seed: with one seed no difference has an interval."] if number == 1 else []
    narrower = t_quantile(0.95, ENOUGH_SEEDS - 1.0) / t_quantile(0.95, number - 1.0) * np.sqrt(number / ENOUGH_SEEDS)
    return [
        f"Add seeds: {ENOUGH_SEEDS} in the place of {number} would make the 95% intervals over seeds about {100 * (1 - narrower):.0f}% narrower, "
        "if runs scatter as they do now."
    ]


def chosen_laws(evidence: Evidence) -> list[SeriesLaw]:
    """The laws of scratch and of the largest pre-training in the first panel that has one."""
    drawn = [law for law in evidence.laws if law.fit is not None and not law.reason]
    first = [law for law in drawn if law.panel == drawn[0].panel] if drawn else []
    scratch = [law for law in first if law.series == NO_PRETRAINING]
    others = [law for law in first if law.series != NO_PRETRAINING]
    return scratch + others[-1:]


def decisions(law: SeriesLaw, evidence: Evidence) -> tuple[list[str], pd.DataFrame | None]:
    """Where another doubling of labels stops paying by a law, and the labels at which runs would
    make its forecast most precise, in sentences; and a row for each candidate.
    """
    assert law.fit is not None
    who, score = _named(law), evidence.score.title
    said = []
    try:
        stops = diminishing_returns(law.fit, better=evidence.score.better)
        said.append(sentence(f"{who}: {_lowered(with_names(stops.sentence(), 'labels', score))}"))
    except AnalysisError as error:
        said.append(sentence(f"{who}: no point of diminishing returns, for {error}"))
    far = BEYOND * float(law.fit.x_max)
    sizes = sorted({float(size) for size in law.fit.x} | {far})
    try:
        found = suggest_runs(law.fit, sizes, ("predict", far), 1.0, runs=RUNS)
    except AnalysisError as error:
        return [*said, sentence(f"{who}: no next runs can be named, for {error}")], None
    candidates = found.table.rename(columns={str(found.table.columns[0]): "labels"})
    if found.chosen.empty:
        return said, candidates
    places = found.chosen.iloc[:, 0].astype(float).value_counts(sort=False)
    where = joined([f"{number} with {count(float(place))} labels" for place, number in zip(places.index, places, strict=True)])
    after = float(found.chosen["half_width_after"].iloc[-1])
    said.append(
        sentence(
            f"{who}: to know {score} at {count(far)} labels better, run next {where}; its 95% interval would shrink from "
            f"±{found.half_width_now:.3g} to ±{after:.3g}, if the law holds there and all runs cost the same"
        )
    )
    return said, candidates


def _named(law: SeriesLaw) -> str:
    """The series in words, with its panel: other panels have other laws."""
    return series_phrase(law.series) + (f" ({law.panel})" if law.panel else "")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


register(SectionKind(name="next-runs", heading="What to run next", place=95, finish=with_next_runs))
