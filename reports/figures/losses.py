"""The validation loss of pre-training, and whether it predicts the score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import AnalysisError, Correlation, correlate, summarise_cells
from reports.charts.losses import loss_and_score, validation_loss_by_images, validation_loss_during_training
from reports.evidence import LEVEL, MOST_POINTS, Evidence
from reports.figures.lengths import has_several
from reports.figures.phases import phase_figure
from reports.page import Figure, Panel, Section, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.report_data import read_validation_curves
from reports.series import panels_of, series_phrase, spread_out
from reports.theme import count, decimals, padded_domain
from reports.wording import joined, sentence, title

MOST_LINES = 60
"""Pre-trainings whose course is drawn as a line each."""
MOST_PANELS = 12


def loss_by_images(evidence: Evidence) -> Figure | str:
    """Validation loss of every pre-training at its end, where all have one length and one encoder."""
    trained = pretrainings(evidence)
    if trained.empty:
        return "No finished run was pre-trained, so there is no loss to show."
    return "" if has_several(evidence) else _by_images(trained, evidence)


def loss_during_training(evidence: Evidence) -> Figure | str:
    """Validation loss of every pre-training on the way, a line each, where they are not too many."""
    trained = pretrainings(evidence)
    if trained.empty:
        return ""
    if len(trained) > MOST_LINES or has_several(evidence):
        return f"The courses of the {count(len(trained))} pre-trainings stand under training dynamics, as means with their range."
    curves = read_validation_curves(evidence.study, trained["pretrain_id"]).merge(trained[["pretrain_id", "series"]], on="pretrain_id", how="inner")
    # The axis is logarithmic, so the measurement before the first step has no place on it; it stays
    # in the table.
    drawn = curves.loc[(curves["image_passes"] > 0) & np.isfinite(curves["val_mim_loss"])]
    if drawn.empty or drawn.groupby("pretrain_id").size().max() < 2:
        return "No pre-training kept more than one measurement of the loss after its first step, so its course is not drawn."
    return _during_training(drawn, curves, evidence)


def pretrainings(evidence: Evidence) -> pd.DataFrame:
    """One row per pre-training behind a finished run, not per run: pretrain_id, series,
    pretrain_images, val_mim_loss, train_mim_loss.
    """
    trained = evidence.runs.loc[(evidence.runs["pretrain_images"] > 0) & evidence.runs["pretrain_id"].notna()]
    columns = [name for name in ("pretrain_id", "series", "pretrain_images", "val_mim_loss", "train_mim_loss") if name in trained.columns]
    table = trained[columns].drop_duplicates("pretrain_id").sort_values(["pretrain_images", "pretrain_id"], kind="stable")
    return table.loc[np.isfinite(table["val_mim_loss"].to_numpy(dtype=float))].reset_index(drop=True)


def _by_images(trained: pd.DataFrame, evidence: Evidence) -> Figure:
    means = summarise_cells(trained, by=["pretrain_images", "series"], outcome="val_mim_loss", level=LEVEL)
    phrases = [f"{decimals(row['mean'], 4)} {series_phrase(row['series'])}" for _, row in means.iterrows()]
    low, high = (decimals(value, 4) for value in (means["mean"].min(), means["mean"].max()))
    claim = title(
        f"Mean validation loss is {joined(list(dict.fromkeys([phrases[0], phrases[-1]])))}".replace("after pre-training on", "on"),
        f"Mean validation loss lies between {low} and {high}",
    )
    description = f"Mean validation loss: {'; '.join(phrases)}."
    spreads = means["sd"].dropna()
    caption = description + (f" Largest standard deviation between pre-trainings of one series: {spreads.max():.2g}." if len(spreads) else "")
    return Figure(
        claim=claim,
        subtitle=f"Each point is one pre-training ({len(trained)} in all): loss of masked image modelling on the same held-out images, "
        "crops and masks, L1 on normalised pixels, lower is better. No interval is drawn: points are all there is.",
        description=caption,
        panels=(
            Panel(
                identity="loss-by-images",
                chart=validation_loss_by_images(trained, series_names=evidence.series_names),
                alternative=description,
            ),
        ),
        tables=(
            make_table(trained, caption="Pre-trainings", file_name="pretrainings.csv"),
            make_table(means, caption="Means by series", file_name="pretraining_means.csv"),
        ),
    )


def _during_training(drawn: pd.DataFrame, curves: pd.DataFrame, evidence: Evidence) -> Figure:
    ordered = drawn.sort_values(["pretrain_id", "image_passes"])
    first = ordered.drop_duplicates("pretrain_id")["val_mim_loss"]
    last = ordered.drop_duplicates("pretrain_id", keep="last")
    # By how much the last measurement lies above the lowest: overfitting to the pre-training images
    # would show here.
    lowest = ordered.groupby("pretrain_id", sort=True)["val_mim_loss"].min().to_numpy()
    risen = int((last.set_index("pretrain_id")["val_mim_loss"].sort_index().to_numpy() > lowest).sum())
    claim = f"{risen} of {len(lowest)} pre-trainings end above their lowest validation loss"
    if risen == 0:
        claim = f"Every one of the {len(lowest)} pre-trainings ends at its lowest validation loss"
    description = (
        f"Validation loss goes from {decimals(first.min(), 3)}–{decimals(first.max(), 3)} at the first measurement drawn "
        f"to {decimals(last['val_mim_loss'].min(), 3)}–{decimals(last['val_mim_loss'].max(), 3)} at the end, "
        f"{count(ordered['image_passes'].max())} images shown at most."
    )
    chart = validation_loss_during_training(drawn, series_names=evidence.series_names)
    return Figure(
        claim=claim,
        subtitle=f"One line is one pre-training ({len(lowest)} in all), {count(len(drawn))} measurements; horizontal axis "
        "logarithmic, so the measurement before the first step is only in the table. A line has no interval.",
        description=description,
        panels=(Panel(identity="loss-during-training", chart=chart, alternative=description),),
        tables=(make_table(curves, caption="Validation loss by step", file_name="validation_curves.csv"),),
    )


def correlation_sentence(correlation: Correlation) -> str:
    """The pooled correlation in the words of analysis, and its range within levels, which more
    labels cannot fake.
    """
    text = sentence(correlation.sentence.replace("val_mim_loss", "validation loss"))
    inner = correlation.table.loc[(correlation.table["method"] == "pearson") & (correlation.table["group"] != "all"), "r"].dropna()
    if len(inner) < 2:
        return text
    low, high = (f"{value:+.2f}".replace("-", "−") for value in (inner.min(), inner.max()))
    return f"{text} Within one number of labels, r lies between {low} and {high}."


def with_correlations(evidence: Evidence, section: Section) -> Section:
    """The section with the table of correlations; with their sentence where no figure says it."""
    correlation = evidence.correlation
    if correlation is None or (not section.figures and not _has_interval(correlation)):
        return section
    table = make_table(
        correlation.table,
        caption=f"Correlations of validation loss with {evidence.score.title}, over all runs and within levels",
        file_name="correlations.csv",
    )
    is_stated = any(figure.identity == "figure-correlation" for figure in section.figures)
    if section.figures:  # folded with the data of the figure
        first = replace(section.figures[0], tables=(*section.figures[0].tables, table))
        lead = () if is_stated else (correlation_sentence(correlation),)
        return replace(section, paragraphs=(*lead, *section.paragraphs), figures=(first, *section.figures[1:]))
    lead = () if is_stated else (correlation_sentence(correlation),)
    return replace(section, paragraphs=(*lead, *section.paragraphs), tables=(table,))


def at_equal_length(evidence: Evidence) -> pd.Series | None:
    """The correlation among runs of equal length of pre-training and equal labels: r, low, high and
    note. None where all have one length, or nothing varies inside.
    """
    trained = evidence.runs.loc[evidence.runs["pretrain_images"] > 0]
    if "pretrain_length" not in trained.columns or trained["pretrain_length"].nunique() < 2:
        return None
    try:
        found = correlate(evidence.runs, y=evidence.score.column, within=("pretrain_length", "finetune_images")).within_groups
    except AnalysisError:
        return None
    row = found.loc[found["method"] == "pearson"].iloc[0]
    return row if np.isfinite(row["r"]) else None


def _pooled(correlation: Correlation) -> pd.Series:
    """Pearson's r over all runs."""
    return correlation.table.loc[(correlation.table["method"] == "pearson") & (correlation.table["group"] == "all")].iloc[0]


