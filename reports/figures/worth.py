"""How many labels a pre-training is worth: labels from scratch that would give the score which
fewer give after it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis import AnalysisError, exchange_rate, independent_groups
from analysis.formatting import digits, percent
from reports.charts.worth import worth_in_labels
from reports.evidence import LEVEL, Evidence, SeriesLaw, focused
from reports.figures.returns import change_over_labels
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.series import PANEL_SETTINGS, panels_of, series_phrase, spread_out
from reports.theme import NO_PRETRAINING, count, decimals, signed
from reports.wording import by_reason, joined, sentence, title

COLUMNS = ["panel", "series", "finetune_images", "score", "labels_from_scratch", "labels_low", "labels_high", "more_labels"]
COLUMNS += ["ratio", "low", "high", "status", "extrapolated", "compared_with", "note"]
MOST_SERIES = 6
MOST_PANELS = 6


def worth(evidence: Evidence) -> Figure | str:
    """For each series and number of labels: the labels without pre-training that give the same score,
    by the series' laws.
    """
    evidence = focused(evidence)
    rows, reasons = worth_rows(evidence)
    if rows.empty:
        return " ".join(reasons)
    series_names = spread_out([series for series in evidence.series_names if series in set(rows["series"])], MOST_SERIES)
    shown = spread_out(panels_of(rows, evidence.panels), MOST_PANELS)
    panels = []
    for number, panel in enumerate(shown):
        part = rows.loc[(rows["panel"] == panel) & rows["series"].isin(series_names)]
        if part.empty:
            continue
        description = _described(part, panel)
        panels.append(
            Panel(identity=f"worth-{number}", chart=worth_in_labels(part, series_names=evidence.series_names), alternative=description, heading=panel)
        )
    whole = _claim(rows, evidence)
    notes = [sentence(whole), *([evidence.focus] if evidence.focus else []), *reasons]
    if len(series_names) < rows["series"].nunique() or len(shown) < rows["panel"].nunique():
        notes.append(
            f"{len(series_names)} of {rows['series'].nunique()} series and {len(shown)} of {rows['panel'].nunique()} panels are drawn; "
            "the table has all."
        )
    lacking = rows.loc[rows["low"].isna() & (rows["note"] != "")]
    named = [(f"{series_phrase(row['series'])} at {count(row['finetune_images'])} labels", str(row["note"])) for _, row in lacking.iterrows()]
    notes += by_reason("There is no interval", named, of=len(rows))
    return Figure(
        claim=_title(rows, evidence),
        subtitle="Labels from scratch that give the score of a series, divided by the labels it has, both by the series' power laws: ×2 means that "
        f"pre-training is worth as many labels again, below ×1 it harms. Bars: {100 * LEVEL:g}% intervals, cut where the chart ends. There is no "
        "answer where the score from scratch does not improve with labels beyond its noise. Hollow "
        "points: more labels than any measured from scratch, or fewer. Arrow up: more than any number of labels gives, by the law.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(
            make_table(_with_more(rows), caption="Labels from scratch for the same score, by series and labels", file_name="worth_in_labels.csv"),
        ),
    )


def worth_rows(evidence: Evidence) -> tuple[pd.DataFrame, list[str]]:
    """One row a panel, pre-trained series and measured number of labels, and sentences on series that
    have none.
    """
    laws = {(law.panel, law.series): law for law in evidence.laws}
    rows, cases = [], []
    if not (evidence.runs["series"] == NO_PRETRAINING).any():
        return pd.DataFrame(columns=COLUMNS), []
    for panel in evidence.panels:
        near = panel_of_scratch(evidence, panel)
        scratch = None if near is None else laws.get((near, NO_PRETRAINING))
        against = "" if scratch is None else _why_it_tells_nothing(evidence, scratch) or scratch.reason
        for series in [series for series in evidence.series_names if series != NO_PRETRAINING and (panel, series) in laws]:
            law = laws[panel, series]
            name = series_phrase(series) + (f" ({panel})" if panel else "")
            reason = (against or law.reason) if scratch is not None else "no runs from scratch share all else with it"
            if reason or law.fit is None or scratch is None or scratch.fit is None:
                cases.append((name, reason))
                continue
            same_kind = law.fit.replicate_kind == scratch.fit.replicate_kind == "jackknife"
            paired = same_kind and _seeds_in_order(evidence, law) == _seeds_in_order(evidence, scratch)
            sizes = sorted(float(size) for size in set(law.fit.x))
            try:
                rows += [_row(law, scratch, size, paired, evidence.score.better) for size in sizes]
            except AnalysisError as error:
                cases.append((name, str(error)))
    pretrained = sum(law.series != NO_PRETRAINING for law in evidence.laws)
    return pd.DataFrame(rows, columns=COLUMNS), by_reason("There is no answer", cases, of=pretrained)


def panel_of_scratch(evidence: Evidence, panel: str) -> str | None:
    """The panel whose runs from scratch a panel is compared with: itself, else the one without an
    intermediate stage that has its other settings and, of several, its arm. None where there is none.
    """
    runs = evidence.runs
    scratch, own = runs.loc[runs["series"] == NO_PRETRAINING], runs.loc[runs["panel"] == panel]
    if (scratch["panel"] == panel).any():
        return panel
    scratch = scratch.loc[scratch["intermediate"] == "none"]
    for name in (one for one in PANEL_SETTINGS if not one.startswith("intermediate") and one in runs.columns):
        scratch = scratch.loc[scratch[name].isin(set(own[name]))]
    if scratch["panel"].nunique() > 1 and "arm" in runs.columns:
        arms = {arm for name in own["arm"].dropna() for arm in str(name).split(", ")}
        scratch = scratch.loc[[bool(arms & set(str(name).split(", "))) for name in scratch["arm"]]]
    return str(scratch["panel"].iloc[0]) if scratch["panel"].nunique() == 1 else None


def _why_it_tells_nothing(evidence: Evidence, scratch: SeriesLaw) -> str:
    """Why no number of labels from scratch can stand for a score: the score from scratch does not
    rise with labels beyond its noise. '' where it does.
    """
    change = change_over_labels(evidence, scratch.panel, NO_PRETRAINING)
    if change is None:
        return ""
    better = 1.0 if evidence.score.better == "higher" else -1.0
    known = bool(np.isfinite(change["low"]))
    if better * (change["low" if better > 0 else "high"] if known else change["change"]) > 0:
        return ""
    interval = f", {percent(LEVEL)} interval {signed(change['low'])} to {signed(change['high'])}" if known else ""
    where = f"{count(change['from'])} to {count(change['to'])} labels"
    rises = "rise" if better > 0 else "fall"
    return (
        f"from scratch {evidence.score.title} does not {rises} with labels beyond its noise ({signed(change['change'])} from {where}{interval}), "
        "so no number of labels stands for a score"
    )


def _row(law: SeriesLaw, scratch: SeriesLaw, size: float, paired: bool, better: Literal["higher", "lower"]) -> tuple[object, ...]:
    assert law.fit is not None
    assert scratch.fit is not None
    with np.errstate(all="ignore"):  # an interval without an end overflows on the way to it
        one = exchange_rate(law.fit, scratch.fit, size, paired=paired, better=better)
    low, high = one.interval or (float("nan"), float("nan"))
    found = one.status == "found"
    return (
        law.panel,
        law.series,
        size,
        one.y,
        one.matched_x,
        low,
        high,
        one.extra if found else float("nan"),
        one.ratio if found else float("nan"),
        low / size,
        high / size,
        one.status,
        one.extrapolated,
        scratch.panel,
        one.reason_no_interval,
    )


def _seeds_in_order(evidence: Evidence, law: SeriesLaw) -> list[tuple[int, ...]]:
    """The seeds of each independent group behind a law, in the order in which groups first appear:
    equal lists are the same clusters.
    """
    part = evidence.runs.loc[(evidence.runs["panel"] == law.panel) & (evidence.runs["series"] == law.series)].reset_index(drop=True)
    seeds = part["seed"].groupby(independent_groups(part)).unique()
    return [tuple(sorted(int(seed) for seed in group)) for group in seeds]


def _formatted(row: pd.Series, largest: float) -> str:
    """'43 more labels (95% interval 20 to 90)', or what there is in its place."""
    if row["status"] == "never":
        return "more than any number of labels, by the law"
    if row["status"] == "below":
        return "less than nothing, for scratch is better with any number of labels"
    size, extra = float(row["finetune_images"]), float(row["more_labels"])
    interval = (
        "" if pd.isna(row["labels_low"]) else f" ({100 * LEVEL:g}% interval {_end(row['labels_low'] - size)} to {_end(row['labels_high'] - size)})"
    )
    text = f"{digits(extra)} more labels" if extra >= 0 else f"{digits(-extra)} fewer labels"
    beyond = ", more than any measured" if float(row["labels_from_scratch"]) > largest else ""
    return f"{text}{interval}{beyond}".replace("-", "−")


def _end(value: float) -> str:
    return digits(value, never="no limit")


def _ends(rows: pd.DataFrame, evidence: Evidence) -> tuple[str, str, pd.DataFrame]:
    """The largest pre-training in the first panel, that panel, and its rows at the fewest and at the
    most labels.
    """
    panel = panels_of(rows, evidence.panels)[0]
    part = rows.loc[rows["panel"] == panel]
    series = [one for one in evidence.series_names if one in set(part["series"])][-1]
    ends = part.loc[part["series"] == series].sort_values("finetune_images")
    return series, panel, ends.iloc[[0, -1]] if len(ends) > 1 else ends


def _title(rows: pd.DataFrame, evidence: Evidence) -> str:
    """The title: how many times as many labels would replace the largest pre-training, at the fewest
    labels, with an interval if one panel has it, else as a range over panels.
    """
    fewest = rows.loc[rows["finetune_images"] == rows["finetune_images"].min()]
    place = {series: number for number, series in enumerate(evidence.series_names)}
    largest = fewest.loc[fewest["series"].map(place) == fewest.groupby("panel")["series"].transform(lambda names: names.map(place).max())]
    at = f"At {count(largest['finetune_images'].iloc[0])} labels"
    names = list(dict.fromkeys(largest["series"]))
    who = series_phrase(names[0]).removeprefix("after ") if len(names) == 1 else "the largest pre-training"
    if len(largest) == 1:
        row = largest.iloc[0]
        ends = ", without an interval" if pd.isna(row["low"]) else f" ({_factor(row['low'])} to {_factor(row['high'])})"
        value = f"{_value(row)}{ends}"
        return title(f"{at} {who} is worth {value}", f"{at} pre-training is worth {value}", f"{at}: worth {value}")
    order = largest.assign(order=[{"never": np.inf, "below": 0.0}.get(str(row["status"]), row["ratio"]) for _, row in largest.iterrows()])
    ends = " to ".join(dict.fromkeys(_value(row) for _, row in order.sort_values("order", kind="stable").iloc[[0, -1]].iterrows()))
    panels = f"in {len(largest)} panels"
    return title(f"{at} {who} is worth {ends} {panels}", f"{at} pre-training is worth {ends} {panels}", f"{at}: worth {ends}, {panels}")


def _factor(value: float) -> str:
    return f"×{decimals(value, 2)}" if np.isfinite(value) else "no limit"


def _claim(rows: pd.DataFrame, evidence: Evidence) -> str:
    """The largest pre-training in the first panel, at the fewest and at the most labels."""
    series, panel, ends = _ends(rows, evidence)
    largest = float(evidence.sizes[-1])
    description = [f"{_formatted(row, largest)} at {count(row['finetune_images'])} labels" for _, row in ends.iterrows()]
    who = series_phrase(series).removeprefix("after ").replace("pre-training", "Pre-training", 1)
    return f"{who} is worth {joined(description)}" + (f" ({panel})" if panel else "")


def _with_more(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the ends of `more_labels`, as the claim has them."""
    place = list(rows.columns).index("more_labels") + 1
    table = rows.copy()
    table.insert(place, "more_low", table["labels_low"] - table["finetune_images"])
    table.insert(place + 1, "more_high", table["labels_high"] - table["finetune_images"])
    return table


def _described(part: pd.DataFrame, panel: str) -> str:
    phrases: list[str] = []
    for series, own in part.groupby("series", sort=False):
        values = [_value(row) + f" at {count(row['finetune_images'])} labels" for _, row in own.iterrows()]
        phrases.append(f"{series_phrase(str(series))} {joined(values)}")
    return f"Labels from scratch for the same score{f' ({panel})' if panel else ''}: {'; '.join(phrases)}."


def _value(row: pd.Series) -> str:
    description = {"never": "more than any number", "below": "fewer than any number"}
    return description.get(str(row["status"])) or f"×{decimals(row['ratio'], 2)}"


register(
    SectionKind(
        name="worth",
        heading="What pre-training is worth in labels",
        place=90,
        empty="It takes a law with pre-training and one without, which share everything else.",
    )
)
register(
    FigureKind(
        name="worth",
        section="worth",
        place=10,
        title="What pre-training is worth in labels",
        draws="how many times the labels would give the same score from scratch",
        build=worth,
    )
)
