"""How well the series' laws hold: what they leave over at each size, and how they predict later sizes
from earlier ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import AnalysisError, choose_law
from reports.charts.laws import LAST_VALUE, law_backtest, law_residuals
from reports.evidence import Evidence, focused
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.series import panels_of, series_phrase, spread_out
from reports.theme import count, decimals, padded_domain, signed
from reports.wording import by_reason, title

MOST_SERIES = 6
"""Series whose laws are tested against later sizes; each takes a hundred fits."""
MOST_PANELS = 4
MOST_POINTS = 2000


def law_errors(evidence: Evidence) -> Figure | str:
    """Errors of the laws of a few series at later sizes, from rolling origins."""
    evidence = focused(evidence)
    table, reasons = backtest(evidence)
    if table.empty:
        return " ".join(by_reason("There is no backtest", reasons, of=len(reasons)))
    return _backtest(evidence, table, reasons)


def residual_points(evidence: Evidence) -> pd.DataFrame:
    """One row a run behind a drawable law: panel, series, finetune_images, score, fitted, residual
    (measured minus law, relative).
    """
    parts = []
    for law in evidence.laws:
        if law.fit is None or law.reason:
            continue
        points = law.fit.plot_data(points=2)["points"].rename(columns={"x": "finetune_images", "y": "score"})
        points = points.assign(panel=law.panel, series=law.series, relative=law.fit.logarithmic)
        parts.append(points.loc[points["weight"] > 0, ["panel", "series", "finetune_images", "score", "fitted", "residual", "relative"]])
    columns = ["panel", "series", "finetune_images", "score", "fitted", "residual", "relative"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def residuals(evidence: Evidence) -> Figure | str:
    """Residuals of each series' law."""
    evidence = focused(evidence)
    points = residual_points(evidence)
    points = points.loc[np.isfinite(points["residual"].to_numpy(dtype=float))]
    if points.empty:
        return "No series has a law: the notes of the scores say why."
    many = len(points) > MOST_POINTS
    if many:
        grouped = points.groupby(["panel", "series", "finetune_images"], sort=False)
        points = grouped.agg(score=("score", "mean"), fitted=("fitted", "mean"), residual=("residual", "mean"), runs=("score", "size")).reset_index()
    shown = spread_out(panels_of(points, evidence.panels), MOST_PANELS)
    kept = spread_out([series for series in evidence.series_names if series in set(points["series"])], MOST_SERIES)
    title = "log of score / law" if not many and points["relative"].all() else "residual of the law"
    domain = padded_domain(points["residual"], [0.0])
    panels = []
    for number, panel in enumerate(shown):
        part = points.loc[(points["panel"] == panel) & points["series"].isin(kept)]
        if part.empty:
            continue
        furthest = part.loc[part["residual"].abs().idxmax()]
        several = part["series"].nunique()
        description = (
            f"Residuals of {several} {'law' if several == 1 else 'laws'}{f' ({panel})' if panel else ''}: root mean square "
            f"{decimals(float(np.sqrt((part['residual'] ** 2).mean())))}, furthest {signed(furthest['residual'])} "
            f"{series_phrase(str(furthest['series']))} at {count(furthest['finetune_images'])} labels."
        )
        panels.append(
            Panel(
                identity=f"residuals-{number}",
                chart=law_residuals(part, series_names=evidence.series_names, y_title=title, y_domain=domain),
                alternative=description,
                heading=panel,
            )
        )
    missed = [
        (series_phrase(law.series) + (f" ({law.panel})" if law.panel else ""), law.fit.lack_of_fit.p)
        for law in evidence.laws
        if law.fit is not None and not law.reason and law.fit.lack_of_fit.p is not None
    ]
    bad = [name for name, p in missed if p < 0.05]
    claim = f"{len(bad) or 'None'} of {len(missed)} laws {'misses' if len(bad) < 2 else 'miss'} the measured means by more than noise"
    if not missed:
        claim = f"Scores scatter about their laws by {decimals(float(np.sqrt((points['residual'] ** 2).mean())))} (root mean square)"
    notes = [f"Lack of fit (p < 0.05, uncorrected): {name}." for name in bad[:6]]
    if len(kept) < points["series"].nunique() or len(shown) < points["panel"].nunique():
        notes.append(f"{len(kept)} of {points['series'].nunique()} series and {len(shown)} of {points['panel'].nunique()} panels are drawn.")
    each = "Each point is the mean over one cell" if many else "Each point is one run"
    return Figure(
        claim=claim,
        subtitle=f"{each}: the logarithm of its score divided by what its series' law gives, about its relative deviation. Series stand side by side "
        "at each number of labels. A law that holds leaves points on both sides of zero at every size. Points have no interval.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(make_table(points, caption="Residuals (the points)", file_name="law_residuals.csv"),),
    )


