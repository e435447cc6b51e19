"""The figures of published pre-training runs: score by images, loss by length, and score against
loss.
"""

from __future__ import annotations

import pandas as pd

from analysis import AnalysisError, correlate
from analysis.formatting import percent
from analysis.overfitting import PhaseRelations, phase_relations, split_by_overfitting
from analysis.plots.labels import short_number
from analysis.published.load import Published
from analysis.runs.columns import column_of
from reports.charts.scaling import FALLS, RISES, loss_against_score, loss_by_length, score_by_images
from reports.figures.phases import LOSS, PHASES, lines_of, slopes_title
from reports.page import Figure, Panel, Section, make_table
from reports.score import named_score
from reports.theme import count, decimals, padded_domain, signed
from reports.wording import joined, sentence

LEVEL = 0.95
NO_LINES = pd.DataFrame(columns=["group", LOSS, "score"])


def run_sections(published: Published) -> list[Section]:
    """All sections with figures, and the table of runs."""
    runs = _prepared(published)
    score = named_score(column_of(published.table, published.outcome)).title
    return [_scores(runs, score), _losses(runs, published), _proxy(runs, published, score), _within(runs, score), _runs(published)]


def _prepared(published: Published) -> pd.DataFrame:
    """The runs in the order of encoder, images and length, with the columns score, size, length and
    run in words.
    """
    table = published.table
    named = table.assign(
        score=table[published.outcome],
        size=[count(size) for size in table["pretrain_images"]],
        length=table["pretrain_length"],
        steps=table["pretrain_steps"],
        run=[f"{row['encoder']}, {count(row['pretrain_images'])} images, {row['pretrain_length']}" for row in table.to_dict("records")],
    )
    return named.sort_values(["encoder_params", "pretrain_images", "pretrain_steps"], kind="stable")


def _ordered(runs: pd.DataFrame, column: str, by: str) -> list[str]:
    return [str(value) for value in runs.sort_values(by, kind="stable")[column].drop_duplicates()]


def _scores(runs: pd.DataFrame, score: str) -> Section:
    lengths = _ordered(runs, "length", "steps")
    sizes = (float(runs["pretrain_images"].min()), float(runs["pretrain_images"].max()))
    domain = padded_domain(runs["score"])
    panels = []
    for number, encoder in enumerate(_ordered(runs, "encoder", "encoder_params")):
        part = runs.loc[runs["encoder"] == encoder]
        chart = score_by_images(part, lengths=lengths, y_title=score, x_domain=sizes, y_domain=domain)
        panels.append(Panel(identity=f"scores-{number}", chart=chart, alternative=_ends(part, encoder, score), heading=encoder))
    longest = runs.loc[runs["length"] == lengths[-1]]
    top = [longest.loc[longest["pretrain_images"] == size, ["encoder", "score"]].set_index("encoder")["score"]
           for size in sorted(longest["pretrain_images"].unique())[-2:]]  # fmt: skip
    change = (top[1] - top[0]).dropna()
    steps = [short_number(float(size)) for size in sorted(longest["pretrain_images"].unique())[-2:]]
    claim = f"{steps[0]} to {steps[1]} images at {lengths[-1]}: {signed(change.min(), 4)} to {signed(change.max(), 4)} {score}"
    columns = ["encoder", "pretrain_images", "length", "score", LOSS]
    figure = Figure(
        identity="figure-scores",
        claim=claim,
        subtitle=f"Each point is one run ({count(len(runs))} in all), lines join the runs of one length; the axis of images is logarithmic. There is "
        "one run a point, so no interval can be drawn.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(make_table(runs[columns], caption="Runs (the points)", file_name="scores_by_images.csv"),),
    )
    return Section(identity="scores", heading="Score by pre-training images", figures=(figure,))


def _ends(part: pd.DataFrame, encoder: str, score: str) -> str:
    """The panel in words: each length at its fewest and at its most images."""
    phrases = []
    for length, own in part.groupby("length", sort=False):
        ends = own.sort_values("pretrain_images").iloc[[0, -1]]
        values = [f"{decimals(row['score'], 4)} at {count(row['pretrain_images'])} images" for _, row in ends.iterrows()]
        phrases.append(f"{length} {' and '.join(values)}")
    return f"{score[0].upper()}{score[1:]} of {encoder}: {'; '.join(phrases)}."


def _losses(runs: pd.DataFrame, published: Published) -> Section:
    split = split_by_overfitting(published.table)
    phase = split.runs["label"].map(PHASES)
    runs = runs.assign(phase=phase.loc[runs.index].to_numpy())
    drawn = runs.dropna(subset=["phase"])
    sizes = _ordered(runs, "size", "pretrain_images")
    domain = padded_domain(runs[LOSS])
    panels = []
    for number, encoder in enumerate(_ordered(drawn, "encoder", "encoder_params")):
        part = drawn.loc[drawn["encoder"] == encoder]
        over = list(dict.fromkeys(part.loc[part["phase"] == RISES, "size"]))
        description = f"{encoder}: validation loss {decimals(part[LOSS].min(), 4)} to {decimals(part[LOSS].max(), 4)}"
        description += f"; overfitting with {joined(over)} images." if over else "; no series overfits."
        panels.append(
            Panel(identity=f"losses-{number}", chart=loss_by_length(part, sizes=sizes, y_domain=domain), alternative=description, heading=encoder)
        )
    risen, total = int((split.series["label"] == "overfitting").sum()), len(split.series)
    figure = Figure(
        identity="figure-losses",
        claim=f"In {risen} of {total} series longer pre-training does not always lower the loss",
        subtitle="One line is one encoder and number of images. Solid lines with filled points: the loss falls at every step to a longer training; "
        "dashed lines with hollow points: it does not, which counts as overfitting. Both axes start above zero; one run a point, so no interval.",
        description=f"{sentence(split.sentence)} " + " ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(
            make_table(drawn[["encoder", "pretrain_images", "length", LOSS, "phase"]], caption="Runs (the points)", file_name="loss_by_length.csv"),
            make_table(split.series, caption="Series (the lines)", file_name="series.csv"),
        ),
    )
    return Section(identity="losses", heading="Validation loss by length of pre-training", figures=(figure,))


