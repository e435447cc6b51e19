"""How long a report takes and how large it is: a study of 150 runs beside two of 10,000, written as
a launch writes them.

    python -m benchmarks.report                # prints the table; about two minutes
    python -m benchmarks.report --runs 150     # only the small one

The runs follow a saturating law with a gain from pre-training and noise; curves are as long as
those of a real study.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.columns import RUN_COLUMNS
from reports import build_report


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The grid of one study."""

    name: str
    """What it is called in the table."""
    encoders: int
    """How many encoder sizes."""
    pretrain_images: tuple[int, ...]
    """Pre-training sizes, 0 for scratch."""
    lengths: tuple[str, ...]
    """Lengths of the pre-training."""
    labels: tuple[int, ...]
    """Fine-tuning sizes."""
    seeds: int
    """Seeds a cell."""


SIZES = (0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
LABELS = (50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600)
SHAPES = (
    Shape(name="150 runs", encoders=1, pretrain_images=(0, 2_000, 20_000), lengths=("20 epochs",), labels=LABELS[:5], seeds=5),
    Shape(name="10,000 runs, many seeds", encoders=3, pretrain_images=SIZES, lengths=("20 epochs",), labels=LABELS, seeds=21),
    Shape(name="10,000 runs, many cells", encoders=5, pretrain_images=SIZES, lengths=("5 epochs", "20 epochs", "80 epochs"), labels=LABELS, seeds=5),
)


def write_study(folder: Path, shape: Shape) -> int:
    """Write the folder of a finished study with curves, and return how many runs it has."""
    rng = np.random.default_rng(0)
    runs = _settings(shape)
    for run in runs:
        run |= _measured(run, rng)
    table = pd.DataFrame(runs, columns=list(RUN_COLUMNS))
    folder.mkdir(parents=True)
    table.to_parquet(folder / "runs.parquet", index=False)
    planned = list(RUN_COLUMNS)[: list(RUN_COLUMNS).index("train_mim_loss")]
    planned += ["intermediate", "intermediate_source", "intermediate_images"]
    planned += ["finetune_source", "finetune_images", "finetune_recipe", "finetune_steps"]
    plan = json.loads(table[planned].to_json(orient="records"))
    (folder / "plan.json").write_text(json.dumps({"format": 1, "study": shape.name, "stages": [], "runs": plan}), encoding="utf-8")
    for identity, loss in table.dropna(subset=["pretrain_id"]).drop_duplicates("pretrain_id").set_index("pretrain_id")["val_mim_loss"].items():
        _write_curve(folder / "stages" / str(identity), "mim", float(loss), rng)
    for identity in table["run_id"]:
        _write_curve(folder / "stages" / str(identity), "", 0.5, rng)
    return len(table)


def _settings(shape: Shape) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    for encoder, images, length, middle, labels, seed in product(
        range(shape.encoders), shape.pretrain_images, shape.lengths, ("none", "classification"), shape.labels, range(shape.seeds)
    ):
        if not images and length != shape.lengths[0]:
            continue  # scratch has no length
        key = f"{encoder}-{images}-{length.split()[0]}-{seed}"
        epochs = int(length.split()[0])
        runs.append(
            {
                "study": shape.name,
                "run_id": f"finetune-{key}-{middle}-{labels}",
                "cell_id": f"{encoder}-{images}-{epochs}-{middle}-{labels}",
                "seed": seed,
                "trunk_id": f"pretrain-{key}" if images else None,
                "pretrain_id": f"pretrain-{key}" if images else None,
                "intermediate_id": f"intermediate-{key}" if middle != "none" else None,
                "encoder": f"size-{encoder}/8@64",
                "encoder_params": 10**6 * 3**encoder,
                "pretrain_source": "synthetic" if images else None,
                "pretrain_images": images,
                "pretrain_recipe": "compact" if images else None,
                "pretrain_length": length if images else None,
                "pretrain_steps": images * epochs // 64,
                "pretrain_image_passes": images * epochs,
                "intermediate": middle,
                "intermediate_source": "scenes" if middle != "none" else None,
                "intermediate_images": 4_000 if middle != "none" else 0,
                "intermediate_steps": 200 if middle != "none" else 0,
                "finetune_source": "pets",
                "finetune_task": "segmentation",
                "finetune_images": labels,
                "finetune_recipe": "compact",
                "finetune_steps": 250,
            }
        )
    return runs


def _measured(run: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    images, labels, encoder = run["pretrain_images"], run["finetune_images"], run["encoder_params"]
    gain = 0.02 * np.log10(1 + images / 100) * (labels / 100) ** -0.35
    miou = 0.72 - 1.2 * labels**-0.35 + gain + 0.01 * np.log10(encoder / 1e6) - 0.02 * (run["intermediate"] != "none")
    miou = float(np.clip(miou + 0.006 * rng.standard_normal(), 0.01, 0.99))
    passes = max(run["pretrain_image_passes"], 1)
    # Many passes over few images overfit: the held-out loss rises again, the training loss does
    # not.
    loss = 0.3 + 2 * passes**-0.2 + 0.01 * max(0.0, np.log10(passes / images) - 1) * (1e4 / images) ** 0.5 if images else None
    measured = {"miou": miou, "miou_ucl": miou - 0.02, "pixel_accuracy": min(miou + 0.15, 1.0), "test_loss": 1 - miou, "test_images": 1_000}
    measured |= {"iou_foreground": miou, "iou_background": miou, "iou_border": miou, "finetune_train_loss": 0.8 - miou / 2}
    measured |= {"intermediate_accuracy": 0.7 if run["intermediate"] != "none" else None}
    # The noise is that of the pre-training, so that all its runs hold the same number.
    own = np.random.default_rng([run["seed"], images % 9_973, int(run["encoder_params"] % 9_967), passes % 9_949]).standard_normal()
    return measured | {"val_mim_loss": loss and loss + 0.002 * own, "train_mim_loss": loss and loss - 0.02 + 0.002 * own}


def _write_curve(folder: Path, kind: str, end: float, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    lines = []
    for step in range(0, 2001, 40):
        loss = end + 0.5 * (1 - step / 2000) ** 2 + 0.01 * float(rng.standard_normal())
        line: dict[str, Any] = {"step": step, "image_passes": step * 32, "learning_rate": 1e-3, "images_per_s": 400.0}
        line["train_mim_loss" if kind else "train_loss"] = loss
        if kind and step % 200 == 0:
            line["val_mim_loss"] = loss + 0.01
        lines.append(json.dumps(line))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "result.json").write_text("{}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build every report once and print what it took."""
    parser = argparse.ArgumentParser(description="Time and size of a report by number of runs.")
    parser.add_argument("--runs", type=int, default=10_000, help="leave out studies of more runs than about this")
    options = parser.parse_args(arguments)
    print("| study | runs | seconds to build | megabytes |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            if "10,000" in shape.name and options.runs < 10_000:
                continue
            study = Path(folder) / shape.name.replace(" ", "_").replace(",", "")
            runs = write_study(study, shape)
            begin = time.perf_counter()
            written = build_report(study, study / "report.html")
            print(f"| {shape.name} | {runs:,} | {time.perf_counter() - begin:.1f} | {written.stat().st_size / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
