"""Weights & Biases: one project per study, one run per stage.

WANDB_MODE=offline writes into the study folder, for `wandb sync`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scaling.tracking.tracker import TrackedStage, load_extra
from trials.errors import InputError

_NO_NETWORK = ("offline", "disabled", "dryrun")


class WandB:
    """Logs settings as the config and every line of metrics.jsonl by its step."""

    name = "wandb"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wandb = load_extra("wandb", "wandb")
        if os.environ.get("WANDB_MODE", "online") not in _NO_NETWORK and not self._wandb.login(prompt=False):
            raise InputError("--track wandb has no API key: run `wandb login`, or set WANDB_MODE=offline to upload later with `wandb sync`.")

    def open(self, stage: TrackedStage) -> _WandBRun:
        """The run has the stage's id, so a resumed stage continues its run."""
        run = self._wandb.init(
            project=stage.study,
            id=stage.id,
            name=stage.name,
            group=stage.kind,
            config=stage.settings,
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",  # many stages run at once
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True),
        )
        return _WandBRun(run)

    def close(self) -> None:
        """Nothing: every run is closed already."""


class _WandBRun:
    def __init__(self, run: Any) -> None:
        self._run = run
        self.last_step = run.starting_step - 1

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        for step, values in lines:
            self._run.log(values, step=step)
            self.last_step = step

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        self._run.summary.update({f"final/{name}": value for name, value in metrics.items()})
        self._run.finish(exit_code=0 if outcome == "done" else 1)
