"""What one group's advantage over another is worth in x, a row for each pair that is compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis import AnalysisError, exchange_rate
from analysis.decisions.exchange import ExchangeRate
from analysis.formatting import digits
from reports.table.laws import FEWEST_SEEDS, FLAT, GroupLaws
from reports.table.question import GROUP, TableQuestion, level_in_words, stands_alone
from reports.table.wording import beyond, is_far, named, rounded
from reports.wording import joined, sentence

DASH = "–"
WIDEST = 100.0
"""Ratio of the ends beyond which an interval that holds 'no gain' says nothing."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """One row: what is compared, how many times more x the group behind needs, and the sentence."""

    compared: str
    where: str
    at_x: float
    """In the unit of x; NaN where the sizes of the two do not meet."""
    times: str
    interval: str
    note: str
    sentence: str
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")


def worths(question: TableQuestion, laws: GroupLaws) -> list[Worth]:
    """Every level of each column of `by` against its first, all other columns equal, at the middle of
    the sizes that both groups have.
    """
    group_at = {levels: group for group, levels in question.levels().items()}
    found: list[Worth] = []
    for place, column in enumerate(question.by):
        lowest = level_in_words(next(iter(question.levels_of(column)), None))
        for levels, group in sorted(group_at.items(), key=lambda pair: question.groups().index(pair[1])):
            first = group_at.get((*levels[:place], lowest, *levels[place + 1 :]))
            if levels[place] != lowest and first is not None and all(_has_law(laws, one) for one in (group, first)):
                found.append(_worth(question, laws, group, first, column))
    return found


def _has_law(laws: GroupLaws, group: str) -> bool:
    return group in laws.found and laws.found[group].fit.law != FLAT


def _worth(question: TableQuestion, laws: GroupLaws, group: str, first: str, column: str) -> Worth:
    low, high = (laws.found[one] for one in (group, first))
    if (smallest := max(low.x_min, high.x_min)) > (largest := min(low.x_max, high.x_max)):
        return _worth_nowhere(question, laws, group, first, column)
    at_x = float(np.sqrt(smallest * largest))
    with_it, without = (group, first) if _ahead(question, laws, group, first, at_x) else (first, group)
    compared, where = _compared(question, with_it, without, column)
    shown = {"compared": compared, "where": where, "at_x": at_x}
    try:
        rate = exchange_rate(laws.found[with_it].fit, laws.found[without].fit, at_x, paired=_paired(question, group, first), better=question.better)
    except AnalysisError as error:
        text = str(error)
        return Worth(**shown, times=DASH, interval=DASH, note=text.partition(":")[0], sentence=sentence(f"{with_it} against {without}: {text}"))  # type: ignore[arg-type]
    largest = laws.found[without].x_max
    times, interval, note = _in_short(rate, largest)
    ends = rate.ratio_interval or (float("nan"), float("nan"))
    said = re.sub(r"\bwith(out)? it\b", lambda one: f"with {without if one[1] else with_it}", named(_in_words(rate, times, largest), question))
    return Worth(
        **shown,  # type: ignore[arg-type]
        times=times,
        interval=interval,
        note=note,
        sentence=f"{with_it} against {without}: {said}",
        ratio=rate.ratio,
        low=ends[0],
        high=ends[1],
    )


def _compared(question: TableQuestion, with_it: str, without: str, column: str) -> tuple[str, str]:
    """'vit against resnet', and the levels of the other columns."""
    levels, place = question.levels(), question.by.index(column)
    ahead, behind = levels[with_it][place], levels[without][place]
    others = [
        level if stands_alone(level) else f"{question.titles[name]} {level}"
        for number, (name, level) in enumerate(zip(question.by, levels[with_it], strict=True))
        if number != place
    ]
    return f"{ahead if stands_alone(ahead) else f'{question.titles[column]} {ahead}'} against {behind}", joined(others)


def _worth_nowhere(question: TableQuestion, laws: GroupLaws, group: str, first: str, column: str) -> Worth:
    """Two groups that were measured at sizes which do not meet, between which no law is measured."""
    compared, where = _compared(question, group, first, column)
    ranges = joined([f"{rounded(laws.found[one].x_min)} to {rounded(laws.found[one].x_max)}" for one in (first, group)])
    text = f"{group} against {first}: no size lies between the smallest and the largest of both ({ranges})."
    note = "no size in the range of both"
    return Worth(compared=compared, where=where, at_x=float("nan"), times=DASH, interval=DASH, note=note, sentence=text)


def _in_words(rate: ExchangeRate, times: str, largest: float) -> str:
    """The sentence of analysis, in which a size far beyond the data is no number."""
    if times == beyond(largest) and rate.interval is not None:
        least = f", by the interval {digits(rate.interval[0])} or more" if not is_far(rate.interval[0], largest) else ""
        return f"x = {digits(rate.x)} with it gives y = {digits(rate.y)}; without it that lies at x {beyond(largest)}{least}."
    words = rate.sentence()
    if times != DASH:  # parameters that the data leave open say nothing against a number between the measured sizes
        words = words.removeprefix(f"Not identified: {rate.not_identified}. As fitted, ")
    if rate.interval is not None and is_far(rate.interval[1], largest):
        words = words.replace(f" to {digits(rate.interval[1])})", " to beyond the data)")
    return words


def _times(ratio: float) -> str:
    """A factor with the digits that it is read with: 1.23, 15.3, 120."""
    return f"{ratio:.2f}" if ratio < 10.0 else f"{ratio:.1f}" if ratio < 100.0 else f"{ratio:,.0f}"


def _in_short(rate: ExchangeRate, largest: float) -> tuple[str, str, str]:
    """How many times more x, its interval, and a note, each in a few words."""
    if rate.status == "below":
        return DASH, DASH, "worse at every size"
    if rate.interval is None or rate.ratio_interval is None:
        return DASH, DASH, f"no interval: {rate.reason_no_interval}"
    low, high = rate.ratio_interval
    if low <= 1.0 <= high and not high <= WIDEST * low:
        return DASH, DASH, "a gain cannot be told from a loss"
    far = is_far(rate.matched_x, largest) or (rate.extrapolated and bool(rate.not_identified))
    ends = f"{_times(low)} to {_times(high)}" if not is_far(rate.interval[1], largest) else f"{_times(low)} or more"
    ends = DASH if is_far(rate.interval[0], largest) else ends
    notes = []
    if low <= 1.0 <= high:
        notes.append("may be worth nothing")
    if rate.extrapolated and not far:
        notes.append("by the law beyond the data")
    if any("misses the means" in caution for caution in rate.cautions):
        notes.append("a law misses the means: interval too narrow")
    return beyond(largest) if far else _times(rate.ratio), ends, "; ".join(notes)


def _ahead(question: TableQuestion, laws: GroupLaws, first: str, second: str, x: float) -> bool:
    """Whether the first group's law is the better one at x."""
    values = [float(laws.found[one].fit.predict([x]).mean[0]) for one in (first, second)]
    return values[0] >= values[1] if question.better == "higher" else values[0] <= values[1]


def _paired(question: TableQuestion, first: str, second: str) -> bool:
    """Whether both groups have the same seeds, which first appear in the same order."""
    points = question.points()
    if "seed" not in points.columns:
        return False
    seeds = [list(dict.fromkeys(points.loc[points[GROUP] == one, "seed"])) for one in (first, second)]
    return len(seeds[0]) >= FEWEST_SEEDS and seeds[0] == seeds[1]
