"""The sections of a comparison: what differs, paired differences, scores, and coverage with cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import PairedEffects, summarise_cells
from analysis.formatting import percent
from reports.charts.forest import ALPHA, MOST_OPEN, forest
from reports.charts.scores import score_by_labels
from reports.comparison.effects import Differences, forest_rows, matching_sentence
from reports.comparison.pair import Pair
from reports.comparison.wording import cell_columns
from reports.evidence import LEVEL
from reports.page import Fact, Figure, Panel, Section, Table, make_table
from reports.series import ordered_panels, ordered_series, series_phrase, with_series
from reports.theme import count, decimals, padded_domain, signed
from reports.wording import joined, sentence, title

NO_CURVES = pd.DataFrame({"series": pd.Series(dtype=str), **{name: pd.Series(dtype=float) for name in ("finetune_images", "mean", "low", "high")}})
MOST_ROWS = 60
"""Cells that the forest plot draws, the first in order; its table has all."""
MOST_PANELS = 12
"""Series whose scores are drawn, the first in order; the tables have all."""
COST_COLUMNS = ("gpu_hours", "cpu_hours", "train_s")


def settings_section(pair: Pair, settings: pd.DataFrame, specs: pd.DataFrame, versions: pd.DataFrame, grid: str) -> Section:
    """Composes the section on what differs between the studies: grids, settings, specs, versions."""
    texts = [study.grid_text for study in pair.studies]
    paragraphs = []
    if None in texts:
        paragraphs.append("A grid.yaml is missing, so the grids cannot be compared as texts.")
    elif not grid:
        paragraphs.append("Their grids are equal to the letter.")
    paragraphs += ["The settings in the runs tables are the same."] if settings.empty else []
    paragraphs += ["The specs of their stages hold the same values: recipes, recipe versions, data and lengths."] if specs.empty else []
    if versions.empty:
        paragraphs.append("No finished stage has left a provenance.json, so versions and devices are not known.")
    elif bool(versions["same"].all()):
        paragraphs.append("Both ran with the same code, versions, precision and device.")
    else:
        other = [str(name).replace("_", " ") for name in versions.loc[~versions["same"], "what"]]
        paragraphs.append(f"Where they ran differs in: {joined(other)}.")
    captions = (
        (settings, "Settings that differ, as the runs tables have them", "setting_differences.csv"),
        (specs, "Entries of the stages' specs that differ", "spec_differences.csv"),
        (versions, "Code, versions and devices of the finished stages", "versions.csv"),
    )
    return Section(
        identity="settings",
        heading="What differs between the studies",
        paragraphs=tuple(paragraphs),
        tables=tuple(make_table(table, caption=caption, file_name=name) for table, caption, name in captions if len(table)),
        listings=(("The grids, line by line", grid),) if grid else (),
    )


def difference_section(pair: Pair, differences: Differences) -> Section:
    """The forest plot of B - A, and its pairs; a sentence where there is no pair, or every
    difference is zero.
    """
    heading, score = "Paired differences", pair.score.title
    effects = differences.effects
    if effects is None:
        return Section(identity="differences", heading=heading, paragraphs=(differences.reason,))
    if (effects.pairs["difference"] == 0).all():
        description = f"All {count(len(effects.pairs))} paired differences in {score} are zero, so none is drawn."
        return Section(identity="differences", heading=heading, paragraphs=(description, matching_sentence(pair, effects)), tables=(_pairs(effects),))
    rows = forest_rows(effects)
    overall, cells = rows.iloc[0], rows.iloc[1:]
    tested = cells["p_holm"].dropna()
    survive = [f"{count(int((tested < ALPHA).sum()))} of {count(len(tested))} cells survive Holm's correction."] if len(tested) else []
    bounds = "" if pd.isna(overall["low"]) else f" ({percent(effects.level)} interval {signed(overall['low'])} to {signed(overall['high'])})"
    phrases = [f"{row['label']} {signed(row['estimate'])}" for _, row in cells.iterrows()]
    description = (
        f"{pair.names[1]} − {pair.names[0]}, mean difference in {score}: {signed(overall['estimate'])}{bounds} over all cells; {'; '.join(phrases)}."
    )
    notes = [*survive, matching_sentence(pair, effects)]
    notes += [sentence(f"{where}: {note}") for where, note in _notes(rows)]
    columns = ["label", "n_pairs", "n_groups", "baseline_mean", "treatment_mean", "estimate", "low", "high", "p", "p_holm", "note"]
    drawn = rows.head(1 + MOST_ROWS)
    if len(drawn) < len(rows):
        notes.append(f"The first {MOST_ROWS} of {count(len(cells))} cells are drawn; the table has all.")
    domain = padded_domain(drawn["estimate"], drawn["low"], drawn["high"], [0.0])
    figure = Figure(
        identity="figure-differences",
        claim=title(
            f"Over all cells {score} changes by {signed(overall['estimate'])} from {pair.names[0]} to {pair.names[1]}",
            f"Over all cells {score} changes by {signed(overall['estimate'])}",
        ),
        subtitle=f"One row is one cell: the mean difference of its pairs of runs ({count(len(effects.pairs))} pairs in all) with its "
        f"{percent(effects.level)} interval over independent groups of runs, not corrected. The first row is all cells together. "
        f"{'Right' if pair.score.better == 'higher' else 'Left'} of zero, {pair.names[1]} is better.",
        description=description,
        panels=(
            Panel(
                identity="differences-0",
                chart=forest(drawn, x_title=f"difference in {score}", x_domain=domain),
                alternative=description,
                heading=f"{count(len(drawn) - 1)} cells, one a row",
                folded=len(drawn) > MOST_OPEN,
            ),
        ),
        notes=tuple(notes),
        tables=(
            make_table(rows[columns], caption="Differences (the points and bars)", file_name="differences.csv"),
            _pairs(effects),
        ),
    )
    return Section(identity="differences", heading=heading, figures=(figure,))


def score_section(pair: Pair) -> Section:
    """Scores of both studies by labels, one panel for each series that they share a cell of."""
    score = pair.score
    runs = with_series(pair.runs, pair.planned).rename(columns={"series": "of", "panel": "where"}).assign(series=lambda table: table["study"])
    whole = with_series(pair.planned, pair.planned)
    order = [(where, of) for where in ordered_panels(whole) for of in ordered_series(whole)]
    means = summarise_cells(runs, by=["where", "of", "series", "finetune_images"], outcome=score.column, level=LEVEL)
    domain = padded_domain(runs[score.column], means["low"], means["high"])
    domain = score.clipped(domain)
    panels: list[Panel] = []
    there = set(zip(runs["where"], runs["of"], strict=True))
    order = [one for one in order if one in there]
    for where, of in order[:MOST_PANELS]:
        part, line = (table.loc[(table["where"] == where) & (table["of"] == of)] for table in (runs, means))
        chart = score_by_labels(
            part,
            NO_CURVES.assign(extrapolated=pd.Series(dtype=bool)),
            line,
            series_names=pair.names,
            series_title="study",
            score=score.column,
            score_title=score.title,
            y_domain=domain,
        )
        heading = series_phrase(of) + (f"; {where}" if where else "")
        alternative = f"Mean {score.title} {heading}: {'; '.join(_ends(line, name) for name in pair.names if name in set(line['series']))}."
        panels.append(Panel(identity=f"scores-{len(panels)}", chart=chart, alternative=alternative, heading=heading))
    average = [float(runs.loc[runs["study"] == name, score.column].mean()) for name in pair.names]
    counts = [int((runs["study"] == name).sum()) for name in pair.names]
    columns = ["study", "where", "of", "finetune_images", "seed", score.column, "run_id"]
    names = {"where": "panel", "of": "series"}
    figure = Figure(
        identity="figure-scores",
        claim=title(
            f"Mean {score.title}: {decimals(average[0])} in {pair.names[0]}, {decimals(average[1])} in {pair.names[1]}",
            f"Mean {score.title}: {decimals(average[0])} against {decimals(average[1])}",
        ),
        subtitle=f"Each point is one run ({joined([f'{count(number)} of {name}' for name, number in zip(pair.names, counts, strict=True)])}), "
        f"paired or not; lines join the means of the cells, bars are Student's t intervals ({percent(LEVEL)}) over their runs; both axes "
        "start above zero.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(f"The first {MOST_PANELS} of {count(len(order))} series are drawn; the tables have all.",) if len(order) > MOST_PANELS else (),
        tables=(
            make_table(runs[columns].rename(columns=names), caption="Runs (the points)", file_name="comparison_runs.csv"),
            make_table(means.rename(columns={**names, "series": "study"}), caption="Means of the cells", file_name="comparison_means.csv"),
        ),
    )
    return Section(identity="scores", heading="Scores of both", figures=(figure,))


def coverage_section(pair: Pair, facts: Sequence[Fact]) -> Section:
    """Which cells both have, and what each study cost; `facts` in sentences above the tables."""
    columns = list(cell_columns(pair))
    planned = pair.planned.groupby(["study", *columns], dropna=False, sort=False).size().unstack("study")
    done = pair.runs.groupby(["study", *columns], dropna=False, sort=False).size().unstack("study")
    table = pd.DataFrame(index=planned.index)
    for name in pair.names:
        table[f"planned, {name}"] = planned[name].fillna(0).astype(int)
        table[f"finished, {name}"] = done[name].reindex(planned.index).fillna(0).astype(int)
    cells = table.reset_index()
    kept = [name for name in columns if cells[name].nunique(dropna=False) > 1 or name == "finetune_images"]
    shown = [*kept, *(column for column in table.columns)]
    rows = [{"what": "finished stages", **{n: int((s.stages["state"] == "done").sum()) for n, s in zip(pair.names, pair.studies, strict=True)}}]
    for column in COST_COLUMNS:
        sums = [float(s.stages[column].fillna(0).sum()) if column in s.stages.columns else np.nan for s in pair.studies]
        rows.append({"what": column, **dict(zip(pair.names, sums, strict=True))})
    speed = [float(s.stages["images_per_s"].median()) if "images_per_s" in s.stages.columns else np.nan for s in pair.studies]
    rows.append({"what": "images_per_s, median over stages", **dict(zip(pair.names, speed, strict=True))})
    cost = pd.DataFrame(rows, columns=["what", *pair.names])
    return Section(
        identity="coverage",
        heading="Cells and cost of both",
        paragraphs=tuple(f"{fact.term}: {fact.text}" for fact in facts),
        tables=(
            make_table(cells, caption="Runs of each cell, planned and finished", file_name="comparison_cells.csv", shown=shown),
            make_table(cost, caption="What each cost so far", file_name="comparison_cost.csv"),
        ),
    )


def _pairs(effects: PairedEffects) -> Table:
    """Every pair of runs: what it is, both values, their difference and both ids."""
    columns = [*effects.by, "seed", "baseline_value", "treatment_value", "difference", "group", "baseline_run_id", "treatment_run_id"]
    return make_table(effects.pairs[columns], caption="Pairs", file_name="difference_pairs.csv")


def _notes(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Groups the labels of estimates that share a note."""
    found: dict[str, list[str]] = {}
    for label, note in rows.loc[rows["note"] != "", ["label", "note"]].itertuples(index=False, name=None):
        found.setdefault(str(note), []).append(str(label))
    return [("everywhere" if len(labels) == len(rows) else joined(labels), note) for note, labels in found.items()]


def _ends(means: pd.DataFrame, name: str) -> str:
    part = means.loc[means["series"] == name].sort_values("finetune_images")
    phrases = [f"{decimals(row['mean'])} at {count(row['finetune_images'])} labels" for _, row in part.iloc[sorted({0, len(part) - 1})].iterrows()]
    return f"{name} {joined(phrases)}"
