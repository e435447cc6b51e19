"""Claims about the validation loss of pre-training as a predictor of the score, at equal settings.

A loss that falls with longer training goes with whatever longer training raises, so each claim is
asked between pre-trainings that are equal in everything that the study varies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, Verdict, estimate_of
from analysis.claims.headline import Wording, turned
from analysis.claims.rules import ALPHA, ROW_COLUMNS, for_every_cell, for_one, format_estimate, tally
from analysis.claims.wording import cleaned
from analysis.correlation import compare_correlations, proxy_quality
from analysis.correlation.equal_settings import EqualSettings, at_equal_settings, without_seeds
from analysis.errors import AnalysisError
from analysis.formatting import format_setting
from analysis.significance.multiplicity import adjust
from analysis.student import t_p_value, t_quantile

TOPIC = "The validation loss as a proxy"
XIE = "Xie et al. 2022 (arXiv:2206.04664)"
LOSS = "val_mim_loss"
RULES: Final = {
    "largest data": ("pretrain_images",),
    "longest training": ("pretrain_length", "pretrain_steps"),
    "largest model": ("encoder", "encoder_params"),
}
"""Trivial rules: the columns that are their axis, the last being the one whose highest value wins."""


def proxy_findings(study: ClaimTable) -> list[Finding]:
    """Tests that the loss predicts the score at equal settings, in all runs and in every data size.

    Raises AnalysisError without a loss.
    """
    if LOSS not in study.table.columns:
        raise AnalysisError(f"the table has no column '{LOSS}': record the held-out loss of every pre-training.")
    runs = study.table
    if runs[LOSS].nunique() == 1:
        raise AnalysisError(f"'{LOSS}' is constant, so it predicts nothing.")
    found = at_equal_settings(runs, x=LOSS, y=study.outcome, level=study.level)
    answers = [_at_equal(study, found)]
    if runs.loc[runs[LOSS].notna(), "pretrain_images"].nunique() > 1:
        answers.append(_inside(study, found))
    return answers


def good(study: ClaimTable) -> str:
    """Which way a good score differs: 'higher' or 'lower'."""
    return "higher" if study.better > 0 else "lower"


def _at_equal(study: ClaimTable, found: EqualSettings) -> Finding:
    equal, total = found.equal, found.over_all
    decided = bool(np.isfinite(equal["r"]))
    what = f"Pearson correlation of validation loss and score {'at equal settings' if decided else 'over all runs'}, seeds' means removed"
    estimate = estimate_of(equal if decided else total, "r", what=what, level=found.level)
    p = float(equal["p"])
    return Finding(
        identity="loss-predicts-score",
        topic=TOPIC,
        source=XIE,
        claim=f"At equal settings a lower validation loss goes with a {good(study)} {study.outcome_name}.",
        verdict=for_one(float(equal["r"]), p, -study.better),
        sentence=cleaned(" ".join(equal_sentences(study, found))),
        estimate=estimate,
        p=p,
        p_adjusted=np.nan,
        test="no correlation at equal settings, jackknife over pre-trainings",
        family="primary",
        generic=True,
        wording=replace(of_correlation(study, "at equal settings"), counted="" if decided else str(equal["note"]).partition(",")[0]),
        n=counted(equal),
        reading=str(equal["note"]),
        rows=rows_of_correlations(found.table),
    )


def of_correlation(study: ClaimTable, where: str) -> Wording:
    """The wording of a correlation of loss and score."""
    up, down = (f"{where} a lower validation loss goes with a {side} {study.outcome_name}" for side in ("lower", "higher"))
    return Wording(up=up, down=down, whether=down if study.better > 0 else up, number="at", symbol="r")


def _of_race(rival: str, where: str) -> Wording:
    """The wording of a race between the validation loss and another predictor, ahead above zero."""
    ahead = f"{where} the validation loss predicts better than {rival}"
    return Wording(up=ahead, down=f"{where} the validation loss predicts worse than {rival}", whether=ahead, number="at")


def equal_sentences(study: ClaimTable, found: EqualSettings) -> list[str]:
    """What holds at equal settings, what holds over all runs, and between the levels of what."""
    equal, total, axes = found.equal, found.over_all, found.axes
    names = joined([axis.name for axis in axes])
    held = f"At equal {names}" if axes else "Over all runs, in which no setting varies,"
    if np.isfinite(equal["r"]):
        first = f"{held} validation loss and {study.outcome_name} correlate with r = {_with_interval(equal, found.level)}"
    else:
        first = f"{held} nothing can be compared: {equal['note']}"
    sentences = [f"{first}."]
    if not axes or not np.isfinite(total["r"]):
        return sentences
    between = found.table[found.table["kind"] == "between"].dropna(subset=["r"])
    over = f"Over all runs r = {total['r']:+z.2f}"
    if len(between):
        parts = [f"{row['r']:+z.2f} between levels of {row['axis']}" for _, row in between.iterrows()]
        over += f"; with all other settings equal it is {joined(parts)}"
    sentences.append(f"{over}.")
    named = found.lives_between
    if named:
        inside = found.table[(found.table["kind"] == "within") & (found.table["axis"] == named)].dropna(subset=["r"])
        levels = joined([f"{row['r']:+z.2f} ({_level(row['level'])})" for _, row in inside.iterrows()])
        alone = f"The correlation over all runs lives between the levels of {named} alone"
        sentences.append(f"{alone}{f': within one level it is {levels}' if levels else ''}.")
    turned = [
        f"{row['r']:+z.2f} at equal settings" if row["kind"] == "equal" else f"{row['r']:+z.2f} within {row['axis']} {_level(row['level'])}"
        for _, row in found.reversals.iterrows()
    ]
    if turned:
        sentences.append(f"The sign turns beyond doubt (Simpson's paradox): {joined(turned)}.")
    return sentences


def joined(parts: Sequence[str]) -> str:
    """'a', 'a and b', or 'a, b and c'."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _level(value: object) -> str:
    """A level in words: '100,000 images'."""
    return re.sub(r"\b\d{4,}\b", lambda found: f"{int(found[0]):,}", format_setting(value)) if isinstance(value, str) else format_setting(value)


