"""What `main_effects` returns: a table with a row per axis, and sentences that a person would say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from analysis.factorial.axes import NAMES
from analysis.factorial.odd_cells import settings_of
from analysis.factorial.wording import ALPHA as ALPHA
from analysis.factorial.wording import CHOSEN, at_level, named_level
from analysis.formatting import number_of, p_value, percent, places_of_effects
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt

ENOUGH_SEEDS: Final = 5
"""Fewer seeds can agree by chance more closely than they would again."""
LABELS: Final = "finetune_images"
COUNTS: Final = ("n_pairs", "n_blocks", "n_up", "n_down", "n_seeds")
"""Columns of whole numbers that are empty where there is nothing to count."""
NEARLY: Final = 0.8
"""From this share of the largest effect on, another is said to be about as large."""
_COUNTED: Final = ("recipe", "objective", "model", "stage", "task")
"""Ends of names of which there is one and another, not other ones."""
_WORDS: Final = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TENS: Final = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety", 100: "a hundred"}


@dataclass(frozen=True, kw_only=True, repr=False)
class MainEffects(Shown):
    """What moved the score. Make one with `analysis.main_effects`."""

    outcome: str
    """The column that was compared, in its own unit."""
    outcome_title: str
    """What sentences call it."""
    level: float
    """Nominal coverage of the intervals."""
    table: pd.DataFrame
    """One row an axis, largest effect first: axis (a column, or 'pretraining' for pre-trained or
    not), kind (of several objectives of pre-training or kinds of intermediate stage, each of which
    is compared with none in a row of its own; else ''), name, also (settings that change with it, in
    words; '' for none), low_level and high_level (what is compared), where (at which settings, if
    its ends are not: see `note`), ratio, levels, pairs_tried (among how many pairs of levels these
    two were chosen by their scores), effect (high - low, all else equal), low, high, p, p_holm (over
    the rows), per_doubling with its interval, cells_low and cells_high (the interval for the mean
    over cells like these, where low and high are for the mean over exactly these), pooled_low and
    pooled_high (the interval by the pooled scatter of single runs), se, df, n_pairs, n_blocks
    (cells: settings of all else at which both levels were run), n_up and n_down (those of them whose
    difference is above and below zero), n_units (what the interval is taken over), n_seeds, note,
    share (of the variance of the scores; of an axis in kinds that of all kinds).
    Where no pair of runs differs in the axis alone n_pairs, n_blocks, n_up and n_down are empty, and
    note says how its levels are compared.
    """
    interactions: pd.DataFrame
    """One row a pair of axes: how the effect of `axis` differs between the compared levels of `by`;
    both effects and their difference are over the same n_pairs pairs of runs at each.
    """
    levels: pd.DataFrame
    """Where the effect of an axis differs by the level of another (an interaction at 5% after Holm;
    of pre-training, a main effect of its length, size ...): one row an axis, the other axis `by` and
    its level, where (at which other settings, if not at all), effect, low, high, and the p_holm of
    the difference.
    """
    noise_sd: float
    """Standard deviation of one run around its cell and seed; NaN where no cell has two runs."""
    noise_df: float
    """Its degrees of freedom."""
    share_of_interactions: float
    """Share of the variance that cells explain beyond the sum of the axes."""
    share_of_noise: float
    """Share of the variance within cells: seeds and chance."""
    n_runs: int
    """Runs with the outcome (rows, for printed means)."""
    n_seeds: int
    """Distinct seeds; 0 for printed means."""
    has_spreads: bool = False
    """Whether the table prints the spread of each mean."""
    odd: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Cells whose equal runs lie much farther apart than those of the others: settings, lowest and
    highest score.
    """

    @property
    def places(self) -> int:
        """Decimals of effects in sentences: 3 of a share such as mIoU, 2 of a score in percent."""
        return places_of_effects(float(self.table["effect"].abs().max()))

    def summary(self) -> str:
        """The headline, one sentence an axis, and the cautions."""
        return "\n".join([self.headline(), *self.sentences(), *self.cautions()])

    def shown_table(self) -> pd.DataFrame:
        """One row an axis: name, what is compared, effect, low, high, p_holm, share."""
        columns = ["name", "low_level", "high_level", "effect", "low", "high", "p_holm", "share"]
        return self.table[columns]

    def plot(self) -> alt.LayerChart:
        """One row an axis, largest effect first, as an Altair chart."""
        from analysis.plots.forest import forest_chart

        known = self.table[np.isfinite(self.table["effect"].to_numpy(dtype=float))]
        ends = [
            "against none" if row["kind"] else f"{named_level(row['low_level'])} to {named_level(row['high_level'])}" for _, row in known.iterrows()
        ]
        labels = [f"{name}, {one}" for name, one in zip(known["name"], ends, strict=True)]
        rows = pd.DataFrame({"label": labels, "estimate": known["effect"], "low": known["low"], "high": known["high"]}).reset_index(drop=True)
        return forest_chart(rows, x_title=f"change in {self.outcome_title}, {percent(self.level)} interval")

    def __repr__(self) -> str:
        return f"<MainEffects of {number_of(len(self.table), 'setting')} on {self.outcome}>"

    def found(self) -> pd.DataFrame:
        """The rows whose effect differs from zero at 5% after Holm's correction over the axes."""
        return self.table[self.table["p_holm"] < ALPHA]

    def sentences(self) -> list[str]:
        """One sentence an axis, largest effect first, then the interactions found and the noise."""
        said = [self.sentence(row) for _, row in self.table.iterrows()]
        for _, row in self.interactions[self.interactions["p_holm"] < ALPHA].iterrows():
            if not np.isfinite(row["effect_at_low"] + row["effect_at_high"]):
                continue
            said.append(
                f"The effect of {row['name']} depends on {row['by_name']}: {self._signed(row['effect_at_low'])} at {named_level(row['by_low'])} and "
                f"{self._signed(row['effect_at_high'])} at {named_level(row['by_high'])} ({p_value(float(row['p_holm']))} after Holm)."
            )
        if np.isfinite(self.noise_sd):
            said.append(f"Single runs of one cell scatter by {self.noise_sd:.{self.places}f} {self.outcome_title} (standard deviation).")
        return said

    def sentence(self, row: pd.Series) -> str:
        """One row of the table in plain words."""
        name, levels = str(row["name"]), f"{named_level(row['low_level'])} to {named_level(row['high_level'])}"
        begin = name if name == row["axis"] or "_" in name else f"{name[0].upper()}{name[1:]}"  # a column keeps its name as it is
        start = f"{begin}, {'against none' if row['kind'] else levels}: "
        if not np.isfinite(row["effect"]):
            return f"{start}no estimate ({row['note']})."
        effect = f"{self._signed(row['effect'])} {self.outcome_title}"
        if not np.isfinite(row["low"]):
            return f"{start}{effect} (no interval: {row['note']})."
        inside = (
            f"{percent(self.level)} interval {self._signed(row['low'])} to {self._signed(row['high'])}, {p_value(float(row['p_holm']))} after Holm"
        )
        counted = [number_of(row["n_seeds"], "seed")] if row["n_seeds"] else []
        if in_pairs(row):
            counted = [number_of(row["n_pairs"], "pair"), *counted] if counted else [number_of(row["n_blocks"], "cell")]
        note = f"; {row['note']}" if row["note"] else ""
        return f"{start}{effect} ({', '.join([inside, *counted])}{note})."

    def cautions(self) -> list[str]:
        """Where an interval says less than it seems to: one sentence each."""
        return [*self.odd_sentences(), *(text for _, row in self.table.iterrows() for text in self.cautions_of(row))]

    def odd_sentences(self) -> list[str]:
        """One sentence on each cell whose runs lie much farther apart than the others."""
        said: list[str] = []
        for _, cell in self.odd.iterrows():
            where = ", ".join(f"{name} {named_level(value)}" for name, value in settings_of(cell).items())
            low, high = (f"{cell[end]:.{self.places}f}" for end in ("lowest", "highest"))
            said.append(
                f"The runs of one cell ({where}) lie far apart, from {low} to {high} {self.outcome_title}: check them, since one wrong run widens "
                f"every interval."
            )
        return said

    def cautions_of(self, row: pd.Series) -> list[str]:
        """Where the interval of one row says less than it seems to: one sentence each."""
        said: list[str] = []
        if not np.isfinite(row["low"]):
            return said
        own, pooled, cells = ((row[f"{kind}high"] - row[f"{kind}low"]) / 2.0 for kind in ("", "pooled_", "cells_"))
        if np.isfinite(pooled) and own < pooled and row["n_seeds"] < ENOUGH_SEEDS:
            said.append(
                f"{int(row['n_seeds'])} seeds agree on the effect of {row['name']} more closely than single runs scatter; by that scatter "
                f"its interval is {self._signed(row['pooled_low'])} to {self._signed(row['pooled_high'])}. Five seeds would tell."
            )
        if np.isfinite(cells) and cells > 1.5 * own:
            said.append(
                f"The effect of {row['name']} differs between cells: for cells like these its mean lies between "
                f"{self._signed(row['cells_low'])} and {self._signed(row['cells_high'])}."
            )
        return said

    def at_levels(self, axis: str, kind: str = "") -> list[tuple[float, str]]:
        """The effect of an axis at each level of the axis that it depends on most, and the level in
        words; empty where it depends on none.
        """
        mine = self._levels_of(axis, kind)
        if not len(mine):
            return []
        spread = mine.groupby("by", sort=False)["effect"].agg(["min", "max"])
        most = mine[mine["by"] == (spread["max"] - spread["min"]).idxmax()]
        words = [at_level(row["by"], row["by_name"], row["level"]) for _, row in most.iterrows()]
        words[-1] += f" ({most['where'].iloc[-1]})" if most["where"].iloc[-1] else ""
        return list(zip(most["effect"].astype(float), words, strict=True))

    def of_kinds(self, axis: str) -> list[tuple[float, str]]:
        """The effect of each kind of an axis that is told by kind, and the kind in words: 'with mae';
        else empty.
        """
        mine = self.table[(self.table["axis"] == axis) & (self.table["kind"] != "") & np.isfinite(self.table["effect"])]
        return [(float(row["effect"]), f"with {row['kind']}") for _, row in mine.iterrows()]

    def turn(self, axis: str, kind: str = "") -> list[tuple[float, str]]:
        """Where an effect is shown to have either sign by the level of another axis: the effect and
        the level in words, for the two levels farthest apart; else empty.
        """
        mine = self._levels_of(axis, kind)
        for by in dict.fromkeys(mine["by"]):
            part = mine[mine["by"] == by]
            if (part["low"] > 0.0).any() and (part["high"] < 0.0).any():
                ends = part.loc[sorted([part["effect"].idxmin(), part["effect"].idxmax()])]
                words = [at_level(row["by"], row["by_name"], row["level"]) for _, row in ends.iterrows()]
                unit = f" {part['by_name'].iloc[0]}"
                words[1] = words[1].removesuffix(unit) if words[0].endswith(unit) else words[1]
                words[1] += f" ({ends['where'].iloc[1]})" if ends["where"].iloc[1] else ""
                return list(zip(ends["effect"].astype(float), words, strict=True))
        return []

    def _levels_of(self, axis: str, kind: str) -> pd.DataFrame:
        return self.levels[(self.levels["axis"] == axis) & (self.levels["kind"] == kind)]

    def headline(self, *, brief: bool = False) -> str:
        """The largest effects in one sentence, and the widest range that brought nothing; `brief` says
        of it in fewer words that it may be zero. An effect of either sign by the level of another
        axis is given by level (`brief`: without amounts), since its mean over the levels says little.
        """
        known = self.table[np.isfinite(self.table["effect"])]
        found = known[[bool(row["p_holm"] < ALPHA or self.turn(row["axis"], row["kind"])) for _, row in known.iterrows()]]
        first = [row for _, row in found.iterrows() if row["axis"] != LABELS]
        first.sort(key=lambda row: not in_pairs(row) or bool(row["where"]))  # ends that pairs of runs have go first
        # A setting of the pre-training that matters about as much says more than 'pre-training'.
        near = len(first) > 1 and abs(first[1]["effect"]) >= NEARLY * abs(first[0]["effect"])
        if near and first[0]["axis"] == "pretraining" and str(first[1]["axis"]).startswith("pretrain_"):
            first[:2] = first[1], first[0]
        parts = [self._clause(row, sure=True, brief=brief) for row in first]
        kinds = known[(known["axis"] == "pretraining") & (known["kind"] != "")]
        if len(kinds) > 1 and first and first[0]["axis"] == "pretraining" and self._all_alike(kinds):
            parts = [self._clause_of_kinds(kinds), *(part for part, row in zip(parts, first, strict=True) if row["axis"] != "pretraining")]
        unsure = [row for _, row in known.drop(index=found.index).iterrows() if row["axis"] != LABELS]
        unsure.sort(key=lambda row: -(row["ratio"] if np.isfinite(row["ratio"]) else 0.0))
        if not parts:
            labels = found[found["axis"] == LABELS]
            parts = [self._clause(row, sure=True) for _, row in labels.iterrows()]
        if not parts:
            widest = f": {self._clause(unsure[0], sure=False)}" if unsure else ""
            return f"No axis of this study moved {self.outcome_title} by more than its {self._seeds()} can tell from zero{widest}."
        if unsure and np.isfinite(unsure[0]["ratio"]):
            parts = [parts[0], self._clause(unsure[0], sure=False, brief=brief)]
        text = "; ".join(parts[:2])
        return f"{text[0].upper()}{text[1:]}."

    def _seeds(self) -> str:
        return f"{_number(self.n_seeds)} seeds" if self.n_seeds > 1 else "one seed" if self.n_seeds == 1 else self.without_seeds

    @property
    def without_seeds(self) -> str:
        """What effects rest on where the table has no seeds."""
        repeats = "repeated runs" if self.share_of_noise > 0.0 else "runs without repeats"
        return "printed spreads" if self.has_spreads else repeats

    def _all_alike(self, kinds: pd.DataFrame) -> bool:
        """Whether every kind of an axis is shown to have an effect of the same sign."""
        turning = any(self.turn(row["axis"], row["kind"]) for _, row in kinds.iterrows())
        return bool((kinds["p_holm"] < ALPHA).all() and kinds["effect"].min() * kinds["effect"].max() > 0.0 and not turning)

    def _clause_of_kinds(self, kinds: pd.DataFrame) -> str:
        """'pre-training raised mIoU by 0.051 (supervised) and 0.048 (mae)', the largest first."""
        amounts = [f"{abs(row['effect']):.{self.places}f} ({row['kind']})" for _, row in kinds.iterrows()]
        change = "raised" if kinds["effect"].iloc[0] > 0 else "lowered"
        return f"pre-training {change} {self.outcome_title} by {', '.join(amounts[:-1])} and {amounts[-1]}"

    def _clause(self, row: pd.Series, *, sure: bool, brief: bool = False) -> str:
        """'pre-training five times longer raised mIoU by 0.042'."""
        subject = comparison(row, brief=brief)
        change = "raised" if row["effect"] > 0 else "lowered"
        if turn := self.turn(row["axis"], row["kind"]):
            (first, where), (last, there) = turn
            verbs = ("raised", "lowered") if first > 0 else ("lowered", "raised")
            by = ["" if brief else f" by {abs(one):.{self.places}f}" for one in (first, last)]
            return f"{subject} {verbs[0]} {self.outcome_title}{by[0]} {where} and {verbs[1]} it{by[1]} {there}"
        if sure:
            return f"{subject} {change} {self.outcome_title} by {abs(row['effect']):.{self.places}f}"
        doubt = "may be zero" if brief else f"{self._seeds()} {'cannot' if self.n_seeds else 'do not'} tell from zero"
        return f"{subject} changed it by {self._signed(row['effect'])}, which {doubt}"

    def _signed(self, value: float) -> str:
        return f"{value:+z.{self.places}f}"


