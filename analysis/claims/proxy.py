"""Claims about the validation loss of pre-training as a predictor of the score: over all runs,
within data sizes, and against rivals.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, Verdict, estimate_of
from analysis.claims.rules import ALPHA, ROW_COLUMNS, for_every_cell, for_one, format_estimate, tally
from analysis.claims.wording import NAMES, cleaned
from analysis.correlation import Correlation, compare_correlations, correlate, proxy_quality
from analysis.errors import AnalysisError
from analysis.formatting import format_setting
from analysis.overfitting.series import series_columns
from analysis.significance.multiplicity import adjust
from analysis.student import t_p_value, t_quantile

TOPIC = "The validation loss as a proxy"
XIE = "Xie et al. 2022 (arXiv:2206.04664)"
LOSS = "val_mim_loss"


def clusters_of(runs: pd.DataFrame) -> str | tuple[str, ...]:
    """The columns that define clusters of runs with related losses.

    That is the pre-training, or the series where each pre-training has one run and several lengths
    make a series.
    """
    if "pretrain_id" not in runs.columns:
        return "pretrain_id"
    series = series_columns(runs)
    alone = bool(runs["pretrain_id"].dropna().is_unique)
    if alone and series and len(runs[series].drop_duplicates()) < len(runs):
        return tuple(series)
    return "pretrain_id"


def proxy_findings(study: ClaimTable) -> list[Finding]:
    """Tests that the loss predicts the score over all runs, and within every data size.

    Raises AnalysisError without a loss.
    """
    if LOSS not in study.table.columns:
        raise AnalysisError(f"the table has no column '{LOSS}': record the held-out loss of every pre-training.")
    runs = study.table
    asked: dict[str, object] = {"x": LOSS, "y": study.outcome, "cluster": clusters_of(runs), "level": study.level, "methods": ("pearson",)}
    pooled = correlate(runs, within=_labels(runs), **asked)  # type: ignore[arg-type]
    answers = [_pooled(study, pooled)]
    if runs.loc[runs[LOSS].notna(), "pretrain_images"].nunique() > 1:
        inside = correlate(runs, within=("pretrain_images", *_labels(runs)), **asked)  # type: ignore[arg-type]
        answers.append(_inside(study, inside))
    return answers


def _good(study: ClaimTable) -> str:
    return "higher" if study.better > 0 else "lower"


def _labels(runs: pd.DataFrame) -> tuple[str, ...]:
    return ("finetune_images",) if "finetune_images" in runs.columns and runs["finetune_images"].nunique() > 1 else ()


def _pooled(study: ClaimTable, found: Correlation) -> Finding:
    row = found.within_groups.iloc[0] if len(found.within_groups) else found.table.iloc[0]
    what = "Pearson correlation of validation loss and score" + (", with the means of each number of labels removed" if found.within else "")
    estimate = estimate_of(row, "r", what=what, level=found.level)
    rows = _rows(pd.concat([found.within_groups, found.table], ignore_index=True), found.within)
    return Finding(
        identity="loss-predicts-score",
        topic=TOPIC,
        source=XIE,
        claim=f"A lower validation loss goes with a {_good(study)} {study.outcome_name}.",
        verdict=for_one(estimate.value, float(row["p"]), -study.better),
        sentence=cleaned(_pooled_sentence(study, found, estimate, row)),
        estimate=estimate,
        p=float(row["p"]),
        p_adjusted=np.nan,
        test="no association, losses change places",
        n=_counted(row),
        reading=str(row["note"] or row["p_note"] or ""),
        rows=rows,
    )


def _pooled_sentence(study: ClaimTable, found: Correlation, estimate: Estimate, row: Any) -> str:
    """The correlation that decides, with its p, then the sentence of `correlate` on all runs."""
    if not len(found.within_groups):
        return found.sentence
    first = f"With the means of each number of labels removed, validation loss and {study.outcome_name} correlate with r = "
    pooled, _, _ = found.sentence.partition(" With the levels' means removed")
    return f"{first}{format_estimate(estimate, float(row['p']), places=2)}. {pooled}"


def _inside(study: ClaimTable, found: Correlation) -> Finding:
    """Within each data size; where numbers of labels vary, within each combination of the two."""
    pearson = found.table[(found.table["method"] == "pearson") & (found.table["group"] != "all")]
    rows = _rows(pearson, found.within)
    side = -study.better
    verdict, p = for_every_cell(rows, side)
    row = found.within_groups.iloc[0]
    what = "Pearson correlation of validation loss and score within data sizes, their means removed"
    estimate = estimate_of(row, "r", what=what, level=found.level)
    ahead = int((side * rows["estimate"] > 0).sum())
    known = rows.dropna(subset=["estimate"])
    worst = known.sort_values("estimate").iloc[-1 if side < 0 else 0] if len(known) else None
    against = "" if worst is None else f"; it is {worst['estimate']:+.2f} within {worst['label']} (n = {worst['n']})"
    simpson = ""
    pooled = float(found.table["r"].iloc[0])
    if found.signs_differ and worst is not None and side * pooled > 0 > side * worst["estimate"]:
        doubt = "beyond doubt" if found.signs_differ_beyond_doubt else "though no group's interval excludes zero on that side"
        simpson = f": pooled over data sizes the sign is the other ({pooled:+.2f}), {doubt}"
    sentence = (
        f"Within data sizes the validation loss and {study.outcome_name} correlate with r = {format_estimate(estimate, float(row['p']), places=2)}; "
        f"it is {'below' if side < 0 else 'above'} zero in {ahead} of {len(rows)} groups; "
        f"{tally(rows, side).replace('cell', 'group')}{against}{simpson}"
    )
    return Finding(
        identity="loss-predicts-within-sizes",
        topic=TOPIC,
        source="",
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=estimate,
        p=p,
        claim=f"Within every number of pre-training images a lower validation loss goes with a {_good(study)} {study.outcome_name}.",
        p_adjusted=np.nan,
        test="the group that decides, after Holm over groups",
        n=_counted(row),
        reading=str(row["note"] or row["p_note"] or ""),
        rows=rows,
    )


def _rows(table: pd.DataFrame, within: Sequence[str]) -> pd.DataFrame:
    table = table[table["method"] == "pearson"] if "method" in table.columns else table
    p = table["p"].to_numpy(dtype=float)
    holm, bh = adjust(p, method="holm"), adjust(p, method="bh")
    made = []
    for place, (_, row) in enumerate(table.iterrows()):
        key: dict[str, Hashable] = {name: row[name] for name in within if pd.notna(row[name])}
        label = ", ".join(NAMES.get(name, name + " {}").format(format_setting(value)) for name, value in key.items()) or str(row["group"])
        label = "all runs" if label == "all" else "within numbers of labels" if label == "within groups" else label
        made.append((label, row["r"], row["low"], row["high"], row["p"], holm[place], bh[place], int(row["n"]), row["note"] or row["p_note"]))
    return pd.DataFrame(made, columns=list(ROW_COLUMNS))


def _counted(row: pd.Series) -> str:
    return f"{row['n']} runs in {row['clusters']} independent clusters"


def rival_finding(study: ClaimTable) -> Finding:
    """Tests that validation loss correlates with the score more closely than training loss does.

    Raises AnalysisError without both losses.
    """
    runs = study.table
    missing = [name for name in ("train_mim_loss", LOSS) if name not in runs.columns]
    if missing:
        raise AnalysisError(f"the table has no column '{missing[0]}': record both losses of every pre-training.")
    found = compare_correlations(runs, x=("train_mim_loss", LOSS), y=study.outcome, cluster=clusters_of(runs), level=study.level)
    estimate = Estimate(
        what="correlation of training loss with the score minus that of validation loss",
        value=found.difference,
        low=found.low,
        high=found.high,
        level=found.level,
    )
    return Finding(
        identity="validation-beats-training-loss",
        topic=TOPIC,
        source=XIE,
        verdict=for_one(found.difference, found.p, study.better),
        claim=f"The validation loss goes with {study.outcome_name} more closely than the training loss does.",
        sentence=cleaned(found.sentence),
        estimate=estimate,
        p=found.p,
        p_adjusted=np.nan,
        test="no difference between the two correlations",
        n=f"{found.n} runs, {found.clusters} clusters",
        reading=found.note,
    )


def choice_findings(study: ClaimTable) -> list[Finding]:
    """Tests that choosing by the loss is better than chance and than each trivial rule.

    Raises AnalysisError where there is nothing to choose.
    """
    runs = study.table
    if LOSS not in runs.columns:
        raise AnalysisError(f"the table has no column '{LOSS}': record the held-out loss of every pre-training.")
    found = proxy_quality(runs, score=study.outcome, within=_labels(runs), cluster=clusters_of(runs), level=study.level)
    group = "within groups" if "within groups" in set(found.table["group"]) else "all"
    table = found.table[found.table["group"] == group].set_index("proxy")
    loss: Any = table.loc["loss"]
    estimate = estimate_of(loss, "accuracy", what="share of pairs of runs that the loss orders rightly", level=found.level)
    counted = f"{loss['n']} runs, {loss['pairs']} pairs, {loss['clusters']} clusters"
    verdict: Verdict = "open" if not loss["p"] < ALPHA else "supported" if loss["accuracy"] > 0.5 else "refuted"
    answers = [
        Finding(
            identity="loss-beats-chance",
            topic=TOPIC,
            source="",
            claim="The validation loss orders runs by their score better than chance does.",
            verdict=verdict,
            sentence=cleaned(found.sentences[0]),
            estimate=estimate,
            p=float(loss["p"]),
            p_adjusted=np.nan,
            test="no association, losses change places",
            n=counted,
            reading=str(loss["note"]),
        )
    ]
    rivals = table.drop(index=["loss", "random"], errors="ignore")
    for name, rival in rivals.iterrows():
        low, high = float(rival["ahead_low"]), float(rival["ahead_high"])
        ahead = Estimate(what=f"accuracy of the loss minus that of '{name}'", value=float(rival["ahead"]), low=low, high=high, level=found.level)
        p_ahead = _p_of(float(rival["ahead"]), low, high, found.level, int(loss["clusters"]) - 2)
        decided = for_one(float(rival["ahead"]), p_ahead, +1)
        sentence = (
            f"The loss orders {100 * loss['accuracy']:.0f}% of pairs rightly and the rule '{name}' {100 * rival['accuracy']:.0f}%, "
            f"a difference of {format_estimate(ahead, p_ahead, places=2)}"
        )
        answers.append(
            Finding(
                identity=f"loss-beats-{str(name).replace(' ', '-')}",
                topic=TOPIC,
                source="",
                verdict=decided,
                sentence=cleaned(sentence),
                estimate=ahead,
                claim=f"The validation loss orders runs by their score better than the rule '{name}' does.",
                p=p_ahead,
                test="no difference, t over clusters left out in turn",
                p_adjusted=np.nan,
                n=counted,
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
