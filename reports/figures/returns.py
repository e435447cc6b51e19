"""What another doubling brings, of labels and of pre-training images, against the noise between two
runs of one cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis import AnalysisError, diminishing_returns
from analysis.claims.claim_table import prepare
from analysis.claims.contrasts import contrast
from analysis.formatting import digits, percent
from reports.charts.arms import values_by_arm
from reports.charts.cells import gain_per_doubling
from reports.evidence import Evidence, focused
from reports.page import Figure, Panel, Table, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.score import Score
from reports.series import panels_of, rest_of, series_phrase, spread_out
from reports.theme import NO_PRETRAINING, count, decimals, padded_domain, signed
from reports.wording import joined, sentence, title

LEVEL = 0.95
MARGIN = 0.01
"""Asked for by analysis, and not used for anything shown here."""
MOST_SERIES = 6
"""Series drawn side by side at each step; the table has all."""
MOST_PANELS, MOST_ROWS = 6, 16
"""Most panels that are drawn, if each is a chart of its own, and if each is a row of one chart."""
FEWEST_ROWS, MOST_STEPS = 3, 2
"""One chart has a row for each step if there are at least so many panels, each of at most so many
steps.
"""
STEP_COLUMNS = ["panel", "series", "from", "to", "step", "gain", "low", "high", "n", "note"]


def returns_of_labels(evidence: Evidence) -> Figure | str:
    """The gain of each step of labels per doubling, by series."""
    evidence = focused(evidence)
    return _by_labels(evidence, between_two_runs(evidence)) or ""


def returns_of_images(evidence: Evidence) -> Figure | str:
    """The gain of each step of pre-training images per doubling, by number of labels."""
    evidence = focused(evidence)
    return _by_images(evidence, between_two_runs(evidence)) or ""


def between_two_runs(evidence: Evidence) -> float:
    """Standard deviation of the difference between two runs of one cell: root two times that of one
    run, pooled over cells; NaN if unknown.
    """
    cells = evidence.cells
    if cells is None or not (cells["n"] > 1).any():
        return float("nan")
    several = cells.loc[cells["n"] > 1]
    freedom = several["n"].to_numpy(dtype=float) - 1
    return float(np.sqrt(2 * (freedom * several["sd"].to_numpy(dtype=float) ** 2).sum() / freedom.sum()))


def label_steps(evidence: Evidence) -> pd.DataFrame:
    """One row a panel, series and step of labels: STEP_COLUMNS, `series` being the pre-training."""
    parts = evidence.runs.groupby(["panel", "series"], sort=False)
    found = [_steps(part, "finetune_images", str(panel), str(series), evidence.score.column) for (panel, series), part in parts]
    return _ordered(found, evidence.panels, evidence.series_names)


def image_steps(evidence: Evidence) -> pd.DataFrame:
    """One row a panel, number of labels and step of pre-training images above zero: STEP_COLUMNS,
    `series` being the labels as text.
    """
    trained = evidence.runs.loc[evidence.runs["pretrain_images"] > 0]
    trained = trained.assign(rest=[rest_of(str(series)) for series in trained["series"]])
    found, panels = [], []
    for (panel, rest, labels), part in trained.groupby(["panel", "rest", "finetune_images"], sort=False):
        name = ", ".join(one for one in (str(panel), str(rest)) if one)
        panels.append(name)
        found.append(_steps(part, "pretrain_images", name, count(float(str(labels))), evidence.score.column))
    order = [panel for panel in evidence.panels if panel in panels] + panels
    return _ordered(found, list(dict.fromkeys(order)), [count(size) for size in evidence.sizes])


def _ordered(found: Sequence[pd.DataFrame], panels: Sequence[str], series_names: Sequence[str]) -> pd.DataFrame:
    filled = [one for one in found if len(one)]
    if not filled:
        return pd.DataFrame(columns=STEP_COLUMNS)
    table = pd.concat(filled, ignore_index=True)
    place = {name: index for names in (panels, series_names) for index, name in enumerate(names)}
    keys = table.assign(panel=table["panel"].map(place), series=table["series"].map(place))
    return table.loc[keys.sort_values(["panel", "series", "from"], kind="stable").index].reset_index(drop=True)


def _steps(part: pd.DataFrame, factor: str, panel: str, series: str, score: str) -> pd.DataFrame:
    """The steps of one series; its interval is taken over seeds, whose runs of all sizes belong
    together.
    """
    sizes = sorted(float(size) for size in part[factor].unique())
    if len(sizes) < 2:
        return pd.DataFrame(columns=STEP_COLUMNS)
    material = prepare(part.reset_index(drop=True), outcome=score, level=LEVEL, margin=MARGIN)
    at = {size: sorted({int(cell) for cell in material.cell[(material.table[factor] == size).to_numpy()]}) for size in sizes}
    rows = []
    for low, high in pairwise(sizes):
        per = 1.0 / float(np.log2(high / low))
        weights = {cell: -per / len(at[low]) for cell in at[low]} | {cell: per / len(at[high]) for cell in at[high]}
        found = contrast(material, weights, spread="sd")
        step = f"{count(low)} → {count(high)}"
        rows.append((panel, series, low, high, step, found.value, found.low, found.high, found.n, found.note))
    return pd.DataFrame(rows, columns=STEP_COLUMNS)


def change_over_labels(evidence: Evidence, panel: str, series: str) -> pd.Series | None:
    """The mean score of a series at its most labels minus that at its fewest: from, to, change, low
    and high (95% interval over seeds), note. None where it has one number of labels.
    """
    part = evidence.runs.loc[(evidence.runs["panel"] == panel) & (evidence.runs["series"] == series)]
    ends = part.loc[part["finetune_images"].isin([part["finetune_images"].min(), part["finetune_images"].max()])]
    steps = _steps(ends, "finetune_images", panel, series, evidence.score.column)
    if steps.empty:
        return None
    row = steps.iloc[0].rename({"gain": "change"})
    row.loc[["change", "low", "high"]] *= float(np.log2(row["to"] / row["from"]))
    return row


def _by_labels(evidence: Evidence, noise: float) -> Figure | None:
    steps = label_steps(evidence)
    if not np.isfinite(steps["gain"].to_numpy(dtype=float)).any():
        return None
    tables: list[Table] = [
        make_table(steps.assign(noise_sd=noise), caption="Gain of each step of labels, per doubling", file_name="returns_labels.csv")
    ]
    stops = stopping_points(evidence, noise)
    notes = [evidence.focus] if evidence.focus else []
    if len(stops):
        caption = "From how many labels on another doubling brings less than two runs of one cell differ by, by each series' law "
        caption += f"({percent(LEVEL)} intervals)"
        tables.append(make_table(stops, caption=caption, file_name="returns_stopping_points.csv"))
        notes += _stopping_sentences(stops, noise, evidence.score.title)
    return _figure(
        steps,
        noise,
        score=evidence.score,
        identity="returns",
        what="labels",
        panels=evidence.panels,
        series_names=evidence.series_names,
        series_title="pre-training images",
        x_title="from → to labelled images",
        of="series",
        notes=notes,
        tables=tables,
    )


def _by_images(evidence: Evidence, noise: float) -> Figure | None:
    steps = image_steps(evidence)
    if not np.isfinite(steps["gain"].to_numpy(dtype=float)).any():
        return None
    return _figure(
        steps,
        noise,
        score=evidence.score,
        identity="returns-images",
        what="pre-training images",
        panels=list(dict.fromkeys(steps["panel"])),
        series_names=[count(size) for size in evidence.sizes],
        series_title="labelled images",
        x_title="from → to pre-training images",
        of="numbers of labels",
        notes=[evidence.focus] if evidence.focus else [],
        tables=[
            make_table(steps.assign(noise_sd=noise), caption="Gain of each step of pre-training images, per doubling", file_name="returns_images.csv")
        ],
    )


def _figure(
    steps: pd.DataFrame,
    noise: float,
    *,
    score: Score,
    identity: str,
    what: str,
    panels: Sequence[str],
    series_names: Sequence[str],
    series_title: str,
    x_title: str,
    of: str,
    notes: Sequence[str],
    tables: Sequence[Table],
) -> Figure:
    finite = steps.loc[np.isfinite(steps["gain"].to_numpy(dtype=float))]
    present = [one for one in series_names if one in set(finite["series"])]
    every = panels_of(finite, panels)
    is_rows = len(every) >= FEWEST_ROWS and int(finite.groupby("panel")["step"].nunique().max()) <= MOST_STEPS
    kept, shown = spread_out(present, MOST_SERIES), spread_out(every, MOST_ROWS if is_rows else MOST_PANELS)
    drawn = finite.loc[finite["series"].isin(kept) & finite["panel"].isin(shown)].sort_values("from", kind="stable")
    domain = padded_domain(drawn["gain"], drawn["low"], drawn["high"], [0.0], [-noise, noise])
    made = [_in_rows(drawn, shown, series_names, series_title, score, domain, noise, identity, what)] if is_rows else []
    for number, panel in enumerate(() if is_rows else shown):
        part = drawn.loc[drawn["panel"] == panel]
        chart = gain_per_doubling(
            part,
            series_names=series_names,
            series_title=series_title,
            x_title=x_title,
            y_title=f"{score.title} per doubling",
            y_domain=domain,
            noise=noise,
        )
        made.append(Panel(identity=f"{identity}-{number}", chart=chart, alternative=_described(part, what, panel, score), heading=panel))
    band = (
        f"Grey band: ±{decimals(noise)}, the standard deviation of the difference between two runs of one cell, pooled over cells: a gain inside "
        "it is no larger than what re-running brings."
        if np.isfinite(noise)
        else "Every cell has one run, so what re-running brings is not known and no band is drawn."
    )
    whole = _claim(finite, what, noise, score.title)
    phrases = [sentence(whole), *notes]
    counts = [f"{len(some)} of {len(all_)} {name}" for some, all_, name in ((kept, present, of), (shown, every, "panels")) if len(some) < len(all_)]
    if counts:
        phrases.append(f"{joined(counts)} are drawn; the table has all.")
    for reason in dict.fromkeys(finite.loc[finite["low"].isna(), "note"]):
        phrases.append(f"Bars are missing where {reason}.")
    return Figure(
        claim=_title(finite, what, noise, score.title),
        subtitle=f"Difference of neighbouring cell means, divided by the doublings of {what} between them. Bars: {percent(LEVEL)} intervals over "
        f"seeds ({joined(list(dict.fromkeys(drawn['n'])))}). {band}{'' if is_rows else ' Steps are evenly spaced.'}",
        description=" ".join(panel.alternative for panel in made),
        panels=tuple(made),
        notes=tuple(phrases),
        tables=tuple(tables),
    )


def _in_rows(
    drawn: pd.DataFrame,
    panels: Sequence[str],
    series_names: Sequence[str],
    series_title: str,
    score: Score,
    domain: tuple[float, float],
    noise: float,
    identity: str,
    what: str,
) -> Panel:
    """One chart with a row for each panel and step, where panels have few steps."""
    several = drawn["step"].nunique() > 1
    place = {panel: number for number, panel in enumerate(panels)}
    rows = drawn.assign(
        place=drawn["panel"].map(place), arm=drawn["panel"] + (", " + drawn["step"].str.replace(" → ", "–") if several else ""), value=drawn["gain"]
    )
    rows["arm"] = rows["arm"].str.removeprefix(", ")
    order = list(dict.fromkeys(rows.sort_values(["place", "from", "to"], kind="stable")["arm"]))
    chart = values_by_arm(
        rows,
        arms=order,
        series_names=series_names,
        x_title=f"{score.title} per doubling of {what}",
        series_title=series_title,
        x_domain=domain,
        rule=0.0,
        noise=noise,
    )
    described = " ".join(_described(drawn.loc[drawn["panel"] == panel], what, panel, score) for panel in panels)
    return Panel(identity=f"{identity}-0", chart=chart, alternative=described)


def _last(steps: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The steps to the largest size, of all panels and series, and what they are called."""
    last = steps.loc[steps["to"] == steps["to"].max()]
    low, high = last["step"].iloc[0].split(" → ")
    return last, f"{low}–{high}" if last["step"].nunique() == 1 else f"to {high}"


