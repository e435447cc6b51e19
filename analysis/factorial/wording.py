"""Levels of an axis in words, and how two of them are compared."""

from __future__ import annotations

import re
from typing import Final

from analysis.formatting import format_setting

ALPHA: Final = 0.05
CHOSEN: Final = "levels that differ most, interval and p corrected for that choice"
"""Ends the note on an axis without an order, whose levels were chosen by their scores."""
THROUGH_LEVELS: Final = "no pair of runs differs in it alone between these levels: the steps over levels in between are added up"
THROUGH_SEEDS: Final = "no pair of runs of one seed differs in it alone: seeds are compared through their other runs"
"""Notes on an axis whose two levels no pair of runs has."""


def named_level(value: object) -> str:
    """A level in a sentence, with its digits separated: '100,000 images'."""
    text = format_setting(value)
    return re.sub(r"(?<![\d.,])\d{5,}(?![\d.])", lambda found: f"{int(found[0]):,}", text)


def at_level(column: str, name: str, value: object) -> str:
    """A level of another axis in words: 'at 60 labels', 'without an intermediate stage'."""
    level = named_level(value)
    if column == "intermediate":
        return "without an intermediate stage" if level == "none" else f"with an intermediate {level} stage"
    if column == "pretraining":
        return "from scratch" if level == "none" else "after pre-training"
    if column == "pretrain_length":  # its images are shown again and again; pre-training images are others
        return f"after {re.sub(r' images$', ' image passes', level)}"
    return f"at {level} {name}" if re.fullmatch(r"[\d,.]+", level) else f"at {level}"


def among_level(column: str, name: str, value: object) -> str:
    """The one level of another axis that runs have: 'at 60 labels', 'with recipe compact'."""
    plain = isinstance(value, (int, float)) or hasattr(value, "dtype")
    return (
        at_level(column, name, value)
        if plain or column in ("intermediate", "pretraining", "pretrain_length")
        else f"with {name} {named_level(value)}"
    )
