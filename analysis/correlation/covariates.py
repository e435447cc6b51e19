"""Columns held fixed in a partial correlation, as the design of a linear regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.correlation.estimates import Array, ranks
from analysis.runs.table import require_columns

WHERE = "the runs table"
DECADE = 10.0  # largest / smallest from which a positive column is taken as its logarithm


@dataclass(frozen=True, kw_only=True)
class Covariates:
    """The columns that are held fixed."""

    design: dict[str, Array]
    """By method ('pearson', 'spearman'): shape (n, c)."""
    formatted: tuple[str, ...]
    """What was done with each column, such as 'log of pretrain_images' or 'encoder as 3
    categories'.
    """
    names: tuple[str, ...]
    """The columns."""
    table: pd.DataFrame
    """Their values, one row per run."""


def complete(runs: pd.DataFrame, given: Sequence[str]) -> pd.Series:
    """True for each run that has all the columns held fixed, shape (n,).

    Raises AnalysisError for a missing column.
    """
    require_columns(runs, given, where=WHERE)
    there = runs[list(given)].notna().all(axis=1)
    for name in given:
        if _is_number(runs[name]):
            there &= np.isfinite(runs[name].to_numpy(dtype=np.float64, na_value=np.nan))
    return there


def covariates_of(runs: pd.DataFrame, given: Sequence[str]) -> Covariates | None:
    """The design of `given`; None where nothing is given.

    A number is linear, in logarithms where it is positive and spans a decade (its rank for
    Spearman); anything else is one column per category. Constant columns are named and have no
    effect.
    """
    if not given:
        return None
    plain: list[Array] = []
    ranked: list[Array] = []
    formatted = []
    for name in given:
        column = runs[name]
        if _is_number(column):
            values = column.to_numpy(dtype=np.float64)
            low, high = float(values.min()), float(values.max())
            logged = low > 0.0 and high >= DECADE * low
            plain.append((np.log(values) if logged else values)[:, None])
            ranked.append(ranks(values)[:, None])
            formatted.append(f"{name} (constant here)" if low == high else f"log of {name}" if logged else name)
        else:
            codes, found = pd.factorize(column.astype("object"))
            dummies = np.eye(len(found))[codes][:, 1:]
            plain.append(dummies)
            ranked.append(dummies)
            formatted.append(f"{name} as {len(found)} categories" if len(found) > 1 else f"{name} (constant here)")
    design = {"pearson": np.column_stack(plain), "spearman": np.column_stack(ranked)}
    return Covariates(design=design, formatted=tuple(formatted), names=tuple(given), table=runs[list(given)].reset_index(drop=True))


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
