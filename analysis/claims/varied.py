"""Claims about everything that a study varies: its main effect on the score, all else equal."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, Verdict
from analysis.claims.headline import Wording, at_levels, changes
from analysis.claims.rules import ROW_COLUMNS, for_difference, for_one_or_negligible, format_estimate, other_intervals
from analysis.claims.wording import cleaned
from analysis.errors import AnalysisError
from analysis.factorial.axes import PRETRAINING
from analysis.factorial.result import LABELS, MainEffects, comparison, in_pairs
from analysis.factorial.wording import THROUGH_SEEDS, named_level
from analysis.formatting import number_of
from analysis.runs.matching import split_of

TOPIC: Final = "What moved the score"
ELSEWHERE: Final = (PRETRAINING, "intermediate")
"""Axes whose main effect is told as the effect of a treatment: see `treatment.on_average`."""
MORE_IS_BETTER: Final = {
    "encoder": "Bigger models",
    "pretrain_length": "Longer pre-training",
    "pretrain_images": "More pre-training images",
    LABELS: "More labels",
    "finetune_steps": "More fine-tuning steps",
    "intermediate_images": "More images in the intermediate stage",
    "intermediate_steps": "More steps in the intermediate stage",
}
"""Axes with a size, and the claim that more of it is better; of other axes the claim is that they
make a difference.
"""


def varied_findings(study: ClaimTable) -> list[Finding]:
    """Tests the main effect of every axis that varies, largest first, but for pre-training and the
    intermediate stage, which have questions of their own.

    Raises AnalysisError where no setting varies.
    """
    found = study.effects
    if found is None:
        raise AnalysisError("no setting takes two values: vary one, such as pretrain_images.")
    rows = [row for _, row in found.table.iterrows() if row["axis"] not in ELSEWHERE]
    if not rows:
        raise AnalysisError("no setting but pre-training and the intermediate stage takes two values: vary one, such as pretrain_images.")
    return [finding_of_axis(study, found, row) for row in rows]


def finding_of_axis(study: ClaimTable, found: MainEffects, row: pd.Series) -> Finding:
    """Tests the main effect of one axis, a row of `found.table`."""
    axis, name, score = str(row["axis"]), str(row["name"]), study.outcome_name
    sized = axis in MORE_IS_BETTER and bool(np.isfinite(row["ratio"])) and not row["also"]
    estimate = Estimate(
        what=f"difference in {score} between {named_level(row['low_level'])} and {named_level(row['high_level'])}",
        value=float(row["effect"]),
        low=float(row["low"]),
        high=float(row["high"]),
        level=found.level,
        unit=score,
    )
    p = float(row["p"])
    verdict: Verdict
    if sized:
        plural = not MORE_IS_BETTER[axis].startswith("Longer")
        claim = f"{MORE_IS_BETTER[axis]} {study.improves.removesuffix('s') if plural else study.improves} {score}."
        verdict, p = for_one_or_negligible(estimate, p, float(row["df"]), study.better, study.margin)
    else:
        claim = f"{name[:1].upper()}{name[1:]} {'make' if ' and ' in name else 'makes'} a difference to {score}."
        verdict = for_difference(p)
        if verdict == "open" and row["levels"] == 2:
            verdict, p = for_one_or_negligible(estimate, p, float(row["df"]), study.better, study.margin)
    counted, detail = _counted(row)
    cautions = tuple(found.cautions_of(row))
    if axis == "finetune_recipe" and split_of(row["low_level"]) != split_of(row["high_level"]):
        detail = f"{detail}; labelled and test images differ too"
        cautions = (*cautions, "The two recipes label and test on other images, and the interval over seeds says nothing of other images.")
    return Finding(
        identity=f"varied-{axis.replace('_', '-')}",
        topic=TOPIC,
        claim=claim,
        source="",
        verdict=verdict,
        sentence=cleaned(_sentence(found, row, estimate, counted)),
        estimate=estimate,
        p=p,
        p_adjusted=np.nan,
        n=counted,
        reading=str(row["note"]),
        test="two one-sided tests against the margin" if verdict == "negligible" else "no effect on average, two-sided t",
        family="secondary" if axis == LABELS else "primary",
        generic=True,
        wording=_wording(row, score),
        margin=study.margin,
        levels=tuple(found.at_levels(axis)),
        cautions=cautions,
        detail=detail,
        rows=_rows(row, found),
    )


def _counted(row: pd.Series) -> tuple[str, str]:
    """What was counted: '12 pairs in 4 cells, 3 seeds', and in how many cells the effect has its
    sign: 'Up in 4 of 4 cells, 3 seeds'.
    """
    seeds = number_of(row["n_seeds"], "seed") if not pd.isna(row["n_seeds"]) and row["n_seeds"] else ""
    if not in_pairs(row):
        through = "other runs of their seeds" if THROUGH_SEEDS in row["note"] else "the levels between them"
        return seeds, ", ".join(one for one in (f"Its ends compared through {through}", seeds) if one)
    side = row["n_up" if row["effect"] > 0 else "n_down"]
    cells = [
        f"{number_of(row['n_pairs'], 'pair')} in {number_of(row['n_blocks'], 'cell')}",
        f"{'Up' if row['effect'] > 0 else 'Down'} in {side} of {number_of(row['n_blocks'], 'cell')}",
    ]
    return ", ".join([cells[0], *([seeds] if seeds else [])]), ", ".join([cells[1], *([seeds] if seeds else [])])


def _sentence(found: MainEffects, row: pd.Series, estimate: Estimate, counted: str) -> str:
    """Effects by level first, where they differ; then the mean with its interval for these cells."""
    name, levels = str(row["name"]), found.at_levels(str(row["axis"]))
    by_level = f"{at_levels(levels)}; on average " if levels else ""
    note = [str(row["note"])] if row["note"] else []
    change = f"{name[:1].upper()}{name[1:]}, {named_level(row['low_level'])} to {named_level(row['high_level'])}"
    if not np.isfinite(estimate.value):
        return f"{change}: no estimate ({row['note']})"
    return f"{change}: {by_level}{format_estimate(estimate, float(row['p']), extra=[one for one in (counted, *note) if one])}{other_intervals(row)}"


def _wording(row: pd.Series, score: str) -> Wording:
    subject = comparison(row).partition(", ")[0] if row["axis"] == "encoder" else comparison(row)
    return changes(subject, score, plural=" more " in subject)


def _rows(row: pd.Series, found: MainEffects) -> pd.DataFrame:
    """The effect for exactly these cells, for cells like these, and by the scatter of single runs."""
    counted = ", ".join([*([number_of(row["n_pairs"], "pair")] if in_pairs(row) else []), number_of(int(row["n_units"]), "group")])
    nothing = float("nan")
    made: list[tuple[Any, ...]] = [("these cells", row["effect"], row["low"], row["high"], row["p"], nothing, nothing, counted, row["note"])]
    for label, kind in (("a cell like these", "cells"), ("by the scatter of single runs", "pooled")):
        if np.isfinite(row[f"{kind}_low"]):
            made.append((label, row["effect"], row[f"{kind}_low"], row[f"{kind}_high"], nothing, nothing, nothing, counted, ""))
    return pd.DataFrame(made, columns=list(ROW_COLUMNS))


QUESTIONS = (Question("What else moved the score?", varied_findings, asks="own"),)
