"""Figure of pre-training size and fine-tuning size: the scores, the law over both, its residuals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import AnalysisError, SurfaceFit
from analysis.claims.claim_table import prepare
from analysis.claims.law import LAW, SECOND_LAW, surface
from analysis.formatting import percent
from reports.charts.surface import score_surface
from reports.evidence import Evidence, focused
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.score import Score
from reports.series import rest_of
from reports.theme import NO_PRETRAINING, count, decimals, signed
from reports.wording import sentence, title

LEVEL = 0.95
MARGIN = 0.01
"""Asked for by analysis, and not used for anything shown here."""
MOST_GRIDS = 4
NAMES = {LAW: "effective data transferred", SECOND_LAW: "multiplicative law"}


@dataclass(frozen=True, kw_only=True)
class SurfaceGrid:
    """The cells of both sizes that agree in all else, with the laws of their error."""

    score: str
    """What the score is called."""
    name: str
    """What they agree in, in words; '' where there is nothing to say."""
    cells: pd.DataFrame
    """pretrain_images, finetune_images, mean, n."""
    laws: dict[str, SurfaceFit]
    """By the law's name; without those that could not be fitted."""
    reason: str
    """Why there is no law at all, or ''."""


def surface_figure(evidence: Evidence) -> Figure | str:
    """A heat map of the scores for each grid of two sizes, and beside it what a law of both leaves
    over.
    """
    evidence = focused(evidence)
    every = [part for part in _parts(evidence) if part[1]["pretrain_images"].nunique() > 1 and part[1]["finetune_images"].nunique() > 1]
    if not every:
        return "It takes two pre-training sizes (scratch counted) and two numbers of labels that agree in all else."
    grids = [_grid(name, part, evidence.score) for name, part in every[:MOST_GRIDS]]
    domain = min(float(one.cells["mean"].min()) for one in grids), max(float(one.cells["mean"].max()) for one in grids)
    panels, law_panels, tables, notes = [], [], [], []
    for number, one in enumerate(grids):
        where = f" ({one.name})" if one.name else ""
        chart = score_surface(one.cells.rename(columns={"mean": "value"}), value_title=f"mean {one.score}", domain=domain)
        heading = f"Mean {one.score}{where}"
        panels.append(Panel(identity=f"surface-{number}", chart=chart, alternative=_described(one, heading), heading=heading))
        law = drawn_law(one)
        if law is not None:
            left = residuals(one, law)
            shown = left.assign(value=100 * left["residual"])
            chart = score_surface(shown, value_title=f"hundredths of {one.score} above the law", is_signed=True, places=1)
            heading = f"Above the law of {NAMES[law.law]}, in hundredths{where}"
            law_panels.append(Panel(identity=f"surface-law-{number}", chart=chart, alternative=_left_over(left, heading), heading=heading))
        notes += _notes(one, where)
        for name, fitted in one.laws.items():
            suffix = f"{number}_{name}"
            tables.append(
                make_table(parameters(fitted), caption=f"{NAMES[name].capitalize()}{where}: parameters", file_name=f"surface_law_{suffix}.csv")
            )
            tables.append(make_table(residuals(one, fitted), caption=f"The same: fitted values{where}", file_name=f"surface_fitted_{suffix}.csv"))
    notes.insert(0, sentence(_claim(grids[0])))
    panels += law_panels  # after all means, so that these stand beside each other; one grid has its law beside it
    if len(every) > len(grids):
        notes.append(f"{len(grids)} of {len(every)} grids are drawn, the first in the order of the page.")
    cells = pd.concat([one.cells.assign(grid=one.name, over_smallest=one.cells["mean"] - _smallest(one)) for one in grids], ignore_index=True)
    has_law = any(drawn_law(one) is not None for one in grids)
    law_note = (
        f"The law of the error, 1 − {evidence.score.title}, in pre-training images P and labels F is fitted to the runs without an intermediate "
        f"stage; its parameters have {percent(LEVEL)} intervals, a bootstrap over pre-trainings, in the tables below."
        if has_law
        else "No law of both sizes is drawn; the notes say why."
    )
    return Figure(
        claim=_title(grids),
        subtitle=f"Each tile is the mean of one cell ({_counted(cells['n'])}). {law_note} Sizes are evenly spaced.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(make_table(cells, caption="Means of the cells (the tiles)", file_name="surface_cells.csv"), *tables),
    )


