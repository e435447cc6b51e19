"""The headline of a finding: what its verdict and its numbers say, in one short sentence.

It is made from the verdict and the estimate and never from the claim alone, so it cannot contradict
the numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from analysis.formatting import decimals_for

Verdict = Literal["supported", "refuted", "negligible", "open"]
VERBS: Final = {"raises": "raise", "lowers": "lower", "changes": "change"}


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The clauses that a headline is made of."""

    up: str
    """What an estimate above zero shows: 'pre-training raises mIoU'."""
    down: str
    """What an estimate below zero shows: 'pre-training lowers mIoU'."""
    whether: str
    """What cannot be told where the claim is open: 'pre-training changes mIoU'."""
    negligible: str = ""
    """What is shown to be small: 'pre-training changes mIoU'; '' where the claim has no margin."""
    number: Literal["by", "at"] = "by"
    """How the estimate follows: 'by' as an amount ('raises mIoU by 0.042'), 'at' in brackets with
    `symbol` ('(r = -0.60, ...)').
    """
    symbol: str = ""
    """Name of the number in brackets, such as 'r'."""
    against: str = ""
    """What is shown where the claim is refuted, if that is not the sign of the estimate."""
    every: bool = False
    """Whether the claim is about every cell and the estimate a mean over cells."""
    counted: str = ""
    """Why the claim is open where its interval does not say it: '12 of 18 cells are above zero'."""


def changes(subject: str, score: str, *, plural: bool = False) -> Wording:
    """The wording of an effect on a score: 'pre-training raises mIoU'."""
    up, down, change = (VERBS[verb] if plural else verb for verb in ("raises", "lowers", "changes"))
    whole = f"{subject} {change} {score}"
    return Wording(up=f"{subject} {up} {score}", down=f"{subject} {down} {score}", whether=whole, negligible=whole)


def in_every_cell(subject: str, score: str, *, direction: int, counted: str, where: str = "in {} cell", plural: bool = False) -> Wording:
    """The wording of a claim that every cell differs in this direction (+1 or -1)."""
    up, down = (VERBS[verb] if plural else verb for verb in ("raises", "lowers"))
    ahead, behind = (up, down) if direction > 0 else (down, up)
    every = f"{subject} {ahead} {score} {where.format('every')}"
    against = f"{subject} {behind} {score} {where.format('at least one')}"
    small = f"{subject} {'change' if plural else 'changes'} {score} {where.format('at least one')}"
    return Wording(up=every, down=every, whether=every, negligible=small, against=against, every=True, counted=counted)


def turned(wording: Wording, better: int) -> Wording:
    """The wording of a difference between gains: where lower scores are better (-1) gains are below
    zero, so that up and down change places.
    """
    return wording if better > 0 else replace(wording, up=wording.down, down=wording.up)


def made_headline(
    verdict: Verdict,
    wording: Wording | None,
    *,
    claim: str,
    value: float,
    low: float,
    high: float,
    margin: float,
    condition: str = "",
    unreachable: str = "",
    levels: Sequence[tuple[float, str]] = (),
) -> str:
    """The headline, without a full stop.

    Args:
        value, low, high: the estimate and its interval; NaN where there is none.
        margin: what counts as negligible; NaN where the claim has no margin.
        condition: what the verdict is conditional on; may be empty.
        unreachable: why no result at this number of seeds could decide the claim; may be empty.
        levels: the effect at each level of a setting that it depends on, with the level in words.
    """
    text = _by_claim(verdict, claim, value, low, high) if wording is None else _worded(verdict, wording, value, low, high, margin, unreachable)
    if len(levels) > 1 and wording is not None and not wording.every:
        if verdict in ("supported", "refuted") and wording.number == "by":
            alike = min(one for one, _ in levels) * max(one for one, _ in levels) > 0.0
            start = (wording.up if value > 0 else wording.down) if alike else f"{wording.whether}, not alike everywhere"
            text = f"{start}: {at_levels(levels)}; on average {_signed(value, low, high, comma=False)}"
        elif verdict == "open" and not unreachable:
            text = f"{text}; {at_levels(levels)}"
    text = f"{text}, {condition}" if condition else text
    return text[:1].upper() + text[1:]


def at_levels(levels: Sequence[tuple[float, str]]) -> str:
    """'+0.021 at 100,000 images, +0.063 at 512,000 images'; of more than three the first and last."""
    shown = list(levels) if len(levels) <= 3 else [levels[0], levels[-1]]
    size = max(abs(value) for value, _ in shown)
    places = 3 if size < 2.0 else 2 if size < 10.0 else 1
    return ", ".join(f"{_number(value, places)} {where}" for value, where in shown)


