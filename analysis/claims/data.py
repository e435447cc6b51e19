"""Claims about more pre-training data: they help, also without overfitting; they help more with
longer training and bigger models; and where they stop paying.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Estimate, Finding, Question, Verdict, estimate_of
from analysis.claims.headline import Wording, changes, in_every_cell
from analysis.claims.overfitting import LENGTH, split_of
from analysis.claims.rules import ALPHA, ROW_COLUMNS, beyond_margin, for_every_cell, for_one, format_estimate, tally, unreachable_with
from analysis.claims.wording import cleaned
from analysis.data_size import MoreDataEffects, more_data_effects, saturation
from analysis.errors import AnalysisError
from analysis.formatting import format_setting, number_of, p_value
from analysis.overfitting import OverfittingSplit
from analysis.significance.multiplicity import adjust

TOPIC = "More pre-training data"
ARXIV = "Xie et al., arXiv:2206.04664: masked image modelling is a data-scalable learner"
CVPR = "Xie et al., CVPR 2023 abstract: it cannot benefit from more data without overfitting"


def data_findings(study: ClaimTable) -> list[Finding]:
    """Tests the claims about steps to more data.

    Raises AnalysisError where no two sizes share an encoder and a length.
    """
    if LENGTH not in study.table.columns:
        raise AnalysisError(f"the table has no column '{LENGTH}': record the length of every pre-training.")
    split: OverfittingSplit | None
    try:
        split = split_of(study)
    except AnalysisError:
        split = None
    asked: dict[str, Any] = {"outcome": study.outcome, "split": split, "margin": study.margin, "level": study.level}
    found = more_data_effects(study.table, **asked)
    answers = [_every_step(study, found)]
    longest = _last_step(study, found)
    if longest is not None:
        answers.append(longest)
    if len(found.regimes):
        answers += _by_regime(study, found, more_data_effects(study.table, regime="phase", **asked))
    return answers


def _unit(found: MoreDataEffects) -> str:
    """'encoder' where several encoders give an interval, else 'seed' where seeds do."""
    units = found.pooled[found.pooled["low"].notna()]["unit"]
    return "encoder" if (units == "encoder").any() else "seed" if (units == "seed").any() else "encoder"


def _next(found: MoreDataEffects, length: object) -> pd.DataFrame:
    rows = found.pooled[(found.pooled["length"] == length) & (found.pooled["unit"] == _unit(found))]
    steps = found.table.loc[found.table["is_next"], ["smaller", "larger"]].drop_duplicates()
    return rows.merge(steps, on=["smaller", "larger"]).sort_values("smaller")


def _every_step(study: ClaimTable, found: MoreDataEffects) -> Finding:
    table = _next(found, "all")
    p = table["p"].to_numpy(dtype=float)
    rows = pd.DataFrame(
        {
            "label": [f"{format_setting(row.larger)} rather than {format_setting(row.smaller)} images" for row in table.itertuples()],
            "estimate": table["difference"],
            "low": table["low"],
            "high": table["high"],
            "p": p,
            "p_holm": adjust(p, method="holm"),
            "p_bh": adjust(p, method="bh"),
            "n": [f"{row.n_cells} cells, {row.n_units} {row.unit}s" for row in table.itertuples()],
            "note": table["note"],
        }
    )[list(ROW_COLUMNS)].reset_index(drop=True)
    verdict, p_every = for_every_cell(rows, study.better)
    equal = adjust(table["p_equivalent"].to_numpy(dtype=float), method="holm")
    flat: list[Any] = [row for _, row in table.assign(p_equivalent=equal).iterrows() if row["p_equivalent"] < ALPHA]
    if flat and verdict == "open":
        verdict, p_every = "negligible", float(min(row.p_equivalent for row in flat))
    same = "; ".join(
        f"from {format_setting(row.smaller)} to {format_setting(row.larger)} it is within the {study.margin:g} that counts as negligible "
        f"({p_value(row.p_equivalent)})"
        for row in flat
    )
    steps = ", ".join(
        f"{row.difference:+z.4f} from {format_setting(row.smaller)} to {format_setting(row.larger)} images" for row in table.itertuples()
    )
    last = rows.iloc[-1]
    estimate = estimate_of(last, "estimate", what=f"mean difference, {last['label']}", level=found.level, unit=study.outcome_name)
    return Finding(
        identity="more-data-always-helps",
        topic=TOPIC,
        source=ARXIV,
        verdict=verdict,
        estimate=estimate,
        p=p_every,
        p_adjusted=np.nan,
        test="the step that decides: for the claim its own p, against it after Holm over steps; or that of its equivalence",
        unreachable=_unreachable(study, found, rows, table) if verdict == "open" else "",
        wording=in_every_cell(
            "more pre-training data",
            study.outcome_name,
            direction=study.better,
            counted=tally(rows, study.better).replace("cell", "step"),
            where="at {} step",
            plural=True,
        ),
        margin=study.margin,
        claim=f"Every step to more pre-training data {study.improves} {study.outcome_name}.",
        sentence=cleaned(
            f"More pre-training data change {study.outcome_name} by {steps}; {tally(rows, study.better).replace('cell', 'step')}"
            + (f"; {same}" if same else "")
            + _conditions(table)
        ),
        n=f"{int(table['n_cells'].sum())} differences, {int(table['n_units'].max())} {_unit(found)}s",
        reading=found.error,
        rows=rows,
    )


def _unreachable(study: ClaimTable, found: MoreDataEffects, rows: pd.DataFrame, table: pd.DataFrame) -> str:
    return unreachable_with(rows, table["n_units"].tolist(), study.better, found.level) if _unit(found) == "seed" else ""


def _conditions(table: pd.DataFrame) -> str:
    """What the rows' notes report about pre-trainings that seeds share."""
    shared = dict.fromkeys(part for note in table["note"] for part in str(note or "").split("; ") if "share" in part)
    return "".join(f"; {part}" for part in shared)


