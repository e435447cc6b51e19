"""The sections of a report of anyone's table, each made from what analysis says of its columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import (
    AnalysisError,
    MainEffects,
    main_effects,
    paired_effects,
    summarise_cells,
)
from analysis.factorial.result import ALPHA, pairs_tried
from analysis.formatting import number_of, p_value
from analysis.significance.pairs import RESULT_COLUMNS
from reports.findings import Answer, topics_of, verdict_counts
from reports.first_screen.levels import widened
from reports.page import Figure, Section, Table, make_table
from reports.table.laws import LEVEL, GroupLaws
from reports.table.panels import panel_column, panels_of
from reports.table.question import EVERYTHING, GROUP, MISSING, TableQuestion, X, Y, level_in_words
from reports.table.wording import change, interval, score, size, spread_of, titled
from reports.theme import count, padded_domain
from reports.wording import by_reason, joined, sentence, title, with_minus_signs

MOST_TESTED = 8
"""Levels of a column up to which every one is tested against the first."""


def scores_section(question: TableQuestion, laws: GroupLaws) -> Section:
    """The scores by size with the law of each group, and the laws in words."""
    points, groups, spread = question.points(), question.groups(), spread_of(question)
    without = points.loc[~points[GROUP].isin(list(laws.found))]
    means = (
        summarise_cells(without, by=[GROUP, X], outcome=Y, level=LEVEL) if len(without) else pd.DataFrame(columns=[GROUP, X, "mean", "low", "high"])
    )
    curves = laws.curves if "extrapolated" in laws.curves.columns else laws.curves.assign(extrapolated=pd.Series(dtype=bool))
    lines = [_ends(points.loc[points[GROUP] == group], group, question, spread) for group in groups]
    least, most = points[Y].min() - 0.3 * spread, points[Y].max() + 0.3 * spread  # a band, or a line beyond the data, may go anywhere
    inner = curves.loc[~curves["extrapolated"].astype(bool)]
    domain = padded_domain(points[Y], *(part.astype(float).clip(least, most) for part in (curves["mean"], inner["low"], inner["high"])))
    description = " ".join(lines)
    drawn = "a line is a law with its 95% band, dashed beyond the sizes measured" if laws.found else "lines join means, bars are 95% intervals"
    figure = Figure(
        identity="figure-scores",
        claim=_scores_claim(question, points, groups, spread),
        subtitle=f"Each point is one row ({count(len(points))} in all); {drawn}{_divided(question)}.",
        description=description,
        panels=panels_of(question, points, curves, means, lines=dict(zip(groups, lines, strict=True)), y_domain=domain),
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


def _divided(question: TableQuestion) -> str:
    """What panels and lines are, where they are not all in one."""
    column = panel_column(question)
    if column is None:
        return ""
    others = joined([question.titles[name] for name in question.by if name != column])
    return f"; a panel is a value of {question.titles[column]}, a line one of {others}"


def _by_group(means: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """The rows in the order of the groups, which sorted as text stand 1,000,000, 300,000."""
    return means.iloc[np.argsort(means[GROUP].map(groups.index), kind="stable")].reset_index(drop=True)


def laws_section(laws: GroupLaws, question: TableQuestion) -> Section | None:
    """Each law as analysis writes it, folded; None without a law."""
    units = f"x is {question.x_title}, y is {question.y_title}"
    listings = tuple(
        (f"The law of {group}" if group != EVERYTHING else "The law", f"{units}\n{with_minus_signs(law.summary())}")
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
        paragraphs=tuple(with_minus_signs(one) for one in (*effects.sentences(), *effects.cautions())),
    )


def tests_section(question: TableQuestion, effects: MainEffects | str) -> Section:
    """Every level of each column of `by` against its first, in pairs of rows equal in all else."""
    heading = "Tests"
    if not question.by:
        return Section(identity="tests", heading=heading, paragraphs=("Nothing divides the rows, so nothing is tested: name columns with --by.",))
    if question.seed is None:
        reason = "No column tells repeated runs apart, so no pairs can be formed: name one with --seed."
        return Section(identity="tests", heading=heading, paragraphs=(reason,))
    picked = {row["axis"]: row for _, row in effects.table.iterrows() if pairs_tried(row) > 1} if isinstance(effects, MainEffects) else {}
    said = [
        f"Here each interval of {row['name']} is of one comparison by itself; on the first screen it is {widened(row)}." for row in picked.values()
    ]
    tables: list[Table] = []
    for column in question.by:
        levels = [*question.levels_of(column), *([MISSING] if question.runs[column].isna().any() else [])]
        others = [name for name in (question.x, *question.by, question.seed) if name != column]
        if len(levels) < 2:
            said.append(f"{question.titles[column]} has one level, so there is nothing to test.")
            continue
        if len(levels) > MOST_TESTED:
            said.append(f"{question.titles[column]} has {count(len(levels))} levels, which are not tested one by one.")
            continue
        for level in levels[1:]:
            found = _paired_rows(question, column, levels[0], level, others, "; each interval by itself" if column in picked else "")
            if isinstance(found, str):
                said.append(found)
                continue
            said.append(found[0])
            tables.append(found[1])
    return Section(identity="tests", heading=heading, paragraphs=tuple(said), tables=tuple(tables))


def _paired_rows(question: TableQuestion, column: str, baseline: object, treatment: object, match: list[str], alone: str) -> tuple[str, Table] | str:
    shown = ["n_pairs", "baseline_mean", "treatment_mean", "difference", "low", "high", "p", "p_holm"]
    x = f"{question.x} (size)" if question.x in RESULT_COLUMNS else question.x
    runs = question.runs_by_seed().rename(columns={question.x: x})
    if treatment == MISSING:
        runs = runs.assign(**{column: runs[column].astype(object).map(level_in_words)})
        baseline = level_in_words(baseline)
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
    judged = f"{int((tested < ALPHA).sum())} of {number_of(len(tested), 'cell')} {'differs' if len(tested) == 1 else 'differ'} after Holm"
    said = (
        f"{title}: {change(float(whole['difference']), spread)} {question.y_title}{inside} over {count(int(whole['n_pairs']))} pairs; "
        f"{judged if len(tested) else 'no cell by itself could be tested'}."
    )
    names = {x: question.x_title, **{name: question.titles.get(name, name) for name in found.by if name != x}}
    table = titled(found.table[[name for name in (*names, *shown) if name in found.table.columns]], names)
    caption = f"{title}: difference in {question.y_title} at each {joined(list(names.values()))}"
    return said, make_table(table, caption=f"{caption}{alone}", file_name=f"{column}_tests.csv")


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
