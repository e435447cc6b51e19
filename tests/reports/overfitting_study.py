"""A finished study of 3 lengths x 3 data sizes x 2 encoders, whose smallest data size overfits,
with the curves of its pre-trainings.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.columns import RUN_COLUMNS
from tests.reports.conftest import stage_id, write_json

ENCODERS = (("micro/8@64", 1_000_000), ("tiny/8@64", 5_000_000))
SIZES = (1_000, 4_000, 16_000)
LENGTHS = (20_000, 80_000, 320_000)
LABELS = (100, 300, 1000, 3000)


def loss_after(images: int, passes: float, params: int) -> float:
    """Held-out loss after so many images shown: it falls with each, and rises again once each image
    was shown some forty times.
    """
    seen_often = max(0.0, float(np.log(passes / images / 40)))
    return float(0.3 + 1.2 * passes**-0.2 - 0.01 * np.log10(params / 1e6) + 0.03 * seen_often)


def write_overfitting_study(folder: Path, *, seeds: int = 2) -> Path:
    """Write the study; only series of 1,000 images overfit."""
    rng = np.random.default_rng(3)
    runs: list[dict[str, Any]] = []
    settings = [(0, 0), *product(SIZES, LENGTHS)]
    for (encoder, params), (images, passes), labels, seed in product(ENCODERS, settings, LABELS, range(seeds)):
        pretrain = stage_id("pretrain", encoder, images, passes, seed) if images else None
        # One draw a pre-training, whatever is fine-tuned from it.
        own = 0.0005 * np.random.default_rng([images, passes, params, seed]).standard_normal()
        loss = loss_after(images, passes, params) + own if images else None
        gain = 0.3 * (0.9 - loss) * (labels / 100) ** -0.3 if loss else 0.0
        miou = 0.7 - 1.3 * labels**-0.35 + gain + 0.004 * float(rng.standard_normal())
        run: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
        run |= {"study": folder.name, "run_id": stage_id("finetune", encoder, images, passes, labels, seed), "seed": seed}
        run |= {"cell_id": stage_id("cell", encoder, images, passes, labels), "trunk_id": pretrain, "pretrain_id": pretrain}
        run |= {"encoder": encoder, "encoder_params": params, "pretrain_images": images, "pretrain_steps": passes // 32}
        run |= {"pretrain_image_passes": passes, "pretrain_source": "coco" if images else None, "pretrain_recipe": "compact" if images else None}
        run |= {"pretrain_length": f"{passes // 1000}k images" if images else None, "val_mim_loss": loss, "train_mim_loss": loss and loss - 0.02}
        run |= {"intermediate": "none", "intermediate_images": 0, "intermediate_steps": 0, "finetune_source": "pets"}
        run |= {"finetune_task": "segmentation", "finetune_images": labels, "finetune_recipe": "compact", "finetune_steps": 250}
        run |= {"finetune_train_loss": 0.5, "test_images": 500, "test_loss": 0.6, "pixel_accuracy": miou + 0.15, "miou": miou, "miou_ucl": miou}
        run |= {"iou_foreground": miou, "iou_background": miou, "iou_border": miou}
        runs.append(run)
        if pretrain and labels == LABELS[0]:
            _write_curve(folder / "stages" / pretrain, images, passes, params, own)
    table = pd.DataFrame(runs, columns=list(RUN_COLUMNS))
    table.to_parquet(folder / "runs.parquet", index=False)
    measured = list(RUN_COLUMNS)[list(RUN_COLUMNS).index("finetune_train_loss") :]
    plan = [{name: value for name, value in run.items() if name not in (*measured, "val_mim_loss", "train_mim_loss")} for run in runs]
    write_json(folder / "plan.json", {"format": 1, "study": folder.name, "stages": [], "runs": plan})
    return folder


def _write_curve(folder: Path, images: int, passes: int, params: int, own: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([images, passes, params])
    lines = [{"step": 0, "image_passes": 0, "val_mim_loss": 1.0}]
    for share in np.linspace(0.01, 1, 100):
        shown = int(share * passes)
        line: dict[str, Any] = {"step": shown // 32, "image_passes": shown}
        line["train_mim_loss"] = 0.28 + 1.2 * shown**-0.2 + 0.01 * float(noise.standard_normal())
        if round(100 * share) % 5 == 0:
            line["val_mim_loss"] = loss_after(images, shown, params) + own + 0.001 * float(noise.standard_normal())
        lines.append(line)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
