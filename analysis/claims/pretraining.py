"""Claims about pre-training: it helps in every cell, and on average."""

from __future__ import annotations

from typing import Any

from analysis.claims.claim_table import WHERE, ClaimTable
from analysis.claims.finding import Finding, Question
from analysis.claims.treatment import TreatmentEffects, everywhere, on_average
from analysis.factorial.axes import PRETRAINING
from analysis.runs.table import require_columns
from analysis.significance.pairs import pretraining_effects
from analysis.significance.summaries import summary_pretraining_effects

TOPIC = "Pre-training"
CLAIMED = "Bridge, Sun et al."


def pretraining_against_none(study: ClaimTable) -> TreatmentEffects:
    """Effects of every amount of pre-training against none, without an intermediate stage.

    Raises AnalysisError where no run matches.
    """
    require_columns(study.table, ("finetune_images",), where=WHERE)
    if study.kind == "runs":
        return TreatmentEffects(study=study, effects=(("sd", pretraining_effects(study.table, outcome=study.outcome, level=study.level)),))
    found = tuple(
        (spread, summary_pretraining_effects(study.table, outcome=study.outcome, spread=spread, level=study.level)) for spread in study.readings
    )
    return TreatmentEffects(study=study, effects=found)


def pretraining_findings(study: ClaimTable) -> list[Finding]:
    """Tests that pre-training helps on average, and in every cell."""
    compared = pretraining_against_none(study)
    shared: dict[str, Any] = {"topic": TOPIC, "direction": study.better, "subject": "Pre-training", "source": CLAIMED}
    return [
        on_average(
            compared,
            identity="pretraining-helps-on-average",
            claim=f"Pre-training {study.improves} {study.outcome_name} on average.",
            axis=PRETRAINING,
            **shared,
        ),
        everywhere(
            compared, identity="pretraining-helps-everywhere", claim=f"Pre-training {study.improves} {study.outcome_name} in every cell.", **shared
        ),
    ]


QUESTIONS = (Question("Does pre-training help?", pretraining_findings),)
