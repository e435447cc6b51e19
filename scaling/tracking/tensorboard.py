"""TensorBoard event files, one run per stage: `tensorboard --logdir runs/NAME/tensorboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.tracking.tracker import TrackedStage, load_extra

FOLDER = "tensorboard"
FLUSH_S = 10


class TensorBoard:
    """Writes scalars into `<study>/tensorboard/<kind>/<stage>`."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer = load_extra("tensorboardX", "tensorboard").SummaryWriter

    def open(self, stage: TrackedStage) -> _TensorBoardRun:
        """Start the run over: adding to event files would repeat lines; metrics.jsonl has them all."""
        place = self._folder / stage.name
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        return _TensorBoardRun(self._writer(logdir=str(place), flush_secs=FLUSH_S))

    def close(self) -> None:
        """Nothing: every run is closed already."""


class _TensorBoardRun:
    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.last_step = -1

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        for step, values in lines:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self.last_step = step
        self._writer.flush()

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"final/{name}", value, step)
        self._writer.close()
