"""Does the intermediate stage do most where pre-training does most, once regression to the mean and
the number of labels are allowed for?
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis.claims.claim_table import READINGS, Material
from analysis.claims.finding import Estimate, Finding
from analysis.claims.intermediate import TOPIC, objectives
from analysis.claims.pretraining import CLAIMED
from analysis.claims.rules import ROW_COLUMNS, for_one
from analysis.claims.wording import both_readings, cleaned
from analysis.errors import AnalysisError
from analysis.significance.growth import EffectGrowth, effect_growth


def growth_findings(material: Material) -> list[Finding]:
    """For each objective, that the stage harms more per unit of gain, over all cells and at equal
    labels. Raises AnalysisError if none can.
    """
    made: list[Finding] = []
    for objective in objectives(material):
        made.append(_finding(material, objective, ""))
        try:
            made.append(_finding(material, objective, "finetune_images"))
        except AnalysisError:  # one pre-training size for each number of labels: nothing is left to compare at equal labels
            continue
    return made


def _finding(material: Material, objective: str, given: Literal["", "finetune_images"]) -> Finding:
    if material.kind == "cells" and not np.isfinite(material.variances("sd")[0]).all():
        raise AnalysisError("a cell is of one run, or its spread is zero: how much of the relation is shared noise cannot be told.")
    found = [
        (spread, effect_growth(material.table, intermediate=objective, outcome=material.outcome, given=given, spread=spread, level=material.level))
        for spread in material.readings
    ]
    verdict, reading, agreed = both_readings([(READINGS[spread], for_one(one.slope, one.p, -1)) for spread, one in found], material)
    first = found[0][1]
    per = f"{material.outcome_name} per {material.outcome_name} of gain"
    estimate = Estimate(
        what="change of the stage's effect per unit of gain from pre-training",
        value=first.slope,
        low=_finite(first.low),
        high=_finite(first.high),
        level=first.level,
        unit=per,
    )
    at = " at equal numbers of labels" if given else ""
    rows = pd.concat([_rows(one, READINGS[spread] if material.kind == "cells" else "") for spread, one in found], ignore_index=True)
    return Finding(
        identity=f"{objective}-harms-most-where-gain-is-most{'-at-equal-labels' if given else ''}",
        topic=TOPIC,
        source=CLAIMED,
        verdict=verdict,
        claim=f"An intermediate {objective} stage lowers {material.outcome_name} the more, the more pre-training had gained{at}.",
        sentence=cleaned(first.sentence().rstrip(".") + agreed),
        estimate=estimate,
        p=first.p,
        p_adjusted=np.nan,
        test="no relation, two-sided",
        n=f"{first.n_cells} cells" + (f", {first.n_seeds} seeds" if first.n_seeds else ""),
        reading="; ".join(one for one in (reading, first.note) if one),
        rows=rows,
    )


def _rows(one: EffectGrowth, reading: str) -> pd.DataFrame:
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