def _proxy(runs: pd.DataFrame, published: Published, score: str) -> Section:
    heading = "Does the validation loss predict the score?"
    split = split_by_overfitting(published.table)
    try:
        relations = phase_relations(published.table, split, y=published.outcome, level=LEVEL)
    except AnalysisError as error:
        return Section(identity="proxy", heading=heading, paragraphs=(f"There is no figure here. {sentence(str(error))}",))
    phase = split.runs["label"].map(PHASES)
    points = runs.assign(group=phase.loc[runs.index].to_numpy()).dropna(subset=["group"])
    groups = [name for name in (FALLS, RISES) if name in set(points["group"])]
    sentences = tuple(sentence(text.replace(LOSS, "validation loss").replace("top-1", "top‑1")) for text in relations.sentences())
    description = " ".join(sentences)
    slopes = _slope_of(relations)
    chart = loss_against_score(points, _slopes(points, relations), groups=groups, y_title=score)
    figure = Figure(
        identity="figure-proxy",
        claim=slopes_title(slopes, score),
        subtitle=f"Each point is one run ({count(len(points))}); lines are least-squares lines of each phase over its own losses. "
        f"r, slopes and their {percent(LEVEL)} intervals, clustered on series, stand below. Both axes start above zero.",
        description=description,
        panels=(Panel(identity="proxy-0", chart=chart, alternative=description),),
        notes=sentences,
        tables=(make_table(points[["run", "group", LOSS, "score"]], caption="Runs (the points)", file_name="loss_and_score.csv"),),
    )
    table = make_table(relations.table, caption="Correlation and slope in each phase, and their difference", file_name="slopes_by_phase.csv")
    return Section(identity="proxy", heading=heading, figures=(figure,), tables=(table,))


def _slope_of(relations: PhaseRelations) -> dict[str, float]:
    """Slope by phase."""
    return dict(zip(relations.table["phase"], relations.table["slope"].astype(float), strict=True))


def _slopes(points: pd.DataFrame, relations: PhaseRelations) -> pd.DataFrame:
    """The ends of each phase's least-squares line; none where slopes were adjusted for a setting."""
    if relations.adjusted_for:
        return NO_LINES
    return lines_of(points, _slope_of(relations))


def _within(runs: pd.DataFrame, score: str) -> Section:
    """The same scatter inside each number of pre-training images, coloured by encoder."""
    heading = "Score and loss within each data size"
    encoders, sizes = _ordered(runs, "encoder", "encoder_params"), _ordered(runs, "size", "pretrain_images")
    try:
        found = correlate(runs, x=LOSS, y="score", within=["pretrain_images"], cluster=("encoder", "pretrain_images"), level=LEVEL)
    except AnalysisError as error:
        return Section(identity="within", heading=heading, paragraphs=(f"There is no figure here. {sentence(str(error))}",))
    inner = found.table.loc[found.table["method"] == "pearson"].iloc[1:]
    r = dict(zip(sizes, inner["r"].astype(float), strict=True)) if len(inner) == len(sizes) else {}
    domains = padded_domain(runs[LOSS]), padded_domain(runs["score"])
    panels = []
    for number, size in enumerate(sizes):
        part = runs.loc[runs["size"] == size].assign(group=lambda table: table["encoder"])
        correlation = f", r = {signed(r[size], 2)}" if size in r else ""
        chart = loss_against_score(part, NO_LINES, groups=encoders, y_title=score, x_domain=domains[0], y_domain=domains[1])
        description = (
            f"{size} images, {len(part)} runs: validation loss {decimals(part[LOSS].min(), 4)} to {decimals(part[LOSS].max(), 4)}, "
            f"{score} {decimals(part['score'].min(), 4)} to {decimals(part['score'].max(), 4)}{correlation}."
        )
        panels.append(Panel(identity=f"within-{number}", chart=chart, alternative=description, heading=f"{size} images{correlation}"))
    low, high = (min(r.values()), max(r.values())) if r else (float("nan"), float("nan"))
    figure = Figure(
        identity="figure-within",
        claim=f"Within one data size, r of loss and {score}: {signed(low, 2)} to {signed(high, 2)}",
        subtitle="Each point is one run; r is Pearson's over the runs of the panel, which share encoders and the first part of their training, so "
        "no interval is given here; those of the tests are among the findings. Both axes start above zero and are the same in all panels.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        tables=(make_table(runs[["encoder", "pretrain_images", "length", LOSS, "score"]], caption="Runs (the points)", file_name="within_sizes.csv"),
                make_table(inner[["group", "n", "r"]], caption="Correlations", file_name="correlations_within_sizes.csv")),
    )  # fmt: skip
    return Section(identity="within", heading=heading, figures=(figure,))


def _runs(published: Published) -> Section:
    shown = ["encoder", "encoder_params", "pretrain_images", "pretrain_length", LOSS, published.outcome]
    caption = "Runs as published, accuracy in shares of 1; the CSV has every column"
    table = make_table(published.table, caption=caption, file_name="runs.csv", shown=shown)
    return Section(identity="runs", heading="All runs", tables=(table,), folded=True, summary=f"{count(len(published.table))} runs as published")
