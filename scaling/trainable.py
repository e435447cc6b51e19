"""What a Ray worker runs for one trial: one stage, with its progress as custom metrics."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune
from ray.util.metrics import Gauge

from trials.errors import InputError, StageError
from trials.spec import StageSpec
from trials.stage import run_stage
from trials.training import Progress

_GAUGES = {
    "progress": "share of the stage's optimiser steps that are done, 0 to 1",
    "images_per_s": "images trained on per second",
    "val_mim_loss": "masked-image-modelling loss on the fixed held-out images",
    "val_accuracy": "held-out accuracy of the intermediate stage, 0 to 1",
    "miou": "mean intersection over union on the test set, 0 to 1",
}


@lru_cache(maxsize=1)
def _gauges() -> dict[str, Gauge]:
    """One gauge per metric and process: `ray_scaling_<name>` in Ray's metrics, by study, kind and stage."""
    tags = ("study", "kind", "stage")
    return {name: Gauge(f"scaling_{name}", description=text, tag_keys=tags) for name, text in _GAUGES.items()}


def train_stage(config: dict[str, Any]) -> None:
    """Train the stage that the config names; its folder holds the outcome, also when it fails.

    Config: stage (id), folder (study folder), store, study, cpus, gpus.
    """
    folder = Path(config["folder"]) / "stages" / config["stage"]
    spec = StageSpec.from_dict(json.loads((folder / "spec.json").read_text()))
    tags = {"study": config["study"], "kind": spec.kind, "stage": config["stage"]}

    def report(progress: Progress) -> None:
        values = progress | {"progress": progress["step"] / progress["steps"]}
        for name, gauge in _gauges().items():
            if name in values:
                gauge.set(values[name], tags=tags)
        tune.report(values)

    try:
        result = run_stage(spec, folder, Path(config["store"]), cpus=config["cpus"], gpus=config["gpus"], on_progress=report)
    except (InputError, StageError) as error:
        # error.json says why too; to Ray the trial ends like any other, so the worker lives on for the next stage
        tune.report({"step": 0, "steps": spec.steps, "failed": True, "reason": str(error)})
        return
    report({"step": spec.steps, "steps": spec.steps} | result["metrics"])
