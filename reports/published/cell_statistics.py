"""What analysis says about published cells, asked once: intervals of the means, gains by step,
laws, and effects of the two stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis import AnalysisError, fit
from analysis.claims.claim_table import READINGS, ClaimTable, prepare
from analysis.claims.contrasts import contrast
from analysis.published.load import Published
from reports.evidence import LEVEL as LAW_LEVEL
from reports.evidence import SeriesLaw
from reports.series import ordered_panels, ordered_series, with_series
from reports.theme import count

LEVEL = 0.95
MARGIN = 0.01
"""Asked for by analysis, and not used for anything shown here."""


@dataclass(frozen=True, kw_only=True)
class CellStatistics:
    """Finished tables for the figures of a published table of cells."""

    table: pd.DataFrame
    """The published cells, with the columns series and panel."""
    series_names: tuple[str, ...]
    panels: tuple[str, ...]
    means: pd.DataFrame
    """One row a cell and reading of the spread: panel, series, finetune_images, reading, mean, low,
    high, note.
    """
    steps: pd.DataFrame
    """One row a cell with a next larger size, and reading: panel, series, step, reading, gain (per
    doubling of labels), low, high, p, note.
    """
    laws: tuple[SeriesLaw, ...]
    pretraining: pd.DataFrame | None
    """Effects against training from scratch, by reading: panel, series, finetune_images, reading,
    difference, low, high, p, p_holm, note.
    """
    intermediate: pd.DataFrame | None
    """Effects of the intermediate stage, in the same columns."""
    reasons: dict[str, str]
    """Why a result is None, by the field's name."""


def cell_statistics(published: Published) -> CellStatistics:
    """Ask analysis everything that the figures of a published table of cells show."""
    claim_table = prepare(published, outcome=None, level=LEVEL, margin=MARGIN)
    table = with_series(claim_table.table, claim_table.table)
    reasons: dict[str, str] = {}
    return CellStatistics(
        table=table,
        series_names=tuple(ordered_series(table)),
        panels=tuple(ordered_panels(table)),
        means=_means(claim_table, table),
        steps=_steps(claim_table, table),
        laws=_laws(claim_table, table),
        pretraining=_effects("pretraining", claim_table, table, reasons),
        intermediate=_effects("intermediate", claim_table, table, reasons),
        reasons=reasons,
    )


def _means(claim_table: ClaimTable, table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for spread in claim_table.readings:
        for place, row in enumerate(table.to_dict("records")):
            found = contrast(claim_table, {int(claim_table.cell[place]): 1.0}, spread=spread)
            names = {"panel": row["panel"], "series": row["series"], "finetune_images": row["finetune_images"], "reading": READINGS[spread]}
            rows.append({**names, "mean": found.value, "low": found.low, "high": found.high, "note": found.note})
    return pd.DataFrame(rows)


def _steps(claim_table: ClaimTable, table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    cells = table.assign(cell=claim_table.cell)
    for spread in claim_table.readings:
        for (panel, series), part in cells.groupby(["panel", "series"], sort=False):
            ordered = part.sort_values("finetune_images").to_dict("records")
            for before, after in pairwise(ordered):
                low, high = (float(one["finetune_images"]) for one in (before, after))
                per = 1.0 / float(np.log2(high / low))
                found = contrast(claim_table, {int(after["cell"]): per, int(before["cell"]): -per}, spread=spread)
                step = f"{count(low)} → {count(high)}"
                row = {"panel": panel, "series": series, "step": step, "reading": READINGS[spread], "gain": found.value}
                rows.append({**row, "low": found.low, "high": found.high, "p": found.p, "note": found.note})
    return pd.DataFrame(rows)


def _laws(claim_table: ClaimTable, table: pd.DataFrame) -> tuple[SeriesLaw, ...]:
    """A power law with an offset for each series and panel, its cells weighted by standard errors.

    A spread of three runs is far too unsure to weigh by (they differ hundredfold): each is first
    drawn towards the common one. Whether spreads are SD or SE changes all of them by one factor,
    which the weights do not see.
    """
    from analysis.significance.cell_variances import cell_variances

    variance, df = claim_table.variances("sd")
    drawn = np.sqrt(cell_variances(variance, df, how="moderated").variance)
    drawn = np.where(np.isfinite(drawn), drawn, np.nanmedian(drawn)) if np.isfinite(drawn).any() else np.ones(len(drawn))
    laws = []
    for panel in ordered_panels(table):
        for series in ordered_series(table):
            here = ((table["panel"] == panel) & (table["series"] == series)).to_numpy()
            if not here.any():
                continue
            part = table.loc[here]
            try:
                fitted = fit(part["finetune_images"], part[claim_table.outcome], law="power", sigma=drawn[here], level=LAW_LEVEL)
            except AnalysisError as error:
                laws.append(SeriesLaw(panel=panel, series=series, fit=None, reason=str(error)))
                continue
            unclear = fitted.status == "not identified"
            reason = (fitted.status_detail or "The cells cannot tell the law's parameters.") if unclear else ""
            laws.append(SeriesLaw(panel=panel, series=series, fit=fitted, reason=reason))
    return tuple(laws)


def _effects(name: str, claim_table: ClaimTable, table: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame | None:
    """The effects of a stage under each reading, with series and panel of the cells that had the
    treatment.
    """
    from analysis.significance.summaries import summary_intermediate_effects, summary_pretraining_effects

    question: Callable[..., Any] = summary_pretraining_effects if name == "pretraining" else summary_intermediate_effects
    parts = []
    for spread in claim_table.readings:
        try:
            found = question(claim_table.table, outcome=claim_table.outcome, spread=spread, level=LEVEL)
        except AnalysisError as error:
            reasons[name] = str(error)
            return None
        parts.append(found.table.assign(reading=READINGS[spread]))
    effects = pd.concat(parts, ignore_index=True)
    column = "pretrain_images" if name == "pretraining" else "intermediate"
    effects = effects.rename(columns={"treatment": column}) if "treatment" in effects.columns else effects
    shared = [one for one in ("pretrain_images", "intermediate", "finetune_images") if one in effects.columns]
    # A setting that the effects do not name is the same for all of them: that of the comparison.
    staged = table if "intermediate" in effects.columns else table.loc[table["intermediate"] == "none"]
    cells = staged.drop_duplicates(shared)[[*shared, "series", "panel"]]
    return effects.drop(columns=[one for one in ("series", "panel") if one in effects.columns]).merge(cells, on=shared, how="left")
