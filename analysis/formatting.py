"""Formats numbers, intervals and p-values alike everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final


def decimals_for(width: float) -> int:
    """Decimals that show two significant digits of `width`, from 0 to 8."""
    if not math.isfinite(width) or width <= 0.0:
        return 4
    return min(8, max(0, 1 - math.floor(math.log10(width))))


def places_of_effects(largest: float) -> int:
    """Decimals of effects of which the largest has this size: 3 of a share such as mIoU, 2 of a score
    in percent.
    """
    if not math.isfinite(largest) or largest < 2.0:
        return max(3, decimals_for(largest)) if math.isfinite(largest) and largest > 0.0 else 3
    return 2 if largest < 100.0 else 1 if largest < 1000.0 else 0


def with_interval(value: float, low: float, high: float, *, level: float) -> str:
    """'0.340 (90% interval 0.312 to 0.371)', with as many digits as the interval's width justifies."""
    ends = [end for end in (low, high) if math.isfinite(end)]
    width = max((abs(end - value) for end in ends), default=0.0)
    # An interval of no width, as noise-free data give, justifies no more than six digits of the
    # value.
    places = min(decimals_for(width), decimals_for(abs(value)) + 4 if value else 4)
    if value:  # and an interval far wider than its value must not make it a zero
        places = max(places, min(decimals_for(abs(value)), 12))
    if 0.0 < abs(value) < 1e-6 and width < 1e-4:
        shown = [f"{end:.3g}" if math.isfinite(end) else "unbounded" for end in (low, high)]
        return f"{value:.3g} ({percent(level)} interval {shown[0]} to {shown[1]})"
    endless = 1e6 * max(abs(value), 1.0)  # of an end so far away the digits say nothing
    shown = [(f"{end:z,.{places}f}" if abs(end) < endless else f"{end:.3g}") if math.isfinite(end) else "unbounded" for end in (low, high)]
    return f"{value:z,.{places}f} ({percent(level)} interval {shown[0]} to {shown[1]})"


_SIZE = re.compile(r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d+)?)\s?([kKMGBT]?)")
TIMES: Final = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
"""What a letter after a number stands for."""


def size_in(value: object) -> float:
    """A level as a number: 300000, '300,000', '3e5' and '300k' are all 300000; NaN for any other text
    and for yes and no.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        return float(found[1].replace(",", "")) * TIMES[found[2]] if found and any(map(str.isdigit, found[1])) else math.nan
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def in_order(levels: Iterable[object]) -> list[object]:
    """Levels from low to high where each is a number, however it is written; else in the order of
    their text.
    """
    found = list(levels)
    sizes = [size_in(level) for level in found]
    if all(map(math.isfinite, sizes)):
        return [level for _, level in sorted(zip(sizes, found, strict=True), key=lambda pair: pair[0])]
    return sorted(found, key=str)


def digits(value: float, never: str = "never") -> str:
    """Three significant digits, thousands separated up to ten millions."""
    if math.isinf(value):
        return never
    if math.isnan(value):
        return "unknown"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    places = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:z,.{places}f}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def percent(level: float) -> str:
    """0.95 as '95%', 0.995 as '99.5%'."""
    return f"{100.0 * level:.6g}%"


def p_value(p: float) -> str:
    """'p = 0.011', or 'p < 0.001'."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def number_of(number: float, noun: str) -> str:
    """'1 seed', '3 seeds', '1,200 runs'; a series is one or several."""
    plural = noun if noun.endswith("s") else f"{noun}s"
    return f"{number:,.0f} {noun if number == 1 else plural}"


def share_of_average(share: float) -> str:
    """'31% of the average'; a share that is not none does not read as 0%."""
    if share <= 0.0:
        return "not in the average"
    return f"{100.0 * share:.0f}% of the average" if share >= 0.005 else "<1% of the average"


def format_setting(value: object) -> str:
    """A setting's value for a sentence: whole numbers with thousands separated ('100,000 images'),
    others unchanged.
    """
    if isinstance(value, str):
        long, sizes = r"\d{5,}(?= [a-z]|$)", r"\d{4}(?= (?:images?|steps|epochs|labels)\b)"  # four digits alone may be a year
        return re.sub(rf"(?<![\w.,/@-])(?:{long}|{sizes})", lambda digits: f"{int(digits[0]):,}", value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    return f"{number:,.0f}" if number.is_integer() else f"{number:g}"
