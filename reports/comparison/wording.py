"""The sentences of a comparison: its findings, the runs both studies share, and the settings that
differ.
"""

from __future__ import annotations

from analysis.formatting import format_setting, percent
from reports.charts.forest import ALPHA
from reports.comparison.effects import Differences
from reports.comparison.pair import Pair
from reports.page import Statement
from reports.theme import count, signed
from reports.wording import joined, sentence

VERDICTS = {True: "supported", False: "open"}


def findings_of(pair: Pair, differences: Differences) -> tuple[Statement, ...]:
    """Whether reruns are equal, whether the studies differ on average, and in how many cells."""
    found = []
    if len(pair.same):
        equal = int(pair.same["equal"].sum())
        found.append(
            Statement(
                verdict="supported" if equal == len(pair.same) else "refuted",
                claim="Runs that both studies have are equal to the last digit.",
                source="",
                sentence=equality_sentence(pair),
            )
        )
    effects = differences.effects
    if effects is None or (len(pair.same) and not differences.left_out and bool(pair.same["equal"].all())):
        return tuple(found)
    overall = effects.overall.iloc[0]
    found.append(
        Statement(
            verdict=VERDICTS[bool(overall["p"] < ALPHA)],
            claim=f"On average {pair.names[1]} differs from {pair.names[0]} in {pair.score.title}.",
            source="",
            sentence=sentence(effects.sentence(overall)) + _excluded(overall["low"], overall["high"], effects.level),
        )
    )
    tested = effects.table["p_holm"].dropna()
    if len(tested):
        survive = int((tested < ALPHA).sum())
        found.append(
            Statement(
                verdict=VERDICTS[survive > 0],
                claim="At least one cell differs.",
                source="",
                sentence=f"{count(survive)} of {count(len(tested))} cells differ at p < {ALPHA:g} after Holm's correction; the differences "
                f"of cells lie between {signed(effects.table['difference'].min())} and {signed(effects.table['difference'].max())} "
                f"{pair.score.title}.",
            )
        )
    return tuple(found)


def equality_sentence(pair: Pair) -> str:
    """'40 of 40 runs are equal to the last digit', and how far the others are apart."""
    equal, all_of = int(pair.same["equal"].sum()), len(pair.same)
    text = f"{count(equal)} of {count(all_of)} {'run is' if all_of == 1 else 'runs are'} equal to the last digit in all that was measured"
    if equal == all_of:
        return f"{text}."
    largest = pair.same["largest_difference"].max()
    apart = f"the largest difference in {pair.score.title} is {largest:.2g}"
    return f"{text}; {apart}. Equal settings gave other numbers: look at code, versions and device."


def same_runs_sentence(pair: Pair, differences: Differences) -> str:
    """States how many runs both studies share, and what that means for the pairs."""
    if pair.same.empty:
        return "No finished run has the same id in both studies: something that decides numbers differs in each."
    text = (
        f"{count(len(pair.same))} finished {'run has' if len(pair.same) == 1 else 'runs have'} the same id in both studies, so they are the same run"
    )
    if differences.left_out:
        return f"{text}. They are left out of the paired differences, because what the studies differ in is not in them."
    return f"{text}. So the paired differences show how well numbers can be made again, not an effect."


def common_cells_sentence(pair: Pair) -> str:
    """How many cells and runs both have finished."""
    cells = [set(pair.runs.loc[pair.runs["study"] == name, list(cell_columns(pair))].astype(str).itertuples(index=False)) for name in pair.names]
    both = len(cells[0] & cells[1])
    own = [f"{count(len(mine) - both)} only in {name}" for name, mine in zip(pair.names, cells, strict=True) if len(mine) > both]
    return f"Both have finished runs in {count(both)} {'cell' if both == 1 else 'cells'}" + (f"; {joined(own)}." if own else ".")


def differing_settings_sentence(pair: Pair) -> str:
    """What makes the studies two treatments, if anything does."""
    if not pair.differing:
        return "No setting has one value in one study and another in the other, so the studies are no two treatments."
    phrases = [
        f"{name.replace('_', ' ')} ({format_setting(old)} in {pair.names[0]}, {format_setting(new)} in {pair.names[1]})"
        for name, (old, new) in pair.differing.items()
    ]
    noun = "This setting makes" if len(phrases) == 1 else "These settings make"
    return f"{noun} the studies two treatments, and pairs differ in {'it' if len(phrases) == 1 else 'them'}: {joined(phrases)}."


def cell_columns(pair: Pair) -> tuple[str, ...]:
    """The columns that make a cell: those of a pair without the seed."""
    return tuple(name for name in pair.match if name != "seed")


def _excluded(low: float, high: float, level: float) -> str:
    """States the largest difference that the interval allows, where it contains zero."""
    largest = max(abs(low), abs(high))
    return f" A difference of more than {largest:.2g} is outside the {percent(level)} interval." if low <= 0 <= high else ""
