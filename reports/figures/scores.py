"""Section 1: the score by the number of labelled images, for every series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.formatting import percent
from reports.charts.scores import score_by_labels, score_by_series
from reports.evidence import LEVEL, MOST_POINTS, REACH, Evidence, SeriesLaw, focused
from reports.figures.rows import are_one_chart, as_rows
from reports.page import Figure, Panel, Section, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.series import panels_of, series_phrase, spread_out, usual_sentence
from reports.theme import NO_PRETRAINING, count, decimals, padded_domain
from reports.wording import by_reason, interval_note, joined, measured_on, title

MANY_LAWS = 30
"""From here on laws are drawn through fewer places, for a page that stays small."""
MOST_PANELS = 12
CURVE_COLUMNS = ["panel", "series", "finetune_images", "mean", "low", "high", "extrapolated"]


def scores(evidence: Evidence) -> Figure:
    """The score by fine-tuning images, with each series' law."""
    is_many, evidence = len(evidence.runs) > MOST_POINTS, focused(evidence)
    assert evidence.cells is not None
    curves = law_curves(evidence.laws)
    undrawn = pd.DataFrame([(law.panel, law.series) for law in evidence.laws if law.reason], columns=["panel", "series"])
    means = evidence.cells.merge(undrawn, on=["panel", "series"], how="inner")
    runs, cells, score = evidence.runs, evidence.cells, evidence.score
    if is_many:  # the mean of each cell stands for its runs
        runs = cells.rename(columns={"mean": score.column})
    y_domain = padded_domain(runs[score.column], curves["low"], curves["high"], curves["mean"], means["low"], means["high"])
    # The band of a law that the runs barely determine can reach beyond the bounds of the score.
    y_domain = score.clipped(y_domain)
    is_single = runs["finetune_images"].nunique() == 1
    panels = []
    shown = spread_out(panels_of(runs, evidence.panels), MOST_PANELS)
    places, series_names = shown, list(evidence.series_names)
    points, law_means = runs, means
    if is_single and are_one_chart(runs):
        (points, law_means), series_names = as_rows((runs, means), evidence.panels)
        places = [""]
    for number, panel in enumerate(places):
        drawn = [table.loc[table["panel"] == panel] for table in (points, curves, law_means)]
        if is_single:
            chart = score_by_series(
                drawn[0],
                drawn[2],
                series_names=series_names,
                score=score.column,
                score_title=score.title,
                x_domain=y_domain,
                every_row=set(points["series"]),
            )
        else:
            chart = score_by_labels(
                drawn[0],
                drawn[1],
                drawn[2],
                series_names=evidence.series_names,
                score=score.column,
                score_title=score.title,
                y_domain=y_domain,
                names_at_ends=True,
            )
        description = " ".join(described(cells.loc[cells["panel"] == one], score.title) for one in (shown if places != shown else [panel]))
        panels.append(Panel(identity=f"scores-{number}", chart=chart, alternative=description, heading=panel))
    columns = ["panel", "series", "finetune_images", "seed", score.column, "run_id"]
    tables = [make_table(runs[columns], caption="Runs (the points)", file_name="scores_runs.csv")] if not is_many else []
    if len(curves):
        tables.append(make_table(law_table(evidence.laws), caption="Laws", file_name="scores_laws.csv"))
        tables.append(make_table(curves, caption="Laws along the axis (the lines and bands)", file_name="scores_curves.csv"))
    tables.append(make_table(cells, caption="Means of the cells", file_name="scores_means.csv"))
    return Figure(
        claim=ends_claim(cells, evidence.series_names, score.title),
        subtitle=_subtitle(evidence, is_many, bool(len(curves)), bool(len(means))),
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(_notes(evidence, shown)),
        tables=tuple(tables),
    )


