"""All runs, the coverage of the grid, and how the study was made."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.formatting import percent
from analysis.runs.columns import column_of, score_columns
from reports.charts.coverage import coverage_map
from reports.coverage import STATES, GridState, completeness_sentence, coverage_by_cell, unfinished_reasons
from reports.evidence import LEVEL, Evidence
from reports.overview import cost_sentence, study_sentence
from reports.page import Figure, Panel, Section, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.report_data import read_provenance
from reports.series import ordered_panels, ordered_series, separating_settings, spread_out
from reports.theme import count

MOST_SERIES, MOST_PANELS = 24, 6
ALWAYS_SHOWN = ("pretrain_images", "intermediate", "finetune_images", "seed")
ALSO_SHOWN = ("val_mim_loss", "intermediate_accuracy")
"""Results that the table of runs shows beside the scores."""


def with_runs(evidence: Evidence, section: Section) -> Section:
    """The section with every finished run, and the mean and spread of each cell."""
    assert evidence.cells is not None  # the page has this section only if a run is finished
    runs = evidence.study.runs
    varied = [name for name in separating_settings(runs) if name not in ALWAYS_SHOWN]
    measured = [column.name for column in score_columns(runs) if not column.name.startswith("iou_")]
    measured += [name for name in ALSO_SHOWN if name in runs.columns and runs[name].notna().any()]
    shown = [*varied, *ALWAYS_SHOWN, *measured, "run_id"]
    ordered = runs.sort_values([*varied, *ALWAYS_SHOWN], kind="stable")
    meanings = {str(name): column_of(runs, str(name)).description for name in runs.columns}
    tables = (
        make_table(
            evidence.cells,
            caption=f"Mean {evidence.score.title} of each cell, its standard deviation and Student's t interval ({percent(LEVEL)}) over runs",
            file_name="cells.csv",
        ),
        make_table(ordered, caption="All finished runs; the CSV has every column", file_name="runs.csv", shown=shown, meanings=meanings),
    )
    return replace(section, tables=tables)


def coverage(grid: GridState) -> Figure | str:
    """How much of the grid is done, cell by cell."""
    if not len(grid.states):
        return ""
    return _map(coverage_by_cell(grid.states), grid.states, completeness_sentence(grid.whole, grid.states))


def with_coverage(grid: GridState, section: Section) -> Section:
    """The section with the runs of each cell and the stages by state, and why the rest is not done."""
    study, states = grid.whole, grid.states
    tables = []
    marked = {"done": "good", "failed": "warn", "blocked": "warn", "missing": "warn"}
    paragraphs: tuple[str, ...] = (completeness_sentence(study, states),)
    if len(states):
        cells = coverage_by_cell(states)
        if (cells["panel"] == "").all():
            cells = cells.drop(columns="panel")
        tables.append(make_table(cells, caption="Runs of each cell by state", file_name="coverage.csv", marked=marked))
    if len(study.stages):
        counts = study.stages.groupby(["kind", "state"]).size().unstack(fill_value=0)
        counts = counts.reindex(columns=list(STATES), fill_value=0)
        kinds = [kind for kind in ("pretrain", "intermediate", "finetune") if kind in counts.index]
        table = counts.loc[kinds].reset_index()
        table.columns.name = None
        tables.append(make_table(table, caption="Stages by kind and state", file_name="stage_states.csv", marked=marked))
        held = unfinished_reasons(study)
        if len(held):
            caption = "Stages that failed, and those they block"
            tables.append(make_table(held, caption=caption, file_name="unfinished_stages.csv", marked={"state": "warn"}))
    else:
        paragraphs += ("The states of the stages are not known: the folder has neither stages.parquet nor a plan.",)
    return replace(section, paragraphs=paragraphs, tables=tuple(tables))


def _map(cells: pd.DataFrame, states: pd.DataFrame, claim: str) -> Figure:
    """The grid as tiles, a panel each; of a large one some series and panels, spread evenly."""
    panels, series_names = ordered_panels(states), ordered_series(states)
    shown = spread_out(series_names, MOST_SERIES)
    drawn = spread_out(panels, MOST_PANELS)
    made = []
    for number, panel in enumerate(drawn):
        part = cells.loc[(cells["panel"] == panel) & cells["series"].isin(shown)]
        if part.empty:
            continue
        counts = ", ".join(f"{int(part[state].sum())} {state}" for state in STATES if part[state].sum())
        where = f" ({panel})" if panel else ""
        description = f"{len(part)} {'cell' if len(part) == 1 else 'cells'}{where}, of {int(part['planned'].sum())} runs: {counts}."
        made.append(Panel(identity=f"coverage-map-{number}", chart=coverage_map(part, series_names=shown), alternative=description, heading=panel))
    cut = len(shown) < len(series_names) or len(drawn) < len(panels)
    done, whole = int((states["state"] == "done").sum()), len(states)
    less = (
        f" {len(shown)} of {len(series_names)} series and {len(drawn)} of {len(panels)} panels are drawn, spread evenly; the table has all."
        if cut
        else ""
    )
    return Figure(
        claim=f"All {count(whole)} runs are finished" if done == whole else f"{count(done)} of {count(whole)} runs are finished",
        subtitle="Each tile is a cell: how many of its runs are done, of those planned; coloured and signed by its worst run "
        f"(✓ done, … missing, ‖ blocked, ✗ failed).{less}",
        description=" ".join(panel.alternative for panel in made),
        panels=tuple(made),
        notes=() if claim.startswith("Complete") else (claim,),
    )


def mixed_formats(stages: pd.DataFrame) -> str:
    """A sentence where finished stages of one kind ran in several number formats or on several
    devices; '' where they did not.

    Args:
        stages: the stages table: kind, device, precision.
    """
    known = stages.loc[stages["device"].notna() & stages["precision"].notna(), ["kind", "device", "precision"]].astype(str)
    known = known.assign(kind=known["kind"].replace("trunk", "pretrain"))
    several = {name: [kind for kind, part in known.groupby("kind") if part[name].nunique() > 1] for name in ("precision", "device")}
    kinds = several["precision"] or several["device"]
    if not kinds:
        return ""
    ways = known.loc[known["kind"].isin(kinds)].groupby(["kind", "precision", "device"]).size().rename("stages").reset_index()
    counts = ", ".join(f"{number:,} {kind} in {precision} on {device}" for kind, precision, device, number in ways.itertuples(index=False, name=None))
    if several["precision"]:
        return (
            f"Stages of one kind ran in different number formats: {counts}. Differences between such runs can be those of the format; a recipe that "
            "names its precision keeps them apart."
        )
    return f"Stages of one kind ran on different devices: {counts}. Their numbers differ by rounding."


def with_provenance(grid: GridState, section: Section) -> Section:
    """The section with the machine, the versions and the grid that made the numbers, and how to make
    the page again.
    """
    study = grid.whole
    found = read_provenance(study)
    paragraphs = [
        f"{study_sentence(study)} Cost: {cost_sentence(study)}",
        "This page was made from the study folder alone and holds no time of its own: the same folder gives the same page, byte for byte.",
    ]
    mixed = mixed_formats(study.stages)
    if mixed:
        paragraphs.insert(0, mixed)
    tables = []
    if len(found):
        columns = [name for name in found.columns if name != "stage_id"]
        kinds = found.groupby(columns, dropna=False, sort=True).size().rename("stages").reset_index()
        # Settings in the first column and one column for each way that stages were run: a single
        # one, in most studies.
        turned = kinds.astype("object").T.reset_index()
        turned.columns = pd.Index(["what", *(f"environment {number}" for number in range(1, len(kinds) + 1))])
        caption = "Where the finished stages ran" if len(kinds) > 1 else "Where every finished stage ran"
        tables.append(make_table(turned, caption=caption, file_name="provenance.csv"))
    else:
        paragraphs.append("No finished stage has left a provenance.json, so versions and device are not known.")
    rebuild = f"python -m reports.build runs/{study.name}"
    listings = [("Rebuild this page", rebuild)]
    if study.grid_text is not None:
        listings.insert(0, ("The grid, as launched", study.grid_text.rstrip("\n")))
        listings[1:] = [("Rebuild", f"python -m scaling.launch runs/{study.name}/grid.yaml   # runs only what is missing\n{rebuild}")]
    else:
        paragraphs.append("The folder has no grid.yaml.")
    return replace(section, paragraphs=tuple(paragraphs), tables=tuple(tables), listings=tuple(listings))


register(SectionKind(name="runs", heading="All runs", place=900, folded=True, finish=with_runs))
register(SectionKind(name="coverage", heading="Coverage of the grid", place=910, folded=True, subject=GridState, finish=with_coverage))
register(
    FigureKind(
        name="coverage",
        section="coverage",
        place=10,
        subject=GridState,
        title="Coverage of the grid",
        draws="how many runs of each cell are done",
        build=coverage,
    )
)
register(SectionKind(name="provenance", heading="How this was made", place=920, folded=True, subject=GridState, finish=with_provenance))