def _title(steps: pd.DataFrame, what: str, noise: float, score: str) -> str:
    """`_claim` in few words."""
    last, step = _last(steps)
    gain = f"{' to '.join(dict.fromkeys((signed(last['gain'].min()), signed(last['gain'].max()))))} {score}"
    more = int((last["gain"].abs() >= noise).sum()) if np.isfinite(noise) else -1
    verdict = "" if more < 0 else f", {more} of {len(last)} beyond noise"
    if more in (0, len(last)):
        verdict = ", within noise" if more == 0 else ", above noise" if last["gain"].min() > 0 else ", beyond noise"
    start = f"{step[0].upper()}{step[1:]} {what}: {gain} per doubling"
    brief = f"Doubling {step if step.startswith('to') else f'from {step}'} {what}: {gain}"
    return title(f"{start}{verdict}", f"{brief}{verdict}", start, brief, f"A doubling of {what} brings {gain}")


def _claim(steps: pd.DataFrame, what: str, noise: float, score: str) -> str:
    """The last step against the noise, over all panels and series that have it."""
    last, step = _last(steps)
    ends = dict.fromkeys((signed(last["gain"].min()), signed(last["gain"].max())))
    phrase = f"{'From ' if '–' in step else ''}{step.replace('–', ' to ')} {what} a doubling brings {' to '.join(ends)} {score}"
    if np.isfinite(noise):
        less = int((last["gain"].abs() < noise).sum())
        verdict = "less than" if less == len(last) else "more than" if less == 0 else f"in {less} of {len(last)} cases less than"
        phrase += f", {verdict} the {decimals(noise)} by which two runs of one cell differ"
    return phrase


