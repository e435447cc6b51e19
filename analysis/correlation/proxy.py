"""The cost of choosing a run by its loss, against the best run and against trivial rules."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.correlation.clusters import cluster_labels
from analysis.correlation.covariates import WHERE
from analysis.correlation.estimates import Array, Labels, ranks
from analysis.correlation.pairs_of_runs import PairChoices, chosen_score, pair_choices
from analysis.correlation.row import FEWEST_CLUSTERS, Sample, chance_of
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level, checked_samples
from analysis.formatting import decimals_for, format_setting, p_value, percent
from analysis.runs.columns import column_of
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import numeric_column, of_table, require_columns
from analysis.significance.cluster_resampling import left_out, t_interval

TRIVIAL = {"largest data": "pretrain_images", "longest training": "pretrain_steps", "largest model": "encoder_params"}
SHARES = ("n", "pretrainings", "clusters", "pairs", "accuracy", "low", "high", "p", "ahead", "ahead_low", "ahead_high")
COLUMNS = (*SHARES, "best", "chosen", "regret", "pair_regret", "pair_low", "pair_high", "note")
NOTHING = float("nan")
MAXIMUM = "the top-1 regret has no interval, as a best of few has none that holds; the mean regret of a choice between two runs has one"


@dataclass(frozen=True, kw_only=True)
class ProxyQuality:
    """How well a choice by loss does. Make one with `analysis.proxy_quality`."""

    loss: str
    """The loss: the run with its lowest value is chosen."""
    score: str
    """The column that is to be high, or low where its documentation says that lower is better."""
    within: tuple[str, ...]
    """Only runs with equal values of these columns were compared."""
    level: float
    """Nominal coverage of the intervals."""
    proxies: dict[str, str]
    """Trivial rules, by name, and the column whose highest value they choose (two, where they
    choose alike); 'random' needs none.
    """
    table: pd.DataFrame
    """One row per proxy ('loss', the trivial ones, 'random') and group: 'within groups' (only runs
    of one group are compared; top-1 numbers are means over groups), 'all' (any two runs), then each
    group. Columns: proxy, group, the columns of `within`, n (runs), pretrainings, clusters, pairs
    (of runs from two pre-trainings), accuracy (share ordered rightly, ties half), low, high, p (of
    no association with the score, losses change places; for the loss alone), ahead, ahead_low,
    ahead_high (accuracy of the loss less that of this proxy), best and chosen (scores of the best
    and of the chosen run), regret (how much worse the chosen one is: top-1 regret), pair_regret,
    pair_low, pair_high (mean loss of score of a choice between two), note. Scores and regrets are
    in the unit of the score.
    """
    sentences: tuple[str, ...]
    """What a paper would print: accuracy, regret, and the comparison with trivial rules."""


@of_table
def proxy_quality(
    runs: pd.DataFrame,
    *,
    loss: str = "val_mim_loss",
    score: str | None = None,
    within: str | Sequence[str] = ("finetune_images",),
    proxies: Mapping[str, str] | None = None,
    cluster: str | Sequence[str] = "pretrain_id",
    level: float = 0.95,
    seed: int = 0,
    each_group: bool = True,
    test: bool = True,
) -> ProxyQuality:
    """Top-1 regret and pairwise accuracy of choosing the run with the lowest loss, pooled and by
    group.

    Beside it stand choosing at random, by the largest data size, the longest training and the
    largest model, where the table has `pretrain_images`, `pretrain_steps` and `encoder_params` and
    they vary; `proxies` names others (name -> column, higher is chosen). Without `each_group` the
    table has neither rows of single groups nor, where `within` is given, those of all runs; without
    `test` it has no p. Intervals leave out whole
    clusters in turn, with t on clusters - 2 degrees of freedom; fewer than five give none. The
    top-1 regret is that of these runs: the jackknife and the bootstrap fail for a maximum (Bickel
    and Freedman 1981, Annals of Statistics 9), so the mean regret of choosing between two runs
    carries the interval. Raises AnalysisError for a missing column, text where numbers belong, or
    fewer than two pre-trainings that have both numbers.
    """
    within = (within,) if isinstance(within, str) else tuple(within)
    checked_level(level)
    score = outcome_of(runs, score)
    checked_samples(0, seed)
    require_columns(runs, [loss, score, *within, *(proxies or {}).values()], where=WHERE)
    first, second = (numeric_column(runs, name, where=WHERE) for name in (loss, score))
    there = (np.isfinite(first) & np.isfinite(second)).to_numpy()
    kept = runs[there].reset_index(drop=True)
    labels, ids = cluster_labels(kept, cluster)
    own = pd.factorize(_own_ids(kept))[0].astype(np.int64)
    if len(np.unique(own)) < 2:
        raise AnalysisError(f"{len(np.unique(own))} pre-trainings have both '{loss}' and '{score}': there is nothing to choose between.")
    named = dict(proxies) if proxies is not None else {name: column for name, column in TRIVIAL.items() if column in runs.columns}
    goodness = {"loss": -first[there].to_numpy()}
    group = kept.groupby(list(within), dropna=False, sort=True).ngroup().to_numpy() if within else np.zeros(len(kept), dtype=np.int64)
    used: dict[str, str] = {}
    for name, column in named.items():
        values = numeric_column(kept, column, where=WHERE).to_numpy()
        if not np.isfinite(values).all() or all(np.ptp(values[group == one]) == 0 for one in np.unique(group)):
            continue  # it would choose at random
        same = next((other for other in used if np.array_equal(ranks(values), ranks(goodness[other]))), None)
        if same is not None:  # as where the steps follow from the images: one rule under two names
            goodness[f"{same} and {name}"], used[f"{same} and {name}"] = goodness.pop(same), f"{used.pop(same)} and {column}"
        else:
            goodness[name], used[name] = values, column
    goodness["random"] = np.zeros(len(kept))
    sign = -1.0 if column_of(runs, score).better == "lower" else 1.0
    data = _Data(
        score=sign * second[there].to_numpy(),
        sign=sign,
        goodness=goodness,
        cluster=labels,
        pretraining=own,
        group=group,
        ids=ids,
        seed=pd.factorize(kept["seed"])[0].astype(np.int64) if "seed" in kept.columns else None,
        levels=kept[list(within)],
    )
    everything = np.arange(len(kept))
    rows = _rows(data, everything, data.group, "within groups", level, seed, test=test) if within else []
    if each_group or not within:
        rows += _rows(data, everything, np.zeros(len(kept), dtype=np.int64), "all", level, seed, test=test)
    for one in np.unique(group) if within and each_group else ():
        inside = np.flatnonzero(group == one)
        levels = {name: kept[name].iloc[inside[0]] for name in within}
        name = ", ".join(f"{column} = {format_setting(value)}" for column, value in levels.items())
        rows += [levels | row for row in _rows(data, inside, data.group[inside], name, level, seed, test=test)]
    table = pd.DataFrame(rows, columns=["proxy", "group", *within, *COLUMNS])
    better = "higher" if sign > 0 else "lower"
    sentences = _sentences(table, loss=loss, outcome=title_of(score, runs), better=better, within=within, proxies=used, level=level)
    return ProxyQuality(loss=loss, score=score, within=within, level=level, proxies=used, table=table, sentences=sentences)


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Arrays of shape (n,)."""

    score: Array
    """Higher is better: turned round where lower scores are better."""
    sign: float
    """-1 where it was turned round, else 1."""
    goodness: dict[str, Array]
    cluster: Labels
    pretraining: Labels
    group: Labels
    ids: np.ndarray
    seed: Labels | None
    levels: pd.DataFrame


