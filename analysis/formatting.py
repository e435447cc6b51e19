"""Formats numbers, intervals and p-values alike everywhere."""

from __future__ import annotations

import math
import re


def decimals_for(width: float) -> int:
    """Decimals that show two significant digits of `width`, from 0 to 8."""
    if not math.isfinite(width) or width <= 0.0:
        return 4
    return min(8, max(0, 1 - math.floor(math.log10(width))))


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
    shown = [f"{end:,.{places}f}" if math.isfinite(end) else "unbounded" for end in (low, high)]
    return f"{value:,.{places}f} ({percent(level)} interval {shown[0]} to {shown[1]})"


def significant(value: float, digits: int = 3) -> str:
    """A size to so many significant digits, with thousands separated: '4,910' or '0.0123'; from 1e15
    on in powers of ten.
    """
    if not math.isfinite(value) or value == 0.0 or abs(value) >= 1e15 or abs(value) < 1e-6:
        return f"{value:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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


def format_setting(value: object) -> str:
    """A setting's value for a sentence: whole numbers with thousands separated ('100,000 images'),
    others unchanged.
    """
    if isinstance(value, str):
        return re.sub(r"(?<![\w.,/-])\d{5,}(?= [a-z]|$)", lambda digits: f"{int(digits[0]):,}", value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    return f"{number:,.0f}" if number.is_integer() else f"{number:g}"
