"""The score against the validation loss in the two phases of a study: where the loss falls with
longer training, and where it overfits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis import AnalysisError, OverfittingSplit, PhaseRelations, phase_relations, split_by_overfitting
from analysis.formatting import percent
from reports.charts.scaling import FALLS, RISES, STEADY, loss_against_score
from reports.evidence import MOST_POINTS, Evidence
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, register
from reports.series import spread_out
from reports.theme import count, decimals, padded_domain
from reports.wording import joined, sentence, title

LOSS = "val_mim_loss"
PHASES = {"falling": FALLS, "overfitting": RISES}
LEVEL = 0.95
MOST_PANELS = 6


@lru_cache(maxsize=1)
def phase_figure(evidence: Evidence) -> Figure | str:
    """A scatter a number of labels, with the line of each phase; '' where the series are not of
    both phases, or have one length.
    """
    runs, score = _plain(evidence), evidence.score
    try:
        split = split_by_overfitting(runs)
        relations = phase_relations(runs, split, y=score.column, level=LEVEL)
    except AnalysisError:
        return ""
    names = PHASES if split.rule == "falling" else PHASES | {"falling": STEADY}
    points = runs.assign(group=split.runs["label"].map(names)).dropna(subset=["group", LOSS])
    groups = [name for name in names.values() if name in set(points["group"])]
    if len(groups) < 2:
        return ""
    counted = len(points)
    points = _drawable(points, score.column)
    slopes = dict(zip(relations.table["phase"], relations.table["slope"].astype(float), strict=True))
    domains = padded_domain(points[LOSS]), padded_domain(points["score"])
    panels = []
    sizes = spread_out([str(size) for size in sorted(points["finetune_images"].unique())], MOST_PANELS)
    for number, size in enumerate(float(one) for one in sizes):
        part = points.loc[points["finetune_images"] == size]
        heading = f"{count(size)} labels"
        chart = loss_against_score(
            part, lines_of(part, slopes, names), groups=groups, y_title=score.title, x_domain=domains[0], y_domain=domains[1]
        )  # fmt: skip
        description = (
            f"{heading}, {count(len(part))} points: validation loss {decimals(part[LOSS].min())} to {decimals(part[LOSS].max())}, {score.title} "
            f"{decimals(part['score'].min())} to {decimals(part['score'].max())}; {int((part['group'] == RISES).sum())} in overfitting series."
        )
        panels.append(Panel(identity=f"phases-{number}", chart=chart, alternative=description, heading=heading))
    notes = [sentence(_claim(relations, slopes, score.title)), *(sentence(text.replace(LOSS, "validation loss")) for text in relations.sentences())]
    if len(panels) < points["finetune_images"].nunique():
        notes.append(f"{len(panels)} of {points['finetune_images'].nunique()} numbers of labels are drawn; the table has all.")
    each = "one run" if counted == len(points) else "the mean over the runs of one cell"
    return Figure(
        claim=slopes_title(slopes, score.title),
        subtitle=f"Each point is {each} ({count(counted)} runs without an intermediate stage). Lines: the slope of each phase"
        f"{_adjusted(relations)}, drawn through the mean of its points in each panel; {percent(LEVEL)} intervals, clustered on series, stand below. "
        f"Overfitting: {overfitting_means(split)}. Both axes start above zero.",
        description=" ".join([sentence(split.sentence), *(panel.alternative for panel in panels)]),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(
            make_table(points[["run", "group", "finetune_images", LOSS, "score"]], caption="The points", file_name="loss_and_score_by_phase.csv"),
            make_table(relations.table, caption="Correlation and slope in each phase, and their difference", file_name="slopes_by_phase.csv"),
        ),
    )


def overfitting_means(split: OverfittingSplit) -> str:
    """What counts as overfitting, a clause."""
    if split.rule == "falling":
        return "the loss does not fall at every step to a longer pre-training"
    return "the loss, a mean over seeds, rises with longer pre-training by more than the noise between seeds explains"


def lines_of(points: pd.DataFrame, slopes: dict[str, float], names: Mapping[str, str] = PHASES) -> pd.DataFrame:
    """The ends of each phase's line among some points, through their mean with the slope that
    analysis found: group, val_mim_loss, score. `names` gives the group of each phase.
    """
    lines = []
    for name, group in names.items():
        part, slope = points.loc[points["group"] == group], slopes.get(name, float("nan"))
        if len(part) and np.isfinite(slope):
            ends = np.array([part[LOSS].min(), part[LOSS].max()])
            lines.append(pd.DataFrame({"group": group, LOSS: ends, "score": part["score"].mean() + slope * (ends - part[LOSS].mean())}))
    return pd.concat(lines, ignore_index=True) if lines else pd.DataFrame(columns=["group", LOSS, "score"])


def _plain(evidence: Evidence) -> pd.DataFrame:
    """The pre-trained runs, without an intermediate stage where there are such, as the findings
    take them.
    """
    runs = evidence.runs
    plain = runs.loc[runs["intermediate"] == "none"]
    return (plain if len(plain) else runs).reset_index(drop=True)


def _drawable(points: pd.DataFrame, score: str) -> pd.DataFrame:
    """group, finetune_images, run (its name), val_mim_loss, score: a row a run, or a cell where
    there are too many runs.
    """
    if len(points) <= MOST_POINTS:
        return points.assign(run=points["run_id"], score=points[score])[["group", "finetune_images", "run", LOSS, "score"]]
    grouped = points.groupby(["group", "finetune_images", "panel", "series"], sort=False)
    table = grouped.agg(**{LOSS: (LOSS, "mean"), "score": (score, "mean")}).reset_index()
    names = [", ".join(one for one in (str(panel), str(series)) if one) for panel, series in zip(table["panel"], table["series"], strict=True)]
    return table.assign(run=names)


def _adjusted(relations: PhaseRelations) -> str:
    description = {"finetune_images": "number of labels", "seed": "seed"}
    if not relations.adjusted_for:
        return ""
    return f" once every {joined([description.get(name, name) for name in relations.adjusted_for])} has its own level"


def slopes_title(slopes: dict[str, float], score: str) -> str:
    """The slope of the score on the loss in both phases, as a title."""
    falling, rising = decimals(slopes["falling"], 2), decimals(slopes["overfitting"], 2)
    return title(f"Slope of {score} on loss: {falling} where it falls, {rising} where overfitting", f"Slope on loss: {falling} and {rising}")


def _claim(relations: PhaseRelations, slopes: dict[str, float], score: str) -> str:
    phrases = [f"{decimals(slopes['falling'], 2)} in series where it falls", f"{decimals(slopes['overfitting'], 2)} in those that overfit"]
    row = relations.table.loc[relations.table["phase"] == "difference"].iloc[0]
    verdict = ""
    if np.isfinite(float(row["low"])):
        holds = float(row["low"]) <= 0 <= float(row["high"])
        verdict = f"; the {percent(relations.level)} interval of the difference {'holds' if holds else 'excludes'} zero"
    return f"Per unit of validation loss {score} changes by {joined(phrases)}{verdict}"


register(
    FigureKind(
        name="phases",
        section="correlation",
        place=10,
        title="Score against validation loss, by phase",
        draws="the score against the validation loss, where the loss falls and where it overfits",
        needs=("correlation",),
        build=phase_figure,
    )
)
