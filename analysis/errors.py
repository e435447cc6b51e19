"""The error that analysis raises, and helpers for its messages."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class AnalysisError(ValueError):
    """The data or the call make the answer impossible; the message says where, what, and what to
    do.
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
