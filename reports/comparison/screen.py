"""The first screen of a comparison: the difference in one sentence, both laws, where they differ."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import AnalysisError, PairedEffects
from analysis.formatting import format_setting, p_value, percent
from reports.charts.first_screen import moved_score
from reports.charts.forest import ALPHA
from reports.comparison.effects import Differences, differences_by
from reports.comparison.pair import Pair
from reports.first_screen.scaling import OwnColumns, scaling_figure
from reports.page import Fact, Figure, Panel, Screen, Statement, make_table
from reports.theme import FigureError, count, decimals, padded_domain, signed
from reports.wording import joined, sentence, title

MOST_ROWS = 6
LABELS = "finetune_images"


def comparison_screen(pair: Pair, differences: Differences) -> Screen:
    """The whole screen; where nothing can be tested the sentence says why."""
    score, effects = pair.score, differences.effects
    screen = Screen(
        about=_about(pair),
        state=f"differences: {pair.names[1]} − {pair.names[0]}",
        sentence=_sentence(pair, differences),
        verdicts=tuple(_verdicts(pair, differences)),
        strip=tuple(_strip(pair)),
        links=(("Data (CSV)", "#differences"), ("What differs", "#settings"), ("Cost", "#coverage")),
    )
    counts = tuple((word, sum(one.verdict == word for one in screen.verdicts)) for word in ("supported", "open", "refuted"))
    screen = replace(screen, counts=counts if screen.verdicts else ())
    with suppress(FigureError, AnalysisError):
        drawn = scaling_figure(pair.runs, None, score, OwnColumns(x=LABELS, x_title="labelled images for fine-tuning", axes=("study",)))
        if drawn is not None:
            screen = replace(screen, scaling=replace(drawn, claim=_scaling_claim(pair)))
    if effects is not None and bool((effects.pairs["difference"] != 0).any()):
        with suppress(FigureError, AnalysisError):
            screen = replace(screen, moved=_where(pair, differences, effects))
    return screen


def _about(pair: Pair) -> str:
    if not pair.differing:
        return "equal in every setting"
    changed = [
        f"{name.replace('_', ' ')} {format_setting(new)} instead of {format_setting(old)}" for name, (old, new) in list(pair.differing.items())[:2]
    ]
    more = f" and {len(pair.differing) - 2} more settings" if len(pair.differing) > 2 else ""
    return f"{joined(changed)}{more}"


def _equal_runs(pair: Pair, differences: Differences) -> bool:
    return len(pair.same) > 0 and not differences.left_out and bool(pair.same["equal"].all())


def _sentence(pair: Pair, differences: Differences) -> str:
    first, second = pair.names
    if differences.effects is None:
        return differences.reason
    if _equal_runs(pair, differences):
        return f"All {count(len(pair.same))} runs that {first} and {second} share are equal to the last digit."
    whole = differences.effects.overall.iloc[0]
    size, score = decimals(abs(float(whole["difference"]))), pair.score.title
    side = "above" if whole["difference"] > 0 else "below"
    if np.isfinite(whole["low"]) and whole["p"] < ALPHA:
        ends = sorted((abs(float(whole["low"])), abs(float(whole["high"]))))
        return f"{second} lies {size} {score} {side} {first} ({decimals(ends[0])} to {decimals(ends[1])}), all else equal."
    if not np.isfinite(whole["low"]):
        return f"{second} lies {size} {score} {side} {first}; one group of runs gives no interval."
    return f"{second} and {first} cannot be told apart: the data allow {signed(whole['low'])} to {signed(whole['high'])} {score}."


def _verdicts(pair: Pair, differences: Differences) -> list[Statement]:
    """Equality of reruns, the difference on average, and whether any single cell differs."""
    found: list[Statement] = []
    if len(pair.same):
        equal, whole = int(pair.same["equal"].sum()), len(pair.same)
        found.append(
            _statement(
                "supported" if equal == whole else "refuted",
                "Runs that both have are equal to the last digit" if equal == whole else "Refuted: Runs that both have are equal to the last digit",
                f"{count(equal)} of {count(whole)} are equal in all that was measured",
            )
        )
    effects = differences.effects
    if effects is None or _equal_runs(pair, differences):
        return found
    overall = effects.overall.iloc[0]
    names = f"{pair.names[1]} differs from {pair.names[0]} in {pair.score.title}"
    sure = bool(overall["p"] < ALPHA)
    inside = f"{signed(overall['difference'])} ({percent(effects.level)} interval {signed(overall['low'])} to {signed(overall['high'])})"
    counted = f"{count(len(effects.pairs))} pairs" + (f", {p_value(float(overall['p']))}" if np.isfinite(overall["p"]) else "")
    found.append(
        _statement(
            "supported" if sure else "open",
            f"On average {names}" if sure else f"Whether {names} cannot be told",
            f"{inside if np.isfinite(overall['low']) else signed(overall['difference'])}, {counted}",
        )
    )
    tested = effects.table["p_holm"].dropna()
    if len(tested):
        survive = int((tested < ALPHA).sum())
        found.append(
            _statement(
                "supported" if survive else "open",
                "At least one cell differs by itself" if survive else "Whether any single cell differs cannot be told",
                f"{count(survive)} of {count(len(tested))} cells (all other settings equal), after Holm's correction",
            )
        )
    return found


def _statement(verdict: str, headline: str, detail: str) -> Statement:
    return Statement(verdict=verdict, headline=sentence(headline), detail=sentence(detail), claim=sentence(headline), source="", sentence="")


def _scaling_claim(pair: Pair) -> str:
    """Which study lies above the other, and whether at every number of labels."""
    means = pair.runs.pivot_table(index=LABELS, columns="study", values=pair.score.column, aggfunc="mean").dropna()
    change = (means[pair.names[1]] - means[pair.names[0]]).to_numpy()
    both = f"{pair.score.start} of both by number of labels"
    if not ((change > 0).all() or (change < 0).all()):
        return both
    above, below = pair.names[::-1] if change[0] > 0 else pair.names
    return title(f"{above} lies above {below} at every number of labels", both)


def _where(pair: Pair, differences: Differences, effects: PairedEffects) -> Figure:
    """The difference over all cells and at each number of labels, in the form of main effects."""
    overall = effects.overall.assign(name="All cells", levels=f"{count(len(effects.pairs))} pairs")
    parts = [overall]
    by = differences_by(pair, differences, LABELS)
    if 1 < len(by) < MOST_ROWS:
        levels = [f"{count(number)} pairs" for number in by["n_pairs"]]
        parts.append(by.assign(name=[f"{count(size)} labels" for size in by[LABELS]], levels=levels))
    rows = pd.concat([part[["name", "levels", "difference", "low", "high"]] for part in parts], ignore_index=True)
    rows = rows.rename(columns={"difference": "effect"}).assign(value=lambda table: [signed(one) for one in table["effect"]])
    domain = padded_domain(rows["effect"], rows["low"], rows["high"], [0.0])
    none = pd.DataFrame(columns=["name", "seed", "effect"])
    charts = [moved_score(rows, none, noise=float("nan"), x_title=pair.score.title, x_domain=domain, phone=phone) for phone in (False, True)]
    words = "; ".join(f"{row['name']} {row['value']}" for row in rows.to_dict("records"))
    description = f"{pair.names[1]} − {pair.names[0]}, mean difference in {pair.score.title}: {words}."
    return Figure(
        identity="figure-where",
        claim="Where they differ",
        subtitle=f"{pair.names[1]} − {pair.names[0]} in {pair.score.title}, in pairs of runs equal in all else. Bar: {percent(effects.level)} "
        "interval, hollow where it holds zero.",
        description=description,
        panels=(Panel(identity="where-differs", chart=charts[0], narrow=charts[1], alternative=description),),
        tables=(make_table(rows, caption="Differences, overall and by number of labels", file_name="differences_by_labels.csv"),),
    )


def _strip(pair: Pair) -> list[Fact]:
    facts = []
    for name, study in zip(pair.names, pair.studies, strict=True):
        done, planned = len(study.runs), len(study.planned) if study.planned is not None else 0
        text = f"runs, {name}" if not planned or done >= planned else f"of {count(planned)} runs, {name}"
        facts.append(Fact(term=count(done), text=text, kind="complete"))
    for unit, column in (("GPU-hours", "gpu_hours"), ("core-hours", "cpu_hours")):
        hours = [float(study.stages[column].fillna(0).sum()) if column in study.stages.columns else 0.0 for study in pair.studies]
        if max(hours) > 0:
            facts.append(Fact(term=" and ".join(f"{one:.2g}" for one in hours), text=unit))
            break
    seeds = [int(study.runs["seed"].nunique()) for study in pair.studies if "seed" in study.runs.columns]
    if seeds:
        facts.append(Fact(term=" and ".join(dict.fromkeys(map(count, seeds))), text="seeds"))
    return facts
