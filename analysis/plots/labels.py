"""Where labels stand that would lie on each other, and how long names are shortened and stay apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np


def apart(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places as near as may be to those wanted, at least `gap` from each other, between `low` and
    `high` where all have room.
    """
    order = np.argsort(wanted, kind="stable")
    placed = [float(wanted[place]) for place in order]
    for _ in range(200):
        moved = False
        for first in range(len(placed) - 1):
            short = gap - (placed[first + 1] - placed[first])
            if short > 1e-6:
                placed[first] -= short / 2
                placed[first + 1] += short / 2
                moved = True
        for place, value in enumerate(placed):
            kept = min(max(value, low + gap * place), max(high - gap * (len(placed) - 1 - place), low + gap * place))
            moved = moved or abs(kept - value) > 1e-6
            placed[place] = kept
        if not moved:
            break
    result = [0.0] * len(placed)
    for place, value in zip(order, placed, strict=True):
        result[int(place)] = value
    return result


def short_number(number: float) -> str:
    """512000 -> '512k', 1281167 -> '1.28M', 25e9 -> '25B', 320 -> '320'."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{float(f'{number / size:.3g}'):g}{letter}"
    return f"{number:g}"


def short_numbers(text: str) -> str:
    """'20,000 images' -> '20k images': each number of which no digit is lost."""

    def shorter(found: re.Match[str]) -> str:
        number = float(found[0].replace(",", ""))
        return short_number(number) if float(f"{number:.3g}") == number else found[0]

    return re.sub(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w.,]*\d)", shorter, text)


def in_one_form(names: Sequence[str]) -> list[str]:
    """Names with all numbers short (19M, 1B, 25B), as the ticks of an axis are, where one of them
    has eight digits or more; else as they are.
    """
    large = any(len(found.replace(",", "")) >= 8 for name in names for found in re.findall(r"\d{1,3}(?:,\d{3})+", name))
    return [short_numbers(name) for name in names] if large else list(names)


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Names of at most so many letters that differ where the given ones do: of names that are too long
    the numbers are written short, then a middle is left out that does not tell them apart. Names
    that cannot be both are left as they are.
    """
    if all(len(name) <= longest for name in names):
        return list(names)
    brief = [short_numbers(name).replace("image pass", "pass") for name in names]
    if len(set(brief)) < len(set(names)):
        brief = list(names)
    different = len(set(brief))
    middle = (longest - 1) // 2
    for head in sorted(range(longest), key=lambda one: abs(one - middle)):
        tail = longest - 1 - head
        cut = [one if len(one) <= longest else f"{one[:head]}…{_from_a_word(one[len(one) - tail :])}" for one in brief]
        if len(set(cut)) == different:
            return cut
    return brief


def _from_a_word(text: str) -> str:
    """The end of a name without what is left of a cut word: 't+store_px=64' -> '+store_px=64'."""
    return re.sub(r"^[A-Za-z]{1,3}(?=[+=,/ ])", "", text)
