"""What happens during training: losses on training and held-out images, their gap, accuracies, and
the loss of fine-tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from reports.charts.dynamics import HELD_OUT, TRAINING, learning_curves, training_and_held_out
from reports.curves import fixed_gaps, gaps, read_curves, thinned, turning_points
from reports.evidence import Evidence, focused
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, register
from reports.series import panels_of, series_phrase, spread_out
from reports.theme import count, decimals, padded_domain, signed

TRAIN, VALIDATION = "train_mim_loss", "val_mim_loss"
FIXED_TRAIN = "train_eval_mim_loss"
"""On training images with fixed crops and masks; studies of before version 0.3 have none."""
MOST_PANELS = 6
MOST_SERIES = 6
MOST_SEEDS = 5
"""Fine-tunings of one cell whose curves are read; the first by seed."""


ANEW = "which are cropped and masked anew each time"
FIXED_GAP = (
    "Loss on held-out images minus loss on training images, both with fixed crops and the same masks, so that they differ by their images alone. "
    "Above zero: the model knows its training images better."
)
VARYING_GAP = (
    "Held-out loss minus the mean training loss since the measurement before. Above zero: the model knows its training images better. Training "
    "images are cropped and masked anew each time, held-out ones always alike, so a constant difference means nothing: its growth does."
)


def _all_fixed(curves: pd.DataFrame) -> bool:
    """Whether every pre-training measured its loss on training images with fixed crops and masks."""
    return curves.loc[curves["measure"] == FIXED_TRAIN, "stage_id"].nunique() == curves["stage_id"].nunique()


def _trained(evidence: Evidence) -> pd.DataFrame:
    """The pre-trained runs."""
    return evidence.runs.loc[(evidence.runs["pretrain_images"] > 0) & evidence.runs["pretrain_id"].notna()]


@lru_cache(maxsize=1)
def _pretraining_curves(evidence: Evidence) -> pd.DataFrame | None:
    """The losses of every pre-training by images shown; None where none has three measurements."""
    stages = _trained(evidence).drop_duplicates("pretrain_id").set_index("pretrain_id")[["series", "encoder"]]
    curves = read_curves(evidence.study, (str(one) for one in stages.index), (TRAIN, VALIDATION, FIXED_TRAIN))
    if curves.loc[curves["measure"] == VALIDATION].groupby("stage_id").size().max() < 3 if len(curves) else True:
        return None
    return curves.join(stages, on="stage_id")


def pretraining_losses(evidence: Evidence) -> Figure | str:
    """Losses of the pre-trainings on training and on held-out images, and where the latter turn."""
    evidence = focused(evidence)
    trained, curves = _trained(evidence), _pretraining_curves(evidence)
    if curves is None:
        return ""
    several = curves["encoder"].nunique() > 1
    curves["group"] = [f"{series}, {encoder}" if several else series for series, encoder in zip(curves["series"], curves["encoder"], strict=True)]
    turned = turning_points(curves, held_out=VALIDATION).join(curves.drop_duplicates("stage_id").set_index("stage_id")["group"], on="stage_id")
    fixed = _all_fixed(curves)
    curves = curves.loc[curves["measure"] != (TRAIN if fixed else FIXED_TRAIN)]
    names = {TRAIN: TRAINING, FIXED_TRAIN: TRAINING, VALIDATION: HELD_OUT}
    means = thinned(curves, ["group", "measure"]).assign(kind=lambda table: table["measure"].map(names))
    encoders = trained.sort_values("encoder_params", kind="stable")["encoder"].drop_duplicates()
    order = [f"{series}, {one}" if several else series for one in encoders for series in evidence.series_names]
    shown = spread_out([group for group in order if group in set(means["group"])], MOST_PANELS)
    drawn = means.loc[means["group"].isin(shown)]
    x_domain = float(drawn["image_passes"].min()) * 0.9, float(drawn["image_passes"].max()) * 1.1
    domain = padded_domain(drawn["low"], drawn["high"])
    panels = []
    for number, group in enumerate(shown):
        part, own = drawn.loc[drawn["group"] == group], turned.loc[turned["group"] == group]
        turns = own.loc[own["overfitting"].astype(bool), ["image_passes"]]
        heading = series_phrase(group).removeprefix("after ").capitalize()
        description = f"{heading}: {_ends(part)}; the held-out loss turns up in {len(turns)} of {len(own)} pre-trainings."
        chart = training_and_held_out(part, turns, x_domain=x_domain, y_domain=domain)
        panels.append(Panel(identity=f"dynamics-{number}", chart=chart, alternative=description, heading=heading))
    tested = turned.loc[turned["p"].notna()]
    over = int(tested["overfitting"].sum())
    claim = f"In {over} of {len(tested)} pre-trainings the held-out loss turns up"
    if not over:
        claim = f"In none of {len(tested)} pre-trainings does the held-out loss turn up"
    if not len(tested):
        least = decimals(float(drawn["mean"].min()))
        claim = f"The lowest loss of a pre-training is {least}"
    notes = [evidence.focus] if evidence.focus else []
    if len(shown) < means["group"].nunique():
        notes.append(f"{len(shown)} of {means['group'].nunique()} kinds of pre-training are drawn; the table has all.")
    if len(tested) < len(turned):
        notes.append(f"It is not known whether the held-out loss turns for {len(turned) - len(tested)} pre-trainings with too few measurements.")
    return Figure(
        claim=claim,
        subtitle=f"Lines: mean over the pre-trainings of one kind ({count(len(turned))} in all), at most 60 points each; bands: their range, no "
        f"interval. Solid with points: held-out images; dashed: training images, {'with the same masks' if fixed else ANEW}. Dotted upright: where "
        "the held-out loss of one pre-training begins to rise (change-point test at 5%, noise taken as independent).",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(
            make_table(means.drop(columns="kind"), caption="Losses by images shown (the lines and bands)", file_name="dynamics.csv"),
            make_table(turned.drop(columns="group"), caption="Change points, one row a pre-training", file_name="dynamics_change_points.csv"),
        ),
    )


def loss_gap(evidence: Evidence) -> Figure | str:
    """Held-out minus training loss of the pre-trainings."""
    evidence = focused(evidence)
    curves = _pretraining_curves(evidence)
    if curves is None:
        return ""
    fixed = _all_fixed(curves)
    found = fixed_gaps(curves, training=FIXED_TRAIN, held_out=VALIDATION) if fixed else gaps(curves, training=TRAIN, held_out=VALIDATION)
    if found.empty:
        return ""
    stages = curves.drop_duplicates("stage_id").set_index("stage_id")[["series", "encoder"]]
    means = _in_order(thinned(found.join(stages, on="stage_id"), ["encoder", "series"]), evidence)
    by_size = evidence.runs.sort_values("encoder_params", kind="stable")["encoder"].drop_duplicates()
    encoders = spread_out([str(one) for one in by_size if one in set(means["encoder"])], MOST_PANELS)
    series_names = spread_out([series for series in evidence.series_names if series in set(means["series"])], MOST_SERIES)
    panels = []
    domain = padded_domain(means["low"], means["high"], [0.0])
    for number, encoder in enumerate(encoders):
        part = means.loc[(means["encoder"] == encoder) & means["series"].isin(series_names)]
        if part.empty:
            continue
        chart = learning_curves(part, series_names=evidence.series_names, y_title="held-out − training loss", zero_line=True, y_domain=domain)
        heading = str(encoder) if len(encoders) > 1 else ""
        panels.append(Panel(identity=f"gap-{number}", chart=chart, alternative=f"Gap of the losses: {_last(part)}.", heading=heading))
    first = means.loc[(means["encoder"] == encoders[0]) & means["series"].isin(series_names)]
    notes = _left_out(len(series_names), means["series"].nunique(), "series")
    return Figure(
        claim=f"Held-out minus training loss ends {_range(first)}",
        subtitle=f"{FIXED_GAP if fixed else VARYING_GAP} Lines: means over pre-trainings, bands: their range, no interval.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(notes),
        tables=(make_table(means, caption="Gap by images shown (the lines and bands)", file_name="dynamics_gap.csv"),),
    )


def intermediate_accuracy(evidence: Evidence) -> Figure | str:
    """Accuracy of the intermediate stages on held-out images."""
    evidence = focused(evidence)
    staged = evidence.runs.loc[evidence.runs["intermediate_id"].notna()] if "intermediate_id" in evidence.runs.columns else evidence.runs.iloc[:0]
    stages = staged.drop_duplicates("intermediate_id").set_index("intermediate_id")[["series", "panel"]]
    curves = read_curves(evidence.study, (str(one) for one in stages.index), ("val_accuracy",)).join(stages, on="stage_id")
    return _by_series(
        curves,
        evidence,
        identity="intermediate-accuracy",
        y_title="held-out accuracy",
        what="accuracy of the intermediate stage",
        subtitle="Accuracy on held-out images during the intermediate stage, before any fine-tuning",
        of="intermediate stages",
        order=evidence.panels,
    )


def finetuning_loss(evidence: Evidence) -> Figure | str:
    """Training loss of some fine-tunings."""
    evidence = focused(evidence)
    ends = {evidence.sizes[0], evidence.sizes[-1]}
    runs = evidence.runs.loc[evidence.runs["finetune_images"].isin(list(ends))].sort_values("seed", kind="stable")
    runs = runs.loc[runs["panel"].isin(spread_out(panels_of(runs, evidence.panels), 2))]
    runs = runs.loc[runs["series"].isin(spread_out([series for series in evidence.series_names if series in set(runs["series"])], MOST_SERIES))]
    runs = runs.loc[(runs.groupby(["panel", "series", "finetune_images"]).cumcount() < MOST_SEEDS).to_numpy()]
    names = [
        ", ".join(one for one in (panel, f"{count(size)} labels") if one)
        for panel, size in zip(runs["panel"], runs["finetune_images"], strict=True)
    ]  # fmt: skip
    order = dict.fromkeys(", ".join(one for one in (panel, f"{count(size)} labels") if one) for panel in evidence.panels for size in evidence.sizes)
    stages = runs.assign(panel=names).set_index("run_id")[["series", "panel"]]
    curves = read_curves(evidence.study, (str(one) for one in stages.index), ("train_loss",)).join(stages, on="stage_id")
    return _by_series(
        curves,
        evidence,
        identity="finetune-loss",
        y_title="training loss, nats per pixel",
        what="fine-tuning loss",
        subtitle=f"Training loss of fine-tuning at the fewest and at the most labels, the first {MOST_SEEDS} seeds of each cell at most",
        of="fine-tunings",
        order=list(order),
    )


def _by_series(
    curves: pd.DataFrame, evidence: Evidence, *, identity: str, y_title: str, what: str, subtitle: str, of: str, order: Sequence[str]
) -> Figure | str:  # fmt: skip
    means = _in_order(thinned(curves, ["panel", "series"]), evidence)
    if means.empty or means.groupby(["panel", "series"]).size().max() < 2:
        return ""
    present = [series for series in evidence.series_names if series in set(means["series"])]
    series_names = spread_out(present, MOST_SERIES)
    shown = spread_out(panels_of(means, order), MOST_PANELS)
    drawn = means.loc[means["series"].isin(series_names) & means["panel"].isin(shown)]
    domain = padded_domain(drawn["low"], drawn["high"])
    panels = []
    for number, panel in enumerate(shown):
        part = drawn.loc[drawn["panel"] == panel]
        description = f"{what.capitalize()} at the end{f' ({panel})' if panel else ''}: {_last(part, plain=True)}."
        chart = learning_curves(part, series_names=evidence.series_names, y_title=y_title, y_domain=domain)
        panels.append(Panel(identity=f"{identity}-{number}", chart=chart, alternative=description, heading=panel))
    first = drawn.loc[drawn["panel"] == shown[0]]
    return Figure(
        claim=f"The {what} ends {_range(first, plain=True)}",
        subtitle=f"{subtitle} ({count(curves['stage_id'].nunique())} {of}). Lines: means, at most 60 points each; bands: their range, no interval. "
        "The axis of images is logarithmic.",
        description=" ".join(panel.alternative for panel in panels),
        panels=tuple(panels),
        notes=tuple(_left_out(len(series_names), len(present), "series") + _left_out(len(shown), means["panel"].nunique(), "panels")),
        tables=(make_table(means, caption=f"{what.capitalize()} by images shown (the lines and bands)", file_name=f"{identity}.csv"),),
    )


def _in_order(means: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """The series in the order of the page, where stages come by their ids."""
    place = {series: index for index, series in enumerate(evidence.series_names)}
    return means.loc[means["series"].map(place).sort_values(kind="stable").index].reset_index(drop=True)


def _left_out(drawn: int, there: int, what: str) -> list[str]:
    return [f"{drawn} of {there} {what} are drawn; the table has all."] if drawn < there else []


def _last(means: pd.DataFrame, *, plain: bool = False) -> str:
    """The last mean of each series; of many, the least and the largest."""
    last = means.loc[means["image_passes"] == means.groupby("series")["image_passes"].transform("max")]
    if len(last) > 3:
        last = last.sort_values("mean").iloc[[0, -1]]
    written = decimals if plain else signed
    phrases = [f"{written(row['mean'])} {series_phrase(str(row['series']))}" for _, row in last.iterrows()]
    return " and ".join(phrases) if len(phrases) < 3 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _range(means: pd.DataFrame, *, plain: bool = False) -> str:
    """'between -0.001 and +0.015': the least and the largest of the last means; 'at +0.007' of one."""
    last = means.loc[means["image_passes"] == means.groupby("series")["image_passes"].transform("max"), "mean"]
    written = decimals if plain else signed
    low, high = written(float(last.min())), written(float(last.max()))
    return f"at {low}" if low == high else f"between {low} and {high}"


def _ends(part: pd.DataFrame) -> str:
    phrases = []
    for kind in (TRAINING, HELD_OUT):
        own = part.loc[part["kind"] == kind].sort_values("image_passes")
        if len(own):
            phrases.append(f"from {decimals(own['mean'].iloc[0])} to {decimals(own['mean'].iloc[-1])} on {kind}")
    return f"{' and '.join(phrases)}, least {decimals(float(np.min(part['mean'])))}"


register(
    SectionKind(
        name="dynamics", heading="Training dynamics", place=220, folded=True, empty="No stage kept two measurements of its course in metrics.jsonl."
    )
)
for _place, _name, _title, _draws, _build in (
    (10, "dynamics", "Losses during pre-training", "the loss on training and on held-out images, by images shown", pretraining_losses),
    (20, "gap", "Held-out minus training loss", "the gap between held-out and training loss, by images shown", loss_gap),
    (30, "intermediate-accuracy", "Accuracy during the intermediate stage", "held-out accuracy by images shown", intermediate_accuracy),
    (40, "finetune-loss", "Training loss of fine-tuning", "the training loss of some fine-tunings, by images shown", finetuning_loss),
):
    register(FigureKind(name=_name, section="dynamics", place=_place, title=_title, draws=_draws, build=_build))
