"""The validation loss by length of pre-training and by model size, for studies that have several;
overfitting series marked.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from analysis import AnalysisError, OverfittingSplit, split_by_overfitting, summarise_cells
from analysis.overfitting.series import series_columns
from reports.charts.scaling import FALLS, RISES, WITHIN, loss_by_length, loss_by_model
from reports.evidence import LEVEL, Evidence
from reports.figures.phases import LOSS, PHASES, overfitting_means
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, register
from reports.series import setting_in_words, spread_out, varying
from reports.theme import count, decimals, padded_domain
from reports.wording import joined, sentence, title

MOST_PANELS = 6
MOST_SEEDS = 5
"""Lines of one setting that are drawn, one a seed; the table has all."""


def loss_by_lengths(evidence: Evidence) -> Figure | str:
    """Validation loss by length of pre-training, where there are several lengths."""
    found = _series(evidence)
    if found is None or not found[0]["phase"].notna().any():
        return ""
    table, split = found
    return _by_length(table.dropna(subset=["phase"]), split)


def loss_by_models(evidence: Evidence) -> Figure | str:
    """Validation loss by model size, where there are several encoders."""
    found = _series(evidence)
    if found is None or found[0]["encoder"].nunique() < 2 or found[0]["params"].isna().any():
        return ""
    return _by_model(found[0])


@lru_cache(maxsize=1)
def has_several(evidence: Evidence) -> bool:
    """Whether the study has several lengths of pre-training or several encoders to draw."""
    return any(isinstance(build(evidence), Figure) for build in (loss_by_lengths, loss_by_models))


def _series(evidence: Evidence) -> tuple[pd.DataFrame, OverfittingSplit] | None:
    """One row a pre-training with its phase and series; None where analysis finds no series."""
    table = evidence.runs.loc[(evidence.runs["pretrain_images"] > 0) & evidence.runs["pretrain_id"].notna()].drop_duplicates("pretrain_id")
    table = table.loc[np.isfinite(table[LOSS].to_numpy(dtype=float)) & (table["pretrain_steps"] > 0).to_numpy()].reset_index(drop=True)
    if table.empty or not (evidence.whole["pretrain_images"] > 0).any():
        return None
    try:
        split = split_by_overfitting(table)
    except AnalysisError:
        return None
    table = table.assign(
        phase=split.runs["label"].map(PHASES).to_numpy(),
        size=[count(size) for size in table["pretrain_images"]],
        steps=table["pretrain_steps"].astype(float),
        params=table["encoder_params"].astype(float) if "encoder_params" in table.columns else np.nan,
        line=[str(one) for one in split.runs["series"]],
    )
    return table, split


def _by_length(table: pd.DataFrame, split: OverfittingSplit) -> Figure:
    sizes = _sizes(table)
    settings = [*series_columns(table), "steps"]
    place = table.sort_values("seed", kind="stable").groupby(settings, dropna=False, sort=False).cumcount().reindex(table.index)
    table = table.assign(phase=_what_lines_do(table))
    drawn = table.loc[place < MOST_SEEDS]
    encoders = list(dict.fromkeys(table.sort_values("params", kind="stable")["encoder"]))
    domain = padded_domain(drawn[LOSS])
    panels = []
    for number, encoder in enumerate(spread_out(encoders, MOST_PANELS)):
        part = drawn.loc[drawn["encoder"] == encoder].sort_values(["pretrain_images", "steps"], kind="stable")
        within, over = (list(dict.fromkeys(part.loc[part["phase"] == phase, "size"])) for phase in (WITHIN, RISES))
        description = f"{encoder}: validation loss {decimals(part[LOSS].min())} to {decimals(part[LOSS].max())}"
        description += f"; it rises within noise with {joined(within)} images" if within else ""
        description += f"; overfitting with {joined(over)} images." if over else "; no series overfits."
        heading = str(encoder) if len(encoders) > 1 else ""
        panels.append(
            Panel(
                identity=f"loss-by-length-{number}",
                chart=loss_by_length(part, sizes=sizes, y_domain=domain),
                alternative=description,
                heading=heading,
            )
        )
    notes = _rises(table, split)
    if len(drawn) < len(table):
        notes.append(f"{count(len(drawn))} of {count(len(table))} pre-trainings are drawn, the first {MOST_SEEDS} seeds of each setting.")
    if len(panels) < len(encoders):
        notes.append(f"{len(panels)} of {len(encoders)} encoders are drawn; the table has all.")
    shown = ["encoder", "pretrain_images", "pretrain_length", "steps", "seed", LOSS, "phase", "pretrain_id"]
    return Figure(
        claim=_title(table, split),
        subtitle=f"One line is one series: pre-trainings that differ in length alone, one point each ({count(len(drawn))}). Solid lines: the loss "
        f"falls at every step to a longer training; dashed: it does not. Hollow points: overfitting, where {overfitting_means(split)}. "
        "Loss on the same held-out images, crops and masks; points are all there is, so no interval is drawn.",
        description=" ".join([sentence(split.sentence), *(panel.alternative for panel in panels)]),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(
            make_table(table[shown], caption="Pre-trainings (the points)", file_name="loss_by_length.csv"),
            make_table(split.series, caption="Series (the lines)", file_name="series.csv"),
        ),
    )


def _what_lines_do(table: pd.DataFrame) -> pd.Series:
    """FALLS, WITHIN or RISES of each pre-training: whether analysis calls its series overfitting, and
    else whether the loss of the series itself rises at a step to a longer training.
    """
    ordered = table.sort_values(["line", "steps"], kind="stable")
    rises = ordered.groupby("line")[LOSS].transform(lambda losses: bool((np.diff(losses) >= 0).any())).astype(bool).reindex(table.index)
    return table["phase"].mask(rises & (table["phase"] != RISES), WITHIN)


def _title(table: pd.DataFrame, split: OverfittingSplit) -> str:
    """In how many series the loss rises, and whether beyond noise."""
    lines = table.drop_duplicates("line")
    over, within, total = int((lines["phase"] == RISES).sum()), lines.loc[lines["phase"] == WITHIN], len(lines)
    if over and split.rule == "falling":
        return f"In {over} of {total} series longer pre-training does not always lower the loss"
    if over:
        return f"In {over} of {total} series longer pre-training raises the loss beyond noise"
    if within.empty:
        return f"In all {total} series every longer pre-training lowers the validation loss"
    of = f" ({within['size'].iloc[0]} images each)" if within["size"].nunique() == 1 else ""
    return f"In {len(within)} of {total} series{of} the loss rises, within noise"


def _rises(table: pd.DataFrame, split: OverfittingSplit) -> list[str]:
    """Where the loss rises and how that compares with noise, a sentence; none where it never rises
    within noise.
    """
    lines = table.drop_duplicates("line")
    within = lines.loc[lines["phase"] == WITHIN]
    if within.empty:
        return []
    sizes = joined(_sizes(within))
    last = table.loc[table["line"].isin(within["line"])].sort_values("steps", kind="stable").groupby("line")[LOSS]
    at_end = sum(len(losses) > 1 and losses.iloc[-1] >= losses.iloc[-2] for _, losses in last)
    text = (
        f"in {len(within)} of {len(lines)} series (with {sizes} images) the loss rises at a step to a longer training, in {at_end} at the last step"
    )
    rows = split.series.loc[split.series["label"].eq("falling") & (split.series["rise"] > 0)]
    if len(rows):
        most = rows.sort_values("rise").iloc[-1]
        text += f"; the mean over seeds rises by {decimals(most['rise'], 4)} at most, and noise between seeds explains up to "
        text += f"{decimals(most['allowed_rise'], 4)}"
    return [sentence(text)]


def _by_model(table: pd.DataFrame) -> Figure:
    """The loss by parameters at the longest training of each size, a panel for each kind of
    pre-training.
    """
    names = series_columns(table)
    longest = table.loc[table["steps"] == table.groupby(names, dropna=False)["steps"].transform("max")]
    longest = longest.assign(phase=longest["phase"].fillna(FALLS), kind=_kinds(longest))
    means = summarise_cells(longest, by=["kind", "pretrain_images", "encoder", "params"], outcome=LOSS, level=LEVEL)
    means = means.assign(size=[count(size) for size in means["pretrain_images"]]).rename(columns={"mean": LOSS})
    kinds = list(dict.fromkeys(longest["kind"]))
    drawn = spread_out(kinds, MOST_PANELS)
    domain = padded_domain(longest[LOSS])
    phrases, panels = [], []
    for number, kind in enumerate(drawn):
        own, its_means = longest.loc[longest["kind"] == kind], means.loc[means["kind"] == kind]
        its_phrases = [_of_size(size, kind, its_means.loc[its_means["size"] == size].sort_values("params")) for size in _sizes(own)]
        phrases += its_phrases
        panels.append(
            Panel(
                identity=f"loss-by-model{f'-{number}' if len(kinds) > 1 else ''}",
                chart=loss_by_model(own, its_means, sizes=_sizes(longest), y_domain=domain),
                alternative=sentence("; ".join(its_phrases)),
                heading=kind,
            )
        )
    short = phrases[-1].replace("mean validation", "validation").replace(" and ", ", ")
    over = longest.loc[longest["phase"] == RISES]
    notes = [f"{len(drawn)} of {len(kinds)} kinds of pre-training are drawn; the table has all."] if len(drawn) < len(kinds) else []
    return Figure(
        claim=sentence(title(short, short.partition(" is ")[0])).rstrip("."),
        subtitle=f"Each point is one pre-training at the longest length of its data size ({count(len(longest))}); lines join the means over seeds. "
        f"Hollow points: the series overfits ({count(len(over))}). The axis of parameters is logarithmic. No interval is drawn: points are all "
        "there is.",
        description=sentence("; ".join(phrases)),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(
            make_table(
                means if len(kinds) > 1 else means.drop(columns="kind"),
                caption=f"Means and their {100 * LEVEL:g}% intervals over seeds",
                file_name="loss_by_model.csv",
            ),
        ),
    )


def _kinds(table: pd.DataFrame) -> list[str]:
    """What tells pre-trainings apart beside model and images: 'mae'; '' where nothing does."""
    told = varying(table, [name for name in series_columns(table) if name not in ("encoder", "pretrain_images")])
    return [", ".join(setting_in_words(name, row[name]) for name in told if not pd.isna(row[name])) for _, row in table.iterrows()]


def _of_size(size: str, kind: str, means: pd.DataFrame) -> str:
    """'with 500 images (mae) mean validation loss is 0.412 for nano/8@32 and 0.398 for pico/8@32'."""
    ends = dict.fromkeys(f"{decimals(row[LOSS])} for {row['encoder']}" for _, row in means.iloc[[0, -1]].iterrows())
    return f"with {size} images{f' ({kind})' if kind else ''} mean validation loss is {' and '.join(ends)}"


def _sizes(table: pd.DataFrame) -> list[str]:
    return [count(size) for size in sorted(table["pretrain_images"].unique())]


register(
    FigureKind(
        name="loss-by-length",
        section="losses",
        place=10,
        title="Validation loss by length of pre-training",
        draws="validation loss by steps of pre-training, overfitting series marked",
        build=loss_by_lengths,
    )
)
register(
    FigureKind(
        name="loss-by-model",
        section="losses",
        place=20,
        title="Validation loss by model size",
        draws="validation loss by parameters of the encoder",
        build=loss_by_models,
    )
)