def _parts(evidence: Evidence) -> Iterator[tuple[str, pd.DataFrame]]:
    """The runs of each panel and kind of pre-training, with the runs from scratch, which had none."""
    for panel in evidence.panels:
        runs = evidence.runs.loc[evidence.runs["panel"] == panel]
        rests = list(dict.fromkeys(rest_of(series) for series in evidence.series_names if series != NO_PRETRAINING))
        kinds = np.array([rest_of(str(series)) for series in runs["series"]], dtype=object)
        scratch = (runs["series"] == NO_PRETRAINING).to_numpy()
        for rest in rests:
            yield ", ".join(one for one in (panel, rest) if one), runs.loc[scratch | (kinds == rest)]


def _grid(name: str, runs: pd.DataFrame, score: Score) -> SurfaceGrid:
    grouped = runs.groupby(["pretrain_images", "finetune_images"], sort=True)[score.column]
    cells = pd.DataFrame({"mean": grouped.mean(), "n": grouped.size()}).reset_index()
    laws, reasons = {}, []
    material = prepare(runs.drop(columns=["series", "panel"]), outcome=score.column, level=LEVEL, margin=MARGIN)
    if (runs["intermediate"] != "none").all():
        return SurfaceGrid(score=score.title, name=name, cells=cells, laws={}, reason="The law is asked of the runs without an intermediate stage.")
    for law in (LAW, SECOND_LAW):
        try:
            laws[law] = surface(material, law)
        except AnalysisError as error:
            reasons.append(str(error))
    return SurfaceGrid(score=score.title, name=name, cells=cells, laws=laws, reason="" if laws else sentence(reasons[0]))


def drawn_law(grid: SurfaceGrid) -> SurfaceFit | None:
    """The first law that converged, else the first that the data can tell at all; None where there
    is none.
    """
    for wanted in (("converged",), ("converged", "at bound")):
        for law in grid.laws.values():
            if law.status in wanted:
                return law
    return None


def residuals(grid: SurfaceGrid, law: SurfaceFit) -> pd.DataFrame:
    """Each cell's mean beside what the law says: pretrain_images, finetune_images, mean, law, low,
    high, residual, all of them scores.
    """
    fitted = law.predict(grid.cells[["pretrain_images", "finetune_images"]].to_numpy(dtype=float))
    table = grid.cells[["pretrain_images", "finetune_images", "mean"]].assign(law=1.0 - fitted.mean, low=1.0 - fitted.high, high=1.0 - fitted.low)
    return table.assign(residual=table["mean"] - table["law"])


def parameters(law: SurfaceFit) -> pd.DataFrame:
    """One row a parameter: parameter, value, low, high, and the fit's status."""
    rows = [(name, value, *(law.intervals[name] or (np.nan, np.nan)), law.status) for name, value in law.params.items()]
    return pd.DataFrame(rows, columns=["parameter", "value", "low", "high", "status"])


def _notes(grid: SurfaceGrid, where: str) -> list[str]:
    if not grid.laws:
        return [sentence(f"No law of both sizes{where}: {grid.reason}")]
    notes = []
    for name, law in grid.laws.items():
        if law.status != "converged":
            notes.append(sentence(f"{NAMES[name].capitalize()}{where} is {law.status}: {law.status_detail}"))
    return notes


def _title(grids: Sequence[SurfaceGrid]) -> str:
    """`_claim` in few words, without where it starts; of several grids the range over those with
    the corners of the first.
    """
    first = grids[0]
    size, labels = (float(first.cells[name].max()) for name in ("pretrain_images", "finetune_images"))
    like = [grid for grid in grids if _corners(grid) == _corners(first)]
    gains = np.array([_gains(grid) for grid in like])
    gains = gains[np.isfinite(gains).all(axis=1)]
    if not len(gains):
        return f"Mean {first.score} is at most {decimals(max(float(grid.cells['mean'].max()) for grid in grids))}"
    alone = [" to ".join(dict.fromkeys((signed(one.min()), signed(one.max())))) for one in gains.T]
    if len(gains) < len(grids):
        return f"Pre-training: {alone[0]} {first.score}, labels: {alone[1]} ({len(gains)} of {len(grids)} grids)"
    whole = f"{count(size)} pre-training images bring {alone[0]} {first.score}, {count(labels)} labels {alone[1]}"
    return title(f"{whole}, both {alone[2]}", whole, f"Pre-training: {alone[0]} {first.score}, labels: {alone[1]}")