def _last_step(study: ClaimTable, found: MoreDataEffects) -> Finding | None:
    """Tests by equivalence that at the longest training the step to the largest data brings
    nothing.
    """
    lengths = [length for length in found.pooled["length"].unique() if length != "all"]
    table = _next(found, max(lengths)) if lengths else pd.DataFrame()
    if table.empty:
        return None
    row = table.iloc[-1]
    estimate = estimate_of(row, "difference", what="mean difference at the longest training", level=found.level, unit=study.outcome_name)
    equal = float(row["p_equivalent"])
    verdict: Verdict = "supported" if equal < ALPHA else "refuted" if beyond_margin(equal) < ALPHA else "open"
    within = f"within +-{study.margin:g}, {p_value(row['p_equivalent'])}" if np.isfinite(row["p_equivalent"]) else f"no test: {row['note']}"
    difference = format_estimate(estimate, row["p"], places=4, extra=[f"{row.n_cells} cells"])
    sentence = (
        f"At {format_setting(max(lengths))} steps, {format_setting(row['larger'])} rather than {format_setting(row['smaller'])} images "
        f"change {study.outcome_name} "
        f"by {difference}, by {row['largest_absolute']:.4f} at most in any cell; equivalence {within}{_conditions(table)}"
    )
    return Finding(
        identity="last-step-brings-nothing",
        topic=TOPIC,
        source=CVPR,
        verdict=verdict,
        sentence=cleaned(sentence),
        estimate=estimate,
        claim=f"At the longest training the last step to more data changes {study.outcome_name} by less than {study.margin:g}.",
        p=beyond_margin(equal) if verdict == "refuted" else equal,
        p_adjusted=np.nan,
        test="two one-sided tests against the margin",
        wording=_of_equivalence("at the longest training the last step to more data", study),
        margin=study.margin,
        n=f"{row['n_cells']} cells, {row['n_units']} {row['unit']}s",
        reading=str(row["note"] or ""),
    )


def _of_equivalence(subject: str, study: ClaimTable, *, plural: bool = False) -> Wording:
    """The wording of a claim that an effect is negligible: refuted where it is larger."""
    change = f"{subject} {'change' if plural else 'changes'} {study.outcome_name}"
    less, more = (f"{change} by {word} than {study.margin:.2g}" for word in ("less", "more"))
    return Wording(up=less, down=less, whether=less, negligible=less, against=more, number="at")


def saturation_findings(study: ClaimTable) -> list[Finding]:
    """Tests that data pay to larger sizes with longer training, and with bigger models.

    Raises AnalysisError as `saturation` does.
    """
    found = saturation(study.table, outcome=study.outcome, margin=study.margin, higher_is_better=study.better > 0, level=study.level)
    made: list[Finding] = []
    first, *sentences = found.sentences()
    trends: list[tuple[Any, str]] = [(row, text) for (_, row), text in zip(found.trends.iterrows(), sentences, strict=True)]
    for trend, what in (("length", "longer training"), ("params", "bigger models")):
        rows = [(row, text) for row, text in trends if row["trend"] == trend]
        # Encoders trained on different sizes move the point by that alone, so only the sizes that
        # all of them have are used where there are such.
        clean = [(row, text) for row, text in rows if "differ in the sizes" not in str(row["note"])] or rows
        if not clean:
            continue
        row, text = clean[0]
        what_moves, nothing = f"doublings of the saturating data size per doubling, {what}", float("nan")
        estimate = Estimate(what=what_moves, value=float(row["doublings"]), low=nothing, high=nothing, level=found.level)
        made.append(
            Finding(
                identity=f"saturation-moves-with-{trend}",
                topic=TOPIC,
                source="",
                wording=Wording(
                    up=f"with {what} data go on paying to larger sizes",
                    down=f"with {what} data stop paying at smaller sizes",
                    whether=f"with {what} data go on paying to larger sizes",
                    number="at",
                ),
                claim=f"With {what} data go on paying to larger sizes.",
                verdict=for_one(float(row["doublings"]), float(row["p"]), +1),
                sentence=cleaned(f"{first} {text}" if not made else text),
                estimate=estimate,
                p=float(row["p"]),
                p_adjusted=np.nan,
                test="no trend, exact permutation",
                n=f"{number_of(row['n_cells'], 'cell')}, {number_of(row['n_units'], 'unit')}",
                reading="; ".join(one for one in (found.error, str(row["note"] or "")) if one),
            )
        )
    return made


