"""Cells with runs from scratch, pre-trained, and with the stage: from raw runs or a table of means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.formatting import format_setting
from analysis.runs.matching import SETTINGS
from analysis.runs.table import numeric_column, require_columns
from analysis.significance.summaries import Spread, checked_spreads

Array = NDArray[np.float64]
KEYS = ("pretrain_images", "finetune_images")
NEEDED = (*KEYS, "intermediate")


@dataclass(frozen=True, kw_only=True)
class SeedCells:
    """Raw runs of the three kinds, complete over the seeds kept."""

    cells: pd.DataFrame
    """pretrain_images and finetune_images of each cell."""
    outcomes: Array
    """Outcome with the stage, pre-trained only, and from scratch: shape (3, seeds, cells)."""
    note: str
    """What was left out, and what the result is conditional on."""


@dataclass(frozen=True, kw_only=True)
class MeanCells:
    """Means of the three kinds with their error variances."""

    cells: pd.DataFrame
    """pretrain_images and finetune_images of each cell."""
    means: Array
    """Every mean once, shape (means,): a scratch mean serves every size of its label count."""
    place: NDArray[np.int64]
    """Which mean is each cell's intermediate, pre-trained and scratch mean: shape (3, cells)."""
    variance: Array
    """Squared standard error of each mean, shape (means,)."""
    df: Array
    """Degrees of freedom of those, shape (means,)."""
    note: str
    """What was left out."""


def chosen_stage(table: pd.DataFrame, intermediate: str | None) -> str:
    """The intermediate stage to study: the one named, or the only one. Raises AnalysisError."""
    require_columns(table, NEEDED, where="the table")
    stages = sorted({str(one) for one in table["intermediate"].dropna().tolist() if one != "none"})
    if intermediate is None and len(stages) == 1:
        return str(stages[0])
    if intermediate not in stages:
        asked = f"intermediate is {intermediate!r}" if intermediate else "intermediate= is not given"
        raise AnalysisError(f"{asked}, and the table's stages are {', '.join(stages) or 'none'}: name one of them.")
    return str(intermediate)


def seed_cells(runs: pd.DataFrame, *, stage: str, outcome: str) -> SeedCells:
    """Collects the cells from raw runs.

    Raises AnalysisError where several runs have one cell and seed, or fewer than two seeds have
    three cells in common.
    """
    values = numeric_column(runs, outcome, where="the runs table")
    kinds = [_wide(runs.assign(**{outcome: values}), kind, outcome) for kind in _kinds(runs, stage)]
    sizes = kinds[0].index.intersection(kinds[1].index)
    there = [one for one in sizes if one[1] in set(kinds[2].index.get_level_values(1))]
    seeds = sorted(set.intersection(*(set(kind.columns) for kind in kinds)))
    scratch = kinds[2].droplevel(0)
    stack = np.full((3, len(seeds), len(there)), np.nan)
    for place, kind in enumerate((kinds[0], kinds[1])):
        stack[place] = kind.loc[there, seeds].to_numpy().T
    stack[2] = scratch.loc[[label for _, label in there], seeds].to_numpy().T
    complete = np.isfinite(stack).all(axis=0)
    rows, columns = _block(complete)
    if len(rows) < 2 or len(columns) < 3:
        raise AnalysisError(
            f"only {len(rows)} seeds have {len(columns)} cells with all three kinds of runs in common ('{stage}', pre-trained only, from scratch): a "
            f"slope freed of noise needs at least 2 seeds and 3 cells; run more, or give a table of means with their spread."
        )
    notes = []
    if len(rows) < len(seeds) or len(columns) < len(there):
        notes.append(f"{len(seeds) - len(rows)} seeds and {len(there) - len(columns)} cells without all kinds in the others left out")
    if "pretrain_id" in runs.columns:
        trained = runs[runs["pretrain_images"] != 0]
        if (trained.groupby("pretrain_images")["pretrain_id"].nunique() < trained.groupby("pretrain_images")["seed"].nunique()).any():
            notes.append("seeds share pre-trainings, so the result is conditional on those")
    cells = pd.DataFrame([there[one] for one in columns], columns=list(KEYS))
    return SeedCells(cells=cells, outcomes=stack[:, rows][:, :, columns], note="; ".join(notes))


