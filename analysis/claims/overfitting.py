"""Claims about the validation loss as a proxy where pre-training overfits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, estimate_of
from analysis.claims.headline import Wording, turned
from analysis.claims.proxy import LOSS, TOPIC, XIE, counted, equal_sentences, good, of_correlation, rows_of_correlations
from analysis.claims.rules import for_one, format_estimate
from analysis.claims.wording import cleaned
from analysis.correlation.equal_settings import EqualSettings, EqualSlope, at_equal_settings, slope_at_equal_settings
from analysis.errors import AnalysisError
from analysis.overfitting import OverfittingSplit, phase_relations, split_by_overfitting
from analysis.overfitting.split import FALLING, OVERFITTING
from analysis.student import t_p_value, t_quantile

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
    """Tests that the loss predicts the score at equal settings in series that fall and in series that
    overfit, and with equal slopes.

    Raises AnalysisError as `split_of` does.
    """
    split = split_of(study)
    rule = "falls at every step to a longer training" if split.rule == "falling" else "shows no rise beyond the noise between seeds"
    reading = f"rule: a series is falling if its loss {rule}"
    label = split.runs["label"].to_numpy(dtype=object)
    made, slopes = [], {}
    for name in (FALLING, OVERFITTING):
        part = study.table.loc[label == name]
        part.attrs = study.table.attrs
        try:
            found: EqualSettings | AnalysisError = at_equal_settings(part, x=LOSS, y=study.outcome, level=study.level)
            slopes[name] = slope_at_equal_settings(part, x=LOSS, y=study.outcome)
        except AnalysisError as error:
            found = error
        made.append(_inside(study, name, found, some=len(part) > 0, before=split.sentence if name == FALLING else "", reading=reading))
    return [*made, _gap(study, split, slopes, reading)]


def _inside(study: ClaimTable, name: str, found: EqualSettings | AnalysisError, *, some: bool, before: str, reading: str) -> Finding:
    """Whether the loss predicts the score at equal settings in one kind of series."""
    where = "whose loss keeps falling" if name == FALLING else "that overfit"
    said = f"at equal settings, in series {where},"
    made: dict[str, Any] = {
        "identity": f"loss-predicts-when-{name}",
        "topic": TOPIC,
        "source": XIE,
        "claim": f"At equal settings, in series {where}, a lower validation loss goes with a {good(study)} {study.outcome_name}.",
        "test": "no correlation at equal settings, jackknife over pre-trainings",
        "p_adjusted": np.nan,
    }
    if isinstance(found, AnalysisError):
        none = f"No run is of a series {where}"
        why = f"In series {where} validation loss and {study.outcome_name} cannot be related: {found}" if some else none
        sentence = cleaned(f"{before} {why}")
        nothing = Estimate(what=f"correlation in {name} series", value=np.nan, low=np.nan, high=np.nan, level=study.level)
        return Finding(
            **made, verdict="open", sentence=sentence, estimate=nothing, p=np.nan, n="", reading=reading, wording=of_correlation(study, said)
        )
    equal = found.equal
    shown = equal if np.isfinite(equal["r"]) else found.over_all
    what = f"correlation in {name} series {'at equal settings' if shown is equal else 'over all their runs'}"
    first, *rest = equal_sentences(study, found)
    told = [f"In series {where}, {first[:1].lower()}{first[1:]}", *(one.replace("Over all runs", "Over all runs of these series") for one in rest)]
    return Finding(
        **made,
        verdict=for_one(float(equal["r"]), float(equal["p"]), -study.better),
        sentence=cleaned(" ".join([before, *told])),
        estimate=estimate_of(shown, "r", what=what, level=found.level),
        p=float(equal["p"]),
        n=counted(equal),
        reading="; ".join(filter(None, (reading, str(equal["note"])))),
        wording=replace(of_correlation(study, said), counted="" if shown is equal else str(equal["note"]).partition(",")[0]),
        rows=rows_of_correlations(found.table),
    )


def _gap(study: ClaimTable, split: OverfittingSplit, slopes: dict[str, EqualSlope], reading: str) -> Finding:
    """Whether the slope at equal settings differs between the two kinds of series.

    Their errors are independent, since a series is of one kind; degrees of freedom by Satterthwaite.
    """
    value = low = high = p = np.nan
    reason = next((f"in {name} series {one.note}" for name, one in slopes.items() if one.note), "")
    if len(slopes) < 2:
        missing = OVERFITTING if FALLING in slopes else FALLING
        reason = f"too few runs are of series {'that overfit' if missing == OVERFITTING else 'whose loss keeps falling'}"
    else:
        fall, over = slopes[FALLING], slopes[OVERFITTING]
        value = over.slope - fall.slope
        parts = np.array([over.error, fall.error]) ** 2
        if np.isfinite(parts).all():
            degrees = float(parts.sum() ** 2 / (parts**2 / [over.degrees, fall.degrees]).sum())
            error = float(np.sqrt(parts.sum()))
            half = t_quantile(study.level, degrees) * error
            low, high, p = value - half, value + half, t_p_value(value / error, degrees)
    estimate = Estimate(
        what="slope at equal settings in overfitting series minus that in falling ones",
        value=value,
        low=low,
        high=high,
        level=study.level,
        unit=f"{study.outcome_name} per unit of loss",
    )
    if np.isfinite(p):
        listed = f"{slopes[OVERFITTING].slope:+z.2f} where series overfit and {slopes[FALLING].slope:+z.2f} where their loss falls"
        difference = format_estimate(replace(estimate, unit=""), p, places=2)
        sentence = f"At equal settings {study.outcome_name} changes per unit of validation loss by {listed}, a difference of {difference}"
    else:
        sentence = f"Whether the slopes in falling and in overfitting series differ at equal settings cannot be determined: {reason}."
        between = _between_settings(study, split)
        if between is not None:
            listed = f"{between[OVERFITTING]:+z.2f} where series overfit and {between[FALLING]:+z.2f} where their loss falls"
            sentence += f" Over all runs, which compares settings and so decides nothing, {study.outcome_name} changes per unit of loss by {listed}"
            estimate = replace(estimate, what="slope in overfitting series minus that in falling ones, over all runs", value=between["difference"])
    falls = "falls" if study.better > 0 else "rises"
    return Finding(
        identity="overfitting-changes-slope",
        topic=TOPIC,
        source=XIE,
        claim=f"At equal settings {study.outcome_name} {falls} less steeply with the validation loss where series overfit.",
        verdict=for_one(value, p, study.better),
        sentence=cleaned(sentence),
        estimate=estimate,
        p=p,
        p_adjusted=np.nan,
        test="no difference of slopes at equal settings, jackknife over pre-trainings",
        n=" and ".join(f"{one.n} runs of {name} series in {one.clusters} clusters" for name, one in slopes.items()),
        reading=reading,
        wording=replace(turned(_of_slopes(study), study.better), counted="" if np.isfinite(p) else reason.partition(",")[0]),
    )


def _between_settings(study: ClaimTable, split: OverfittingSplit) -> dict[str, float] | None:
    """Slopes over all runs of falling and of overfitting series, and their difference; None where
    one has none.
    """
    try:
        found = phase_relations(study.table, split, y=study.outcome, x=LOSS, level=study.level)
    except AnalysisError:
        return None
    slopes = {str(name): float(slope) for name, slope in found.table.set_index("phase")["slope"].items()}
    return slopes if np.isfinite(slopes["difference"]) else None


def _of_slopes(study: ClaimTable) -> Wording:
    less, more = (f"at equal settings, where series overfit, {study.outcome_name} depends {word} on the validation loss" for word in ("less", "more"))
    return Wording(up=less, down=more, whether=less, number="at", symbol="difference of slopes")


QUESTIONS = (Question("What does overfitting do to the validation loss as a proxy?", overfitting_findings, asks="papers", without_intermediate=True),)
