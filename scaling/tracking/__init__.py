"""Stages as runs in TensorBoard, MLflow or Weights & Biases, from their metrics.jsonl: `--track
NAME` of a launch, or afterwards

    python -m scaling.tracking runs/quickstart --to tensorboard

The study folder stays the record. A tracker that is down costs one line of warning, and is filled
in later by that command.
"""

from __future__ import annotations

from scaling.tracking.live import LiveTracking
from scaling.tracking.open import TRACKERS, open_tracker
from scaling.tracking.tracker import TrackedRun, TrackedStage, Tracker

__all__ = ["TRACKERS", "LiveTracking", "TrackedRun", "TrackedStage", "Tracker", "open_tracker"]