def _with_interval(row: pd.Series, level: float) -> str:
    return format_estimate(estimate_of(row, "r", what="r", level=level), float(row["p"]), places=2)


def _inside(study: ClaimTable, found: EqualSettings) -> Finding:
    """Within each data size, every other setting equal."""
    runs = study.table
    total = found.equal
    made = []
    for size, part in runs[runs[LOSS].notna()].groupby("pretrain_images"):
        try:
            row = at_equal_settings(part, x=LOSS, y=study.outcome, level=study.level, only_equal=True).equal
        except AnalysisError as error:
            row = pd.Series(dict.fromkeys(total.index, np.nan) | {"n": len(part), "clusters": 0, "note": str(error)})
        made.append(row.to_dict() | {"kind": "within", "axis": "", "level": f"{format_setting(size)} pre-training images"})
    rows = rows_of_correlations(pd.DataFrame(made, columns=list(total.index)))
    side = -study.better
    verdict, p = for_every_cell(rows, side)
    estimate = estimate_of(total, "r", what="Pearson correlation of validation loss and score at equal settings", level=study.level)
    known = rows.dropna(subset=["estimate"])
    sentence = f"Within data sizes no two pre-trainings can be compared at equal settings: {total['note']}"
    if len(known):
        listed = joined([f"{row['estimate']:+z.2f} at {row['label']}" for _, row in known.iterrows()])
        sentence = (
            f"With all other settings equal the correlation of validation loss and {study.outcome_name} is {listed}; "
            f"{tally(rows, side).replace('cell', 'data size')}"
        )
    return Finding(
        identity="loss-predicts-within-sizes",
        requires="loss-predicts-score",
        topic=TOPIC,
        source="",
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=estimate,
        p=p,
        claim=f"At equal settings a lower validation loss goes with a {good(study)} {study.outcome_name} within every number of images.",
        p_adjusted=np.nan,
        test="the data size that decides, after Holm over data sizes",
        wording=replace(
            of_correlation(study, "within every number of images"),
            every=True,
            against=f"at some number of images a lower validation loss does not go with a {good(study)} {study.outcome_name}",
            counted=tally(rows, side).replace("cell", "data size"),
        ),
        n=counted(total),
        reading=str(total["note"]),
        rows=rows,
    )


