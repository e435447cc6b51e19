"""The columns of the runs table and of the stages table: the one place where each is documented.

One row of the runs table is one run: a fine-tuned model, with everything upstream of it. `scaling`
writes these columns (`runs.parquet`, and the same as `runs.csv`), and after them the scores that
the study's own objectives add. Nothing in it depends on the machine or the clock, so two launches
of one grid give equal tables; what a stage cost is in `stages.parquet`.

A study folder holds the documentation of its tables in `columns.json`. `load_runs` reads it and
keeps in `runs.attrs["columns"]` what is not documented here, so that a score that only this study
has is analysed like any other. This module needs neither pandas nor SciPy to be imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from analysis.errors import AnalysisError
from analysis.runs.received_files import FileRefusedError, file_inside

if TYPE_CHECKING:
    import pandas as pd

FILE: Final = "columns.json"
Role = Literal["id", "setting", "measure", "loss", "score"]


@dataclass(frozen=True)
class Column:
    """What one column of a table holds."""

    name: str
    description: str
    unit: str = ""
    """'images', 'steps', 's'; 'fraction' for a number between 0 and 1; '' where it has no unit."""
    role: Role = "setting"
    """A 'score' can be the outcome of an analysis; a 'measure' is any other result."""
    better: Literal["higher", "lower", ""] = ""
    """Which values of a loss or a score are better."""
    lowest: float | None = None
    """No value is below it; None where there is no such bound."""
    highest: float | None = None
    """No value is above it; None where there is no such bound."""
    title: str = ""
    """What sentences and axes call it; by default its name."""
    dtype: Literal["text", "integer", "number"] = "number"

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name)

    def to_dict(self) -> dict[str, Any]:
        """The fields but the name, as `columns.json` holds them."""
        return {name: value for name, value in asdict(self).items() if name != "name"}


def _id(name: str, title: str, description: str) -> Column:
    return Column(name, description, role="id", title=title, dtype="text")


def _text(name: str, title: str, description: str, role: Role = "setting") -> Column:
    return Column(name, description, role=role, title=title, dtype="text")


def _count(name: str, title: str, unit: str, description: str, role: Role = "setting") -> Column:
    return Column(name, description, unit, role, lowest=0.0, title=title, dtype="integer")


def _amount(name: str, title: str, unit: str, description: str, role: Role = "setting") -> Column:
    return Column(name, description, unit, role, lowest=0.0, title=title)


def _loss(name: str, title: str, unit: str, description: str) -> Column:
    return Column(name, description, unit, "loss", "lower", 0.0, None, title)


def _score(name: str, title: str, description: str) -> Column:
    return Column(name, description, "fraction", "score", "higher", 0.0, 1.0, title)


def _by_name(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


RUN_COLUMNS: Final[dict[str, Column]] = _by_name(
    _id("study", "study", "name of the study, from the grid"),
    _id("arm", "arm", "named arm of the grid that asked for the run, several joined by commas; missing where the grid has no arms"),
    _id("run_id", "run", "id of the fine-tuning stage: kind, then a hash of all that decides its numbers"),
    _id("cell_id", "cell", "hash of the run's settings without its seed: runs of one cell differ in seed alone"),
    Column("seed", "seed of the fine-tuning (head initialisation, order, augmentation)", title="seed", dtype="integer"),
    _id(
        "trunk_id",
        "shared trunk",
        "id of the pre-training trunk that this run descends from; equals pretrain_id where no trunk is shared; missing for scratch",
    ),
    _id("pretrain_id", "pre-training", "id of the pre-training stage; missing where the run was trained from scratch"),
    _id("intermediate_id", "intermediate stage", "id of the intermediate stage; missing where there is none"),
    _text("encoder", "encoder", "encoder by name: size/patch@image size in pixels"),
    _count("encoder_params", "encoder parameters", "parameters", "trainable parameters of the encoder, without any head"),
    _text("pretrain_source", "pre-training data", "data set that pre-training drew its images from; missing for scratch"),
    _count("pretrain_images", "pre-training images", "images", "distinct images that pre-training could draw from; 0 means no pre-training"),
    _text("pretrain_recipe", "pre-training recipe", "named recipe of the pre-training; missing for scratch"),
    _text(
        "pretrain_length",
        "pre-training length",
        "length of the pre-training as the grid states it, such as '100 epochs' or '5k steps'; missing for scratch",
    ),
    _text(
        "pretrain_sampling",
        "sampling of the pre-training images",
        "how its images were drawn: 'uniform' per class, 'proportional' to the classes' shares, or whole 'classes'; missing for scratch",
    ),
    _count("pretrain_steps", "pre-training steps", "steps", "optimiser steps of the pre-training; 0 for scratch"),
    _count(
        "pretrain_image_passes",
        "pre-training image passes",
        "images",
        "images shown during pre-training, counting repeats (steps x batch); 0 for scratch",
    ),
    _loss(
        "train_mim_loss",
        "training loss",
        "L1 on normalised pixels",
        "masked-image-modelling loss on training batches, mean over the last tenth of the steps, L1 on normalised pixels",
    ),
    _loss(
        "val_mim_loss",
        "validation loss",
        "L1 on normalised pixels",
        "masked-image-modelling loss on fixed held-out images with fixed crops and masks, L1 on normalised pixels",
    ),
    _text(
        "intermediate",
        "intermediate stage",
        "objective of the intermediate stage: 'none', 'classification' of images, or 'spatial' (majority trimap class of each patch)",
    ),
    _text("intermediate_source", "intermediate data", "data set of the intermediate stage; missing for 'none'"),
    _count("intermediate_images", "intermediate images", "images", "labelled training images of the intermediate stage; 0 for 'none'"),
    _count("intermediate_steps", "intermediate steps", "steps", "optimiser steps of the intermediate stage; 0 for 'none'"),
    _text("intermediate_recipe", "intermediate recipe", "named recipe of the intermediate stage; missing for 'none'"),
    Column(
        "intermediate_accuracy",
        "accuracy on held-out images at the end of the intermediate stage, per image or (spatial) per patch, 0 to 1; missing for 'none'",
        "fraction",
        "measure",
        "higher",
        0.0,
        1.0,
        "intermediate accuracy",
    ),
    _text("finetune_source", "fine-tuning data", "data set of the fine-tuning"),
    _text(
        "finetune_task",
        "task",
        "'segmentation' (scored by miou) or 'classification' of images (scored by accuracy); what the other task measures is missing",
    ),
    _count("finetune_images", "number of labels", "images", "labelled training images of the fine-tuning"),
    _text("finetune_recipe", "fine-tuning recipe", "named recipe of the fine-tuning"),
    _count("finetune_steps", "fine-tuning steps", "steps", "optimiser steps of the fine-tuning"),
    _loss(
        "finetune_train_loss",
        "fine-tuning training loss",
        "nats per pixel or image",
        "cross-entropy on training batches, mean over the last tenth of the steps, nats per pixel or (classification) per image",
    ),
    _count("test_images", "test images", "images", "images in the fixed test set", role="measure"),
    _loss(
        "test_loss",
        "test loss",
        "nats per pixel or image",
        "cross-entropy on the test set without label smoothing, nats per pixel or (classification) per image",
    ),
    _score(
        "accuracy",
        "top-1 accuracy",
        "top-1 accuracy: share of test images whose class is the one with the highest logit, 0 to 1; classification only",
    ),
    _score(
        "top5_accuracy",
        "top-5 accuracy",
        "share of test images whose class is among the five with the highest logits, 0 to 1; where there are more than five classes",
    ),
    _score(
        "mean_class_accuracy",
        "mean class accuracy",
        "mean over the classes of the test set of the share of their images classified rightly, 0 to 1; for long-tailed data",
    ),
    _score(
        "knn_accuracy",
        "k-NN accuracy",
        "share of test images whose class most of the 20 nearest training images have, by pooled frozen features, 0 to 1; linear probes only",
    ),
    _score("pixel_accuracy", "pixel accuracy", "share of test pixels classified rightly, 0 to 1"),
    _score("miou", "mIoU", "mean intersection over union of the classes, from one confusion matrix over the whole test set, 0 to 1"),
    _score(
        "miou_ucl",
        "per-image mIoU (UCL)",
        "mean over test images of the sum of class IoUs / number of classes, a class absent from both scoring 0, "
        "0 to 1 (only this may be compared with Bridge, Sun et al.)",
    ),
    _score("iou_foreground", "IoU of the foreground", "intersection over union of trimap class 1 (the pet), test set, 0 to 1"),
    _score("iou_background", "IoU of the background", "intersection over union of trimap class 2 (background), test set, 0 to 1"),
    _score("iou_border", "IoU of the border", "intersection over union of trimap class 3 (border), test set, 0 to 1"),
)

OCCASIONAL_COLUMNS: Final[dict[str, Column]] = _by_name(
    _text("pretrain_objective", "pre-training objective", "how the pre-training learned from images, such as 'simmim'; missing for scratch"),
)
"""Columns that the runs table has only where a study uses more than the usual value."""

USUAL_VALUES: Final = {"pretrain_objective": "simmim"}
"""What an occasional column says of a pre-trained run whose grid does not state it."""

STAGE_COLUMNS: Final[dict[str, Column]] = _by_name(
    _id("stage_id", "stage", "id of the stage"),
    _text("kind", "kind of stage", "'trunk', 'pretrain', 'intermediate' or 'finetune'"),
    _id("parent_id", "parent stage", "id of the stage whose weights it starts from; missing where there is none"),
    _text("state", "state", "'done', 'failed', 'blocked' or 'missing'", role="measure"),
    _text("reason", "reason", "why a stage that is not done is not: the first error's own words, or the ancestor that blocks it", role="measure"),
    _count("steps", "steps", "steps", "optimiser steps"),
    _count(
        "image_passes",
        "image passes",
        "images",
        "images that the stage itself showed in training, counting repeats; without those of the trunk it went on from",
    ),
    _amount("train_s", "training time", "s", "seconds spent in training, evaluation and checkpoints included, over all attempts", role="measure"),
    _amount("images_per_s", "images per second", "images/s", "image_passes of this attempt / its seconds", role="measure"),
    _amount("gpu_hours", "GPU hours", "GPU hours", "train_s / 3600 x GPUs held (0 on a CPU)", role="measure"),
    _amount("cpu_hours", "CPU hours", "core hours", "train_s / 3600 x CPU cores held", role="measure"),
    _text("device", "device", "'cpu' or the GPU's name", role="measure"),
    _text("precision", "precision", "'fp32' or 'bf16' (autocast), as it was computed, also where the recipe says 'auto'"),
    _text("compile", "compiled", "mode of torch.compile, 'off' where the model was not compiled", role="measure"),
    _text("captured", "captured", "'yes' where whole steps were captured in a CUDA graph, else 'no'", role="measure"),
    _count("attempts", "attempts", "", "how many times the stage was started", role="measure"),
)

MAIN_SCORES: Final = ("miou", "accuracy", "miou_ucl", "pixel_accuracy")
"""The scores to prefer as the outcome of a table where none is named, the first one first."""

_FIELDS: Final = {field.name for field in fields(Column)} - {"name"}
_CHOICES: Final = {"role": ("id", "setting", "measure", "loss", "score"), "better": ("higher", "lower", ""), "dtype": ("text", "integer", "number")}


def documented(runs: Mapping[str, Column] = RUN_COLUMNS, stages: Mapping[str, Column] = STAGE_COLUMNS) -> dict[str, dict[str, dict[str, Any]]]:
    """The contents of `columns.json` for these columns."""
    return {part: {name: column.to_dict() for name, column in columns.items()} for part, columns in (("runs", runs), ("stages", stages))}


def read_columns(folder: Path, part: Literal["runs", "stages"]) -> dict[str, dict[str, Any]]:
    """Reads the columns that a study folder's `columns.json` documents and this module does not.

    Returns name to fields; empty where the folder has no such file.

    Raises AnalysisError where the file is not JSON of that form.
    """
    file = folder / FILE
    try:
        if file_inside(folder, FILE) is None:
            return {}
    except FileRefusedError:
        return {}
    standard = RUN_COLUMNS | OCCASIONAL_COLUMNS if part == "runs" else STAGE_COLUMNS
    try:
        read = {name: _column(name, entry) for name, entry in json.loads(file.read_text(encoding="utf-8"))[part].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnalysisError(f"{file} does not document columns ({error}): remove it, or launch the study again, which writes it.") from None
    return {name: column.to_dict() for name, column in read.items() if column != standard.get(name)}


def _column(name: str, entry: Mapping[str, Any]) -> Column:
    """A column from its entry in `columns.json`; unknown fields are ignored."""
    for field, choices in _CHOICES.items():
        if field in entry and entry[field] not in choices:
            raise ValueError(f"{field} of '{name}' is {entry[field]!r}, and not one of {', '.join(map(repr, choices))}")
    known = {field: value for field, value in entry.items() if field in _FIELDS}
    return Column(name, **{"description": "", "dtype": RUN_COLUMNS[name].dtype if name in RUN_COLUMNS else "number"} | known)


def column_of(runs: Any, name: str) -> Column:
    """The documentation of a column: the study's own, else the standard one, else just its name."""
    own = getattr(runs, "attrs", {}).get("columns", {})
    if name in own:
        return _column(name, own[name])
    return RUN_COLUMNS.get(name) or OCCASIONAL_COLUMNS.get(name) or STAGE_COLUMNS.get(name) or Column(name, "", role="measure")


def documented_scores(runs: Any) -> list[Column]:
    """All documented scores: MAIN_SCORES first, the study's own last."""
    own = getattr(runs, "attrs", {}).get("columns", {})
    names = dict.fromkeys((*MAIN_SCORES, *RUN_COLUMNS, *own))
    return [column for column in (column_of(runs, name) for name in names) if column.role == "score"]


def score_columns(runs: pd.DataFrame) -> list[Column]:
    """The documented scores that the table has a finite value of, ordered as in
    `documented_scores`.
    """
    return list(_with_values(runs, documented_scores(runs)))


def first_score(runs: pd.DataFrame) -> Column | None:
    """The first of `score_columns`, or None."""
    return next(_with_values(runs, documented_scores(runs)), None)


def _with_values(runs: pd.DataFrame, columns: Iterable[Column]) -> Iterator[Column]:
    import numpy as np
    import pandas as pd

    for column in columns:
        if column.name in runs.columns and bool(np.isfinite(pd.to_numeric(runs[column.name], errors="coerce").to_numpy(dtype=float)).any()):
            yield column
