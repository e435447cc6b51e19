"""Reconstructions of two pre-trainings side by side, chosen by a rule and not by their look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import AnalysisError, split_by_overfitting
from reports.evidence import Evidence
from reports.page import PictureBlock
from reports.pictures import gallery
from reports.series import series_phrase
from reports.theme import count, decimals

PLACES = 4
"""Decimals of a loss."""


def reconstruction_blocks(evidence: Evidence) -> list[PictureBlock]:
    """An overfitting pre-training beside one that is not, else the fewest images beside the most, on
    held-out images and, where they were kept, on each one's own training images (as Fig. 5 of Xie et
    al.); none where nothing was pre-trained.
    """
    trained = evidence.runs.loc[evidence.runs["pretrain_id"].notna() & (evidence.runs["pretrain_images"] > 0)]
    if trained.empty:
        return []
    chosen, rule = _overfitting_pair(trained) or _extreme_pair(trained)
    folder = evidence.study.folder / "stages"
    stages = [(_label(row), folder / str(row["pretrain_id"])) for row in chosen]
    held_out = PictureBlock(
        heading="Reconstructions",
        subtitle=f"What masked image modelling fills in, on the same held-out images with the same masks. {rule} Lowest seed; the images are evenly "
        "spaced through the held-out set. Patches that were visible are shown as they are.",
        pictures=gallery(stages, shared=("image", "masked"), own="reconstruction"),
    )
    own = [
        PictureBlock(
            heading=f"Reconstructions of training images: {label}",
            subtitle="The same of images that this pre-training was trained on, evenly spaced through its subset, with the same masks as the "
            "held-out images above.",
            pictures=found,
            folded=True,
        )
        for label, place in stages
        if (found := gallery([(label, place)], shared=("image", "masked"), own="reconstruction", folder="examples_train")).rows
    ]
    return [held_out, *own]


def _label(row: pd.Series) -> str:
    loss = float(row["val_mim_loss"])
    text = f", held-out loss {decimals(loss, PLACES)}" if np.isfinite(loss) else ""
    return f"{row['kind']}{series_phrase(str(row['series']))}{text}"


def _overfitting_pair(trained: pd.DataFrame) -> tuple[list[pd.Series], str] | None:
    """The series whose loss rises most and the falling one with the lowest loss; None where
    analysis labels no series of each kind.
    """
    for rule in ("change point", "falling"):  # the first needs seeds, to know how much of a rise is noise
        try:
            split = split_by_overfitting(trained, rule=rule)
        except AnalysisError:
            continue
        series = split.series
        rising, falling = series.loc[series["label"] == "overfitting"], series.loc[series["label"] == "falling"]
        if rising.empty or falling.empty:
            continue
        worst = int(rising.index[int(rising["rise"].to_numpy(dtype=float).argmax())])
        best = int(falling.index[int(falling["least_loss"].to_numpy(dtype=float).argmin())])
        pair = []
        for number, text in ((worst, "overfitting, "), (best, "not overfitting, ")):
            members = trained.loc[(split.runs["series"] == number).to_numpy()]
            # its longest training: there the one has overfitted most and the other, which falls, is
            # lowest
            member = members.sort_values(["pretrain_steps", "seed"], ascending=[False, True], kind="stable").iloc[0].copy()
            member["kind"] = text
            pair.append(member)
        rise = float(rising["rise"].max())
        description = (
            f"Of {len(series)} series that differ in length alone, the one whose held-out loss rises most with longer training (by "
            f"{decimals(rise, PLACES)} above its least) and, of those that do not overfit, the one with the lowest loss, at their longest training."
        )
        return pair, description
    return None


def _extreme_pair(trained: pd.DataFrame) -> tuple[list[pd.Series], str]:
    """The pre-trainings on the fewest and on the most images."""
    ordered = trained.sort_values(["pretrain_images", "seed"], kind="stable").assign(kind="")
    fewest = ordered.iloc[0]
    most = ordered.loc[ordered["pretrain_images"] == ordered["pretrain_images"].max()].iloc[0]
    if fewest["pretrain_images"] == most["pretrain_images"]:
        return [fewest], f"All pre-trainings have {count(float(fewest['pretrain_images']))} images, so one is shown."
    description = (
        f"The pre-trainings on the fewest ({count(float(fewest['pretrain_images']))}) and the most images "
        f"({count(float(most['pretrain_images']))}): no two lengths of training tell one series that overfits from one that does not."
    )
    return [fewest, most], description