def rows_of_correlations(table: pd.DataFrame) -> pd.DataFrame:
    """The correlations as rows of a finding."""
    p = table["p"].to_numpy(dtype=float)
    holm, bh = adjust(p, method="holm"), adjust(p, method="bh")
    made = []
    for place, (_, row) in enumerate(table.iterrows()):
        level = _level(row["level"])
        labels = {"equal": "at equal settings", "all": "all runs", "between": f"between levels of {row['axis']}", "within": f"{row['axis']} {level}"}
        label = labels[str(row["kind"])].strip()
        made.append((label, row["r"], row["low"], row["high"], row["p"], holm[place], bh[place], int(row["n"]), row["note"]))
    return pd.DataFrame(made, columns=list(ROW_COLUMNS))


def counted(row: pd.Series) -> str:
    """The runs and clusters behind a correlation."""
    return f"{row['n']} runs in {row['clusters']} independent clusters"


def rival_finding(study: ClaimTable) -> Finding:
    """Tests that validation loss correlates with the score more strongly than training loss does, at
    equal settings.

    Raises AnalysisError without both losses.
    """
    runs = study.table
    missing = [name for name in ("train_mim_loss", LOSS) if name not in runs.columns]
    if missing:
        raise AnalysisError(f"the table has no column '{missing[0]}': record both losses of every pre-training.")
    freed, _ = without_seeds(runs, ("train_mim_loss", LOSS, study.outcome), cells=True)
    freed.attrs = runs.attrs
    found = compare_correlations(freed, x=("train_mim_loss", LOSS), y=study.outcome, level=study.level)
    estimate = Estimate(
        what="correlation of training loss with the score minus that of validation loss",
        value=found.difference,
        low=found.low,
        high=found.high,
        level=found.level,
    )
    return Finding(
        identity="validation-beats-training-loss",
        requires="loss-predicts-score",
        topic=TOPIC,
        source=XIE,
        verdict=for_one(found.difference, found.p, study.better),
        claim=f"At equal settings the validation loss goes with {study.outcome_name} more closely than the training loss does.",
        sentence=cleaned(f"At equal settings {found.sentence}"),
        estimate=estimate,
        p=found.p,
        p_adjusted=np.nan,
        test="no difference between the two correlations",
        generic=True,
        wording=turned(_of_race("the training loss", "at equal settings"), study.better),
        n=f"{found.n} runs, {found.clusters} clusters",
        reading=found.note,
    )


