"""The data size from which more data bring less than a margin, and how it moves with length and
model size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data_size.grid import SizeGrid, log_parameters, size_grid
from analysis.data_size.run_error import RunError, run_error
from analysis.data_size.trend import trend_within
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import format_setting, number_of, p_value, percent
from analysis.runs.columns import column_of
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import of_table
from analysis.student import t_quantile

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """The data size where more data stop paying, by cell. Make one with `saturation`."""

    outcome: str
    """The column that is compared."""
    outcome_title: str
    """What sentences call it."""
    margin: float
    """Gain that counts as none, in the unit of the outcome."""
    level: float
    """Nominal coverage of the sets."""
    error: str
    """Where the error of a run comes from, on which the sets rest."""
    table: pd.DataFrame
    """One row per cell: encoder, length, the other settings that vary, n_sizes, saturates_at
    (smallest size after which no larger one gains the margin; images), gain_left (largest gain of a
    larger size over it; missing at the largest), lowest, highest (least and greatest size that
    cannot be excluded), sizes (all of them, a tuple), censored (saturates_at is the cell's largest
    size: the true point may lie beyond), note.
    """
    trends: pd.DataFrame
    """Does the point move: one row per trend ('length' and 'params', over all sizes and over the
    sizes that all encoders have): trend, sizes, doublings (mean change of log2 saturates_at per
    doubling), n_cells, n_units, p (two-sided, exact permutation), least_p (the smallest p that so
    few units can give), note.
    """

    def sentences(self) -> list[str]:
        """One sentence on the cells, then one on each trend."""
        name = self.outcome_title
        censored = int(self.table["censored"].sum())
        sentences = [
            f"At a margin of {self.margin:g} {name}, data pay no more from {_range(self.table['saturates_at'])} images on; in {censored} of "
            f"{number_of(len(self.table), 'cell')} the largest size still pays."
        ]
        for row in list[Any](self.trends.itertuples()):
            what = "longer training" if row.trend == "length" else "bigger models"
            if np.isnan(row.p):
                sentences.append(f"Whether saturation moves with {what} cannot be determined ({row.sizes}): {row.note}.")
            else:
                verdict = "moves" if row.p < 1.0 - self.level else "is not shown to move"
                note = f"; {row.note}" if row.note else ""
                sentences.append(
                    f"Saturation {verdict} with {what} ({row.sizes}): {row.doublings:+z.2f} doublings of data per doubling, {p_value(row.p)}{note}."
                )
        return sentences


def _range(sizes: pd.Series) -> str:
    """The size, or the smallest and the largest by cell."""
    least, most = (format_setting(end) for end in (sizes.min(), sizes.max()))
    return least if least == most else f"{least} (in some cells) to {most}"


@of_table
def saturation(
    runs: pd.DataFrame,
    *,
    margin: float,
    outcome: str | None = None,
    length: str = "pretrain_steps",
    run_sd: float | None = None,
    higher_is_better: bool | None = None,
    level: float = 0.95,
) -> Saturation:
    """Finds in each cell the smallest size that no larger size beats by `margin` or more.

    A cell is an encoder, a length and the other settings that vary.

    A size is excluded if some larger one is shown to gain more than the margin over it (one-sided
    t, Bonferroni over the larger sizes), or if already the size before it is shown to gain less
    than the margin from every larger one (intersection-union). Each at half of 1 - level, so that
    the set of sizes left holds the true one with probability `level` at least; with the margin far
    from every gain it is nearly always right, and covers more. The error of a run is `run_sd`, or
    estimated (see `run_error`). Whether higher values are better is read from the documentation of
    the outcome where `higher_is_better` does not say. Trends are exact permutation tests of the
    point estimates: lengths are permuted within an encoder, whose series they share; parameters are
    permuted over encoders.

    Raises AnalysisError for a margin that is not above zero, a missing column, or fewer than two
    sizes.
    """
    checked_level(level)
    outcome = outcome_of(runs, outcome)
    if not (np.isfinite(margin) and margin > 0.0):
        raise AnalysisError(f"margin is {margin}: give the gain that counts as none, above zero, in the unit of '{outcome}'.")
    grid = size_grid(runs, outcome=outcome, length=length)
    if higher_is_better is None:
        higher_is_better = column_of(runs, outcome).better != "lower"
    sign = 1.0 if higher_is_better else -1.0
    error: RunError | None
    try:
        error = run_error(runs, grid, run_sd=run_sd)
        source = error.source
    except AnalysisError as problem:
        if run_sd is not None:
            raise
        error, source = None, str(problem)
    rows = []
    for key, cell in grid.frame.groupby(grid.cells, sort=True, dropna=False):
        values = cell.groupby("size")["y"].agg(["mean", "size"])
        if len(values) > 1:
            sizes = values.index.to_numpy(float)
            rows.append(
                (*key, len(sizes), *_of_cell(sizes, sign * values["mean"].to_numpy(), values["size"].to_numpy(float), margin, error, level, source))
            )
    if not rows:
        raise AnalysisError(f"no two data sizes share an encoder and a value of '{length}': name another column, or run the missing cells.")
    columns = [*grid.cells, "n_sizes", "saturates_at", "gain_left", "lowest", "highest", "sizes", "censored", "note"]
    table = pd.DataFrame(rows, columns=columns)
    return Saturation(
        outcome=outcome,
        outcome_title=title_of(outcome, runs),
        margin=margin,
        level=level,
        error=source,
        table=table,
        trends=_trends(runs, grid, table, sign, margin),
    )


def point_of(y: Array, margin: float) -> int:
    """Position of the first of the values y (by size, larger is better) over which no later gains
    the margin.
    """
    return next(place for place in range(len(y)) if place == len(y) - 1 or np.max(y[place + 1 :]) - y[place] < margin)


def _of_cell(
    sizes: Array, y: Array, counts: Array, margin: float, error: RunError | None, level: float, source: str
) -> tuple[float, float, float, float, tuple[float, ...], bool, str]:
    place, last = point_of(y, margin), len(y) - 1
    gain = float(np.max(y[place + 1 :]) - y[place]) if place < last else float("nan")
    if error is None:
        return sizes[place], gain, np.nan, np.nan, (), place == last, source
    kept = []
    for one in range(len(y)):
        gains, spread = y[one + 1 :] - y[one], error.sd * np.sqrt(1.0 / counts[one + 1 :] + 1.0 / counts[one])
        # one-sided at (1 - level) / 2, as the two-sided quantile of `level` gives it
        pays_still = one < last and bool(np.any(gains - t_quantile(1.0 - (1.0 - level) / (last - one), error.degrees) * spread > margin))
        paid_off = False
        if one:
            before, spread = y[one:] - y[one - 1], error.sd * np.sqrt(1.0 / counts[one:] + 1.0 / counts[one - 1])
            paid_off = bool(np.all(before + t_quantile(level, error.degrees) * spread < margin))
        if not pays_still and not paid_off:
            kept.append(float(sizes[one]))
    note = f"{percent(level)} set, judged by {source}"
    low, high = (kept[0], kept[-1]) if kept else (np.nan, np.nan)
    return sizes[place], gain, low, high, tuple(kept), place == last, note


def _trends(runs: pd.DataFrame, grid: SizeGrid, table: pd.DataFrame, sign: float, margin: float) -> pd.DataFrame:
    """Trends of the point estimates over length (within encoders) and parameters (over encoders)."""
    logs = log_parameters(runs, grid)
    by_encoder = {} if logs is None else dict(zip(grid.frame["encoder"], logs, strict=True))
    cells = [set(cell["size"]) for _, cell in grid.frame.groupby(grid.cells, dropna=False)]
    common = set.intersection(*cells)
    same = all(one == common for one in cells)
    points = {"all sizes": table.assign(point=np.log2(table["saturates_at"]))}
    if not same and len(common) > 1:
        rows = []
        for key, cell in grid.frame[grid.frame["size"].isin(common)].groupby(grid.cells, dropna=False):
            values = cell.groupby("size")["y"].mean()
            rows.append((*key, np.log2(values.index[point_of(sign * values.to_numpy(), margin)])))
        points[f"the {len(common)} sizes that all cells have"] = pd.DataFrame(rows, columns=[*grid.cells, "point"])
    found = []
    for sizes, one in points.items():
        unequal = "encoders differ in the sizes they were trained on, which moves the point by itself" if not same and sizes == "all sizes" else ""
        label = one["encoder"].astype(str).to_numpy()
        along = np.log2(one["length"].to_numpy(float))
        # all cells of an encoder at one length move together: labels and settings share its series
        means = one.assign(along=along, unit=label).groupby(["unit", "along"], sort=True)["point"].mean().reset_index()
        result = trend_within(means["unit"].to_numpy(), means["along"].to_numpy(), means["point"].to_numpy())
        found.append(("length", sizes, result.slope, len(one), result.units, result.p, result.least_p, result.note))
        if by_encoder:
            balanced = means.groupby("unit")["point"].mean()
            x = np.array([by_encoder[name] for name in balanced.index])
            result = trend_within(np.zeros(len(x)), x, balanced.to_numpy())
            note = "; ".join(part for part in (result.note, unequal) if part)
            found.append(("params", sizes, result.slope, len(one), len(x), result.p, result.least_p, note))
    return pd.DataFrame(found, columns=["trend", "sizes", "doublings", "n_cells", "n_units", "p", "least_p", "note"])
