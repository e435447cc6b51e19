"""Sends stages to TensorBoard, MLflow or Weights & Biases: `--track NAME` of a launch, or later

    python -m scaling.tracking runs/quickstart --to tensorboard

Each stage is a run there, filled from its metrics.jsonl. The study folder remains the record: a
tracker that is down costs a line of warning, and the command above fills it in later.
"""

from __future__ import annotations
