"""Every claim that a study's table can speak to, tested: what the data support, refute, or leave
open.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from analysis.claims.claim_table import Material, prepare
from analysis.claims.data import data_findings, interaction_findings, saturation_findings
from analysis.claims.finding import Finding, Findings
from analysis.claims.growth import growth_findings
from analysis.claims.intermediate import intermediate_findings, negation_findings
from analysis.claims.law import law_findings
from analysis.claims.overfitting import overfitting_findings
from analysis.claims.pretraining import pretraining_findings
from analysis.claims.proxy import choice_findings, proxy_findings, rival_finding
from analysis.claims.returns import gain_by_labels, last_doubling, shrinking
from analysis.claims.rules import ALPHA
from analysis.errors import AnalysisError
from analysis.formatting import p_value
from analysis.published.load import Published
from analysis.significance.multiplicity import adjust

Question = Callable[[Material], list[Finding]]


def _one(function: Callable[..., Finding], *settings: Hashable) -> Question:
    return lambda material: [function(material, *settings)]


QUESTIONS: Final[tuple[tuple[str, Question], ...]] = (
    ("Does pre-training help?", pretraining_findings),
    ("Do the returns of pre-training images shrink?", _one(shrinking, "pretrain_images")),
    ("Do more pre-training images still help?", _one(last_doubling, "pretrain_images")),
    ("Do the returns of labels shrink?", _one(shrinking, "finetune_images")),
    ("Does pre-training help less with more labels?", _one(gain_by_labels)),
    ("What is pre-training worth in labels, and is there a floor?", law_findings),
    ("What does the intermediate stage do?", intermediate_findings),
    ("Does the intermediate stage negate the gain from pre-training?", negation_findings),
    ("Does the intermediate stage do most where pre-training does most?", growth_findings),
    ("Does more pre-training data help at equal length?", data_findings),
    ("Is more data worth more with longer training and to bigger models?", interaction_findings),
    ("Where do more data stop paying?", saturation_findings),
    ("Does the validation loss predict the score?", proxy_findings),
    ("Does the validation loss predict it better than the training loss?", _one(rival_finding)),
    ("How good a choice is the lowest validation loss?", choice_findings),
    ("What does overfitting do to the validation loss as a proxy?", overfitting_findings),
)
PLAIN: Final = frozenset({data_findings, interaction_findings, saturation_findings, proxy_findings, choice_findings, overfitting_findings})
"""Questions about pre-training itself: asked of the runs without an intermediate stage, where there
are such.
"""


def findings(
    study: pd.DataFrame | Published,
    *,
    outcome: str | None = None,
    level: float = 0.95,
    margin: float | None = None,
) -> Findings:
    """Test every claim that the table can speak to.

    Args:
        study: a runs table (see `load_runs`), one row a run; or a table of means, one row a cell
            with `<outcome>_spread` and `n_runs`; or what `load_published` gives.
        outcome: the column to test, a score where higher is better; by default miou, or accuracy.
        level: nominal coverage of the intervals. Verdicts with a p are at 5% whatever it is.
        margin: differences below this, in the unit of the outcome, are called negligible; by
            default 0.01 (1 where scores are in percent), or what suits the published table.

    A claim about every cell is decided by Holm's p over its cells. Over all findings together
    `p_adjusted` is Benjamini and Hochberg's (1995, JRSS B 57, 289-300), so that of those called
    supported or refuted 5% at most are expected to be wrong; a finding that does not survive it is
    left open, and its sentence says so. A claim without a p (of a law, whose interval is a
    bootstrap) goes by its interval at `level`. Questions that the table cannot answer are listed
    with the reason. Raises AnalysisError for a table without a finite outcome, an outcome that is a
    loss, two rows of one cell and seed, or spreads and numbers of runs that cannot be.
    """
    stated = margin if margin is not None else study.margin if isinstance(study, Published) else None
    material = prepare(study, outcome=outcome, level=level, margin=stated)
    if material.outcome.endswith("loss"):
        raise AnalysisError(f"the outcome '{material.outcome}' is a loss, and the claims are about scores: name a score, where higher is better.")
    plain = _plain(material)
    found: list[Finding] = []
    unanswered: list[tuple[str, str]] = []
    for question, ask in QUESTIONS:
        try:
            said = ask(plain if ask in PLAIN else material)
        except AnalysisError as error:
            unanswered.append((question, str(error)))
            continue
        told = [one for one in said if one.estimate is None or np.isfinite(one.estimate.value)]
        found += told
        unanswered += [(one.claim, _why(one)) for one in said if not any(one is kept for kept in told)]
    return Findings(
        study=material.name,
        outcome=material.outcome,
        statements=_adjusted(found),
        unanswered=tuple(unanswered),
        notes=(*(study.notes if isinstance(study, Published) else ()), f"Differences below {material.margin:g} are called negligible."),
    )


def _why(one: Finding) -> str:
    """The reason why a claim has no number."""
    notes = [str(note) for note in one.rows["note"] if note] if "note" in one.rows.columns else []
    return notes[0] if notes and "nan" in one.sentence.lower() else one.sentence


def _plain(material: Material) -> Material:
    table = material.table
    both = table["intermediate"].nunique(dropna=False) > 1 and (table["intermediate"] == "none").any()
    if not both:
        return material
    kept = prepare(table, outcome=material.outcome, level=material.level, margin=material.margin, keep={"intermediate": "none"})
    return replace(kept, name=material.name)


def _adjusted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """With p_adjusted over all findings that have a p; one that it carries past 5% is open."""
    p = adjust(np.array([one.p for one in found], dtype=float), method="bh")
    return tuple(_demoted(replace(one, p_adjusted=float(value)), len(found)) for one, value in zip(found, p, strict=True))


def _demoted(one: Finding, family: int) -> Finding:
    if one.verdict == "open" or not one.p_adjusted >= ALPHA:
        return one
    said = f"{one.sentence} Left open: over all {family} findings Benjamini and Hochberg's correction gives {p_value(one.p_adjusted)}."
    return replace(one, verdict="open", sentence=said)