def law_curves(laws: tuple[SeriesLaw, ...]) -> pd.DataFrame:
    """Every drawable law along the axis, in the columns that `score_by_labels` wants.

    The largest measured size stands in twice, once as measured and once as extrapolated, so that
    the solid line and the dashed meet.
    """
    parts = [pd.DataFrame(columns=CURVE_COLUMNS)]
    inner, outer = (40, 12) if len(laws) <= MANY_LAWS else (12, 4)
    for law in laws:
        if law.reason or law.fit is None:
            continue
        inside = np.geomspace(law.fit.x_min, law.fit.x_max, inner)
        # geomspace may miss its own end by one rounding, which would count as extrapolated.
        inside[[0, -1]] = law.fit.x_min, law.fit.x_max
        beyond = np.geomspace(law.fit.x_max, law.fit.x_max * REACH, outer)
        for where, extrapolated in ((inside, False), (beyond, True)):
            frame = law.fit.predict(where).to_frame().rename(columns={"x": "finetune_images"})
            parts.append(frame.assign(panel=law.panel, series=law.series, extrapolated=extrapolated)[CURVE_COLUMNS])
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def law_table(laws: tuple[SeriesLaw, ...]) -> pd.DataFrame:
    """One row a law: its parameters with their intervals, its status, and what qualifies it."""
    rows = []
    for law in laws:
        row: dict[str, object] = {"panel": law.panel, "series": law.series, "status": law.fit.status if law.fit else "none"}
        if law.fit is not None:
            for name, value in law.fit.params.items():
                low, high = law.fit.intervals[name] or (float("nan"), float("nan"))
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            row |= {"n": law.fit.n, "residual_sd": law.fit.residual_sd}
        row["note"] = law.reason or (law.fit.status_detail or law.fit.reason_no_interval if law.fit else "")
        rows.append(row)
    return pd.DataFrame(rows)


def ends_claim(cells: pd.DataFrame, order: tuple[str, ...], score: str = "mIoU") -> str:
    """The title: of one panel the means of scratch and of the only pre-training, at the smallest and
    the largest number of labels; of more the range over all of them.
    """
    first, last = cells["finetune_images"].min(), cells["finetune_images"].max()
    if cells["panel"].nunique() > 1 or cells.loc[cells["series"] != NO_PRETRAINING, "series"].nunique() > 1:
        return _range_claim(cells, first, last, score)
    part = cells
    ends = part.loc[part["finetune_images"].isin([first, last])].pivot(index="series", columns="finetune_images", values="mean").dropna()
    there = [series for series in order if series in ends.index]
    if first == last or not there:
        values = part.loc[part["finetune_images"] == first]
        phrases = [f"{decimals(row['mean'])} {series_phrase(row['series'])}" for _, row in values.iterrows()]
        low, high = values["mean"].min(), values["mean"].max()
        start = f"With {count(first)} labels, {score} is"
        return title(f"{start} {joined(phrases)}", f"{start} {decimals(low)} to {decimals(high)}")
    phrases = [
        f"{'from scratch' if series == NO_PRETRAINING else 'pre-trained'} {decimals(ends.loc[series, first])}–{decimals(ends.loc[series, last])}"
        for series in there
    ]
    return f"{count(first)} to {count(last)} labels: {score} {', '.join(phrases)}"


def _range_claim(cells: pd.DataFrame, first: float, last: float, score: str) -> str:
    """The range of the means over all panels and series, at the most labels where there is scratch to
    compare with, else at both ends.
    """
    most = cells.loc[cells["finetune_images"] == last]
    scratch = most["series"] == NO_PRETRAINING
    if scratch.any() and not scratch.all():
        phrase = f"{_ends(most.loc[scratch])} from scratch, {_ends(most.loc[~scratch])} pre-trained"
        return title(f"With {count(last)} labels mean {score} is {phrase}", f"Mean {score} is {phrase}")
    if first == last:
        return f"With {count(last)} labels, mean {score} is {_ends(most)}"
    fewest = _ends(cells.loc[cells["finetune_images"] == first])
    return title(
        f"Mean {score} is {fewest} at {count(first)} labels, {_ends(most)} at {count(last)}",
        f"Mean {score}: {fewest} at {count(first)}, {_ends(most)} at {count(last)} labels",
    )


def _ends(cells: pd.DataFrame) -> str:
    """'0.306–0.378', the lowest and the highest mean; one number where they are equal."""
    return "–".join(dict.fromkeys((decimals(cells["mean"].min()), decimals(cells["mean"].max()))))


