"""What pre-training changes and what the intermediate stage changes, as paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import PairedEffects
from reports.charts.effects import effect_by_series, paired_effect
from reports.evidence import MOST_POINTS, Evidence, focused
from reports.figures.rows import are_one_chart, as_rows
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.series import SERIES_SETTINGS, effects_with_series, panels_of, series_phrase, setting_in_words, varying
from reports.theme import count, padded_domain, signed
from reports.wording import by_reason, sentence, title


def pretraining(evidence: Evidence) -> Figure:
    """Score of each pre-trained run minus that of its partner from scratch."""
    effects = evidence.pretraining
    assert effects is not None
    return _figure("pretraining", effects, evidence, claim=_pretraining_claim(effects, evidence), better="pre-training helps")


def intermediate(evidence: Evidence) -> Figure:
    """Score of each run with the intermediate stage minus that of its partner without."""
    effects = evidence.intermediate
    assert effects is not None
    claim = _intermediate_claim(effects, evidence.score.title)
    return _figure("intermediate", effects, evidence, claim=claim, better="the intermediate stage helps")


def _figure(name: str, effects: PairedEffects, evidence: Evidence, *, claim: str, better: str) -> Figure:
    score = evidence.score.title
    rows, pairs = effects_with_series(effects, evidence.runs)
    y_domain = padded_domain(rows["low"], rows["high"], rows["difference"], pairs["difference"], [0.0])
    panels = []
    some = focused(evidence)
    names = panels_of(rows, evidence.panels)
    many = len(pairs) > MOST_POINTS
    is_single = rows["finetune_images"].nunique() == 1
    kept, drawn = rows.loc[rows["series"].isin(some.series_names) & rows["panel"].isin(some.panels)], pairs.loc[pairs["panel"].isin(some.panels)]
    places, series_names = panels_of(kept, evidence.panels), list(evidence.series_names)
    described = {panel: _described(kept.loc[kept["panel"] == panel], panel, score) for panel in places}
    if is_single and are_one_chart(kept):
        (kept, drawn), series_names = as_rows((kept, drawn), evidence.panels)
        places, described = [""], {"": " ".join(described.values())}
    for number, panel in enumerate(places):
        part, its_pairs = kept.loc[kept["panel"] == panel], drawn.loc[(drawn["panel"] == panel) & (not many)]
        if is_single:
            chart = effect_by_series(
                part, its_pairs, series_names=series_names, x_title=f"difference in {score}", x_domain=y_domain, every_row=set(kept["series"])
            )
        else:
            chart = paired_effect(part, its_pairs, series_names=evidence.series_names, y_title=f"difference in {score}", y_domain=y_domain)
        panels.append(Panel(identity=f"{name}-{number}", chart=chart, alternative=described[panel], heading=panel if len(names) > 1 else ""))
    shown = [column for column in rows.columns if column not in ("factor", "baseline", "series", "panel")]
    tables = [make_table(rows[shown], caption="Effects (the points and bars)", file_name=f"{name}_effects.csv")]
    if len(effects.overall) and name == "intermediate":
        tables.append(make_table(effects.overall, caption="Means over all pairs of each kind of stage", file_name=f"{name}_on_average.csv"))
    if not many:
        tables.append(make_table(pairs.drop(columns=["series", "panel"]), caption="Pairs (the short dashes)", file_name=f"{name}_pairs.csv"))
    level = f"{100 * effects.level:g}%"
    none = rows.loc[rows["low"].isna()]
    bars = f"bars: {level} intervals over independent groups of runs" if len(none) < len(rows) else "there are no intervals"
    side = {"Above": "Right of", "Below": "Left of"}[evidence.score.better_side] if is_single else evidence.score.better_side
    subtitle = (
        f"Points: mean difference in {score}; {bars}; {'not drawn' if many else 'short dashes'}: the {count(len(pairs))} pairs of runs that differ "
        f"in this alone. {side} the line at zero, {better}."
        f"{'' if is_single else ' Sizes are evenly spaced.'}"
    )
    named = [f"{series_phrase(row['series'])} at {count(row['finetune_images'])} labels" for _, row in none.iterrows()]
    left_out = effects.n_unmatched_treatment + effects.n_unmatched_baseline + effects.n_without_outcome
    notes = [sentence(effects.matching())] if left_out else []
    if some.focus:
        notes.append(some.focus)
    if len(none) == len(rows):
        notes += [sentence(f"No point has an interval: {reason}") for reason in dict.fromkeys(none["note"])]
    else:
        notes += by_reason("There is no interval", list(zip(named, none["note"], strict=True)), of=len(rows))
    return Figure(
        claim=claim,
        subtitle=subtitle,
        description=" ".join([*(panel.alternative for panel in panels), sentence(effects.matching())]),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=tuple(tables),
    )


KINDS_OF_PRETRAINING = [name for name in SERIES_SETTINGS if name not in ("pretrain_images", "pretrain_length")]
"""Settings in which no pre-training is larger than another."""


def _claim_of_kinds(effects: PairedEffects, evidence: Evidence) -> str:
    """The title where several kinds of pre-training have the most images, such as SimMIM and MAE: the
    lowest and the highest difference at the most labels. Else ''.
    """
    rows, _ = effects_with_series(effects, evidence.runs)
    if rows["panel"].nunique() > 1:
        return ""
    largest = evidence.runs.loc[evidence.runs["series"].isin(set(rows["series"]))]
    largest = largest.loc[largest["pretrain_images"] == largest["pretrain_images"].max()]
    kinds = varying(largest, KINDS_OF_PRETRAINING)
    part = rows.loc[rows["series"].isin(set(largest["series"])) & (rows["finetune_images"] == rows["finetune_images"].max())]
    if not kinds or part["series"].nunique() < 2:
        return ""
    part = part.sort_values("difference")
    told = varying(largest, [name for name in SERIES_SETTINGS if name != "pretrain_images"])
    low, high = (f"{signed(row['difference'])}{_in_brackets(largest, str(row['series']), told)}" for _, row in part.iloc[[0, -1]].iterrows())
    score, labels = evidence.score.title, count(part["finetune_images"].iloc[0])
    bare = f"{signed(part['difference'].iloc[0])} to {signed(part['difference'].iloc[-1])}"
    return title(f"Pre-training: {score} {low} to {high} at {labels} labels", f"Pre-training: {score} {bare} at {labels} labels")


def _in_brackets(runs: pd.DataFrame, series: str, settings: Sequence[str]) -> str:
    """' (mae)': what tells the series from others, also what its name leaves out as usual."""
    row = runs.loc[runs["series"] == series].iloc[0]
    known = [setting_in_words(name, row[name]) for name in settings if not pd.isna(row[name])]
    return f" ({', '.join(known)})" if known else ""


def _pretraining_claim(effects: PairedEffects, evidence: Evidence) -> str:
    if of_kinds := _claim_of_kinds(effects, evidence):
        return of_kinds
    rows, _ = effects_with_series(effects, evidence.runs)
    name = series_phrase(str(rows["series"].iloc[0])).removeprefix("after ").replace("pre-training", "Pre-training", 1)
    who, score = name if rows["series"].nunique() == 1 else "Pre-training", evidence.score.title
    few, many = rows["finetune_images"].min(), rows["finetune_images"].max()
    if few < many:
        fewest, most = (_span(rows.loc[rows["finetune_images"] == size]) for size in (few, many))
        phrase = f"{score} {fewest} at {count(few)} labels, {most} at {count(many)}"
        return title(f"{who}: {phrase}", f"Pre-training: {phrase}", f"Pre-training: {score} {_span(rows)}")
    if len(rows) == 1:
        phrase = f"{score} {_span(rows)} at {count(few)} labels{_interval(rows.iloc[0])}"
        return title(f"{who}: {phrase}", f"Pre-training: {phrase}", f"{score} {_span(rows)}{_interval(rows.iloc[0])}")
    known = rows.dropna(subset=["low", "high"])
    sure = int(((known["low"] > 0) | (known["high"] < 0)).sum())
    judged = f", {sure} of {len(known)} intervals exclude zero" if len(known) else ", without intervals"
    return title(f"{who}: {score} {_span(rows)}{judged}", f"Pre-training: {score} {_span(rows)}{judged}", f"Pre-training: {score} {_span(rows)}")


def _intermediate_claim(effects: PairedEffects, score: str) -> str:
    """The mean over all pairs of each kind of stage, with its interval."""
    rows = effects.overall.reset_index(drop=True)
    if len(rows) == 1:
        subject = sentence(effects.subject(str(rows["treatment"].iloc[0]))).rstrip(".")
        change = f"{_span(rows)} {score} on average"
        return title(f"{subject}: {change}{_interval(rows.iloc[0])}", f"{subject}: {change}", f"{change}{_interval(rows.iloc[0])}")
    each = [f"{row['treatment']} {signed(row['difference'])}{_interval(row)}" for _, row in rows.iterrows()]
    bare = [f"{row['treatment']} {signed(row['difference'])}" for _, row in rows.iterrows()]
    return title(f"{score} on average: {', '.join(each)}", f"{score} on average: {', '.join(bare)}", f"{score} on average: {_span(rows)}")


def _span(rows: pd.DataFrame) -> str:
    """'+0.019 to +0.071', the lowest and the highest difference; one number where they are equal."""
    return " to ".join(dict.fromkeys((signed(rows["difference"].min()), signed(rows["difference"].max()))))


def _interval(row: pd.Series) -> str:
    """' (+0.019 to +0.071)', or that there is none."""
    return ", without an interval" if pd.isna(row["low"]) else f" ({signed(row['low'])} to {signed(row['high'])})"


def _described(rows: pd.DataFrame, panel: str, score: str) -> str:
    """The panel in words, from its rows."""
    phrases = []
    for series, part in rows.groupby("series", sort=False):  # the table's own order: by pre-training images
        values = [
            f"{signed(row['difference'])} at {count(row['finetune_images'])} labels"
            + ("" if pd.isna(row["low"]) else f" ({signed(row['low'])} to {signed(row['high'])})")
            for _, row in part.sort_values("finetune_images").iterrows()
        ]
        phrases.append(f"{series_phrase(str(series))} {', '.join(values)}")
    return f"Mean difference in {score}{f' ({panel})' if panel else ''}: {'; '.join(phrases)}."


for _place, _name, _stage, _build in ((20, "pretraining", "pre-training", pretraining), (50, "intermediate", "the intermediate stage", intermediate)):
    register(SectionKind(name=_name, heading=f"What {_stage} changes", place=_place))
    register(
        FigureKind(
            name=_name,
            section=_name,
            place=10,
            title=f"What {_stage} changes",
            draws="paired differences of the score, by labelled images",
            needs=(_name,),
            build=_build,
        )
    )
