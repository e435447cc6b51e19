"""A small study whose true effects are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

PRETRAINING_GAIN = 0.03  # mIoU per factor 10 of pre-training images from 2,000 on
INTERMEDIATE_GAIN = 0.02


def build_study(
    *,
    seeds: int = 5,
    amounts: tuple[int, ...] = (0, 2_000, 20_000),
    labels: tuple[int, ...] = (60, 600),
    objectives: tuple[str, ...] = ("none", "classification"),
    shared_pretraining: bool = False,
    noise: float = 0.002,
    random_seed: int = 0,
) -> pd.DataFrame:
    """Runs of a full grid; one pre-training per seed and amount, or one per amount if shared."""
    random = np.random.default_rng(random_seed)
    rows = []
    for seed in range(seeds):
        of_seed = 0.01 * random.standard_normal()
        for amount in amounts:
            pretrain_id = f"pretrain-{amount}" + ("" if shared_pretraining else f"-{seed}")
            for objective in objectives:
                for finetune_images in labels:
                    gain = PRETRAINING_GAIN * np.log10(amount / 200) if amount else 0.0
                    gain += INTERMEDIATE_GAIN if objective != "none" else 0.0
                    rows.append(
                        {
                            "study": "known",
                            "run_id": f"finetune-{len(rows):03d}",
                            "seed": seed,
                            "trunk_id": pretrain_id if amount else None,
                            "pretrain_id": pretrain_id if amount else None,
                            "encoder": "tiny/4@32",
                            "pretrain_source": "unlabelled" if amount else None,
                            "pretrain_images": amount,
                            "pretrain_recipe": "simmim" if amount else None,
                            "pretrain_length": "10 epochs" if amount else None,
                            "pretrain_steps": amount * 10 // 100,
                            "val_mim_loss": 0.5 - 0.02 * gain if amount else np.nan,
                            "intermediate": objective,
                            "intermediate_source": None if objective == "none" else "scenes",
                            "intermediate_images": 0 if objective == "none" else 500,
                            "intermediate_steps": 0 if objective == "none" else 50,
                            "finetune_source": "pets",
                            "finetune_task": "segmentation",
                            "finetune_images": finetune_images,
                            "finetune_recipe": "segmenter",
                            "finetune_steps": finetune_images * 2,
                            "miou": 0.3 + 0.05 * np.log10(finetune_images) + of_seed + gain + noise * random.standard_normal(),
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture
def study() -> Callable[..., pd.DataFrame]:
    return build_study