def _worded(verdict: Verdict, wording: Wording, value: float, low: float, high: float, margin: float, unreachable: str) -> str:
    if verdict == "open":
        whether = f"whether {_lowered(wording.whether)}"
        return (
            f"{whether} {unreachable}"
            if unreachable
            else f"{whether} cannot be told: {wording.counted or _allowed(wording.symbol, value, low, high)}"
        )
    if verdict == "negligible":
        least = f" by less than {margin:.2g}" if math.isfinite(margin) else " next to nothing"
        return f"{wording.negligible or wording.whether}{least} ({_signed(value, low, high)})"
    if wording.every:
        text = wording.up if verdict == "supported" else wording.against
        return f"{text}; on average by {_signed(value, low, high, comma=False)}" if math.isfinite(value) else text
    text = wording.against if verdict == "refuted" and wording.against else wording.up if value > 0 else wording.down
    if wording.number == "at":
        name = f"{wording.symbol} = " if wording.symbol else ""
        return f"{text} ({name}{_signed(value, low, high)})"
    return f"{text} by {_amount(value, low, high)}"


def _by_claim(verdict: Verdict, claim: str, value: float, low: float, high: float) -> str:
    """The headline of a claim that came without a wording of its own."""
    bare = claim.strip().rstrip(".")
    lowered = _lowered(bare)
    numbers = f" ({_signed(value, low, high)})" if math.isfinite(value) else ""
    if verdict == "supported":
        return f"{bare}{numbers}"
    if verdict == "open":
        allowed = f": {_allowed('', value, low, high)}" if math.isfinite(low) and math.isfinite(high) else ""
        return f"whether {lowered} cannot be told{allowed}"
    if verdict == "refuted":
        return f"the data show the opposite of this: {lowered}{numbers}"
    return f"next to no effect is left to this: {lowered}{numbers}"


def _lowered(text: str) -> str:
    """The text within a sentence: 'An intermediate stage' begins small, 'MAE' does not."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text.startswith("A ") else text


def _allowed(symbol: str, value: float, low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        name = f"{symbol} from " if symbol else ""
        before = " before correction" if low * high > 0.0 else ""
        return f"the data allow {name}{_interval(value, low, high)}{before}"
    return "the data give no interval"


def _places(value: float, low: float, high: float) -> int:
    """Decimals of a headline: one digit of the interval's width, two of a number below 2."""
    ends = [end for end in (low, high) if math.isfinite(end)]
    size = max([abs(value), *(abs(end) for end in ends)])
    least = 2 if size < 2.0 else 1 if size < 100.0 else 0
    width = max(ends) - min(ends) if len(ends) == 2 else 0.0
    places = max(least, decimals_for(width) - 1, min(decimals_for(width), 3)) if width > 0.0 else least + 1
    if len(ends) == 2 and low * high > 0.0:  # a number whose sign is shown must not read as zero
        nearest = min(abs(low), abs(high))
        while places < 6 and round(nearest, places) == 0.0:
            places += 1
    return min(places, 6)


def _interval(value: float, low: float, high: float) -> str:
    places = _places(value, low, high)
    return f"{_number(low, places)} to {_number(high, places)}"


def _number(value: float, places: int, *, sign: bool = True) -> str:
    if not math.isfinite(value):
        return "without bound"
    return f"{value:+z,.{places}f}" if sign else f"{value:z,.{places}f}"


def _signed(value: float, low: float, high: float, *, comma: bool = True) -> str:
    """'+0.002, -0.004 to +0.007', or '+0.002 (-0.004 to +0.007)' without a comma."""
    places = _places(value, low, high)
    shown = _number(value, places)
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{shown}, no interval" if comma else f"{shown} (no interval)"
    inside = f"{_number(low, places)} to {_number(high, places)}"
    return f"{shown}, {inside}" if comma else f"{shown} ({inside})"


def _amount(value: float, low: float, high: float) -> str:
    """'0.042 (0.040 to 0.044)' of an effect in either direction; signed where the interval holds 0."""
    places = _places(value, low, high)
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{_number(abs(value), places, sign=False)} (no interval)"
    if low * high < 0.0:
        return _signed(value, low, high, comma=False)
    ends = sorted((abs(low), abs(high)))
    return " ".join([_number(abs(value), places, sign=False), f"({_number(ends[0], places, sign=False)} to {_number(ends[1], places, sign=False)})"])
