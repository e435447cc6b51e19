"""What the intermediate stage does: does it hurt, does it negate what pre-training gained, and most
where that was most?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.claims.arms import Arm, everywhere, on_average
from analysis.claims.claim_table import WHERE, Material
from analysis.claims.finding import Finding
from analysis.claims.pretraining import CLAIMED
from analysis.errors import AnalysisError
from analysis.runs.table import require_columns
from analysis.significance.pairs import intermediate_effects, paired_effects
from analysis.significance.summaries import summary_intermediate_effects, summary_pretraining_effects

TOPIC = "The intermediate stage"


def objectives(material: Material) -> Sequence[str]:
    """The objectives of the intermediate stages in the table. Raises AnalysisError where there is
    none.
    """
    found = sorted(str(one) for one in material.cells["intermediate"].dropna().unique() if one != "none")
    if not found:
        raise AnalysisError("no run has an intermediate stage: add one to the grid.")
    return found


def against_none(material: Material, objective: str) -> Arm:
    """One objective against no intermediate stage, all else equal. Raises AnalysisError where no
    run matches.
    """
    table = material.table.loc[material.table["intermediate"].isin(["none", objective])].reset_index(drop=True)
    require_columns(table, ("finetune_images",), where=WHERE)
    if material.kind == "runs":
        return Arm(material=material, effects=(("sd", intermediate_effects(table, outcome=material.outcome, level=material.level)),))
    found = tuple(
        (spread, summary_intermediate_effects(table, outcome=material.outcome, spread=spread, level=material.level)) for spread in material.readings
    )
    return Arm(material=material, effects=found)


def against_scratch(material: Material, objective: str) -> Arm:
    """Pre-training and the intermediate stage against neither, at equal labels. Raises
    AnalysisError where no run matches.
    """
    if material.kind == "cells":
        asked: dict[str, Any] = {"intermediate": objective, "outcome": material.outcome, "level": material.level}
        found = tuple((spread, summary_pretraining_effects(material.table, spread=spread, **asked)) for spread in material.readings)
        return Arm(material=material, effects=found)
    table = material.table
    both = (table["pretrain_images"] > 0) & (table["intermediate"] == objective)
    neither = (table["pretrain_images"] == 0) & (table["intermediate"] == "none")
    if not (both.any() and neither.any()):
        raise AnalysisError("the runs with pre-training and an intermediate stage have no partner with neither: run the cells from scratch.")
    chosen = table.loc[both | neither].assign(stages=both.map({True: objective, False: "neither"}))
    match = [name for name in ("seed", "encoder", "finetune_source", "finetune_task", "finetune_images", "finetune_recipe") if name in chosen.columns]
    by = ("pretrain_images", "finetune_images")
    effects = paired_effects(
        chosen, factor="stages", baseline="neither", treatment=objective, outcome=material.outcome, by=by, level=material.level, match=match
    )
    return Arm(material=material, effects=(("sd", effects),))


def intermediate_findings(material: Material) -> list[Finding]:
    """For each objective: 'it lowers the outcome in every cell', 'on average'."""
    found = objectives(material)
    made: list[Finding] = []
    for objective in found:
        compared = against_none(material, objective)
        stage = f"An intermediate {objective} stage"
        prefix = "intermediate" if len(found) == 1 else objective
        said: dict[str, Any] = {"topic": TOPIC, "direction": -1, "source": CLAIMED, "subject": stage}
        made += [
            on_average(compared, identity=f"{prefix}-hurts-on-average", claim=f"{stage} lowers {material.outcome_name} on average.", **said),
            everywhere(compared, identity=f"{prefix}-hurts-everywhere", claim=f"{stage} lowers {material.outcome_name} in every cell.", **said),
        ]
    return made


def negation_findings(material: Material) -> list[Finding]:
    """'It negates the gain from pre-training': with both stages the outcome is not above scratch in
    any cell.
    """
    return [
        everywhere(
            against_scratch(material, objective),
            identity=f"{objective}-negates-pretraining",
            topic=TOPIC,
            claim=f"An intermediate {objective} stage negates the gain from pre-training: {material.outcome_name} is below scratch in every cell.",
            direction=-1,
            source=CLAIMED,
            subject=f"Pre-training followed by an intermediate {objective} stage, against neither,",
        )
        for objective in objectives(material)
    ]
