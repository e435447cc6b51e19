"""Decisions on a page of anyone's table: a row for each group and each comparison, sentences folded.

What the data do not determine is a dash with its reason, and no size far beyond the data is printed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import LAWS, AnalysisError, LawChoice, diminishing_returns, fit, suggest_runs
from analysis.decisions.decision import with_digits
from analysis.decisions.returns import DiminishingReturns
from analysis.formatting import digits
from reports.page import Section, Table, make_table
from reports.table.laws import BEYOND, FLAT, LEVEL, GroupLaws
from reports.table.noise import RunNoise
from reports.table.question import EVERYTHING, TableQuestion
from reports.table.wording import beyond, is_far, named, rounded, score, size, spread_of
from reports.table.worth import DASH, Worth, worths
from reports.theme import count
from reports.wording import by_reason, joined, sentence

NEXT_RUNS = 3
LEAST_WEIGHT = 0.1
"""From this share in a forecast on, another law counts as forecasting about as well."""


@dataclass(frozen=True, kw_only=True)
class _Group:
    """What is decided for one group."""

    name: str
    row: dict[str, object]
    sentence: str = ""
    stops: float = float("nan")
    """From this x on another doubling gains too little."""
    next_runs: _Next | None = None


@dataclass(frozen=True, kw_only=True)
class _Next:
    """The rows to add for one group."""

    where: str
    now: float
    after: float


def decisions_sections(question: TableQuestion, laws: GroupLaws, noise: RunNoise) -> tuple[Section, ...]:
    """Where more stops paying, what one group is worth against another, and which rows to add: two
    tables, and what they say in full, folded.
    """
    said: list[str] = []
    if laws.seeds:
        said.append(
            f"{count(laws.seeds)} seeds are too few to tell what rows of one seed share, so the laws take all rows as independent: the intervals "
            f"below are too narrow if a seed moves all its rows alike. A third seed would tell."
        )
    flat = [group for group, law in laws.found.items() if law.fit.law == FLAT]
    if flat:
        whose = "" if flat == [EVERYTHING] else f" of {joined(flat)}"
        said.append(f"No law forecasts {question.y_title}{whose} better than its last value, so no decision about {question.x_title} follows.")
    reasons: list[tuple[str, str]] = []
    groups = [_decided(question, laws.found[one], one, noise, reasons) for one in question.groups() if one in laws.found and one not in flat]
    pairs = worths(question, laws)
    said += _lead(question, [one for one in groups if one.sentence], noise)
    said += _next_sentence(question, [(one.name, one.next_runs) for one in groups if one.next_runs is not None])
    said += by_reason("There is no decision", reasons, of=len(question.groups())) if reasons else []
    if not said:
        cases = [(f"for {group}", named(why, question)) for group, why in laws.reasons.items()]
        said = by_reason("A decision rests on a law, and there is none", cases, of=len(question.groups()))
    tables = tuple(one for one in (_stops_table(question, groups, noise), _worth_table(question, pairs)) if one is not None)
    first = Section(identity="decisions", heading="Decisions", paragraphs=tuple(said), tables=tables)
    full = [one.sentence for one in groups if one.sentence] + [one.sentence for one in pairs]
    if not full:
        return (first,)
    summary = f"{count(len(full))} {'sentence' if len(full) == 1 else 'sentences'}"
    in_words = Section(identity="decisions-in-sentences", heading="Decisions, in sentences", paragraphs=tuple(full), folded=True, summary=summary)
    return (first, in_words)


def _decided(question: TableQuestion, law: LawChoice, group: str, noise: RunNoise, reasons: list[tuple[str, str]]) -> _Group:
    whose = "" if group == EVERYTHING else f"{group}: "
    row: dict[str, object] = {"group": group, "stops": DASH, "interval": DASH, "gained": DASH, "note": "", "x": np.nan, "low": np.nan, "high": np.nan}
    try:
        returns = diminishing_returns(law.fit, noise_sd=noise.sd, better=question.better)
    except AnalysisError as error:
        reasons.append((f"for {group}", str(error)))
        return _Group(name=group, row={**row, "note": str(error).partition(":")[0]})
    others = _other_laws(law, returns, question, noise)
    stops, interval, note = _in_short(returns, others)
    gained = score(returns.last_gain, spread_of(question))
    if returns.last_gain_interval is not None:
        gained += f" ({' to '.join(score(end, spread_of(question)) for end in returns.last_gain_interval)})"
    point = returns.noise
    low, high = point.interval or (np.nan, np.nan)
    row |= {"stops": stops, "interval": interval, "gained": gained, "note": note, "x": point.x, "low": low, "high": high}
    words = whose + _in_words(question, returns, noise) + _others_in_words(question, others, float(law.x_max))
    planned, more = _next_runs(question, law)
    return _Group(name=group, row=row, sentence=f"{words} {more}".strip(), stops=point.x, next_runs=planned)


def _in_words(question: TableQuestion, returns: DiminishingReturns, noise: RunNoise) -> str:
    """The sentence of analysis, in which a size far beyond the data is no number."""
    point, largest = returns.noise, returns.x_range[1]
    if is_far(point.x, largest):
        last = with_digits(returns.last_gain, returns.last_gain_interval, level=returns.level, reason=point.reason_no_interval)
        text = (
            f"up to four times the largest x measured, {digits(largest)}, another doubling of x gains more than the noise of one run, "
            f"{digits(returns.noise_sd)} of y ({returns.noise_from}). The last doubling measured, to x = {digits(largest)}, gains {last}."
        )
    else:
        if point.interval is not None and is_far(point.interval[1], largest):
            returns = replace(returns, noise=replace(point, interval=(point.interval[0], np.inf)))
        text = returns.sentence().replace(" to never)", " to beyond the data)")
    if noise.sd is None:
        text = text.replace("than the noise of one run, ", f"than {noise.words}, ")
    return named(text.replace("(given)", f"({noise.origin})"), question)


def _in_short(returns: DiminishingReturns, others: list[float]) -> tuple[str, str, str]:
    """Where another doubling stops paying, its interval, and a note, each in a few words."""
    point, (smallest, largest) = returns.noise, returns.x_range
    low, high = point.interval or (np.nan, np.nan)
    if point.interval is not None and low <= smallest and is_far(high, largest):
        return DASH, DASH, f"the data allow any size from {rounded(smallest)} on"
    if point.interval is None:
        ends = DASH
    elif is_far(high, largest):
        ends = DASH if is_far(low, largest) else f"{rounded(low)} or more"
    else:
        ends = f"up to {rounded(high)}" if low <= smallest else f"{rounded(low)} to {rounded(high)}"
    notes = [f"no interval: {point.reason_no_interval}"] if point.interval is None else []
    if point.status == "already":
        return f"at or below {rounded(smallest)}", ends, "; ".join(notes)
    if is_far(point.x, largest):
        return beyond(largest), ends, "; ".join(notes)
    if point.x > largest:
        notes.append("by the law beyond the data")
    if others and point.x > largest:
        seen = list(dict.fromkeys("beyond the data" if is_far(one, largest) else rounded(one) for one in others))
        notes.append(f"other laws: {' to '.join(seen)}")
    return rounded(point.x), ends, "; ".join(notes)


def _other_laws(law: LawChoice, returns: DiminishingReturns, question: TableQuestion, noise: RunNoise) -> list[float]:
    """The nearest and the farthest x at which other laws of the forecast see the same point, if it
    lies beyond the sizes measured: an interval by one law says nothing of that.
    """
    if not returns.noise.extrapolated:
        return []
    others = [name for name in law.table.loc[law.table["weight"] >= LEAST_WEIGHT, "law"] if name in LAWS and name not in (law.fit.law, FLAT)]
    x, y = law.points()
    found: list[float] = []
    for name in others:
        with suppress(AnalysisError):
            found.append(diminishing_returns(fit(x, y, law=name, level=LEVEL), noise_sd=noise.sd, better=question.better).noise.x)
    return [min(found), max(found)] if found else []


def _others_in_words(question: TableQuestion, others: list[float], largest: float) -> str:
    if not others:
        return ""
    ends = list(dict.fromkeys(rounded(one) for one in others if not is_far(one, largest)))
    start = " By laws that forecast about as well it gains less"
    if not ends:
        return f"{start} only beyond the data."
    only = ", or only beyond the data" if is_far(others[-1], largest) else ""
    return f"{start} from {question.x_title} = {' to '.join(ends)} on{only}."


def _lead(question: TableQuestion, groups: list[_Group], noise: RunNoise) -> list[str]:
    """Whether more still pays beyond the largest size, in how many groups."""
    if not groups:
        return []
    largest = float(question.runs[question.x].max())
    pays = [one for one in groups if one.stops > largest]
    shown = [one for one in groups if float(str(one.row["low"])) > largest]
    least = f" ({noise.origin})" if noise.sd is None else f", {_amount(question, noise.sd)} ({noise.origin}),"
    more = f"another doubling of {question.x_title} beyond {size(largest)}"
    amount = f"gains more than {noise.words}{least}"
    if len(groups) == 1:
        return [sentence(f"by its law {more} {amount if pays else amount.replace('more', 'less', 1)}".rstrip(","))]
    sure = f"; the intervals show it in {count(len(shown))} of them" if pays else ""
    return [sentence(f"by their laws {more} {amount} in {count(len(pays))} of {count(len(groups))} groups{sure}")]


def _amount(question: TableQuestion, sd: float) -> str:
    return f"{score(sd, spread_of(question))} {question.y_title}"


def _next_runs(question: TableQuestion, law: LawChoice) -> tuple[_Next | None, str]:
    """Which rows would make the forecast at twice the largest size most precise, all rows costing
    the same; and that in a sentence.
    """
    largest = float(law.x_max)
    sizes = sorted({float(value) for value in question.runs[question.x]} | {BEYOND * largest})
    try:
        found = suggest_runs(law.fit, sizes, ("predict", BEYOND * largest), 1.0, runs=NEXT_RUNS)
    except AnalysisError:
        return None, ""
    places = found.chosen.iloc[:, 0].astype(float).value_counts(sort=False)
    where = joined([f"{number} at {question.x_title} {size(float(place))}" for place, number in zip(places.index, places, strict=True)])
    now, after = found.half_width_now, float(found.chosen["half_width_after"].iloc[-1])
    text = f"To know it better at {question.x_title} {size(BEYOND * largest)}, run next {where}: its 95% interval would shrink from "
    return _Next(where=where, now=now, after=after), f"{text}±{now:.3g} to ±{after:.3g}, if the law holds there."


def _next_sentence(question: TableQuestion, found: list[tuple[str, _Next]]) -> list[str]:
    """One suggestion for all groups, which share the question."""
    if not found:
        return []
    largest = BEYOND * float(question.runs[question.x].max())
    plans: dict[str, list[str]] = {}
    for group, one in found:
        plans.setdefault(one.where, []).append(group)
    usual = max(plans, key=lambda where: len(plans[where]))
    several = len(found) > 1
    which = " in each group" if several else ""
    if len(plans) > 1:
        which = f"{which} (in {count(len(found) - len(plans[usual]))} of {count(len(found))} groups other runs, listed below)"
    widths = [
        " to ".join(dict.fromkeys(f"±{value:.2g}" for value in (min(part), max(part))))
        for part in ([one.now for _, one in found], [one.after for _, one in found])
    ]
    shrinks = (
        f"its 95% interval would shrink from {widths[0]} to {widths[1]}"
        if not several
        else f"the 95% intervals, now {widths[0]}, would be {widths[1]}"
    )
    return [
        f"To know {question.y_title} at {question.x_title} {size(largest)} better, run next {usual}{which}: {shrinks}, if the law holds there and "
        f"all runs cost the same."
    ]


def _stops_table(question: TableQuestion, groups: list[_Group], noise: RunNoise) -> Table | None:
    if not groups:
        return None
    x = question.x_title
    names = {"group": "group", "stops": f"stops paying at {x}", "interval": "95% interval", "gained": f"last doubling of {x} gained", "note": "note"}
    frame = pd.DataFrame([one.row for one in groups]).rename(columns=names)
    shown = [name for name in names.values() if name != "group" or len(groups) > 1]
    shown = [name for name in shown if name != "note" or frame["note"].astype(bool).any()]
    least = f"{noise.words}{f', {_amount(question, noise.sd)}' if noise.sd is not None else ''}"
    caption = f"From where on another doubling of {x} gains less than {least}"
    return make_table(frame, caption=caption, file_name="stops_paying.csv", shown=shown)


def _worth_table(question: TableQuestion, pairs: list[Worth]) -> Table | None:
    if not pairs:
        return None
    x = question.x_title
    places = {one.at_x for one in pairs if np.isfinite(one.at_x)}
    one_place = len(places) <= 1
    columns = {
        "compared": "compared",
        "where": "at",
        "at_x": x,
        "times": f"times the {x}",
        "interval": "95% interval",
        "note": "note",
        "ratio": "ratio",
        "low": "low",
        "high": "high",
    }
    frame = pd.DataFrame([{name: getattr(one, name) for name in columns} for one in pairs]).rename(columns=columns)
    hidden = {"ratio", "low", "high", *([] if len(question.by) > 1 else ["at"]), *([x] if one_place else [])}
    hidden |= set() if frame["note"].astype(bool).any() else {"note"}
    where = f" (its {x}: {rounded(places.pop())})" if len(places) == 1 else ""
    caption = f"How many times the {x} of the first{where} the second needs for the same {question.y_title}"
    return make_table(frame, caption=caption, file_name="worth.csv", shown=[name for name in columns.values() if name not in hidden])
