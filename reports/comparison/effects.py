"""Paired differences B - A, from analysis: overall and by cell, and the rows of their forest plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import AnalysisError, PairedEffects, paired_effects
from analysis.formatting import format_setting
from reports.comparison.pair import Pair
from reports.theme import NO_PRETRAINING, count
from reports.wording import joined, sentence


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What analysis says about B - A."""

    effects: PairedEffects | None
    """None where nothing can be tested."""
    reason: str
    """Why not, a sentence; '' where it can."""
    left_out: int
    """Pairs that are one and the same run in both, left out because no difference between the
    studies can show in them.
    """


def paired_differences(pair: Pair) -> Differences:
    """Score of the second study minus that of the first, over pairs of runs that differ only in what
    makes the studies two treatments.

    Runs of one id are one run, made twice. Where other pairs are there these are left out, for what
    the studies differ in is not in them; where there are none but these, they show how well the
    numbers can be made again.
    """
    same = set(pair.same["run_id"])
    twice = pair.runs["run_id"].isin(same)
    runs = pair.runs
    left_out = 0
    if same:
        others = pair.runs.loc[~twice]
        try:
            return Differences(effects=_effects(pair, others), reason="", left_out=len(same))
        except AnalysisError:
            runs = pair.runs
    try:
        return Differences(effects=_effects(pair, runs), reason="", left_out=left_out)
    except AnalysisError as error:
        return Differences(effects=None, reason=sentence(str(error)), left_out=left_out)


def differences_by(pair: Pair, differences: Differences, column: str) -> pd.DataFrame:
    """The mean difference over the cells of each level of one setting, with its interval: that
    column, n_pairs, difference, low, high; a row for each level that has pairs.
    """
    runs = pair.runs
    if differences.left_out:
        runs = runs.loc[~runs["run_id"].isin(set(pair.same["run_id"]))]
    rows = []
    for level, part in runs.groupby(column, sort=True):
        try:
            found = _effects(pair, part)
        except AnalysisError:
            continue  # no pair at this level
        whole = found.overall.iloc[0]
        rows.append((level, len(found.pairs), *(float(whole[name]) for name in ("difference", "low", "high"))))
    return pd.DataFrame(rows, columns=[column, "n_pairs", "difference", "low", "high"])


def matching_sentence(pair: Pair, effects: PairedEffects) -> str:
    """How the pairs were made, and which finished runs of each study have no partner."""
    settings = [name.replace("_", " ") for name in pair.match]
    unmatched = zip(pair.names, (effects.n_unmatched_baseline, effects.n_unmatched_treatment), strict=True)
    alone = [f"{count(number)} of {name}" for name, number in unmatched if number]
    left = f"; runs without a partner are left out: {joined(alone)}" if alone else "; none is without a partner"
    return f"{count(len(effects.pairs))} pairs of runs equal in {joined(settings)}{left}."


def forest_rows(effects: PairedEffects) -> pd.DataFrame:
    """The rows of the forest plot: all cells together first, which stands alone and is not
    corrected, then each cell.
    """
    overall = effects.overall.assign(label="all cells together", p_holm=np.nan)
    # Without an intermediate stage first, as on the page of one study.
    cells = effects.table.assign(staged=effects.table["intermediate"] != NO_PRETRAINING)
    cells = cells.sort_values(["pretrain_images", "staged", "intermediate", "finetune_images"], kind="stable")
    cells = cells.assign(label=[_label(row, effects.by) for _, row in cells.iterrows()])
    columns = ["label", "n_pairs", "n_groups", "baseline_mean", "treatment_mean", "difference", "low", "high", "p", "p_holm", "note"]
    rows = pd.concat([overall[columns], cells[columns]], ignore_index=True)
    return rows.assign(finding="difference", reading="").rename(columns={"difference": "estimate"})


def _effects(pair: Pair, runs: pd.DataFrame) -> PairedEffects:
    return paired_effects(
        runs.reset_index(drop=True),
        factor="study",
        baseline=pair.names[0],
        treatment=pair.names[1],
        by=("pretrain_images", "intermediate", "finetune_images"),
        outcome=pair.score.column,
        match=pair.match,
    )


def _label(row: pd.Series, by: tuple[str, ...]) -> str:
    """'2,000 pre-training images, intermediate classification, 100 labels', and whatever else tells
    the row apart.
    """
    images, stage = row["pretrain_images"], str(row["intermediate"])
    parts = ["scratch" if images == 0 else f"{count(images)} pre-training images"]
    parts += [f"intermediate {stage}"] if stage != NO_PRETRAINING else []
    parts += [f"{count(row['finetune_images'])} labels"]
    usual = ("pretrain_images", "intermediate", "finetune_images")
    parts += [f"{name.replace('_', ' ')} {format_setting(row[name])}" for name in by if name not in usual and not pd.isna(row[name])]
    return ", ".join(parts)
