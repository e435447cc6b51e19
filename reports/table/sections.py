"""The sections of a report of anyone's table, each made from what analysis says of its columns."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations

import numpy as np
import pandas as pd

from analysis import (
    LAWS,
    AnalysisError,
    LawChoice,
    MainEffects,
    diminishing_returns,
    exchange_rate,
    fit,
    main_effects,
    paired_effects,
    suggest_runs,
    summarise_cells,
)
from analysis.decisions.returns import DiminishingReturns
from analysis.factorial.result import ALPHA
from analysis.formatting import p_value
from analysis.significance.pairs import RESULT_COLUMNS
from reports.charts.curves import curves_by_size
from reports.findings import Answer, topics_of, verdict_counts
from reports.page import Figure, Panel, Section, Table, make_table
from reports.table.laws import BEYOND, FEWEST_SEEDS, LEVEL, GroupLaws
from reports.table.question import EVERYTHING, GROUP, TableQuestion, X, Y
from reports.table.wording import change, interval, named, score, size, titled
from reports.theme import count, padded_domain
from reports.wording import by_reason, joined, sentence, title

MOST_TESTED = 8
"""Levels of a column up to which every one is tested against the first."""
NEXT_RUNS = 3
FLAT = "last_value"
LEAST_WEIGHT = 0.1
"""From this share in a forecast on, another law counts as forecasting about as well."""


def spread_of(question: TableQuestion) -> float:
    """The range of the scores, for the number of digits."""
    y = question.runs[question.y].astype(float)
    return float(y.max() - y.min())


def scores_section(question: TableQuestion, laws: GroupLaws) -> Section:
    """The scores by size with the law of each group, and the laws in words."""
    points, groups, spread = question.points(), question.groups(), spread_of(question)
    without = points.loc[~points[GROUP].isin(list(laws.found))]
    means = (
        summarise_cells(without, by=[GROUP, X], outcome=Y, level=LEVEL) if len(without) else pd.DataFrame(columns=[GROUP, X, "mean", "low", "high"])
    )
    curves = laws.curves if "extrapolated" in laws.curves.columns else laws.curves.assign(extrapolated=pd.Series(dtype=bool))
    divided = joined([question.titles[name] for name in question.by])
    lines = [_ends(points.loc[points[GROUP] == group], group, question, spread) for group in groups]
    least, most = points[Y].min() - 0.3 * spread, points[Y].max() + 0.3 * spread  # a band, or a line beyond the data, may go anywhere
    inner = curves.loc[~curves["extrapolated"].astype(bool)]
    domain = padded_domain(points[Y], *(part.astype(float).clip(least, most) for part in (curves["mean"], inner["low"], inner["high"])))
    chart = curves_by_size(
        points, curves, means, groups=groups, group_title=divided, x_title=question.x_title, y_title=question.y_title, y_domain=domain
    )
    description = " ".join(lines)
    drawn = "a line is a law with its 95% band, dashed beyond the sizes measured" if laws.found else "lines join means, bars are 95% intervals"
    figure = Figure(
        identity="figure-scores",
        claim=_scores_claim(question, points, groups, spread),
        subtitle=f"Each point is one row ({count(len(points))} in all); {drawn}.",
        description=description,
        panels=(Panel(identity="scores-0", chart=chart, alternative=description),),
        notes=tuple(by_reason("No law is drawn", [(f"for {name}", why) for name, why in laws.reasons.items()], of=len(groups)))
        if laws.reasons
        else (),
        tables=(
            make_table(titled(points, {X: question.x_title, Y: question.y_title}), caption="Rows (the points)", file_name="points.csv"),
            make_table(
                titled(_by_group(summarise_cells(points, by=[GROUP, X], outcome=Y, level=LEVEL), groups), {X: question.x_title}),
                caption=f"Mean {question.y_title} of each group and size",
                file_name="means.csv",
            ),
        ),
    )
    return Section(identity="scores", heading=f"{question.y_title} by {question.x_title}", figures=(figure,))


def _by_group(means: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """The rows in the order of the groups, which sorted as text stand 1,000,000, 300,000."""
    return means.iloc[np.argsort(means[GROUP].map(groups.index), kind="stable")].reset_index(drop=True)


def laws_section(laws: GroupLaws, question: TableQuestion) -> Section | None:
    """Each law as analysis writes it, folded; None without a law."""
    listings = tuple(
        (f"The law of {group}" if group != EVERYTHING else "The law", f"x is {question.x_title}, y is {question.y_title}\n{law.summary()}")
        for group, law in laws.found.items()
    )
    if not listings:
        return None
    return Section(identity="laws", heading="The laws in full", listings=listings, folded=True, summary="parameters, errors, method")


def _scores_claim(question: TableQuestion, points: pd.DataFrame, groups: list[str], spread: float) -> str:
    largest = points.loc[points[X] == points[X].max()].groupby(GROUP, sort=False)[Y].mean()
    best = largest.idxmax() if question.better == "higher" else largest.idxmin()
    whose = f", of {best}" if len(groups) > 1 else ""
    start = f"{question.y_title} reaches {score(float(largest[best]), spread)} at {question.x_title} {size(float(points[X].max()))}"
    return title(f"{start}{whose}", start, f"{question.y_title} by {question.x_title}", "The scores by size")


def _ends(part: pd.DataFrame, group: str, question: TableQuestion, spread: float) -> str:
    means = part.groupby(X)[Y].mean()
    first, last = means.index[0], means.index[-1]
    whose = "" if group == EVERYTHING else f"{group}: "
    return (
        f"{whose}mean {question.y_title} {score(float(means[first]), spread)} at {question.x_title} {size(float(first))}, "
        f"{score(float(means[last]), spread)} at {size(float(last))}."
    )


def effects_of(question: TableQuestion) -> MainEffects | str:
    """What moved the score; a sentence where nothing can be compared."""
    try:
        return main_effects(question.runs, outcome=question.y, axes=[question.x, *question.by], seed=question.seed or "seed", level=LEVEL)
    except AnalysisError as error:
        return sentence(str(error))


def effects_section(question: TableQuestion, effects: MainEffects | str) -> Section:
    """The main effects in sentences, folded: their figure and table stand on the first screen."""
    heading = f"What moved {question.y_title}, in sentences"
    if isinstance(effects, str):
        return Section(identity="moved", heading=heading, paragraphs=(effects,))
    found = count(int((effects.table["p_holm"] < ALPHA).sum()))
    return Section(
        identity="moved",
        heading=heading,
        folded=True,
        summary=f"{found} of {count(len(effects.table))} columns differ from zero",
        paragraphs=(*effects.sentences(), *effects.cautions()),
    )


def decisions_section(question: TableQuestion, laws: GroupLaws) -> Section:
    """Where more stops paying, what one group is worth against another, and which rows to add."""
    said: list[str] = []
    reasons: list[tuple[str, str]] = []
    flat = [group for group, law in laws.found.items() if law.fit.law == FLAT]
    if flat:
        whose = "" if flat == [EVERYTHING] else f" of {joined(flat)}"
        said.append(f"No law forecasts {question.y_title}{whose} better than its last value, so no decision about {question.x_title} follows.")
    for group, law in laws.found.items():
        if group in flat:
            continue
        whose = "" if group == EVERYTHING else f"{group}: "
        try:
            returns = diminishing_returns(law.fit, better=question.better)
            said.append(whose + named(returns.sentence(), question) + _by_other_laws(law, returns, question))
            said.append(whose + _next_runs(question, law.fit, float(law.x_max)))
        except AnalysisError as error:
            reasons.append((f"for {group}", str(error)))
    said += _worth(question, laws)
    said += by_reason("There is no decision", reasons, of=len(question.groups())) if reasons else []
    if not said:
        said = ["No group has a law, and a decision rests on one: give four sizes or more."]
    if laws.seeds:
        said.insert(
            0,
            f"{count(laws.seeds)} seeds are too few to tell what rows of one seed share, so the laws take all rows as independent: the intervals "
            f"below are too narrow if a seed moves all its rows alike. A third seed would tell.",
        )
    return Section(identity="decisions", heading="Decisions", paragraphs=tuple(said))


def _by_other_laws(law: LawChoice, returns: DiminishingReturns, question: TableQuestion) -> str:
    """Where the other laws of a forecast see the same point, if it lies beyond the sizes measured: an
    interval by one law says nothing of that.
    """
    if not returns.noise.extrapolated:
        return ""
    others = [name for name in law.table.loc[law.table["weight"] >= LEAST_WEIGHT, "law"] if name in LAWS and name not in (law.fit.law, FLAT)]
    x, y = law.points()
    found: list[float] = []
    for name in others:
        with suppress(AnalysisError):
            found.append(diminishing_returns(fit(x, y, law=name, level=LEVEL), better=question.better).noise.x)
    if not found:
        return ""
    ends = list(dict.fromkeys(size(float(f"{one:.3g}")) if np.isfinite(one) else "nowhere" for one in (min(found), max(found))))
    return f" Laws that forecast about as well put it at {question.x_title} = {' to '.join(ends)}."


def _next_runs(question: TableQuestion, curve: object, largest: float) -> str:
    """Which rows would make the forecast at twice the largest size most precise, all rows costing
    the same.
    """
    sizes = sorted({float(value) for value in question.runs[question.x]} | {BEYOND * largest})
    found = suggest_runs(curve, sizes, ("predict", BEYOND * largest), 1.0, runs=NEXT_RUNS)  # type: ignore[arg-type]
    places = found.chosen.iloc[:, 0].astype(float).value_counts(sort=False)
    where = joined([f"{number} at {question.x_title} {size(float(place))}" for place, number in zip(places.index, places, strict=True)])
    last = float(found.chosen["half_width_after"].iloc[-1])
    return (
        f"to know {question.y_title} at {question.x_title} {size(BEYOND * largest)} better, run next {where} (each run counted as equally "
        f"dear): its 95% interval would shrink from ±{found.half_width_now:.3g} to ±{last:.3g}, if the law holds there."
    )


def _worth(question: TableQuestion, laws: GroupLaws) -> list[str]:
    """What each group's advantage over another is worth in x, at the middle of the sizes: of groups
    that differ in one column of `by`, since two changes at once are no choice.
    """
    said: list[str] = []
    levels = question.levels()
    for first, second in combinations([group for group, law in laws.found.items() if law.fit.law != FLAT], 2):
        if sum(one != other for one, other in zip(levels[first], levels[second], strict=True)) != 1:
            continue
        low, high = (laws.found[one] for one in (first, second))
        at_x = float(np.sqrt(max(low.x_min, high.x_min) * min(low.x_max, high.x_max)))
        ahead = _ahead(question, laws, first, second, at_x)
        with_it, without = (first, second) if ahead else (second, first)
        try:
            rate = exchange_rate(
                laws.found[with_it].fit, laws.found[without].fit, at_x, paired=_paired(question, first, second), better=question.better
            )
        except AnalysisError as error:
            said.append(sentence(f"{with_it} against {without}: {error}"))
            continue
        said.append(
            f"{with_it} against {without}: {named(rate.sentence(), question, {'with it': f'with {with_it}', 'without it': f'with {without}'})}"
        )
    return said


def _ahead(question: TableQuestion, laws: GroupLaws, first: str, second: str, x: float) -> bool:
    """Whether the first group's law is the better one at x."""
    values = [float(laws.found[one].fit.predict([x]).mean[0]) for one in (first, second)]
    return values[0] >= values[1] if question.better == "higher" else values[0] <= values[1]


