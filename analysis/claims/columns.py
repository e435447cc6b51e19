"""The columns that questions read, in one form; and what must hold before any question is asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.runs.table import numeric_column, require_columns

WHERE = "the table of the study"
COUNTS = ("pretrain_images", "finetune_images", "pretrain_steps", "encoder_params", "intermediate_images", "intermediate_steps", "finetune_steps")
NAMES = (
    "encoder",
    "pretrain_id",
    "trunk_id",
    "intermediate_id",
    "pretrain_source",
    "pretrain_recipe",
    "pretrain_length",
    "intermediate",
    "intermediate_source",
    "finetune_source",
    "finetune_task",
    "finetune_recipe",
)


def plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A copy whose counts are numbers, whose names are plain text, and whose seeds are whole;
    absent stages are 0 images and 'none'.

    Raises AnalysisError for two columns of one name, text among counts, or a seed that is missing
    in some rows alone.
    """
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise AnalysisError(f"{WHERE} has two columns '{twice[0]}': rename or remove one.")
    plain = table.reset_index(drop=True).copy()
    for name in COUNTS:
        if name in plain.columns:
            plain[name] = numeric_column(plain, name, where=WHERE)
    for name in NAMES:
        if name in plain.columns:
            plain[name] = [None if pd.isna(value) else str(value) for value in plain[name].astype("object")]
    plain["pretrain_images"] = plain["pretrain_images"].fillna(0.0) if "pretrain_images" in plain.columns else 0.0
    plain["intermediate"] = ["none" if value is None or value != value else value for value in plain.get("intermediate", ["none"] * len(plain))]
    if "seed" in plain.columns:
        missing = plain["seed"].isna().to_numpy()
        if missing.all():
            return plain.drop(columns="seed")
        if missing.any():
            row = int(np.argmax(missing))
            raise AnalysisError(f"row {row} of {WHERE} has no seed, and others have: give every run its seed, or leave the column out.")
        seeds = plain["seed"].astype("object")
        whole = all(isinstance(value, (int, float, np.integer, np.floating)) for value in seeds)
        plain["seed"] = seeds.astype("float64") if whole else seeds.astype("str")
    return plain


def check_spreads(cells: pd.DataFrame, outcome: str) -> None:
    """Raises AnalysisError where cells do not say how many runs they are of, or a spread or number
    of runs cannot be.
    """
    spread = f"{outcome}_spread"
    if "n_runs" not in cells.columns:
        raise AnalysisError(f"{WHERE} has the spreads '{spread}' and no column 'n_runs': say of how many runs each mean is, or drop the spreads.")
    require_columns(cells, (spread, "n_runs"), where=WHERE)
    spreads, runs = (numeric_column(cells, name, where=WHERE).to_numpy() for name in (spread, "n_runs"))
    for bad, column, values, what in (
        (spreads < 0, spread, spreads, "a spread below zero"),
        (~(runs >= 1) | (runs != np.round(runs)), "n_runs", runs, "not a whole number of runs from 1 on"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise AnalysisError(f"{WHERE}, column '{column}', row {row}: {values[row]:g} is {what}; correct it.")


def check_distinct(table: pd.DataFrame, cell: NDArray[np.int64], kind: str, settings: list[str]) -> None:
    """Raises AnalysisError where two rows stand for one cell, or two runs for one cell and seed."""
    keys = pd.DataFrame({"cell": cell})
    if kind == "runs" and "seed" not in table.columns:
        return  # runs of a cell without seeds are its repetitions
    if kind == "runs":
        keys["seed"] = table["seed"].to_numpy()
    again = keys.duplicated().to_numpy()
    if again.any():
        row = int(np.argmax(again))
        first = int(np.argmax((keys == keys.iloc[row]).all(axis=1).to_numpy()))
        same = ", ".join([*settings, *(["seed"] if kind == "runs" else [])])
        raise AnalysisError(
            f"rows {first} and {row} of {WHERE} are equal in all settings ({same}): keep one of them, or add the column that tells them apart, "
            f"such as pretrain_length."
        )


def is_percent(values: pd.Series) -> bool:
    """Whether scores are in percent rather than shares of 1."""
    return bool(values.max() > 1.5)