def backtest(evidence: Evidence) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """One row a series of the first panel and law: series, law, parameters, error (of later sizes),
    standard_error, weight, chosen; and who lacks.
    """
    rows, reasons = [], []
    if not evidence.panels:
        return pd.DataFrame(), []
    runs = evidence.runs.loc[evidence.runs["panel"] == panels_of(evidence.runs, evidence.panels)[0]]
    for series in spread_out([series for series in evidence.series_names if series in set(runs["series"])], MOST_SERIES):
        part = runs.loc[runs["series"] == series]
        # Runs of one size are averaged: a later size is what is to be predicted, not one more run
        # of it.
        means = part.groupby("finetune_images")[evidence.score.column].mean()
        try:
            low, high = evidence.score.lowest, evidence.score.highest
            if (low is not None and (means <= low).any()) or (high is not None and (means >= high).any()):
                raise AnalysisError(
                    f"a mean score of {' or '.join(f'{end:g}' for end in (low, high) if end is not None)} has no law inside its range."
                )
            choice = choose_law(means.index.to_numpy(dtype=float), means.to_numpy(), y_range=None if low is high is None else (low, high))
        except AnalysisError as error:
            reasons.append((series_phrase(series), str(error)))
            continue
        table = choice.table
        if table["rolling_error"].isna().all():
            reasons.append((series_phrase(series), f"{len(means)} sizes leave no later one to predict from enough earlier ones."))
            continue
        rows.append(table.rename(columns={"rolling_error": "error"}).assign(series=series))
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["series", "law", "error"])
    return table.assign(law=[str(law).replace("_", " ") for law in table["law"]]), reasons


def _backtest(evidence: Evidence, table: pd.DataFrame, reasons: list[tuple[str, str]]) -> Figure:
    panel = panels_of(evidence.runs, evidence.panels)[0]
    panels, better = [], 0
    series_names = list(dict.fromkeys(table["series"]))
    for number, series in enumerate(series_names):
        part = table.loc[(table["series"] == series) & np.isfinite(table["error"].to_numpy(dtype=float))]
        last = part.loc[part["law"] == LAST_VALUE, "error"]
        chosen = part.loc[part["chosen"].astype(bool)].iloc[0] if part["chosen"].astype(bool).any() else part.iloc[0]
        is_better = bool(len(last) and chosen["error"] < last.iloc[0])
        better += is_better
        description = (
            f"Later sizes {series_phrase(series)}: {chosen['law']} errs by {_percent(chosen['error'])}"
            + (f", repeating the last value by {_percent(float(last.iloc[0]))}" if len(last) else "")
            + "."
        )
        chart = law_backtest(part.assign(error=100 * part["error"]), x_title="error at later sizes, % of the score")
        panels.append(Panel(identity=f"backtest-{number}", chart=chart, alternative=description, heading=series_phrase(series).capitalize()))
    of = f"for {better} of {len(series_names)} series"
    return Figure(
        claim=title(f"{of.capitalize()} the law beats the last value ({panel})", f"First panel: the law beats the last value {of}")
        if panel
        else f"{of.capitalize()} the law predicts better than the last value",
        subtitle="Each law is fitted to the cell means of the smaller sizes and predicts the larger ones, from every place that leaves enough to "
        "fit; points are root mean squared errors relative to the score. Filled: the law chosen, the simplest within one standard error of the best. "
        "Dashed: repeating the last value.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=(*((f"Panel: {panel}.",) if panel else ()), *by_reason("There is no backtest", reasons, of=len(reasons) + len(series_names))),
        tables=(make_table(table, caption="Errors of the laws at later sizes, relative", file_name="law_backtest.csv"),),
    )


def _percent(value: float) -> str:
    return f"{decimals(100 * value, 1)}%" if np.isfinite(value) else "an unknown amount"


register(SectionKind(name="laws", heading="How well the laws hold", place=230, folded=True))
register(
    FigureKind(
        name="residuals",
        section="laws",
        place=10,
        title="Residuals of the laws",
        draws="each run's score against what the law of its series gives",
        build=residuals,
    )
)
register(
    FigureKind(
        name="backtest",
        section="laws",
        place=20,
        title="Errors of the laws at later sizes",
        draws="how well each law predicts larger numbers of labels from smaller ones",
        build=law_errors,
    )
)