def _paired(question: TableQuestion, first: str, second: str) -> bool:
    """Whether both groups have the same seeds, which first appear in the same order."""
    points = question.points()
    if "seed" not in points.columns:
        return False
    seeds = [list(dict.fromkeys(points.loc[points[GROUP] == one, "seed"])) for one in (first, second)]
    return len(seeds[0]) >= FEWEST_SEEDS and seeds[0] == seeds[1]


def tests_section(question: TableQuestion) -> Section:
    """Every level of each column of `by` against its first, in pairs of rows equal in all else."""
    heading = "Tests"
    if not question.by:
        return Section(identity="tests", heading=heading, paragraphs=("Nothing divides the rows, so nothing is tested: name columns with --by.",))
    if question.seed is None:
        reason = "No column tells repeated runs apart, so no pairs can be formed: name one with --seed."
        return Section(identity="tests", heading=heading, paragraphs=(reason,))
    said: list[str] = []
    tables: list[Table] = []
    for column in question.by:
        levels = question.levels_of(column)
        others = [name for name in (question.x, *question.by, question.seed) if name != column]
        if not 2 <= len(levels) <= MOST_TESTED:
            said.append(f"{question.titles[column]} has {count(len(levels))} levels, which are not tested one by one.")
            continue
        for level in levels[1:]:
            found = _paired_rows(question, column, levels[0], level, others)
            if isinstance(found, str):
                said.append(found)
                continue
            said.append(found[0])
            tables.append(found[1])
    return Section(identity="tests", heading=heading, paragraphs=tuple(said), tables=tuple(tables))


