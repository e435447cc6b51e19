"""Fine-tunes an encoder from fresh weights by itself, without a grid, and scores it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trials import StageSpec, get_recipe, run_stage, stage_id
from trials.spec import DataSpec


def smallest_encoders(side: int) -> tuple[str, str]:
    """SwinV2-pico and ViT-pico for images of that side."""
    return f"swinv2-pico@{side}", f"pico/8@{side}"


def trained(
    root: Path, data: DataSpec, objective: str, encoder: str, changes: dict[str, Any], *, steps: int, cpus: int = 1, gpus: float = 0.0
) -> tuple[dict[str, float], float]:
    """Scores on the held-out images, and the minutes that training and scoring took.

    Args:
        root: holds the image store; the stage is written beside it.
        changes: fields of the recipe 'compact' and their values.
    """
    recipe = get_recipe("finetune", "compact", changes)
    spec = StageSpec(kind="finetune", objective=objective, encoder=encoder, data=data, recipe=recipe, steps=steps, eval_points=1, seed=0, parent=None)
    folder = root / "stages" / stage_id(spec)
    folder.mkdir(parents=True)
    started = time.monotonic()
    scores = run_stage(spec, folder, root / "store", cpus=cpus, gpus=gpus)["metrics"]
    return scores, (time.monotonic() - started) / 60


def against_margin(above: Sequence[float], margin: float) -> str:
    """'least distance above the floor 0.132: above the margin of 0.1'."""
    return f"least distance above the floor {min(above):.3f}: {'above' if min(above) > margin else 'NOT above'} the margin of {margin}"
