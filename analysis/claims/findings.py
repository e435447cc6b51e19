"""Test every claim that a study's table can speak to: what the data support, refute, or leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from analysis.claims import along_length, data, interaction, intermediate, law, overfitting, pretraining, proxy, returns, small_data, varied
from analysis.claims.claim_table import ClaimTable, prepare
from analysis.claims.finding import Family, Finding, Findings, Question
from analysis.claims.rules import ALPHA
from analysis.errors import AnalysisError
from analysis.factorial.result import ENOUGH_SEEDS
from analysis.formatting import p_value
from analysis.published.load import Published
from analysis.runs.table import of_table
from analysis.significance.multiplicity import adjust

TOPICS: Final = (pretraining, varied, returns, law, intermediate, data, interaction, small_data, along_length, proxy, overfitting)
"""The modules with claims, in the order in which a reader asks; each lists its QUESTIONS."""

Claims = Literal["own", "papers", "all"]
CLAIMS: Final = get_args(Claims)
CONDITION: Final = "conditional on these pre-trainings"
CORRECTIONS: Final[dict[Family, Literal["holm", "bh"]]] = {"primary": "holm", "secondary": "bh"}


@of_table
def findings(
    study: pd.DataFrame | Published,
    *,
    outcome: str | None = None,
    level: float = 0.95,
    margin: float | None = None,
    questions: Sequence[Question] | None = None,
    claims: Claims | None = None,
) -> Findings:
    """Test every claim that the table can speak to.

    Args:
        study: a runs table (see `load_runs`), one row a run; or a table of means, one row a cell
            with `<outcome>_spread` and `n_runs`; or what `load_published` gives.
        outcome: the column to test, a score. Whether higher or lower values are better is what
            its documentation says (see `analysis.runs.columns`), 'higher' where there is none. By
            default the first documented score that has numbers.
        level: nominal coverage of the intervals. Verdicts with a p are at 5% whatever it is.
        margin: differences below this, in the unit of the outcome, are called negligible; by
            default the smaller of half the standard deviation of a single run and a twentieth of
            the range of the cell means (scaled for gains per doubling), or what suits the
            published table.
        questions: the questions to ask, in order; by default those of `all_questions()`.
        claims: 'own' for claims that are asked of every study, 'papers' for those that a paper
            made, 'all' for both; by default 'all' of a published table and where `questions` are
            given, else 'own'.

    The primary claims are stated beforehand: the main effects of what the study varies, of the
    intermediate stage, and the loss as a predictor. Over them `p_adjusted` is Holm's (1979, Scand.
    J. Stat. 6, 65-70), so that the chance of any wrong one is 5% at most. All other claims are
    secondary; over them it is Benjamini and Hochberg's (1995, JRSS B 57, 289-300), so that of those
    decided 5% at most are expected to be wrong. A finding that does not survive its correction is
    left open, and its sentence says so. A claim without a p (of a law, whose interval is a
    bootstrap) goes by its interval at `level`. Questions that the table cannot answer are listed
    with the reason.

    Raises AnalysisError for a table without a finite outcome, an outcome that is a loss, two rows of
    one cell and seed, or spreads and numbers of runs that cannot be.
    """
    stated = margin if margin is not None else study.margin if isinstance(study, Published) else None
    table = prepare(study, outcome=outcome, level=level, margin=stated)
    if table.column.role == "loss" or (table.column.role != "score" and table.outcome.endswith("loss")):
        raise AnalysisError(f"the outcome '{table.outcome}' is a loss, and the claims are about scores: name a score.")
    wanted = _wanted(claims, everything=isinstance(study, Published) or questions is not None)
    plain = _plain(table)
    found: list[Finding] = []
    unanswered: list[tuple[str, str]] = []
    asked = [one for one in (all_questions() if questions is None else questions) if wanted == "all" or one.asks in ("both", wanted)]
    for question in asked:
        try:
            answers = _chosen(question.answer(plain if question.without_intermediate else table), wanted)
        except AnalysisError as error:
            unanswered.append((question.text, str(error)))
            continue
        answers = [_conditional(one) for one in answers]
        known = [one for one in answers if one.estimate is None or np.isfinite(one.estimate.value)]
        found += known
        unanswered += [(one.claim, _why(one)) for one in answers if not any(one is kept for kept in known)]
    return Findings(
        study=table.name,
        outcome=table.outcome,
        statements=_adjusted(found),
        unanswered=tuple(unanswered),
        notes=(*(study.notes if isinstance(study, Published) else ()), *_seed_notes(table), _margin_note(table)),
    )


def _wanted(claims: Claims | None, *, everything: bool) -> Claims:
    if claims is not None and claims not in CLAIMS:
        raise AnalysisError(f"claims is '{claims}': choose 'own' (asked of every study), 'papers' (made by a paper) or 'all'.")
    return claims or ("all" if everything else "own")


def _chosen(answers: Sequence[Finding], wanted: Claims) -> list[Finding]:
    """The findings that are wanted; a claim asked of every study names no paper among 'own' ones."""
    if wanted == "all":
        return list(answers)
    if wanted == "papers":
        return [one for one in answers if one.source]
    return [replace(one, source="") for one in answers if one.generic or not one.source]


def _conditional(one: Finding) -> Finding:
    """Says in claim and headline that an interval is over seeds that share pre-trainings."""
    if "conditional on" not in f"{one.n} {one.reading} {one.sentence}":
        return one
    return replace(one, condition=CONDITION, claim=f"{one.claim.rstrip('.')}, {CONDITION}.")


def _seed_notes(table: ClaimTable) -> list[str]:
    """Advises more seeds, where there are few."""
    if not 0 < table.seeds < ENOUGH_SEEDS:
        return []
    seeds = "1 seed" if table.seeds == 1 else f"{table.seeds} seeds"
    return [f"This study has {seeds}. Run {ENOUGH_SEEDS}: fewer can agree by chance, and their intervals are then too narrow."]


def _margin_note(table: ClaimTable) -> str:
    if not table.margin_reason:
        return f"Differences below {table.margin:g} are called negligible."
    return (
        f"Differences below {table.margin:g} are called negligible: {table.margin_reason}. For gains per doubling and other weighted sums of "
        "cells it is scaled by half the sum of the absolute weights."
    )


def all_questions() -> tuple[Question, ...]:
    """Every question that `findings` asks, in its order."""
    return tuple(question for topic in TOPICS for question in topic.QUESTIONS)


def _why(one: Finding) -> str:
    """The reason why a claim has no number."""
    notes = [str(note) for note in one.rows["note"] if note] if "note" in one.rows.columns else []
    return notes[0] if notes and "nan" in one.sentence.lower() else one.sentence


def _plain(table: ClaimTable) -> ClaimTable:
    rows = table.table
    both = rows["intermediate"].nunique(dropna=False) > 1 and (rows["intermediate"] == "none").any()
    if not both:
        return table
    kept = prepare(rows, outcome=table.outcome, level=table.level, margin=table.margin, keep={"intermediate": "none"})
    return replace(kept, name=table.name, margin_reason=table.margin_reason)


def _adjusted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sets p_adjusted of all findings that have a p, each family by itself; a verdict that loses
    significance becomes 'open'.
    """
    made = list(found)
    for family, method in CORRECTIONS.items():
        undecided = {one.identity for one in made if one.family == "primary" and one.verdict == "open"}
        if family == "secondary":
            made = [_untested(one) if one.requires in undecided else one for one in made]
        places = [place for place, one in enumerate(made) if one.family == family and one.requires not in undecided]
        p = np.array([made[place].p for place in places], dtype=float)
        tested = int(np.isfinite(p).sum())
        for place, value in zip(places, adjust(p, method=method), strict=True):
            made[place] = _opened(replace(made[place], p_adjusted=float(value)), tested)
    return tuple(made)


def _untested(one: Finding) -> Finding:
    """A claim whose presupposition is open."""
    if one.verdict == "open":
        return one
    return replace(one, verdict="open", sentence=f"{one.sentence} Left open, because what it presupposes is open.")


def _opened(one: Finding, tested: int) -> Finding:
    if one.verdict == "open" or not one.p_adjusted >= ALPHA:
        return one
    name = "Holm's" if CORRECTIONS[one.family] == "holm" else "Benjamini and Hochberg's"
    sentence = f"{one.sentence} Left open: {name} correction over the {tested} {one.family} claims gives {p_value(one.p_adjusted)}."
    return replace(one, verdict="open", sentence=sentence)
