"""Read a published table, and say where each number comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, Literal

import pandas as pd

from analysis.errors import AnalysisError, nearest_name

IMAGENET_1K = 1_281_167
IMAGENET_22K = 14_197_122
# Shares are uniform per class, so the counts are these up to rounding within each of the 1,000
# classes.
SWIN_SOURCES: Final = {
    "ImageNet-1K 10%": round(0.1 * IMAGENET_1K),
    "ImageNet-1K 20%": round(0.2 * IMAGENET_1K),
    "ImageNet-1K 50%": round(0.5 * IMAGENET_1K),
    "ImageNet-1K": IMAGENET_1K,
    "ImageNet-22K": IMAGENET_22K,
}
SWIN_PARAMS: Final = {
    "SwinV2-Small": 48_960_000,
    "SwinV2-Base": 86_890_000,
    "SwinV2-Large": 195_200_000,
    "SwinV2-Huge": 655_210_000,
    "SwinV2-giant": 1_060_980_000,
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A paper's results. Get one with `load_published`."""

    name: str
    """As in PUBLISHED: 'diminishing-returns' or 'data-scaling'."""
    title: str
    """Title of the paper."""
    source: str
    """Authors, where it appeared, and which of its tables the numbers are from."""
    kind: Literal["cells", "runs"]
    """'cells': each row is the mean over `n_runs` runs, with a spread in `<outcome>_spread`;
    'runs': each row is one run.
    """
    outcome: str
    """The column that the paper's claims are about; shares of 1, not percent."""
    margin: float
    """A difference in the outcome that the paper's readers would call negligible: one point of
    mIoU; a tenth of a point of top-1.
    """
    table: pd.DataFrame
    """The results; columns as in RUN_COLUMNS as far as they are known, and those above."""
    notes: tuple[str, ...]
    """What a reader must know to use the numbers, one sentence each."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables of the paper, by name, as printed."""


def load_published(name: str) -> Published:
    """A published table by name (see PUBLISHED). Raises AnalysisError for a name that is not there."""
    if name not in PUBLISHED:
        raise AnalysisError(f"there is no published table '{name}' ({nearest_name(name, PUBLISHED)}): name one of {', '.join(PUBLISHED)}.")
    return PUBLISHED[name]()


def read_printed(name: str) -> pd.DataFrame:
    """One CSV as printed, by file name without ending."""
    with files("analysis.published").joinpath(f"{name}.csv").open("r", encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False)


def _diminishing_returns() -> Published:
    printed = read_printed("diminishing_returns")
    table = pd.DataFrame(
        {
            "study": "diminishing-returns",
            "cell_id": [f"{row.pretrain_images}-{row.intermediate}-{row.finetune_images}" for row in printed.itertuples()],
            "encoder": "ViNy/16@128",
            "encoder_params": 4_842_880,
            "pretrain_images": printed["pretrain_images"],
            "intermediate": printed["intermediate"],
            "finetune_task": "segmentation",
            "finetune_images": printed["finetune_images"],
            "miou": printed["miou_pct"] / 100.0,
            "miou_spread": printed["miou_spread"] / 100.0,
            "pixel_accuracy": printed["accuracy_pct"] / 100.0,
            "pixel_accuracy_spread": printed["accuracy_spread"] / 100.0,
            "n_runs": printed["runs"],
            "printed_in": "Table " + printed["table"].astype(str),
        }
    )
    # Each size certainly has its own checkpoint; whether one served all three runs is not stated.
    named = "pretrain-" + table["pretrain_images"].astype("str")
    table["pretrain_id"] = named.where(table["pretrain_images"] > 0)
    return Published(
        name="diminishing-returns",
        title="Diminishing Returns in Self-Supervised Learning",
        source="Bridge, Sun et al. (UCL), Tables 1, A2 and A3; geometry: Table 2 and Fig. 5",
        kind="cells",
        outcome="miou",
        margin=0.01,
        table=table,
        notes=(
            "Each cell is the mean of 3 runs; whether the printed spread is a standard deviation (SD) or a standard error (SE) is not stated, "
            "so both readings are tested.",
            "mIoU is the paper's own: per image, divided by 3, an absent class scoring 0. It may be compared with `miou_ucl` alone.",
            "The test images change with the number of labels, so curves over labels mix the labels' effect with the test set's.",
            "Runs of one pre-training size probably share one pre-trained checkpoint: tests are conditional on those checkpoints.",
        ),
        tables={name: read_printed(name) for name in ("patch_geometry", "patch_similarity_by_distance")},
    )


def _data_scaling() -> Published:
    printed = read_printed("data_scaling_runs")
    steps = printed["iterations"].str.removesuffix("k").astype("int64") * 1000
    identity = [f"{row.model} {row.pretrain_dataset} {row.iterations}" for row in printed.itertuples()]
    table = pd.DataFrame(
        {
            "study": "data-scaling",
            "run_id": identity,
            "seed": 0,
            "pretrain_id": identity,
            "encoder": printed["model"],
            "encoder_params": printed["model"].map(SWIN_PARAMS),
            "pretrain_source": printed["pretrain_dataset"].str.split(" ").str[0].astype("str"),
            "pretrain_images": printed["pretrain_dataset"].map(SWIN_SOURCES),
            "pretrain_length": printed["iterations"] + " steps",
            "pretrain_steps": steps,
            "pretrain_image_passes": steps * 2048,
            "val_mim_loss": printed["val_loss"],
            "intermediate": "none",
            "finetune_source": "ImageNet-1K",
            "finetune_task": "classification",
            "finetune_images": IMAGENET_1K,
            "accuracy": printed["ft_top1"] / 100.0,
        }
    )
    return Published(
        name="data-scaling",
        title="On Data Scaling in Masked Image Modeling",
        source="Xie et al. (arXiv 2206.04664, CVPR 2023), validation loss and fine-tuned ImageNet-1K top-1 of 63 models in the authors' hub",
        kind="runs",
        outcome="accuracy",
        margin=0.001,
        table=table,
        notes=(
            "One run a cell: nothing in the table says how far two runs of one cell differ, so intervals come from what differs between models.",
            "Runs of different lengths share the first phase of their training; whether these very runs did is not stated.",
            "Training losses are not published; the loss here is on held-out images, in target-normalised units.",
            f"ImageNet-22K is taken as {IMAGENET_22K:,} images; shares of ImageNet-1K are uniform per class.",
        ),
    )


PUBLISHED: Final[dict[str, Callable[[], Published]]] = {"diminishing-returns": _diminishing_returns, "data-scaling": _data_scaling}