def _by_regime(study: ClaimTable, found: MoreDataEffects, by_phase: MoreDataEffects) -> list[Finding]:
    """Tests both statements of Xie et al.: no benefit without overfitting, some benefit with it.

    A series may be answers to overfit as a whole, or from the length on where its loss is least; a
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
            study,
            [dict(table.iterrows())["falling"] for table in tables],
            identity="no-benefit-without-overfitting",
            source=CVPR,
            where="does not overfit",
            claim=f"Where the smaller data size does not overfit, more data change {study.outcome_name} by less than {study.margin:g}.",
            rows=rows,
        ),
        _regime(
            study,
            [dict(table.iterrows())["overfitting"] for table in tables],
            identity="benefit-where-overfitting",
            source=ARXIV,
            where="overfits",
            claim=f"Where the smaller data size overfits, more data {study.improves.removesuffix('s')} {study.outcome_name}.",
            rows=pd.DataFrame(),
        ),
    ]


def _regime(study: ClaimTable, pair: list[Any], *, identity: str, source: str, where: str, claim: str, rows: pd.DataFrame) -> Finding:
    negligible = where == "does not overfit"
    verdicts: list[Verdict] = []
    parts, p = [], []
    for row, way in zip(pair, ("where series are split", "where runs are split at the least loss"), strict=True):
        estimate = estimate_of(
            row,
            "difference",
            what=f"mean difference of a step to more data where the smaller size {where}",
            level=study.level,
            unit=study.outcome_name,
        )
        equal = float(row["p_equivalent"])
        if negligible:
            verdicts.append("supported" if equal < ALPHA else "refuted" if beyond_margin(equal) < ALPHA else "open")
        else:
            verdicts.append(for_one(estimate.value, float(row["p"]), study.better))
        p.append(float(row["p"]) if not negligible else beyond_margin(equal) if verdicts[-1] == "refuted" else equal)
        tested = f"; within +-{study.margin:g}: {p_value(equal)}" if negligible and np.isfinite(equal) else ""
        cells = f"{row['n_cells']} cells"
        parts.append(f"{format_estimate(estimate, float(row['p']), places=4, extra=[cells])}{tested} {way}")
    agree = len(set(verdicts)) == 1
    first = pair[0]
    return Finding(
        identity=identity,
        topic=TOPIC,
        source=source,
        claim=claim,
        verdict=verdicts[0] if agree else "open",
        sentence=f"No smaller size {where} among the series that were compared."
        if not first["n_cells"]
        else cleaned(
            f"Where the smaller size {where}, the next larger one changes {study.outcome_name} by {parts[0]}, and by {parts[1]}"
            + ("" if agree else f": {verdicts[0]} by the first way to split and {verdicts[1]} by the second")
        ),
        estimate=estimate_of(
            first,
            "difference",
            what=f"mean difference of a step to more data where the smaller size {where}",
            level=study.level,
            unit=study.outcome_name,
        ),
        p=max(p) if all(np.isfinite(p)) else float("nan"),
        p_adjusted=np.nan,
        test="two one-sided tests against the margin" if negligible else "no difference, two-sided t over encoders",
        generic=not negligible,
        wording=_of_equivalence(f"where the smaller size {where}, more data", study, plural=True)
        if negligible
        else changes(f"where the smaller size {where}, more data", study.outcome_name, plural=True),
        margin=study.margin,
        n=f"{first['n_cells']} cells, {first['n_encoders']} encoders",
        reading="; ".join(str(row["note"]) for row in pair if row["note"]),
        rows=rows,
    )


QUESTIONS = (
    Question("Does more pre-training data help at equal length?", data_findings, without_intermediate=True),
    Question("Where do more data stop paying?", saturation_findings, without_intermediate=True),
)