def _own_ids(kept: pd.DataFrame) -> np.ndarray:
    """Id of each run's pre-training, whatever the clusters are."""
    if "pretrain_id" not in kept.columns:
        return np.arange(len(kept)).astype(object)
    return np.array([f"row {place}" if pd.isna(one) else one for place, one in enumerate(kept["pretrain_id"].tolist())], dtype=object)


def _rows(data: _Data, inside: Labels, group: Labels, name: str, level: float, seed: int, *, test: bool) -> list[dict[str, Hashable]]:
    """A row for each proxy over the runs `inside`; only runs of one `group` are compared."""
    cluster = pd.factorize(data.cluster[inside])[0].astype(np.int64)
    out, own, score = left_out(cluster), data.pretraining[inside], data.score[inside]
    clusters = int(cluster.max()) + 1
    counted: dict[str, Hashable] = {"group": name, "n": len(inside), "pretrainings": len(np.unique(own)), "clusters": clusters}
    best = float(np.mean([score[group == one].max() for one in np.unique(group)]))
    choices = {proxy: pair_choices(value[inside], score, cluster=out, pretraining=own, group=group) for proxy, value in data.goodness.items()}
    rows = []
    for proxy, value in data.goodness.items():
        choice = choices[proxy]
        chosen = float(np.mean([chosen_score(value[inside][group == one], score[group == one]) for one in np.unique(group)]))
        row = counted | {"proxy": proxy, "pairs": choice.pairs, "accuracy": float(choice.accuracy[0])}
        row |= {"best": data.sign * best, "chosen": data.sign * chosen, "regret": best - chosen, "pair_regret": float(choice.regret[0]), "p": NOTHING}
        row |= _intervals(choice, choices["loss"], proxy, clusters, level)
        if test and proxy == "loss" and choice.pairs:
            several = len(np.unique(group)) > 1
            sample = Sample(
                x=-value[inside],
                y=score,
                cluster=cluster,
                ids=data.ids[inside],
                seed=None if data.seed is None else data.seed[inside],
                covariates=None,
                strata=group if several else None,
                levels=data.levels.iloc[inside].reset_index(drop=True) if several else None,
            )
            row["p"] = chance_of(sample, "kendall", None, choice.accuracy - 0.5, seed)[0]
        rows.append(row)
    return rows


