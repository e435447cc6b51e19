"""The first screen of a table's page: sentence, scaling plot, what moved the score, verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from analysis import MainEffects
from analysis.claims.headline import Verdict, changes, made_headline
from analysis.factorial.result import ALPHA, comparison, in_pairs
from analysis.formatting import number_of
from analysis.runs.columns import column_of
from reports.findings import Answer
from reports.first_screen.levels import is_plural, widened
from reports.first_screen.scaling import OwnColumns
from reports.first_screen.screen import MOST_VERDICTS, glossed, with_figures, with_findings
from reports.page import Fact, Screen, Statement
from reports.score import Score, named_score
from reports.table.question import TableQuestion
from reports.theme import count
from reports.wording import joined, sentence

NO_REPEATS: Final = "no repeats: interval over cells"
"""Under a verdict whose interval rests on the scatter between cells, and on no repeated run."""


def table_screen(question: TableQuestion, effects: MainEffects | str, answer: Answer) -> Screen:
    """The whole screen; verdicts are claims of this project where the columns are known to it."""
    known = effects if isinstance(effects, MainEffects) else None
    reason = effects if isinstance(effects, str) else ""
    own = OwnColumns(x=question.x, x_title=question.x_title, axes=question.by)
    screen = with_figures(_empty(question), question.runs_by_seed(), known, reason, score_of_table(question), own)
    if answer.findings is not None and len(answer.findings):
        return with_findings(screen, known, answer.findings)
    if known is None:
        return screen
    verdicts = [verdict_of(row, known) for _, row in known.table.iterrows() if np.isfinite(row["low"])]
    counts = tuple((word, sum(one.verdict == word for one in verdicts)) for word in ("supported", "open"))
    return replace(screen, verdicts=glossed(verdicts[:MOST_VERDICTS]), counts=counts if verdicts else ())


def score_of_table(question: TableQuestion) -> Score:
    """The score by its name in the table, with the bounds of a documented column."""
    named = named_score(column_of(question.runs, question.y))
    return replace(named, title=question.y_title, better=question.better)


def verdict_of(row: pd.Series, effects: MainEffects) -> Statement:
    """Whether one column makes a difference, all others equal: supported if its effect differs from
    zero after Holm's correction over the columns, or is shown to have either sign by the level of
    another; else open.
    """
    turns = bool(effects.turn(row["axis"], row["kind"]))  # of either sign: a difference, whatever its mean
    verdict: Verdict = "supported" if row["p_holm"] < ALPHA or turns else "open"
    subject = comparison(row)
    headline = made_headline(
        verdict,
        changes(subject, effects.outcome_title, plural=is_plural(subject)),
        claim="",
        value=float(row["effect"]),
        low=float(row["low"]),
        high=float(row["high"]),
        margin=float("nan"),
        levels=effects.at_levels(row["axis"], row["kind"]) if verdict == "supported" else (),
    )
    headline, told, allowed = headline.partition(" cannot be told: ")
    seeds = f", {number_of(row['n_seeds'], 'seed')}" if row["n_seeds"] else ""
    detail = f"no pair of rows differs in it alone{seeds}"
    if in_pairs(row):
        side = row["n_up" if row["effect"] > 0 else "n_down"]
        detail = f"{'up' if row['effect'] > 0 else 'down'} in {side} of {number_of(row['n_blocks'], 'cell')}{seeds}"
    basis = widened(row) or (NO_REPEATS if "the interval is over cells" in row["note"] else "")
    detail = f"{detail}; {f'interval {basis}' if widened(row) else basis}" if basis else detail
    claim = f"{row['name']} makes a difference to {effects.outcome_title}."
    return Statement(
        verdict=verdict,
        headline=sentence(f"{headline} cannot be told" if told else headline),
        detail=sentence(f"{allowed}; {detail}" if told else detail),
        claim=claim,
        source="",
        sentence=sentence(effects.sentence(row)),
    )


def _empty(question: TableQuestion) -> Screen:
    """The study line and the strip."""
    by = f" by {joined(list(question.titles.values()))}" if question.by else ""
    strip = [Fact(term=count(len(question.runs)), text="rows", kind="complete")]
    strip += [Fact(term=count(question.left_out), text=f"without {question.x_title} or {question.y_title} left out")] if question.left_out else []
    if question.seed:
        strip.append(
            Fact(term=count(question.runs[question.seed].nunique()), text=f"values of {question.seed}" if question.seed != "seed" else "seeds")
        )
    strip += [Fact(term=count(len(question.groups())), text="groups")] if question.by else []
    strip.append(Fact(term="", text=f"a {question.better} {question.y_title} is better"))
    return Screen(
        about=f"{question.y_title} against {question.x_title}{by}",
        state=question.file.name,
        strip=tuple(strip),
        links=(("Data (CSV)", "#rows"), ("Decisions", "#decisions"), ("All tests", "#tests")),
    )
