"""Paired comparisons of runs that differ in one factor, tested over independent groups of runs.

Two runs that share a pre-training or a seed count once: differences are averaged within each
independent group, and Student's t is taken over groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import format_setting
from analysis.runs.groups import SHARED, connected
from analysis.runs.matching import SETTINGS, check_value_exists, match_runs, why_none
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.multiplicity import adjust, holm
from analysis.significance.paired_effects import PairedEffects
from analysis.student import t_p_value, t_quantile

WHERE = "the runs table"
STATISTICS = ("n_pairs", "n_groups", "n_seeds", "baseline_mean", "treatment_mean", "difference", "low", "high", "p")
OF_PAIRS = ("baseline_value", "treatment_value", "group", "unit", "overall_group", "overall_unit", "baseline_row", "treatment_row")
RESULT_COLUMNS = frozenset(("factor", "baseline", "treatment", *STATISTICS, "p_holm", "p_bh", "note", *OF_PAIRS))
"""Columns that the result makes. A column of the runs with such a name is no part of it."""


@of_table
def paired_effects(
    runs: pd.DataFrame,
    *,
    factor: str,
    baseline: Any,
    treatment: Any,
    outcome: str | None = None,
    by: Sequence[str] = ("finetune_images",),
    level: float = 0.95,
    match: Sequence[str] | None = None,
) -> PairedEffects:
    """Compares `outcome` at `treatment` and `baseline` of `factor`, for each combination of values
    of `by`.

    Each treatment run is paired with the baseline run that equals it in all other settings (in the
    columns `match` if given). `by` is extended by any other setting that varies, so that no row
    mixes encoders or recipes. The effect is the mean over independent groups of the group's mean
    difference, in the unit of `outcome`; interval and p are those of Student's t on groups - 1.
    With one group only, because all runs share a pre-training, the seeds take the groups' place and
    the row's note says that it is conditional on that pre-training.

    Raises AnalysisError where no runs match, where two runs are equal in all settings, for a missing
    column or level, or for a column of `by` with the name of one that the result makes, such as 'p'.
    """
    return _effects(
        runs,
        factor=factor,
        baseline=baseline,
        treatments=(treatment,),
        outcome=outcome,
        by=by,
        level=level,
        match=match,
    )


@of_table
def pretraining_effects(runs: pd.DataFrame, *, outcome: str | None = None, level: float = 0.95) -> PairedEffects:
    """Effects of every amount of pre-training against none, at each number of labels.

    Only runs without an intermediate stage.

    All rows of the table are one Holm family. Raises AnalysisError as paired_effects does.
    """
    require_columns(runs, ("pretrain_images", "finetune_images"), where=WHERE)
    plain = runs[runs["intermediate"] == "none"] if "intermediate" in runs.columns else runs
    amounts = sorted(amount for amount in plain["pretrain_images"].dropna().unique().tolist() if amount != 0)
    if not amounts:
        raise AnalysisError("no run without an intermediate stage was pre-trained: there is no effect of pre-training to test.")
    return _effects(
        plain,
        factor="pretrain_images",
        baseline=0,
        treatments=amounts,
        outcome=outcome,
        by=("finetune_images",),
        level=level,
    )


@of_table
def intermediate_effects(runs: pd.DataFrame, *, outcome: str | None = None, level: float = 0.95) -> PairedEffects:
    """Effects of every intermediate objective against 'none', by pre-training images and labels.

    All rows of the table are one Holm family. Raises AnalysisError as paired_effects does.
    """
    require_columns(runs, ("intermediate", "finetune_images"), where=WHERE)
    objectives = sorted(one for one in runs["intermediate"].dropna().unique().tolist() if one != "none")
    if not objectives:
        raise AnalysisError("no run has an intermediate stage: there is no effect of one to test.")
    by = [name for name in ("pretrain_images", "finetune_images") if name in runs.columns]
    return _effects(runs, factor="intermediate", baseline="none", treatments=objectives, outcome=outcome, by=by, level=level)


def _effects(
    runs: pd.DataFrame,
    *,
    factor: str,
    baseline: Any,
    treatments: Sequence[Any],
    outcome: str | None,
    by: Sequence[str],
    level: float,
    match: Sequence[str] | None = None,
) -> PairedEffects:
    by = (by,) if isinstance(by, str) else tuple(by)
    outcome = outcome_of(runs, outcome)
    checked_level(level)
    require_columns(runs, [factor, outcome, *by, *(match or ())], where=WHERE)
    if factor == "seed" or factor in by or baseline in treatments:
        raise AnalysisError(
            f"factor '{factor}' from {format_setting(baseline)} to {', '.join(map(format_setting, treatments))} cannot be paired: the "
            f"factor must be a "
            f"setting other than the seed and the columns of by, and its two values must differ."
        )
    taken = next((name for name in by if name in RESULT_COLUMNS), None)
    if taken is not None:
        raise AnalysisError(f"by names the column '{taken}', and the result makes a column of that name: rename it in the table.")
    values = numeric_column(runs, outcome, where=WHERE)
    concerned = runs[factor].isin([baseline, *treatments])
    kept = runs[concerned & values.notna()].reset_index(drop=True)
    for one in (baseline, *treatments):
        check_value_exists(runs, kept, factor=factor, value=one, outcome=outcome)
    matches = [match_runs(kept, factor=factor, baseline=baseline, treatment=treatment, match=match) for treatment in treatments]
    pairs = pd.concat([_pairs(kept, factor, outcome, one.treatment, one.baseline) for one in matches], ignore_index=True)
    if pairs.empty:
        reason = why_none(kept, factor=factor, baseline=baseline, treatment=treatments[0], on=matches[0].matched_on)
        raise AnalysisError(
            f"no run with {factor} = {', '.join(map(format_setting, treatments))} has a partner with {format_setting(baseline)} that is equal in all "
            f"other settings: {reason}. Run the missing treatment, or name in match= the columns that must agree."
        )
    by = _extended(pairs, by, factor)
    links = _of_objects(pairs, [name for one in SHARED for name in (*one, *(f"baseline_{own}" for own in one))] + ["treatment_row", "baseline_row"])
    for kind, within in (("", ["treatment", *by]), ("overall_", ["treatment"])):
        cells = list(pairs.groupby(within, dropna=False, sort=False).indices.values())
        for place in cells:
            group = _groups(links.iloc[place])
            pairs.loc[place, f"{kind}group"] = group
            pairs.loc[place, f"{kind}unit"] = _units(links.iloc[place], group)
    labels = ["group", "unit", "overall_group", "overall_unit"]
    pairs = pairs.astype(dict.fromkeys(labels, "int64"))
    table = _tested(pairs, ("treatment", *by), "", factor, baseline, level)
    shown = ["treatment", *by, *(["seed"] if "seed" in pairs.columns and "seed" not in by else [])]
    shown += ["baseline_value", "treatment_value", "difference", "group", "unit", "overall_unit", "baseline_row"]
    shown += [name for one in (*SHARED[0], *SHARED[1], "run_id") for name in (f"baseline_{one}", f"treatment_{one}") if name in pairs.columns]
    return PairedEffects(
        factor=factor,
        baseline=baseline,
        treatments=tuple(treatments),
        outcome=outcome,
        outcome_title=title_of(outcome, runs),
        by=by,
        level=level,
        matched_on=matches[0].matched_on,
        table=table,
        overall=_tested(pairs, ("treatment",), "overall_", factor, baseline, level),
        pairs=pairs[shown],
        n_unmatched_treatment=sum(one.unmatched_treatment for one in matches),
        n_unmatched_baseline=len(matches[0].baseline_runs.difference(*(one.baseline for one in matches))),
        n_without_outcome=int((concerned & values.isna()).sum()),
    )


def _pairs(runs: pd.DataFrame, factor: str, outcome: str, treatment: Sequence[int], baseline: Sequence[int]) -> pd.DataFrame:
    """One row per pair: the treatment run's columns, then what the baseline run had."""
    new, old = runs.iloc[list(treatment)].reset_index(drop=True), runs.iloc[list(baseline)].reset_index(drop=True)
    names = {name for link in SHARED for name in link} | {"run_id"}
    extra: dict[str, Any] = {f"baseline_{name}": old[name] for name in runs.columns if name in names}
    extra |= {f"treatment_{name}": new[name] for name in runs.columns if name in names}
    values = [numeric_column(side, outcome, where=WHERE) for side in (old, new)]
    extra |= {"baseline_value": values[0], "treatment_value": values[1], "difference": values[1] - values[0]}
    extra |= {"treatment": new[factor], "baseline_row": list(baseline), "treatment_row": list(treatment)}
    return new.drop(columns=[name for name in new.columns if name in RESULT_COLUMNS]).assign(**extra)


