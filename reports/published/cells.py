"""The figures of a published table of cells: scores, effects of the two stages, returns, and the
cells themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.formatting import percent
from analysis.published.load import Published
from reports.charts.cells import READINGS, cell_score_by_labels, gain_per_doubling
from reports.charts.effects import paired_effect
from reports.evidence import LEVEL as LAW_LEVEL
from reports.figures.scores import described, ends_claim, law_curves, law_notes, law_table
from reports.page import Figure, Panel, Section, make_table
from reports.published.cell_statistics import LEVEL, CellStatistics, cell_statistics
from reports.published.geometry import geometry_section
from reports.series import panels_of, series_phrase
from reports.theme import NO_PRETRAINING, count, padded_domain, signed
from reports.wording import sentence

UNCLEAR = (
    f"The paper does not say whether its spread is a standard deviation (SD) or a standard error (SE), so every interval ({percent(LEVEL)}) is given "
    "under both readings. Here it is Student's t on the runs of each cell alone; the effects below borrow strength from the other cells' spreads."
)


def cell_sections(published: Published) -> list[Section]:
    """All sections with figures, and the table of cells."""
    found = cell_statistics(published)
    sections = [_scores(found), _effects("pretraining", found), _effects("intermediate", found), _returns(found)]
    geometry = geometry_section(published)
    return [*sections, *([geometry] if geometry else []), _cells(published, found)]


def _scores(found: CellStatistics) -> Section:
    curves, means = law_curves(found.laws), found.means
    y_domain = padded_domain(means["mean"], means["low"], means["high"], curves["mean"])
    y_domain = (max(y_domain[0], 0.0), min(y_domain[1], 1.0))
    once = means.drop_duplicates(["panel", "series", "finetune_images"])
    panels = []
    for number, panel in enumerate(panels_of(means, found.panels)):
        # Scratch had no stage before, and is what every panel is to be read against.
        cells = means.loc[(means["panel"] == panel) | (means["series"] == NO_PRETRAINING)]
        lines = curves.loc[curves["panel"] == panel]
        chart = cell_score_by_labels(cells, lines, series_names=found.series_names, y_domain=y_domain)
        description = described(once.loc[once["panel"] == panel])
        panels.append(Panel(identity=f"scores-{number}", chart=chart, alternative=description, heading=panel))
    drawn = [law for law in found.laws if law.fit is not None and not law.reason]
    laws = (
        "Lines are power laws with an offset, y = E + A·n⁻ᵇ, fitted to the means with the cells' standard errors as weights (spreads of so few "
        f"runs drawn towards the common one), with {percent(LAW_LEVEL)} bands, dashed beyond the largest size published. "
        if drawn
        else "No law is drawn. "
    )
    tables = [make_table(means, caption="Cell means (points) and their intervals (bars)", file_name="scores_cells.csv")]
    if len(curves):
        tables.append(make_table(law_table(found.laws), caption="Laws", file_name="scores_laws.csv"))
        tables.append(make_table(curves, caption="Laws along the axis (the lines and bands)", file_name="scores_curves.csv"))
    figure = Figure(
        identity="figure-scores",
        claim=ends_claim(once, found.series_names),
        subtitle=f"Each point is the mean of one cell. Thick bars: {percent(LEVEL)} interval of the mean, {READINGS[0]}; thin bars: {READINGS[1]}. "
        f"{laws}Grey squares: no pre-training, in both panels. Both axes start above zero, and the horizontal one is logarithmic.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(UNCLEAR, *law_notes(found.laws)),
        tables=tuple(tables),
    )
    return Section(identity="scores", heading="Score by number of labels", figures=(figure,))


def _effects(name: str, found: CellStatistics) -> Section:
    heading = "What pre-training changes" if name == "pretraining" else "What the intermediate stage changes"
    effects = found.pretraining if name == "pretraining" else found.intermediate
    if effects is None:
        return Section(identity=name, heading=heading, paragraphs=(f"There is no figure here. {sentence(found.reasons[name])}",))
    domain = padded_domain(effects["difference"], effects["low"], effects["high"], [0.0])
    none = pd.DataFrame(columns=["series", "finetune_images", "difference"])
    panels = []
    for number, (reading, part) in enumerate(effects.groupby("reading", sort=False)):
        chart = paired_effect(part, none, series_names=found.series_names, y_domain=domain)
        description = f"{sentence(str(reading)).rstrip('.')}: {_counted(part)}."
        panels.append(Panel(identity=f"{name}-{number}", chart=chart, alternative=description, heading=str(reading), choice=str(reading)))
    first = effects.loc[effects["reading"] == effects["reading"].iloc[0]]
    low, high = first.loc[first["difference"].idxmin()], first.loc[first["difference"].idxmax()]
    where = [f"{signed(row['difference'])} ({series_phrase(str(row['series']))}, {count(row['finetune_images'])} labels)" for row in (low, high)]
    stage = "Pre-training" if name == "pretraining" else "The intermediate stage"
    same = "the same labels" if name == "pretraining" else "the same pre-training and labels"
    baseline = f"the cell {'from scratch' if name == 'pretraining' else 'without the intermediate stage'} with {same}"
    columns = [one for one in effects.columns if one not in ("series", "panel", "factor", "baseline")]
    figure = Figure(
        identity=f"figure-{name}",
        claim=f"{stage} changes mIoU by {signed(low['difference'])} to {signed(high['difference'])}",
        subtitle=f"Each point is the difference of a cell's mean to that of {baseline}. Bars: {percent(LEVEL)} intervals of each difference "
        "alone, spreads of so few runs drawn towards the common one; the switch chooses the reading of the spread. Above the line at zero, the "
        "stage helps. Sizes are evenly spaced.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(f"The ends are {where[0]} and {where[1]}.",),
        tables=(make_table(effects[columns], caption="Effects (the points and bars)", file_name=f"{name}_effects.csv"),),
    )
    return Section(identity=name, heading=heading, figures=(figure,))


def _counted(part: pd.DataFrame) -> str:
    """How many intervals lie on which side of zero, and how many tests survive Holm, from a table
    of effects.
    """
    above, below = int((part["low"] > 0).sum()), int((part["high"] < 0).sum())
    text = f"of {len(part)} differences, {above} have an interval above zero and {below} below"
    if "p_holm" not in part.columns:
        return text
    survive = int((part["p_holm"].astype(float) < 1 - LEVEL).sum())
    return f"{text}; {survive} survive Holm's correction"


def _returns(found: CellStatistics) -> Section:
    steps = found.steps.loc[found.steps["reading"] == READINGS[0]]
    domain = padded_domain(steps["gain"], steps["low"], steps["high"], [0.0])
    panels = []
    for number, panel in enumerate(panels_of(steps, found.panels)):
        part = steps.loc[steps["panel"] == panel]
        phrases = []
        for series, own in part.groupby("series", sort=False):
            phrases.append(
                f"{series_phrase(str(series))} {signed(own['gain'].iloc[0])} at the first step and {signed(own['gain'].iloc[-1])} at the last"
            )
        description = f"mIoU per doubling of labels ({panel}): {'; '.join(phrases)}."
        panels.append(
            Panel(
                identity=f"returns-{number}",
                chart=gain_per_doubling(part, series_names=found.series_names, y_domain=domain),
                alternative=description,
                heading=panel,
            )
        )
    ends = steps.loc[steps["panel"] == steps["panel"].iloc[0]]
    first, last = (ends.loc[ends["step"] == step, "gain"] for step in (ends["step"].iloc[0], ends["step"].iloc[-1]))
    figure = Figure(
        identity="figure-returns",
        claim=f"A doubling of labels: {signed(first.min())} to {signed(first.max())} mIoU first, {signed(last.min())} to {signed(last.max())} last",
        subtitle=f"Difference of neighbouring cell means, divided by the doublings of labels between them. Bars: {percent(LEVEL)} intervals, "
        f"{READINGS[0]}; those of the other reading are in the table.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(make_table(found.steps, caption="Gain of each step per doubling", file_name="returns.csv"),),
    )
    return Section(identity="returns", heading="What another doubling of labels brings", figures=(figure,))


def _cells(published: Published, found: CellStatistics) -> Section:
    outcome = published.outcome
    shown = ["pretrain_images", "intermediate", "finetune_images", outcome, f"{outcome}_spread", "n_runs"]
    table = found.table.drop(columns=["series", "panel"])
    known = table[f"{outcome}_spread"].to_numpy(dtype=float)
    paragraphs = (f"The printed spread within a cell lies between {known.min():.2g} and {known.max():.2g}, median {np.median(known):.2g}.",)
    return Section(
        identity="cells",
        heading="All cells",
        paragraphs=paragraphs,
        tables=(make_table(table, caption="Cells as published, in shares of 1; the CSV has every column", file_name="cells.csv", shown=shown),),
    )
