"""The intermediate stage: classification between pre-training and fine-tuning."""

from __future__ import annotations

from pathlib import Path

from trials.objectives.classification import ClassTraining, top_accuracy


class IntermediateClassification(ClassTraining):
    """The score is accuracy on held-out images, uncropped."""

    def evaluate(self) -> dict[str, float]:
        return {"val_accuracy": top_accuracy(*self.heldout_logits(), 1)}

    def finish(self, folder: Path) -> dict[str, float | int]:
        return {}
