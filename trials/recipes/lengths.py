"""Training lengths in any unit, turned into optimiser steps by one function."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from trials.errors import InputError

_UNITS = {"epoch": "epochs", "step": "steps", "image": "images"}
_MULTIPLIERS = {"": 1, "k": 1_000, "m": 1_000_000}
LENGTH_PATTERN = r"^\s*([0-9]*\.?[0-9]+)\s*([kM]?)\s*(epochs?|steps?|images?)\s*$"
"""What a length looks like, for Python and for JSON Schema."""
MOST_CHARACTERS = 60
"""The pattern takes quadratic time on a long row of digits."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """A training length. `images` are image passes: a picture shown twice counts twice."""

    value: float
    unit: str

    def steps(self, *, subset_images: int, batch_images: int, short_last_batch: bool = False) -> int:
        """Optimiser steps, at least 1: batches of `batch_images` needed to show what the length
        asks for, rounded up.

        Only `epochs` depends on the subset: 10 epochs of 4,000 images are 40,000 image passes. With
        `short_last_batch` each of them ends with a batch of what is left, and so takes whole steps.
        """
        if self.unit == "steps":
            return max(1, math.ceil(self.value))
        if self.unit == "epochs" and short_last_batch:
            return max(1, math.ceil(round(self.value * math.ceil(subset_images / batch_images), 9)))
        passes = self.value * subset_images if self.unit == "epochs" else self.value
        # a length such as 0.1 epochs of 30 images is 3.0000000000000004 passes in floating point
        return max(1, math.ceil(round(passes / batch_images, 9)))

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


def parse_length(text: object) -> Length:
    """`'100 epochs'`, `'125k steps'` or `'4M images'` as a Length.

    Raises:
        InputError: the text (of any length) is not a positive number with one of those units.
    """
    match = re.fullmatch(LENGTH_PATTERN, str(text)) if len(str(text)) <= MOST_CHARACTERS else None
    if match is None or not 0 < float(match[1]) <= 1e12:
        raise InputError(
            f"A training length must read like '100 epochs', '125k steps' or '4M images', but it is {str(text)[:60]!r}: give a "
            "positive number and one of these units."
        )
    value = float(match[1]) * _MULTIPLIERS[match[2].lower()]
    return Length(value=value, unit=_UNITS[match[3].rstrip("s")])