def _paired_rows(question: TableQuestion, column: str, baseline: object, treatment: object, match: list[str]) -> tuple[str, Table] | str:
    shown = ["n_pairs", "baseline_mean", "treatment_mean", "difference", "low", "high", "p", "p_holm"]
    x = f"{question.x} (size)" if question.x in RESULT_COLUMNS else question.x
    runs = question.runs_by_seed().rename(columns={question.x: x})
    match = [{question.seed: "seed", question.x: x}.get(name, name) for name in match]
    title = f"{question.titles[column]} {_level(treatment)} against {_level(baseline)}"
    try:
        found = paired_effects(runs, factor=column, baseline=baseline, treatment=treatment, outcome=question.y, by=(x,), level=LEVEL, match=match)
    except AnalysisError as error:
        return sentence(f"{title}: {error}")
    spread, tested = spread_of(question), found.table["p_holm"].dropna()
    whole = found.overall.iloc[0]
    known = np.isfinite(whole["low"])
    inside = f" ({interval(whole['low'], whole['high'], spread, level=LEVEL)}, {p_value(float(whole['p']))})" if known else ""
    said = (
        f"{title}: {change(float(whole['difference']), spread)} {question.y_title}{inside} over {count(int(whole['n_pairs']))} pairs; "
        f"{int((tested < 0.05).sum())} of {count(len(tested))} sizes differ after Holm."
    )
    table = titled(found.table[[name for name in (x, *shown) if name in found.table.columns]], {x: question.x_title})
    return said, make_table(table, caption=f"{title}: difference in {question.y_title} at each {question.x_title}", file_name=f"{column}_tests.csv")


def claims_section(question: TableQuestion, answer: Answer) -> Section | None:
    """The findings, where the columns are known to this project; None where they are not."""
    if answer.findings is None or not len(answer.findings):
        return None
    return Section(identity="claims", heading="Claims", paragraphs=(verdict_counts(answer.findings),), topics=topics_of(answer.findings))


def table_section(question: TableQuestion, command: str) -> Section:
    """All rows as they were read, and the command that makes the page again."""
    shown = question.runs.rename(columns=dict(question.columns))
    return Section(
        identity="rows",
        heading="All rows",
        folded=True,
        summary=f"{count(len(shown))} rows, and the command",
        tables=(make_table(shown, caption=f"The rows of {question.file.name}", file_name="rows.csv"),),
        listings=(("Rebuild this page", command),),
    )


def _level(value: object) -> str:
    return size(float(value)) if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) else str(value)