def in_pairs(row: pd.Series) -> bool:
    """Whether pairs of runs differ in this axis alone, so that there is something to count."""
    return not pd.isna(row["n_pairs"])


def pairs_tried(row: pd.Series) -> int:
    """Among how many pairs of levels the pair of this row was picked as the one that differs most, for
    which its interval and p are widened; 1 where the comparison was meant from the start.
    """
    return int(row["pairs_tried"]) if CHOSEN in str(row["note"]) else 1


def comparison(row: pd.Series, *, brief: bool = False) -> str:
    """The higher level of an axis as the subject of a sentence; `brief` names one alone of several
    settings at which it is compared.
    """
    text = _compared(row)
    told = not row["also"] or (" and " in str(row["name"]) and str(row["name"]) in text)
    beside = [] if told else [f"with {'another' if row['also'].endswith(_COUNTED) else 'other'} {row['also']}"]
    if CHOSEN in row["note"] and " instead of " in text:
        beside.append(f"the two of {row['levels']} farthest apart")
    beside += [str(row["where"]).partition(", ")[0] if brief else row["where"]] if row["where"] else []
    return f"{text} ({', '.join(beside)})" if beside else text


def _compared(row: pd.Series) -> str:
    axis, ratio, name = row["axis"], row["ratio"], str(row["name"])
    times = times_of(float(ratio)) if np.isfinite(ratio) else ""
    if axis == "pretraining":
        return name
    if axis == "pretrain_length" and times:
        return f"pre-training {times} longer"
    if axis == "pretrain_images" and times:
        return f"{times} more pre-training images"
    if axis == "encoder" and times:
        return f"a model with {times} the parameters"
    if axis == "intermediate" and row["low_level"] == "none":
        return f"an intermediate {named_level(row['high_level'])} stage"
    if times:
        return f"{times} more {_first_name(row)}"
    name = "model" if axis == "encoder" and not row["also"] else name
    return f"{name} {named_level(row['high_level'])} instead of {named_level(row['low_level'])}"


def _first_name(row: pd.Series) -> str:
    """The name of an axis without those of the settings that always change with it."""
    return NAMES.get(row["axis"], str(row["axis"])) if row["also"] else str(row["name"])


def times_of(ratio: float) -> str:
    """A ratio in words: 'twice', 'five times', '4.4 times', '62.5 times'."""
    near = int(ratio + 0.5)
    if 10.0 < ratio < 1000.0 and ratio != near and abs(ratio - round(ratio, 1)) < 1e-9:  # 62.5, which is neither 62 nor 63
        return f"{ratio:.1f} times"
    if near < 2 or abs(ratio - near) > 0.03 * near:
        return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:,.0f} times"
    return f"{_number(near)} times" if near > 2 else "twice" if near == 2 else f"{ratio:.2g} times"


def _number(value: int) -> str:
    if value < len(_WORDS) and _WORDS[value]:
        return _WORDS[value]
    return _TENS.get(value, f"{value:,}")