def _described(part: pd.DataFrame, what: str, panel: str, score: Score) -> str:
    phrases = []
    for name, own in part.groupby("series", sort=False):
        first, last = own.iloc[0], own.iloc[-1]
        who = series_phrase(str(name)) if what == "labels" else f"at {name} labels"
        text = f"{who} {signed(first['gain'])} from {first['step'].replace(' → ', ' to ')}"
        phrases.append(text + (f" and {signed(last['gain'])} from {last['step'].replace(' → ', ' to ')}" if len(own) > 1 else ""))
    return f"{score.start} per doubling of {what}{f' ({panel})' if panel else ''}: {'; '.join(phrases)}."


def stopping_points(evidence: Evidence, noise: float) -> pd.DataFrame:
    """From how many labels on a doubling brings less than `noise`, by the law of each series: panel,
    series, status, labels, low, high, extrapolated, note.
    """
    rows: list[tuple[object, ...]] = []
    nothing = (float("nan"),) * 3
    for law in evidence.laws if np.isfinite(noise) and noise > 0 else ():
        if law.fit is None or law.reason:
            rows.append((law.panel, law.series, "no law", *nothing, None, law.reason))
            continue
        try:
            point = diminishing_returns(law.fit, noise_sd=noise, better=evidence.score.better).noise
        except AnalysisError as error:
            rows.append((law.panel, law.series, "no answer", *nothing, None, str(error)))
            continue
        low, high = point.interval or (float("nan"), float("nan"))
        rows.append((law.panel, law.series, point.status, point.x, low, high, point.extrapolated, point.reason_no_interval))
    return pd.DataFrame(rows, columns=["panel", "series", "status", "labels", "low", "high", "extrapolated", "note"])


