"""The one error that analysis raises, the sentence about a name that does not exist, and None for a
number that does not.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class AnalysisError(ValueError):
    """Something about the data or the call makes the answer impossible; the message says where,
    what, and what to do next.
    """


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A clause that names the known name nearest to `name`, or lists what exists."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def finite(value: float) -> float | None:
    """The number, or None for what JSON cannot hold."""
    return float(value) if math.isfinite(value) else None
