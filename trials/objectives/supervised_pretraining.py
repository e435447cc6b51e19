"""Pre-training on labels: the control for learning without them, which neither paper has."""

from __future__ import annotations

from pathlib import Path

from trials.objectives.classification import Classification, top_accuracy
from trials.objectives.objective import Kind, register
from trials.objectives.scores import Measure


@register
class SupervisedPretraining(Classification):
    """Classification of whole images by a linear head, scored on held-out images along the way.

    It sees the same images, crops and batches as a masked pre-training of the same recipe, and its
    labels besides. The head is thrown away.
    """

    name = "supervised"
    kinds = ("pretrain",)
    purpose = "pre-training on labels"
    loss_score = Measure(
        name="train_supervised_loss",
        title="supervised training loss",
        description="cross-entropy of pre-training on labels, mean over the last tenth of the steps",
        unit="nats",
        role="loss",
        better="lower",
        lowest=0.0,
        column="train_supervised_loss",
    )

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (
            Measure(
                name="val_supervised_accuracy",
                title="pre-training accuracy",
                description="accuracy on held-out images at the end of pre-training on labels",
                unit="fraction",
                better="higher",
                lowest=0.0,
                highest=1.0,
                column="pretrain_accuracy",
                live=True,
            ),
        )

    def evaluate(self) -> dict[str, float]:
        return {"val_supervised_accuracy": top_accuracy(*self.heldout_logits(), 1)}

    def finish(self, folder: Path) -> dict[str, float | int]:
        return {}
