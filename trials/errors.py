"""What a user can put right: the sentence says where, what and what to do next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


MOST_CHARACTERS = 2000
"""Of a message: what it quotes comes from files and may be of any length. A check of many machines
has a sentence for each.
"""


class InputError(ValueError):
    """The grid, the data or the machine is not as it must be; nothing was started."""

    def __init__(self, sentence: str) -> None:
        # A value quoted from a user's file may hold line breaks or control characters; a sentence
        # is one line.
        short = sentence if len(sentence) <= MOST_CHARACTERS else f"{sentence[: MOST_CHARACTERS - 200]} ... {sentence[-150:]}"
        super().__init__(_UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), short))


class StageError(RuntimeError):
    """A stage could not go on; what it had written stays."""


def error_summary(error: BaseException) -> str:
    """The class of an error and the first line of its message: 'RuntimeError: out of memory'."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def first_cause(error: BaseException) -> str:
    """The summary of the first of all errors that led to this one, then of this one: ending a CUDA
    graph whose recording failed says only that it failed.
    """
    first, seen = error, {id(error)}
    while (earlier := first.__cause__ or first.__context__) is not None and id(earlier) not in seen:
        first = earlier
        seen.add(id(first))
    said, before = error_summary(error), error_summary(first)
    return said if said == before else f"{before} (then {said})"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint after an unknown name: the closest known one if there is one, else the whole list."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names) + "."
