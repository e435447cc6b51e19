"""Claims about the intermediate stage: it hurts, it negates the gain from pre-training, and it harms
most where that gain was largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.claims.claim_table import READINGS, WHERE, ClaimTable
from analysis.claims.finding import Estimate, Finding, Question
from analysis.claims.headline import Wording
from analysis.claims.pretraining import CLAIMED
from analysis.claims.rules import ROW_COLUMNS, for_one
from analysis.claims.treatment import TreatmentEffects, everywhere, on_average
from analysis.claims.wording import both_readings, cleaned
from analysis.errors import AnalysisError
from analysis.runs.table import require_columns
from analysis.significance.growth import EffectGrowth, effect_growth
from analysis.significance.pairs import intermediate_effects, paired_effects
from analysis.significance.summaries import summary_intermediate_effects, summary_pretraining_effects

TOPIC = "The intermediate stage"


def objectives(study: ClaimTable) -> Sequence[str]:
    """Objectives of the intermediate stages in the table. Raises AnalysisError without any."""
    found = sorted(str(one) for one in study.cells["intermediate"].dropna().unique() if one != "none")
    if not found:
        raise AnalysisError("no run has an intermediate stage: add one to the grid.")
    return found


def against_none(study: ClaimTable, objective: str) -> TreatmentEffects:
    """Effects of one objective against no intermediate stage, all else equal.

    Raises AnalysisError where no run matches.
    """
    table = study.table.loc[study.table["intermediate"].isin(["none", objective])].reset_index(drop=True)
    require_columns(table, ("finetune_images",), where=WHERE)
    if study.kind == "runs":
        return TreatmentEffects(study=study, effects=(("sd", intermediate_effects(table, outcome=study.outcome, level=study.level)),))
    found = tuple((spread, summary_intermediate_effects(table, outcome=study.outcome, spread=spread, level=study.level)) for spread in study.readings)
    return TreatmentEffects(study=study, effects=found)


def against_scratch(study: ClaimTable, objective: str) -> TreatmentEffects:
    """Effects of pre-training plus intermediate stage against neither, at equal labels.

    Raises AnalysisError where no run matches.
    """
    if study.kind == "cells":
        asked: dict[str, Any] = {"intermediate": objective, "outcome": study.outcome, "level": study.level}
        found = tuple((spread, summary_pretraining_effects(study.table, spread=spread, **asked)) for spread in study.readings)
        return TreatmentEffects(study=study, effects=found)
    table = study.table
    both = (table["pretrain_images"] > 0) & (table["intermediate"] == objective)
    neither = (table["pretrain_images"] == 0) & (table["intermediate"] == "none")
    if not (both.any() and neither.any()):
        raise AnalysisError("the runs with pre-training and an intermediate stage have no partner with neither: run the cells from scratch.")
    chosen = table.loc[both | neither].assign(stages=both.map({True: objective, False: "neither"}))
    match = [name for name in ("seed", "encoder", "finetune_source", "finetune_task", "finetune_images", "finetune_recipe") if name in chosen.columns]
    by = ("pretrain_images", "finetune_images")
    effects = paired_effects(
        chosen, factor="stages", baseline="neither", treatment=objective, outcome=study.outcome, by=by, level=study.level, match=match
    )
    return TreatmentEffects(study=study, effects=(("sd", effects),))


def intermediate_findings(study: ClaimTable) -> list[Finding]:
    """Tests for each objective that it makes the outcome worse: on average, and in every cell."""
    found = objectives(study)
    made: list[Finding] = []
    for objective in found:
        compared = against_none(study, objective)
        stage = f"An intermediate {objective} stage"
        prefix = "intermediate" if len(found) == 1 else objective
        shared: dict[str, Any] = {"topic": TOPIC, "direction": -study.better, "source": CLAIMED, "subject": stage}
        made += [
            on_average(
                compared,
                identity=f"{prefix}-hurts-on-average",
                claim=f"{stage} {study.worsens} {study.outcome_name} on average.",
                axis="intermediate" if len(found) == 1 else "",
                **shared,
            ),
            everywhere(
                compared, identity=f"{prefix}-hurts-everywhere", claim=f"{stage} {study.worsens} {study.outcome_name} in every cell.", **shared
            ),
        ]
    return made


def negation_findings(study: ClaimTable) -> list[Finding]:
    """Tests that the stage negates the gain from pre-training: with both, no cell is better than
    scratch.
    """
    side = "below" if study.better > 0 else "above"
    return [
        everywhere(
            against_scratch(study, objective),
            identity=f"{objective}-negates-pretraining",
            topic=TOPIC,
            claim=f"An intermediate {objective} stage negates the gain from pre-training: {study.outcome_name} is {side} scratch in every cell.",
            direction=-study.better,
            source=CLAIMED,
            subject=f"Pre-training followed by an intermediate {objective} stage, against neither,",
        )
        for objective in objectives(study)
    ]


def growth_findings(study: ClaimTable) -> list[Finding]:
    """Tests for each objective that it harms more per unit of gain, over all cells and at equal
    labels.

    Raises AnalysisError if no objective can be tested.
    """
    made: list[Finding] = []
    for objective in objectives(study):
        made.append(_growth(study, objective, ""))
        try:
            made.append(_growth(study, objective, "finetune_images"))
        except AnalysisError:  # one pre-training size for each number of labels: nothing is left to compare at equal labels
            continue
    return made


def _growth(study: ClaimTable, objective: str, given: Literal["", "finetune_images"]) -> Finding:
    if study.kind == "cells" and not np.isfinite(study.variances("sd")[0]).all():
        raise AnalysisError("a cell is of one run, or its spread is zero: how much of the relation is shared noise cannot be determined.")
    found = [
        (spread, effect_growth(study.table, intermediate=objective, outcome=study.outcome, given=given, spread=spread, level=study.level))
        for spread in study.readings
    ]
    verdict, reading, agreed = both_readings([(READINGS[spread], for_one(one.slope, one.p, -1)) for spread, one in found], study)
    first = found[0][1]
    per = f"{study.outcome_name} per {study.outcome_name} of gain"
    estimate = Estimate(
        what="change of the stage's effect per unit of gain from pre-training",
        value=first.slope,
        low=_finite(first.low),
        high=_finite(first.high),
        level=first.level,
        unit=per,
    )
    at = " at equal numbers of labels" if given else ""
    rows = pd.concat([_growth_rows(one, READINGS[spread] if study.kind == "cells" else "") for spread, one in found], ignore_index=True)
    return Finding(
        identity=f"{objective}-harms-most-where-gain-is-most{'-at-equal-labels' if given else ''}",
        topic=TOPIC,
        source=CLAIMED,
        verdict=verdict,
        claim=f"An intermediate {objective} stage {study.worsens} {study.outcome_name} the more, the more pre-training had gained{at}.",
        sentence=cleaned(first.sentence().rstrip(".") + agreed),
        estimate=estimate,
        p=first.p,
        p_adjusted=np.nan,
        test="no relation, two-sided",
        n=f"{first.n_cells} cells" + (f", {first.n_seeds} seeds" if first.n_seeds else ""),
        wording=Wording(
            up=f"an intermediate {objective} stage harms less where pre-training gains more{at}",
            down=f"an intermediate {objective} stage harms more where pre-training gains more{at}",
            whether=f"an intermediate {objective} stage harms more where pre-training gains more{at}",
            number="at",
            symbol="slope",
        ),
        reading="; ".join(one for one in (reading, first.note) if one),
        rows=rows,
    )


def _growth_rows(one: EffectGrowth, reading: str) -> pd.DataFrame:
    counted = f"{one.n_cells} cells"
    made = [
        ("slope freed of shared noise", one.slope, _finite(one.low), _finite(one.high), one.p, np.nan, np.nan, counted, one.note),
        (
            "slope by least squares, biased by shared noise",
            one.naive_slope,
            one.naive_low,
            one.naive_high,
            one.naive_p,
            np.nan,
            np.nan,
            counted,
            "for comparison only",
        ),
    ]
    return pd.DataFrame(made, columns=list(ROW_COLUMNS)).assign(reading=reading)


def _finite(end: float) -> float:
    return end if np.isfinite(end) else float("nan")


QUESTIONS = (
    Question("What does the intermediate stage do?", intermediate_findings),
    Question("Does the intermediate stage negate the gain from pre-training?", negation_findings, asks="papers"),
    Question("Does the intermediate stage do most where pre-training does most?", growth_findings, asks="papers"),
)