def mean_cells(cells: pd.DataFrame, *, stage: str, outcome: str, spread: Spread, n: str) -> MeanCells:
    """Collects the cells from a table of means.

    Raises AnalysisError where fewer than three cells have all three kinds of runs with a spread.
    """
    mean, sd, runs = checked_spreads(cells, outcome=outcome, spread=spread, n=n)
    kinds = [_positions(cells[kind], np.flatnonzero(kind)) for kind in _kinds(cells, stage)]
    scratch = {label: position for (_, label), position in kinds[2].items()}
    full = [key for key in sorted(kinds[0]) if key in kinds[1] and key[1] in scratch]
    known = np.isfinite(mean) & np.isfinite(sd) & (runs > 1)
    kept = [key for key in full if known[[kinds[0][key], kinds[1][key], scratch[key[1]]]].all()]
    if len(kept) < 3:
        raise AnalysisError(
            f"only {len(kept)} cells have all three kinds of runs ('{stage}', pre-trained only, from scratch) with a spread over 2 or more runs: a "
            f"slope needs at least 3 such cells."
        )
    place = np.array([[kinds[0][key] for key in kept], [kinds[1][key] for key in kept], [scratch[key[1]] for key in kept]])
    used, position = np.unique(place, return_inverse=True)
    left, exact = len(full) - len(kept), int((sd[used] == 0.0).sum())
    notes = [f"{left} cells without a spread left out"] if left else []
    notes += [f"{exact} means with a spread of zero taken as exact"] if exact else []
    return MeanCells(
        cells=pd.DataFrame(kept, columns=list(KEYS)),
        means=mean[used],
        place=position.reshape(place.shape).astype(np.int64),
        variance=sd[used] ** 2 / runs[used],
        df=runs[used] - 1.0,
        note="; ".join(notes),
    )


def _kinds(table: pd.DataFrame, stage: str) -> list[pd.Series]:
    trained = table["pretrain_images"] > 0
    return [trained & (table["intermediate"] == stage), trained & (table["intermediate"] == "none"), ~trained & (table["intermediate"] == "none")]


def _wide(runs: pd.DataFrame, kind: pd.Series, outcome: str) -> pd.DataFrame:
    chosen = runs[kind]
    twice = chosen.duplicated([*KEYS, "seed"])
    if twice.any():
        differing = [name for name in SETTINGS if name in chosen.columns and name not in (*KEYS, "seed") and chosen[name].nunique(dropna=False) > 1]
        raise AnalysisError(
            f"several runs stand for {_format_cell(chosen[twice].iloc[0])}: give the runs of one setting of "
            f"{', '.join(differing) or 'each cell and seed'} at a time."
        )
    return chosen.pivot(index=list(KEYS), columns="seed", values=outcome)


def _positions(chosen: pd.DataFrame, positions: Any) -> dict[tuple[Any, Any], int]:
    keys = list(zip(chosen["pretrain_images"].tolist(), chosen["finetune_images"].tolist(), strict=True))
    if len(set(keys)) < len(keys):
        raise AnalysisError(
            f"several means stand for {_format_cell(chosen[chosen.duplicated(list(KEYS))].iloc[0])}: give one encoder and recipe at a time."
        )
    return dict(zip(keys, (int(one) for one in positions), strict=True))


def _format_cell(row: pd.Series) -> str:
    return f"{format_setting(row['pretrain_images'])} pre-training images and {format_setting(row['finetune_images'])} labels"


def _block(complete: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Seeds and cells of the largest complete block, by cells x (seeds - 1).

    Considers the seeds with the most cells first.
    """
    order = np.argsort(-complete.sum(axis=1), kind="stable")
    choices = [(np.sort(order[:k]), np.flatnonzero(complete[order[:k]].all(axis=0))) for k in range(2, len(order) + 1)]
    if not choices:
        return list(range(len(order))), np.flatnonzero(complete.all(axis=0)).tolist() if len(order) else []
    rows, columns = max(choices, key=lambda one: len(one[1]) * (len(one[0]) - 1))
    return rows.tolist(), columns.tolist()
