"""Claims about diminishing returns: later doublings gain less, and the last doubling still helps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.claims.claim_table import READINGS, ClaimTable, Spread
from analysis.claims.contrasts import Contrast, Weights, contrast_rows
from analysis.claims.finding import Estimate, Finding, Question
from analysis.claims.headline import Wording, changes, turned
from analysis.claims.pretraining import CLAIMED
from analysis.claims.rules import for_one_or_negligible, format_estimate, tally
from analysis.claims.treatment import cells_agreeing
from analysis.claims.wording import both_readings, cleaned, describe_cell
from analysis.errors import AnalysisError
from analysis.formatting import format_setting
from analysis.runs.matching import PRETRAIN

TOPIC = "Diminishing returns"
WORDS = {"pretrain_images": "pre-training images", "finetune_images": "labels"}
FOLLOWS = {"finetune_images": ("finetune_steps",), "pretrain_images": ()}


def shrinking(study: ClaimTable, factor: str) -> Finding:
    """Tests that a doubling of the factor gains less at the last step than at the first.

    Per cell: the first step's gain per doubling minus the last's.

    Raises AnalysisError where fewer than three sizes above zero agree in all else.
    """
    series = [one for one in _series(study, factor) if len(one) >= 3]
    if not series:
        raise AnalysisError(f"fewer than three numbers of {WORDS[factor]} above zero agree in all else: run a third one.")
    first, last = (float(np.mean([_worth(study, _step(one, place)) for one in series])) for place in (0, -2))
    return _claimed(
        study,
        [(_label(study, one, factor), _difference(_step(one, 0), _step(one, len(one) - 2))) for one in series],
        identity=f"returns-shrink-{factor.split('_')[0]}",
        claim=f"A doubling of the {WORDS[factor]} {_less(study)} at the last step than at the first.",
        source=CLAIMED if factor == "pretrain_images" else "",
        direction=study.better,
        what="gain per doubling at the first step minus at the last",
        test="no difference on average, two-sided t",
        sentence_of=lambda number, counted: (
            f"A doubling of the {WORDS[factor]} brings {first:+z.4f} {study.outcome_name} at the first step and {last:+z.4f} at the last, "
            f"a difference of {number}; {counted}"
        ),
        wording=turned(
            Wording(
                up=f"the first doubling of the {WORDS[factor]} improves {study.outcome_name} more than the last,",
                down=f"the last doubling of the {WORDS[factor]} improves {study.outcome_name} more than the first,",
                whether=f"a doubling of the {WORDS[factor]} {_less(study)} at the last step",
                negligible=f"first and last doubling of the {WORDS[factor]} differ in {study.outcome_name}",
            ),
            study.better,
        ),
    )


def _less(study: ClaimTable) -> str:
    return f"brings less {study.outcome_name}" if study.better > 0 else f"improves {study.outcome_name} less"


def last_doubling(study: ClaimTable, factor: str) -> Finding:
    """Tests that the last measured doubling of the factor still helps.

    Per cell: the last step's gain per doubling.

    Raises AnalysisError where fewer than two sizes above zero agree in all else.
    """
    series = [one for one in _series(study, factor) if len(one) >= 2]
    if not series:
        raise AnalysisError(f"no two numbers of {WORDS[factor]} above zero agree in all else: run a second one.")
    ends = sorted({(one[-2][0], one[-1][0]) for one in series})
    span = f"from {format_setting(ends[-1][0])} to {format_setting(ends[-1][1])} {WORDS[factor]}" + (
        " (in some cells to fewer)" if len(ends) > 1 else ""
    )
    return _claimed(
        study,
        [(_label(study, one, factor), _step(one, len(one) - 2)) for one in series],
        identity=f"last-doubling-{factor.split('_')[0]}",
        claim=f"The last doubling of the {WORDS[factor]} still {study.improves} {study.outcome_name}.",
        source="",
        direction=study.better,
        what=f"gain per doubling {span}",
        test="no gain on average, two-sided t",
        sentence_of=lambda number, counted: f"Going {span}, each doubling brings {number}; {counted}",
        wording=changes(f"the last doubling of the {WORDS[factor]}", study.outcome_name),
    )


def gain_by_labels(study: ClaimTable) -> Finding:
    """Tests that pre-training helps less the more labels there are.

    Per pre-training: the slope of its gain over scratch by log2 of the labels.

    Raises AnalysisError where no pre-training and its scratch share two numbers of labels.
    """
    named = []
    for series in _series(study, "finetune_images"):
        if series and float(study.cells["pretrain_images"].loc[series[0][1]]) > 0:
            pairs = [(size, cell, scratch) for size, cell in series if (scratch := scratch_of(study, cell)) is not None]
            if len(pairs) >= 2:
                labels = np.log2([float(size) for size, _, _ in pairs])
                slope = (labels - labels.mean()) / np.sum((labels - labels.mean()) ** 2)
                weights: dict[int, float] = {}
                for weight, (_, cell, scratch) in zip(slope, pairs, strict=True):
                    weights[cell] = weights.get(cell, 0.0) + float(weight)
                    weights[scratch] = weights.get(scratch, 0.0) - float(weight)
                named.append((_label(study, series, "finetune_images"), weights))
    if not named:
        raise AnalysisError("no pre-training shares two numbers of labels with training from scratch: run scratch at two numbers of labels.")
    return _claimed(
        study,
        named,
        identity="gain-shrinks-with-labels",
        claim="The gain from pre-training shrinks as labels grow.",
        source=CLAIMED,
        direction=-study.better,
        what="change of the gain from pre-training per doubling of the labels",
        test="no change on average, two-sided t",
        sentence_of=lambda number, _: f"With each doubling of the labels the gain from pre-training changes by {number}",
        noun="pre-training",
        wording=turned(
            Wording(
                up="the gain from pre-training grows with each doubling of the labels,",
                down="the gain from pre-training shrinks with each doubling of the labels,",
                whether="the gain from pre-training changes with the labels",
                negligible="each doubling of the labels changes the gain from pre-training",
            ),
            study.better,
        ),
    )


def _claimed(
    study: ClaimTable,
    named: Sequence[tuple[str, Weights]],
    *,
    identity: str,
    claim: str,
    source: str,
    direction: int,
    what: str,
    test: str,
    sentence_of: Callable[[str, str], str],
    wording: Wording,
    noun: str = "cell",
) -> Finding:
    """Decides a claim by the sign of the mean of contrasts under every reading of the spread.

    `sentence_of` makes the sentence from the formatted mean and the tally.
    """
    by_reading: list[tuple[Spread, pd.DataFrame, Contrast]] = [(spread, *contrast_rows(study, named, spread=spread)) for spread in study.readings]
    rows, mean = by_reading[0][1], by_reading[0][2]
    count = f"1 {noun}" if len(rows) == 1 else f"{len(rows)} {noun}s"
    estimate = Estimate(what=f"{what}, mean over {count}", value=mean.value, low=mean.low, high=mean.high, level=study.level, unit=study.outcome_name)
    margin = study.margin_of(mean.scale)
    decided = [for_one_or_negligible(_as_estimate(one, estimate), one.p, one.df, direction, margin) for _, _, one in by_reading]
    verdict, reading, agreed = both_readings([(READINGS[spread], one) for (spread, *_), (one, _) in zip(by_reading, decided, strict=True)], study)
    number = format_estimate(estimate, mean.p, places=4, extra=[mean.n])
    if np.isfinite(mean.high) and (decided[0][0] == "negligible" or max(abs(mean.low), abs(mean.high)) < margin):
        number += f", within the {margin:.2g} that counts as negligible"
    return Finding(
        identity=identity,
        topic=TOPIC,
        claim=claim,
        source=source,
        verdict=verdict,
        sentence=cleaned(sentence_of(number, tally(rows, direction)) + agreed),
        estimate=estimate,
        p=decided[0][1],
        p_adjusted=np.nan,
        test="two one-sided tests against the margin" if decided[0][0] == "negligible" else test,
        generic=True,
        wording=wording,
        margin=margin,
        detail=cells_agreeing(rows["estimate"], mean.value, mean.n).replace("cell", noun),
        n=f"{count}, {mean.n}",
        reading=reading,
        rows=pd.concat([table.assign(reading=_reading(study, spread)) for spread, table, _ in by_reading], ignore_index=True),
    )


def _as_estimate(one: Contrast, like: Estimate) -> Estimate:
    return replace(like, value=one.value, low=one.low, high=one.high)


def scratch_of(study: ClaimTable, cell: int) -> int | None:
    """The cell from scratch, without an intermediate stage, that has the same other settings."""
    wanted: dict[str, Hashable] = {}
    for name in study.cells.columns:
        if name not in PRETRAIN and not name.startswith("intermediate"):
            wanted[name] = study.cells.loc[cell, name]
    return study.find(**wanted, pretrain_images=0, intermediate="none")


def _series(study: ClaimTable, factor: str) -> Iterator[list[tuple[float, int]]]:
    """Yields ascending sizes above zero with their cells, for each combination of the other
    settings.

    Only cells without an intermediate stage.
    """
    if factor not in study.cells.columns:
        raise AnalysisError(f"the table has no column '{factor}': add it.")
    plain = study.cells.loc[(study.cells["intermediate"] == "none") & (study.cells[factor] > 0)]
    others = [name for name in plain.columns if name != factor and not (name in FOLLOWS[factor] and _follows(plain, name, factor))]
    groups = plain.groupby(others, dropna=False, sort=True) if others else [((), plain)]
    for _, group in groups:
        yield sorted((float(size), cell) for cell, size in zip(group.index.tolist(), group[factor].tolist(), strict=True))


def _follows(cells: pd.DataFrame, name: str, factor: str) -> bool:
    """Whether each size has one value, as the steps of 12 epochs have; at two lengths it is a
    setting of its own.
    """
    rest = [one for one in cells.columns if one != name]
    return bool(cells.groupby(rest, dropna=False)[name].nunique(dropna=False).max() <= 1)


def _step(series: Sequence[tuple[float, int]], place: int) -> Weights:
    """Weights of the gain per doubling from one size to the next; `place` may count from the end."""
    (low, before), (high, after) = series[place], series[place + 1]
    doublings = float(np.log2(high / low))
    return {after: 1.0 / doublings, before: -1.0 / doublings}


def _difference(one: Weights, other: Weights) -> Weights:
    return {cell: one.get(cell, 0.0) - other.get(cell, 0.0) for cell in dict.fromkeys([*one, *other])}


def _worth(study: ClaimTable, weights: Weights) -> float:
    means = study.means
    return float(sum(weight * means[cell] for cell, weight in weights.items()))


def _label(study: ClaimTable, series: Sequence[tuple[float, int]], factor: str) -> str:
    return describe_cell(study.cells, series[0][1], without=(factor, *FOLLOWS[factor]))


def _reading(study: ClaimTable, spread: Spread) -> str:
    return READINGS[spread] if study.kind == "cells" else ""


QUESTIONS = (
    Question("Do the returns of pre-training images shrink?", lambda study: [shrinking(study, "pretrain_images")]),
    Question("Do more pre-training images still help?", lambda study: [last_doubling(study, "pretrain_images")]),
    Question("Do the returns of labels shrink?", lambda study: [shrinking(study, "finetune_images")]),
    Question("Does pre-training help less with more labels?", lambda study: [gain_by_labels(study)]),
)