def _has_interval(correlation: Correlation) -> bool:
    """Whether enough independent pre-trainings are there for r to say anything."""
    return bool(np.isfinite(_pooled(correlation)["low"]))


def _r(row: pd.Series) -> str:
    """'−0.05 (−0.30 to +0.20)', or r alone where it has no interval."""
    ends = f" ({row['low']:+z.2f} to {row['high']:+z.2f})" if np.isfinite(row["low"]) else ""
    return f"{row['r']:+z.2f}{ends}".replace("-", "−")


def _title(correlation: Correlation, inside: pd.Series | None, score: str, counted: int) -> str:
    """The title: r over all runs, and r at equal length if there are several lengths, since two
    lengths make two clusters of points whose r says nothing of pre-trainings of one length.
    """
    r, what = _r(_pooled(correlation)), f"validation loss and {score}"
    if inside is not None:
        alone = r.partition(" ")[0]
        both = f"r = {alone}; at equal length {_r(inside)}"
        brief = f"r = {alone}, at equal length {_r(inside).partition(' ')[0]}"
        return sentence(title(f"{what}: {both}", f"loss and {score}: {both}", f"{what}: {brief}", f"loss and {score}: {brief}")).rstrip(".")
    rest = ", sign turned within levels" if correlation.signs_differ else f" over {count(counted)} runs"
    return sentence(title(f"{what}: r = {r}{rest}", f"{what}: r = {r}")).rstrip(".")


