"""Sentences of analysis, which speak of x and y, in the names of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pandas as pd

from analysis.formatting import percent
from reports.table.question import TableQuestion
from reports.theme import decimals, signed
from reports.wording import sentence


def named(text: str, question: TableQuestion, more: Mapping[str, str] | None = None) -> str:
    """A sentence with x and y called what the table calls them."""
    words = {"x": question.x_title, "y": question.y_title, **(more or {})}
    parts = re.split(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?![\w^-])", text)
    text = "".join(words.get(part, part) for part in parts)
    text = re.sub(r"\d(?:\.\d+)?e[+]\d+", lambda found: size(float(found[0])), text)
    written = sentence(text)
    return text[:1] + written[1:] if text.startswith(tuple(words.values())) else written  # a column keeps its name as it is


def titled(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """A table with some columns under the names of the file, by our names; a column of ours that has
    such a name already is called 'NAME (report)'.
    """
    taken = {name: f"{name} (report)" for name in table.columns if name in titles.values() and name not in titles}
    return table.rename(columns={**taken, **titles})


def size(value: float) -> str:
    """12000 -> '12,000'; 0.001 stays as it is."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


FAR: Final = 4.0
"""How many times the largest size a size is no longer printed: it is a law's, and not the data's."""


def is_far(value: float, largest: float) -> bool:
    """Whether a size lies far beyond the largest that was measured, or nowhere."""
    return not value <= FAR * largest


def beyond(largest: float) -> str:
    """What stands in the place of a size far beyond the largest measured."""
    return f"beyond the data (largest: {size(largest)})"


def rounded(value: float) -> str:
    """A size with three digits: '4,870'."""
    return size(float(f"{value:.3g}"))


def spread_of(question: TableQuestion) -> float:
    """The range of the scores, for the number of digits."""
    y = question.runs[question.y].astype(float)
    return float(y.max() - y.min())


def score(value: float, spread: float) -> str:
    """A score with the digits that a spread of the scores justifies."""
    return decimals(value, places_for(spread))


def change(value: float, spread: float) -> str:
    """A difference of scores likewise, its sign always shown."""
    return signed(value, places_for(spread))


def places_for(spread: float) -> int:
    """Decimals at which a hundredth of a spread can be seen: 3 for 0.3, 1 for 30; at most 6."""
    places = 0
    while places < 6 and spread > 0 and 10.0**-places > spread / 100.0:
        places += 1
    return places


def interval(low: float, high: float, spread: float, *, level: float) -> str:
    """'95% interval +0.01 to +0.03'."""
    return f"{percent(level)} interval {change(low, spread)} to {change(high, spread)}"
