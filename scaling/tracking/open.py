"""Opens a tracker by name; each is an optional package that is imported only when needed."""

from __future__ import annotations

from pathlib import Path

from scaling.tracking.names import TRACKERS
from scaling.tracking.tracker import Tracker
from trials.errors import InputError


def open_tracker(name: str, study: str, folder: Path) -> Tracker:
    """A tracker for a study in a folder.

    Raises:
        InputError: its package is not installed, or it is not set up.
    """
    if name == "tensorboard":
        from scaling.tracking.tensorboard import TensorBoard

        return TensorBoard(folder)
    if name == "mlflow":
        from scaling.tracking.mlflow import MLflow

        return MLflow(study)
    if name == "wandb":
        from scaling.tracking.wandb import WandB

        return WandB(folder)
    raise InputError(f"There is no tracker {name!r}: choose from {', '.join(TRACKERS)}.")