def loss_against_scores(evidence: Evidence) -> Figure | str:
    """Score against validation loss, where the study does not have both phases."""
    score, correlation = evidence.score, evidence.correlation
    assert correlation is not None
    if not _has_interval(correlation):
        note = str(_pooled(correlation)["note"]).replace(": ", "; ")
        return sentence(f"the correlation of validation loss and {score.title} has no interval and is not shown: {note}")
    if isinstance(phase_figure(evidence), Figure):
        return ""
    runs = evidence.runs.loc[np.isfinite(evidence.runs["val_mim_loss"].to_numpy(dtype=float))]
    counted, columns = len(runs), ["panel", "series", "finetune_images", "seed", "val_mim_loss", score.column, "run_id"]
    if counted > MOST_POINTS:
        columns = ["panel", "series", "finetune_images", "val_mim_loss", score.column]
        runs = runs.groupby(columns[:3], sort=False)[["val_mim_loss", score.column]].mean().reset_index()
    runs = runs.assign(labels=[count(size) for size in runs["finetune_images"]])
    sizes = [count(size) for size in evidence.sizes]
    domains = padded_domain(runs["val_mim_loss"]), padded_domain(runs[score.column])
    panels = []
    shown = spread_out(panels_of(runs, evidence.panels), MOST_PANELS)
    for number, panel in enumerate(shown):
        part = runs.loc[runs["panel"] == panel]
        description = (
            f"{len(part)} {'runs' if counted == len(runs) else 'cells'}{f' ({panel})' if panel else ''}: validation loss "
            f"{decimals(part['val_mim_loss'].min())} to {decimals(part['val_mim_loss'].max())}, {score.title} "
            f"{decimals(part[score.column].min())} to {decimals(part[score.column].max())}."
        )
        chart = loss_and_score(part, sizes=sizes, score=score.column, score_title=score.title, x_domain=domains[0], y_domain=domains[1])
        panels.append(Panel(identity=f"correlation-{number}", chart=chart, alternative=description, heading=panel))
    inside = at_equal_length(evidence)
    each = "one run that was pre-trained" if counted == len(runs) else f"the mean of one cell of {count(counted)} pre-trained runs"
    lead = "" if inside is None else f"At equal length of pre-training and equal labels r is {_r(inside)}; each"
    taken = "" if inside is None else " That over all runs takes the lengths as they are: it does not say what other lengths would give."
    return Figure(
        claim=_title(correlation, inside, score.title, counted),
        subtitle=f"{lead or 'Each'} point is {each} ({count(len(runs))} points); runs on one vertical share a pre-training. Runs from "
        f"scratch have no validation loss. Intervals ({100 * correlation.level:g}%) of the correlations are in the table with its data.{taken}",
        description=correlation_sentence(correlation) + " " + " ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(
            make_table(runs[columns], caption="The points", file_name="loss_and_score.csv"),
            *(() if inside is None else (make_table(inside.to_frame().T, caption="At equal length and labels", file_name="equal_length.csv"),)),
        ),
    )


register(SectionKind(name="losses", heading="Validation loss of pre-training", place=30))
register(
    FigureKind(
        name="loss-by-images",
        section="losses",
        place=30,
        title="Validation loss by pre-training images",
        draws="the validation loss at the end of each pre-training",
        build=loss_by_images,
    )
)
register(
    FigureKind(
        name="loss-during-training",
        section="losses",
        place=40,
        title="Validation loss during pre-training",
        draws="the validation loss by images shown, a line for each pre-training",
        build=loss_during_training,
    )
)
register(SectionKind(name="correlation", heading="Does the validation loss predict the score?", place=40, finish=with_correlations))
register(
    FigureKind(
        name="correlation",
        section="correlation",
        place=20,
        title="Score against validation loss",
        draws="the score against the validation loss of the pre-training behind it",
        needs=("correlation",),
        build=loss_against_scores,
    )
)
