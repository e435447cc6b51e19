"""Does pre-training help: in every cell, on average, and against no pre-training even with the
intermediate stage.
"""

from __future__ import annotations

from typing import Any

from analysis.claims.arms import Arm, everywhere, on_average
from analysis.claims.claim_table import WHERE, Material
from analysis.claims.finding import Finding
from analysis.runs.table import require_columns
from analysis.significance.pairs import pretraining_effects
from analysis.significance.summaries import summary_pretraining_effects

TOPIC = "Pre-training"
CLAIMED = "Bridge, Sun et al."


def arm(material: Material) -> Arm:
    """Every amount of pre-training against none, without an intermediate stage. Raises
    AnalysisError where no run matches.
    """
    require_columns(material.table, ("finetune_images",), where=WHERE)
    if material.kind == "runs":
        return Arm(material=material, effects=(("sd", pretraining_effects(material.table, outcome=material.outcome, level=material.level)),))
    found = tuple(
        (spread, summary_pretraining_effects(material.table, outcome=material.outcome, spread=spread, level=material.level))
        for spread in material.readings
    )
    return Arm(material=material, effects=found)


def pretraining_findings(material: Material) -> list[Finding]:
    """'Pre-training helps in every cell' and 'on average'."""
    compared = arm(material)
    said: dict[str, Any] = {"topic": TOPIC, "direction": +1, "subject": "Pre-training", "source": CLAIMED}
    return [
        on_average(compared, identity="pretraining-helps-on-average", claim=f"Pre-training raises {material.outcome_name} on average.", **said),
        everywhere(compared, identity="pretraining-helps-everywhere", claim=f"Pre-training raises {material.outcome_name} in every cell.", **said),
    ]
