"""The two statements of the second paper on more data against one another: nothing without
overfitting, something with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim_table import Material
from analysis.claims.finding import Finding, Verdict, estimate_of
from analysis.claims.rules import ALPHA, ROW_COLUMNS, beyond_margin, for_one, told
from analysis.claims.wording import cleaned
from analysis.data_size import MoreDataEffects
from analysis.formatting import p_value

TOPIC = "More pre-training data"
ARXIV = "Xie et al., arXiv:2206.04664: masked image modelling is a data-scalable learner"
CVPR = "Xie et al., CVPR 2023 abstract: it cannot benefit from more data without overfitting"


def by_regime(material: Material, found: MoreDataEffects, by_phase: MoreDataEffects) -> list[Finding]:
    """The two papers' claims against one another: nothing without overfitting, something with it.

    A series may be said to overfit as a whole, or from the length on where its loss is least; a
    claim stands only if both ways of saying it agree.
    """
    tables = [one.regimes[one.regimes["measure"] == "step"].set_index("regime") for one in (found, by_phase)]
    ways = ("series as a whole", "runs after the least loss")
    rows = pd.DataFrame(
        [
            (f"one step to more data, {regime} ({way})", *(row[name] for name in ("difference", "low", "high", "p")), *(np.nan,) * 2, n, row["note"])
            for table, way in zip(tables, ways, strict=True)
            for regime, row in table.iterrows()
            for n in [f"{row['n_cells']} cells, {row['n_encoders']} encoders"]
        ],
        columns=list(ROW_COLUMNS),
    )
    return [
        _regime(
            material,
            [dict(table.iterrows())["falling"] for table in tables],
            identity="no-benefit-without-overfitting",
            source=CVPR,
            where="does not overfit",
            claim=f"Where the smaller data size does not overfit, more data change {material.outcome_name} by less than {material.margin:g}.",
            rows=rows,
        ),
        _regime(
            material,
            [dict(table.iterrows())["overfitting"] for table in tables],
            identity="benefit-where-overfitting",
            source=ARXIV,
            where="overfits",
            claim=f"Where the smaller data size overfits, more data raise {material.outcome_name}.",
            rows=pd.DataFrame(),
        ),
    ]


def _regime(material: Material, pair: list[Any], *, identity: str, source: str, where: str, claim: str, rows: pd.DataFrame) -> Finding:
    negligible = where == "does not overfit"
    verdicts: list[Verdict] = []
    said, p = [], []
    for row, way in zip(pair, ("where series are split", "where runs are split at the least loss"), strict=True):
        estimate = estimate_of(
            row,
            "difference",
            what=f"mean difference of a step to more data where the smaller size {where}",
            level=material.level,
            unit=material.outcome_name,
        )
        equal = float(row["p_equivalent"])
        if negligible:
            verdicts.append("supported" if equal < ALPHA else "refuted" if beyond_margin(equal) < ALPHA else "open")
        else:
            verdicts.append(for_one(estimate.value, float(row["p"]), +1))
        p.append(float(row["p"]) if not negligible else beyond_margin(equal) if verdicts[-1] == "refuted" else equal)
        tested = f"; within +-{material.margin:g}: {p_value(equal)}" if negligible and np.isfinite(equal) else ""
        cells = f"{row['n_cells']} cells"
        said.append(f"{told(estimate, float(row['p']), places=4, extra=[cells])}{tested} {way}")
    agree = len(set(verdicts)) == 1
    first = pair[0]
    return Finding(
        identity=identity,
        topic=TOPIC,
        source=source,
        claim=claim,
        verdict=verdicts[0] if agree else "open",
        sentence=cleaned(
            f"Where the smaller size {where}, the next larger one changes {material.outcome_name} by {said[0]}, and by {said[1]}"
            + ("" if agree else f": {verdicts[0]} by the first way to split and {verdicts[1]} by the second")
        ),
        estimate=estimate_of(
            first,
            "difference",
            what=f"mean difference of a step to more data where the smaller size {where}",
            level=material.level,
            unit=material.outcome_name,
        ),
        p=max(p) if all(np.isfinite(p)) else float("nan"),
        p_adjusted=np.nan,
        test="two one-sided tests against the margin" if negligible else "no difference, two-sided t over encoders",
        n=f"{first['n_cells']} cells, {first['n_encoders']} encoders",
        reading="; ".join(str(row["note"]) for row in pair if row["note"]),
        rows=rows,
    )
