"""What a user can put right: the sentence says where, what and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The grid, the data or the machine is not as it must be; nothing was started."""


class StageError(RuntimeError):
    """A stage could not go on; what it had written stays."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint after an unknown name: the closest known one if there is one, else the whole list."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names) + "."
