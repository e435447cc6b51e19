"""The cells of a table for reading: how a value is written, and whether a column is one of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.formatting import p_value

P_VALUES = ("p", "p_adjusted", "p_holm", "p_bh")
"""Columns that are written as p is in sentences: <0.001, 0.011, 1.00."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell or heading: its text, a style ('number', 'text', 'good', 'warn' or ''), and what a
    heading means.
    """

    text: str
    kind: str = ""
    meaning: str = ""


def kind_of_column(cells: Sequence[Cell]) -> str:
    """'number' if a number stands in the column and nothing else does, so that the heading lines up
    with it.
    """
    numbers = [cell.kind.startswith("number") for cell in cells if cell.text != "–"]
    return "number" if numbers and all(numbers) else ""


def cell_of(value: Any, column: str, marked: dict[str, str]) -> Cell:
    """One value as it is read: counts with separators, four digits of others, p as in sentences.

    `marked` is a style for the cells of a column that are neither zero nor empty.
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return Cell(text="–")
    if isinstance(value, (bool, np.bool_)):
        return Cell(text="yes" if value else "no")
    if isinstance(value, (int, float, np.integer, np.floating)):
        number = float(value)
        if column in P_VALUES:
            return Cell(text=p_value(number).removeprefix("p ").removeprefix("= ").replace("< ", "<"), kind="number")
        # Above 1,000 every whole number is a count of something; a seed or a small count needs no
        # separator either.
        text = f"{number:,.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}".replace("inf", "∞")
        return Cell(text=text.replace("-", "−"), kind=f"number {marked[column]}" if number and column in marked else "number")
    text = str(value)
    return Cell(text=text, kind="text" if len(text) > 40 else marked.get(column, "") if text else "")