def _stopping_sentences(stops: pd.DataFrame, noise: float, score: str) -> list[str]:
    """What the laws say of scratch and of the largest pre-training in the first panel."""
    part = stops.loc[(stops["panel"] == stops["panel"].iloc[0]) & stops["status"].isin(["found", "already", "never"])]
    series_names = list(part["series"])
    wanted = [series for series in series_names if series == NO_PRETRAINING] + [series for series in series_names if series != NO_PRETRAINING][-1:]
    return [text for _, row in part.loc[part["series"].isin(wanted)].iterrows() for text in _stopping_sentence(row, noise, score)]


def _stopping_sentence(row: pd.Series, noise: float, score: str) -> Iterator[str]:
    who = series_phrase(str(row["series"])).capitalize()
    less = f"another doubling of labels brings less than {decimals(noise)} {score}"
    if row["status"] == "never":
        yield f"{who}, by its law, there is no number of labels from which {less}."
    elif row["status"] == "already":
        yield f"{who}, by its law, {less} already at the fewest labels measured."
    else:
        interval = "" if pd.isna(row["low"]) else f" ({percent(LEVEL)} interval {_ends(row['low'])} to {_ends(row['high'])})"
        beyond = "; its doubling lies beyond what was measured" if row["extrapolated"] else ""
        yield f"{who}, by its law, {less} from {digits(row['labels'])} labels on{interval}{beyond}."


def _ends(value: float) -> str:
    return digits(value, never="never")


register(
    SectionKind(
        name="returns",
        heading="What another doubling brings",
        place=80,
        empty="No two finished cells differ in labels alone, or in pre-training images above zero alone.",
    )
)
register(
    FigureKind(
        name="returns",
        section="returns",
        place=10,
        title="What another doubling of labels brings",
        draws="the gain of each step of labels, per doubling",
        build=returns_of_labels,
    )
)
register(
    FigureKind(
        name="returns-images",
        section="returns",
        place=20,
        title="What another doubling of pre-training images brings",
        draws="the gain of each step of pre-training images, per doubling",
        build=returns_of_images,
    )
)
