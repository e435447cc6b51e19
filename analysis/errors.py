"""The error that analysis raises, and helpers for its messages."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable
from itertools import islice

MOST_CHARACTERS = 500
"""Of a message: names and values in it come from files, and may be of any length."""
TRACEBACK = "SCALING_TRACEBACK"
"""Environment variable: set it to see where an error that no check foresaw was raised."""
_MOST_NAMES = 2000
_MOST_LISTED = 40


class AnalysisError(ValueError):
    """The data or the call make the answer impossible; the message says where, what, and what to
    do.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(sentence))


def shortened(sentence: str) -> str:
    """The sentence on one line, its middle left out where it has more than 500 characters."""
    line = " ".join(sentence.split("\n")).strip() if "\n" in sentence else sentence
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 160]} ... {line[-150:]}"


def unforeseen(what: str, error: Exception) -> str:
    """The sentence about an error that no check foresaw, at the outermost place of a command.

    Raises the error itself where the environment asks for it.
    """
    if os.environ.get(TRACEBACK):
        raise error
    lines = str(error).strip().splitlines() or ["no message"]
    return shortened(f"{what} cannot be used ({type(error).__name__}: {lines[0][:150]}): set {TRACEBACK}=1 to see where, and correct what it names.")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A clause that names the known name nearest to `name`, or lists what exists."""
    names = [str(one)[:100] for one in islice(known, _MOST_NAMES)]
    close = difflib.get_close_matches(str(name)[:100], names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return f"there are: {', '.join(names[:_MOST_LISTED])}{more}" if names else "there are none"


def finite(value: float) -> float | None:
    """The number, or None for what JSON cannot hold."""
    return float(value) if math.isfinite(value) else None