def _extended(pairs: pd.DataFrame, by: tuple[str, ...], factor: str) -> tuple[str, ...]:
    """`by`, extended by any other setting that varies within one of its rows."""
    for name in SETTINGS:
        if name in pairs.columns and name not in (*by, factor, "seed"):
            cells = pairs.groupby(["treatment", *by], dropna=False, sort=False)[name]
            if int(cells.nunique(dropna=False).max()) > 1:
                by = (*by, name)
    return by


def _of_objects(pairs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The columns that exist, once each, as objects.

    Taking rows of text that Arrow holds is slow, and is done for every cell.
    """
    return pairs[[name for name in dict.fromkeys(names) if name in pairs.columns]].astype("object")


def _groups(pairs: pd.DataFrame) -> Any:
    """Independent group of each pair.

    Pairs that share a run, a pre-training, an intermediate stage or a seed are one group.
    """
    links = []
    for names in (*SHARED, ("treatment_row",), ("baseline_row",)):
        there = [name for one in names for name in (one, f"baseline_{one}") if name in pairs.columns]
        if there:
            links.append(np.concatenate([pairs[name].astype("object").to_numpy() for name in there]))
    return connected(len(pairs), links)


def _units(pairs: pd.DataFrame, group: Any) -> Any:
    """The unit that the test counts of each pair: its group, or its seed if all pairs are one
    group.
    """
    if group.max() > 0:
        return group
    return pd.factorize(pairs["seed"])[0] if "seed" in pairs.columns else np.arange(len(pairs))


def _tested(pairs: pd.DataFrame, by: Sequence[str], kind: str, factor: str, baseline: Any, level: float) -> pd.DataFrame:
    rows = []
    names = [name for one in ("pretrain_id", "trunk_id") for name in (one, f"baseline_{one}")]
    values = ["baseline_value", "treatment_value", "difference", f"{kind}group", f"{kind}unit", "seed"]
    kept = pd.concat([pairs[[name for name in values if name in pairs.columns]], _of_objects(pairs, names)], axis=1)
    for key, cell in kept.groupby([pairs[name] for name in by], dropna=False, sort=True):
        rows.append((factor, baseline, *key, *_row(cell, kind, level)))
    table = pd.DataFrame(rows, columns=["factor", "baseline", *by, *STATISTICS, "note"])
    place, p = list(table.columns).index("p") + 1, table["p"].to_numpy()
    table.insert(place, "p_holm", holm(p))
    table.insert(place + 1, "p_bh", adjust(p, "bh"))
    return table


def _row(cell: pd.DataFrame, kind: str, level: float) -> tuple[Any, ...]:
    """The statistics of one row of the table, in the order of STATISTICS, then the note."""
    n_groups = int(cell[f"{kind}group"].max()) + 1
    seeds = cell["seed"].to_numpy() if "seed" in cell.columns else np.arange(len(cell))
    n_seeds = len(pd.unique(seeds))
    unit, note = cell[f"{kind}unit"], _condition(cell) if n_groups == 1 and len(cell) > 1 else ""
    means = cell[["baseline_value", "treatment_value", "difference"]].groupby(unit).mean()
    n_units = len(means)
    low = high = p = float("nan")
    centre, sd = (
        float(means["difference"].mean()),
        float(means["difference"].std(ddof=1)) if n_units > 1 else float("nan"),
    )
    if len(cell) == 1:
        note = "a single pair, which has no spread"
    elif n_units == 1:
        note = "all pairs are of one seed, so there is no spread over seeds"
    elif sd <= 1e-12 * abs(centre) or sd == 0.0:
        note = f"all {n_units} differences are the same, so their spread says nothing"
    else:
        error = sd / np.sqrt(n_units)
        half = t_quantile(level, n_units - 1) * error
        low, high, p = centre - half, centre + half, t_p_value(centre / error, n_units - 1)
    baseline_mean, treatment_mean = float(means["baseline_value"].mean()), float(means["treatment_value"].mean())
    return len(cell), n_groups, n_seeds, baseline_mean, treatment_mean, centre, low, high, p, note


def _condition(cell: pd.DataFrame) -> str:
    """What a row without independent groups is conditional on."""
    names = [name for one in ("pretrain_id", "trunk_id") for name in (one, f"baseline_{one}") if name in cell.columns]
    shared = {value for name in names for value in cell[name].dropna()}
    seeds = f"{len(pd.unique(cell['seed']))} seeds, " if "seed" in cell.columns else ""
    if len(shared) == 1:
        return f"{seeds}conditional on this one pre-training"
    return f"{seeds}conditional on the {f'{len(shared)} pre-trainings' if shared else 'stages'} that they share"