def choice_findings(study: ClaimTable) -> list[Finding]:
    """Tests that choosing by the loss is better than chance at equal settings, and than each trivial
    rule where all settings but the rule's own are equal.

    What seeds have in common is removed from losses and scores first. Raises AnalysisError where
    there is nothing to choose.
    """
    runs = study.table
    if LOSS not in runs.columns:
        raise AnalysisError(f"the table has no column '{LOSS}': record the held-out loss of every pre-training.")
    freed, axes = without_seeds(runs, (LOSS, study.outcome))
    freed.attrs = runs.attrs
    columns = tuple(axis.column for axis in axes)
    found = proxy_quality(freed, score=study.outcome, within=columns, proxies={}, level=study.level, each_group=False)
    table = found.table[found.table["group"] == ("within groups" if columns else "all")].set_index("proxy")
    loss: Any = table.loc["loss"]
    estimate = estimate_of(loss, "accuracy", what="share of pairs of runs that the loss orders rightly", level=found.level)
    compared_runs = f"{loss['n']} runs, {loss['pairs']} pairs, {loss['clusters']} clusters"
    verdict: Verdict = "open" if not loss["p"] < ALPHA else "supported" if loss["accuracy"] > 0.5 else "refuted"
    answers = [
        Finding(
            identity="loss-beats-chance",
            requires="loss-predicts-score",
            topic=TOPIC,
            source="",
            claim="At equal settings the validation loss orders runs by their score better than chance does.",
            verdict=verdict,
            sentence=cleaned(found.sentences[0]),
            estimate=estimate,
            p=float(loss["p"]),
            p_adjusted=np.nan,
            test="no association, losses change places",
            wording=Wording(
                up="at equal settings the validation loss orders runs better than chance",
                down="",
                against="at equal settings the validation loss orders runs worse than chance",
                whether="at equal settings the validation loss orders runs better than chance",
                number="at",
                symbol="share",
            ),
            n=compared_runs,
            reading=str(loss["note"]),
        )
    ]
    for name, rule in RULES.items():
        axis = next((one for one in axes if one.column in rule), None)
        if axis is None or rule[-1] not in freed.columns:
            continue
        others = tuple(one for one in columns if one != axis.column)
        compared = proxy_quality(freed, score=study.outcome, within=others, proxies={name: rule[-1]}, level=study.level, each_group=False, test=False)
        by_rule: dict[Any, Any] = dict(
            compared.table[compared.table["group"] == ("within groups" if others else "all")].set_index("proxy").iterrows()
        )
        if name not in by_rule:
            continue
        loss, rival = by_rule["loss"], by_rule[name]
        low, high = float(rival["ahead_low"]), float(rival["ahead_high"])
        ahead = Estimate(what=f"accuracy of the loss minus that of '{name}'", value=float(rival["ahead"]), low=low, high=high, level=found.level)
        p_ahead = _p_of(float(rival["ahead"]), low, high, found.level, int(loss["clusters"]) - 2)
        decided = for_one(float(rival["ahead"]), p_ahead, +1)
        sentence = (
            f"With all settings equal but {axis.name}, the loss orders {100 * loss['accuracy']:.0f}% of pairs rightly and the rule '{name}' "
            f"{100 * rival['accuracy']:.0f}%, a difference of {format_estimate(ahead, p_ahead, places=2)}"
        )
        answers.append(
            Finding(
                identity=f"loss-beats-{str(name).replace(' ', '-')}",
                requires="loss-predicts-score",
                topic=TOPIC,
                source="",
                verdict=decided,
                sentence=cleaned(sentence),
                estimate=ahead,
                claim=f"With all settings equal but {axis.name}, the validation loss orders runs better than the rule '{name}' does.",
                p=p_ahead,
                test="no difference, t over clusters left out in turn",
                wording=_of_race(f"the rule '{name}'", f"at settings equal but {axis.name}"),
                p_adjusted=np.nan,
                n=f"{loss['n']} runs, {loss['pairs']} pairs, {loss['clusters']} clusters",
            )
        )
    return answers


def _p_of(value: float, low: float, high: float, level: float, df: int) -> float:
    """p of a zero difference, from a symmetric Student's t interval."""
    error = (high - low) / 2.0 / t_quantile(level, df) if df > 0 else float("nan")
    return t_p_value(value / error, df) if error > 0.0 else float("nan")


QUESTIONS = (
    Question("Does the validation loss predict the score?", proxy_findings, without_intermediate=True),
    Question("Does the validation loss predict it better than the training loss?", lambda study: [rival_finding(study)]),
    Question("How good a choice is the lowest validation loss?", choice_findings, without_intermediate=True),
)