def _corners(grid: SurfaceGrid) -> list[float]:
    """The least and the most of both sizes."""
    return [float(end) for name in ("pretrain_images", "finetune_images") for end in (grid.cells[name].min(), grid.cells[name].max())]


def _gains(grid: SurfaceGrid) -> list[float]:
    """What the most pre-training, the most labels and both bring over the least of both."""
    low, high, few, many = _corners(grid)
    corner = _mean_at(grid.cells, low, few)
    return [_mean_at(grid.cells, *ends) - corner for ends in ((high, few), (low, many), (high, many))]


def _claim(grid: SurfaceGrid) -> str:
    """The corners of the first grid: what the most pre-training and the most labels bring, alone
    and together.
    """
    low, high = (float(end) for end in (grid.cells["pretrain_images"].min(), grid.cells["pretrain_images"].max()))
    few, many = (float(end) for end in (grid.cells["finetune_images"].min(), grid.cells["finetune_images"].max()))
    start = "scratch" if low == 0 else f"{count(low)} pre-training images"
    where = f" ({grid.name})" if grid.name else ""
    gains = _gains(grid)
    if not np.isfinite(gains).all():
        best = grid.cells.iloc[int(grid.cells["mean"].to_numpy().argmax())]
        return f"Mean {grid.score} is highest, {decimals(best['mean'])}, at {count(best['finetune_images'])} labels{where}"
    return (
        f"From {start} and {count(few)} labels, {count(high)} pre-training images bring {signed(gains[0])} {grid.score}, {count(many)} labels "
        f"{signed(gains[1])}, and both {signed(gains[2])}{where}"
    )


def _smallest(grid: SurfaceGrid) -> float:
    """The mean of the cell with the least pre-training and the fewest labels, from which the claim
    counts; NaN where no run has both.
    """
    return _mean_at(grid.cells, float(grid.cells["pretrain_images"].min()), float(grid.cells["finetune_images"].min()))


def _mean_at(cells: pd.DataFrame, pretrained: float, labels: float) -> float:
    there = cells.loc[(cells["pretrain_images"] == pretrained) & (cells["finetune_images"] == labels), "mean"]
    return float(there.iloc[0]) if len(there) else float("nan")


def _counted(runs: pd.Series) -> str:
    low, high = (count(end) for end in (runs.min(), runs.max()))
    return "one run" if high == "1" else f"{high} runs" if low == high else f"{low} to {high} runs"


def _described(grid: SurfaceGrid, heading: str) -> str:
    rows = []
    for size, part in grid.cells.groupby("pretrain_images", sort=True):
        values = ", ".join(f"{decimals(row['mean'])} at {count(row['finetune_images'])} labels" for _, row in part.iterrows())
        rows.append(f"{count(float(str(size)))} pre-training images: {values}")
    return f"{heading}. {'; '.join(rows)}."


def _left_over(left: pd.DataFrame, heading: str) -> str:
    furthest = left.iloc[int(left["residual"].abs().to_numpy().argmax())]
    return (
        f"{heading}. Largest residual {signed(100 * furthest['residual'], 1)} at {count(furthest['pretrain_images'])} pre-training images and "
        f"{count(furthest['finetune_images'])} labels; root mean square {decimals(100 * float(np.sqrt((left['residual'] ** 2).mean())), 2)}."
    )


register(SectionKind(name="surface", heading="Pre-training size against number of labels", place=100, folded=True))
register(
    FigureKind(
        name="surface",
        section="surface",
        place=10,
        title="Pre-training size against number of labels",
        draws="the mean score of each cell of both sizes, and what the law of both leaves over",
        build=surface_figure,
    )
)
