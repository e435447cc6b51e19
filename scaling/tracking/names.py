"""The names of the trackers; here alone, so that a command line need not import what they need."""

from __future__ import annotations

TRACKERS = ("tensorboard", "mlflow", "wandb")