def _subtitle(evidence: Evidence, is_many: bool, has_laws: bool, has_means: bool) -> str:
    each = "one fine-tuned model" if not is_many else "the mean of one cell, as there are too many runs to draw"
    what = f"Each point is {each} ({count(len(evidence.runs))} runs{measured_on(evidence.runs)})"
    if evidence.runs["finetune_images"].nunique() == 1:
        return f"{what}; the axis starts above zero. Long ticks: means, with Student's t intervals ({percent(LEVEL)}) over their runs."
    parts = [f"{what}; both axes start above zero."]
    if has_laws:
        fits = [law.fit for law in evidence.laws if law.fit is not None and not law.reason]
        method = " or ".join(dict.fromkeys(fit.interval_method for fit in fits if fit.interval_method))
        parts.append("Lines are power laws with an offset, y = E + A·n⁻ᵇ, dashed beyond the largest size measured.")
        parts.append(f"{interval_note(method, LEVEL)} Beyond that size they also allow for the law being wrong.")
    if has_means:
        parts.append(
            f"Where there is no law, a thin line joins the means of the cells, with Student's t intervals ({percent(LEVEL)}) over their runs."
        )
    if NO_PRETRAINING in evidence.series_names:
        parts.append("Grey squares: no pre-training.")
    return " ".join(parts)


def described(cells: pd.DataFrame, score: str = "mIoU") -> str:
    """The panel in words: each series' mean at its smallest and largest size."""
    phrases = []
    for series, part in cells.groupby("series", sort=False):
        ends = part.sort_values("finetune_images").iloc[[0, -1]]
        low, high = ends.iloc[0], ends.iloc[-1]
        text = f"{series_phrase(str(series))} {decimals(low['mean'])} at {count(low['finetune_images'])} labels"
        if high["finetune_images"] > low["finetune_images"]:
            text += f" and {decimals(high['mean'])} at {count(high['finetune_images'])}"
        phrases.append(text)
    panel = str(cells["panel"].iloc[0])
    return f"Mean {score}{f' ({panel})' if panel else ''}: {'; '.join(phrases)}."


def _notes(evidence: Evidence, shown: Sequence[str]) -> list[str]:
    """What the figure does not show, and why."""
    notes = [evidence.focus] if evidence.focus else []
    if len(shown) < len(evidence.panels):
        notes.append(f"{len(shown)} of {len(evidence.panels)} panels are drawn; the tables have all.")
    if evidence.not_finite:
        notes.append(f"{evidence.not_finite} finished runs have no finite {evidence.score.title} and are left out everywhere.")
    if usual := usual_sentence(evidence.whole):
        notes.append(usual)
    return [*notes, *law_notes(evidence.laws)]


def law_notes(laws: tuple[SeriesLaw, ...]) -> list[str]:
    """Which laws or bands are not drawn, or drawn with a reservation, and why."""
    named = [(_named(law), law) for law in laws]
    notes = by_reason("No law is drawn", [(name, law.reason) for name, law in named if law.reason], of=len(named))
    drawn = [(name, law.fit) for name, law in named if law.fit is not None and not law.reason]
    notes += by_reason("No band is drawn", [(name, fit.reason_no_interval) for name, fit in drawn if fit.reason_no_interval], of=len(named))
    notes += by_reason("The law holds with a reservation", [(name, fit.status_detail) for name, fit in drawn if fit.status_detail], of=len(named))
    return notes


def _named(law: SeriesLaw) -> str:
    return series_phrase(law.series) + (f" ({law.panel})" if law.panel else "")


def with_heading(evidence: Evidence, section: Section) -> Section:
    """The section under a heading that holds where all runs have the same labels, too."""
    return replace(section, heading="Scores of all runs") if len(evidence.sizes) == 1 else section


register(SectionKind(name="scores", heading="Score by number of labels", place=10, finish=with_heading))
register(
    FigureKind(
        name="scores",
        section="scores",
        place=10,
        title="Score by number of labels",
        draws="every run's score by labelled images, with the law of each series",
        needs=("cells",),
        build=scores,
    )
)
