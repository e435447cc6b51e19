"""Claims about the validation loss as a proxy where pre-training overfits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Finding, Question, estimate_of
from analysis.claims.headline import Wording, turned
from analysis.claims.proxy import LOSS, TOPIC, XIE
from analysis.claims.rules import ROW_COLUMNS, for_one
from analysis.claims.wording import cleaned
from analysis.errors import AnalysisError
from analysis.overfitting import OverfittingSplit, phase_relations, split_by_overfitting

LENGTH = "pretrain_steps"


def split_of(study: ClaimTable) -> OverfittingSplit:
    """Splits the study's series by the default rule, which allows for the noise between seeds.

    Raises AnalysisError without losses or with one length only.
    """
    if LOSS not in study.table.columns or LENGTH not in study.table.columns:
        missing = LOSS if LOSS not in study.table.columns else LENGTH
        raise AnalysisError(f"the table has no column '{missing}': record it for every pre-training.")
    split = split_by_overfitting(study.table, loss=LOSS, length=LENGTH)
    if not split.series["label"].notna().any():
        raise AnalysisError("every series has one length of pre-training only, so overfitting cannot be detected: run a second length.")
    return split


def overfitting_findings(study: ClaimTable) -> list[Finding]:
    """Tests that the loss predicts the score in falling and in overfitting series, and with equal
    slopes.

    Raises AnalysisError as `split_of` does.
    """
    split = split_of(study)
    found = phase_relations(study.table, split, y=study.outcome, x=LOSS, level=study.level)
    table = found.table.set_index("phase")
    rows = pd.DataFrame(
        [
            (
                f"slope, {name}",
                row["slope"],
                row["low"],
                row["high"],
                row["p"],
                np.nan,
                np.nan,
                f"{row['n']} runs, {row['clusters']} series",
                row["note"],
            )
            for name, row in table.iterrows()
        ],
        columns=list(ROW_COLUMNS),
    )
    by_phase: dict[Any, Any] = dict(table.iterrows())
    falling, over, gap = by_phase["falling"], by_phase["overfitting"], by_phase["difference"]
    counted = f"{falling['n']} runs of {falling['clusters']} falling and {over['n']} of {over['clusters']} overfitting series"
    rule = "falls at every step to a longer training" if split.rule == "falling" else "shows no rise beyond the noise between seeds"
    reading = f"rule: a series is falling if its loss {rule}"
    per = f"{study.outcome_name} per unit of loss"
    sentences = found.sentences()
    made = []
    for name, row, sentence in (("falling", falling, sentences[1]), ("overfitting", over, sentences[2])):
        estimate = estimate_of(row, "slope", what=f"slope in {name} series", level=found.level, unit=per)
        where = "whose loss keeps falling" if name == "falling" else "that overfit"
        made.append(
            Finding(
                identity=f"loss-predicts-when-{name}",
                topic=TOPIC,
                source=XIE,
                verdict=for_one(row["slope"], row["p"], -study.better),
                claim=f"In series {where} a lower validation loss goes with a {'higher' if study.better > 0 else 'lower'} {study.outcome_name}.",
                sentence=cleaned(f"{split.sentence if name == 'falling' else ''} {sentence}"),
                estimate=estimate,
                p=float(row["p"]),
                p_adjusted=np.nan,
                test="no slope, two-sided, clustered on series",
                wording=_of_slope(study, where),
                n=counted,
                reading=reading,
                rows=rows if name == "falling" else pd.DataFrame(),
            )
        )
    estimate = estimate_of(gap, "slope", what="slope in overfitting series minus that in falling ones", level=found.level, unit=per)
    made.append(
        Finding(
            identity="overfitting-changes-slope",
            topic=TOPIC,
            source=XIE,
            claim=f"Where series overfit, {study.outcome_name} {'falls' if study.better > 0 else 'rises'} less steeply with the validation loss.",
            verdict=for_one(gap["slope"], gap["p"], study.better),
            sentence=cleaned(sentences[3]),
            estimate=estimate,
            p=float(gap["p"]),
            p_adjusted=np.nan,
            test="no difference of slopes, two-sided, clustered on series",
            wording=turned(_of_slopes(study), study.better),
            n=counted,
            reading=reading,
        )
    )
    return made


def _of_slope(study: ClaimTable, where: str) -> Wording:
    up, down = (f"in series {where} a lower validation loss goes with a {side} {study.outcome_name}" for side in ("lower", "higher"))
    return Wording(up=up, down=down, whether=down if study.better > 0 else up, number="at", symbol="slope")


def _of_slopes(study: ClaimTable) -> Wording:
    less, more = (f"where series overfit, {study.outcome_name} depends {word} on the validation loss" for word in ("less", "more"))
    return Wording(up=less, down=more, whether=less, number="at", symbol="difference of slopes")


QUESTIONS = (Question("What does overfitting do to the validation loss as a proxy?", overfitting_findings, asks="papers", without_intermediate=True),)