def _intervals(choice: PairChoices, of_loss: PairChoices, proxy: str, clusters: int, level: float) -> dict[str, Hashable]:
    nothing: dict[str, Hashable] = dict.fromkeys(("low", "high", "ahead_low", "ahead_high", "pair_low", "pair_high"), NOTHING)
    nothing["ahead"] = NOTHING if proxy == "loss" else float(of_loss.accuracy[0] - choice.accuracy[0])
    if not choice.pairs:
        return nothing | {"note": "no two runs of different pre-trainings to choose between"}
    if clusters < FEWEST_CLUSTERS:
        return nothing | {"note": f"{clusters} independent clusters: an interval needs at least {FEWEST_CLUSTERS}"}
    low, high, _ = t_interval(choice.accuracy, level=level)
    pair_low, pair_high, _ = t_interval(choice.regret, level=level)
    found: dict[str, Hashable] = {"pair_low": max(pair_low, 0.0), "pair_high": pair_high}
    if proxy != "random":
        found |= {"low": max(low, 0.0), "high": min(high, 1.0)}
    if proxy != "loss":
        ahead_low, ahead_high, _ = t_interval(of_loss.accuracy - choice.accuracy, level=level)
        found |= {"ahead_low": ahead_low, "ahead_high": ahead_high}
    note = MAXIMUM if np.isfinite(low) or proxy == "random" else "the accuracy is the same whichever cluster is left out"
    return nothing | found | {"note": note}


def _sentences(
    table: pd.DataFrame, *, loss: str, outcome: str, better: str, within: tuple[str, ...], proxies: Mapping[str, str], level: float
) -> tuple[str, ...]:
    """Sentences on accuracy, top-1 regret and each trivial rule, from the first group of the table."""
    rows = table[table["group"] == table["group"].iloc[0]].set_index("proxy")
    first = rows.loc["loss"]
    inside = f" at equal {', '.join(within)}" if within else ""
    if not first["pairs"]:
        return (f"No two runs of different pre-trainings can be compared{inside}: choosing by {loss} cannot be judged.",)
    ends = f"{percent(level)} interval {first['low']:.0%} to {first['high']:.0%}" if np.isfinite(first["low"]) else f"no interval: {first['note']}"
    tested = f", {p_value(first['p'])}" if np.isfinite(first["p"]) else ""
    counted = f"{first['pretrainings']} pre-trainings"
    if first["clusters"] != first["pretrainings"]:
        counted += f" in {first['clusters']} clusters"
    sentences = [
        f"Of two runs of different pre-trainings{inside} the one with the lower {loss} has the {better} {outcome} in {first['accuracy']:.0%} of "
        f"{first['pairs']:,} pairs ({ends}{tested}; {counted}), where chance has 50%."
    ]
    spread = float(rows["regret"].max())
    shown = f".{max(decimals_for(spread), 1)}f" if 1e-5 < spread < 1e6 else ".4g"
    mean = "Averaged over levels, the" if within and table["group"].nunique() > 3 else "The"
    others = [f"{rows.loc[name, 'regret']:{shown}} by {_rule(name)}" for name in (*proxies, "random")]
    sentences.append(
        f"{mean} run with the lowest {loss} has {outcome} {first['chosen']:{shown}} where the best has {first['best']:{shown}}: a top-1 regret "
        f"of {first['regret']:{shown}}, against {', '.join(others)}."
    )
    for name in proxies:
        row = rows.loc[name]
        ahead = f"{100.0 * row['ahead']:+z.0f} points"
        how = f"{percent(level)} interval {100.0 * row['ahead_low']:+z.0f} to {100.0 * row['ahead_high']:+z.0f}"
        if not np.isfinite(row["ahead_low"]):
            how, verdict = f"no interval: {row['note']}", ""
        else:
            sure = row["ahead_low"] * row["ahead_high"] > 0
            verdict = f": {'the loss' if row['ahead'] > 0 else 'the trivial rule'} chooses better" if sure else ": the two cannot be distinguished"
        sentences.append(f"Choosing by {_rule(name)} orders {row['accuracy']:.0%} of the pairs rightly; the loss is {ahead} ahead ({how}){verdict}.")
    return tuple(sentences)


def _rule(name: str) -> str:
    return "chance" if name == "random" else f"the {name}"
