"""The measures that objectives report: names, meanings and directions; and the shared ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number that an objective measures: what it is called, means, and which values are good."""

    name: str
    """In metrics.jsonl and result.json."""
    title: str
    """In sentences and on axes."""
    description: str
    unit: str = ""
    """'fraction' for a number from 0 to 1."""
    role: Literal["score", "loss", "measure"] = "measure"
    better: Literal["higher", "lower", ""] = ""
    lowest: float | None = None
    """No value is below it; None where there is no such bound."""
    highest: float | None = None
    """No value is above it; None where there is no such bound."""
    column: str | None = None
    """Its column in the runs table; None leaves it out."""
    live: bool = False
    """Whether the display and the metrics of a launch show it."""


HELDOUT_ACCURACY = Measure(
    name="val_accuracy",
    title="intermediate accuracy",
    description="accuracy on held-out images at the end of the intermediate stage, per image or (spatial) per patch",
    unit="fraction",
    better="higher",
    lowest=0.0,
    highest=1.0,
    column="intermediate_accuracy",
    live=True,
)
"""Of an intermediate stage; `patch_classification` has it too."""
TRAIN_LOSS = Measure(
    name="train_loss",
    title="training loss",
    description="cross-entropy on training batches, mean over the last tenth of the steps",
    unit="nats",
    role="loss",
    better="lower",
    lowest=0.0,
    column="finetune_train_loss",
)
TEST_SCORES = (
    Measure(name="test_images", title="test images", description="images in the fixed test set", unit="images", lowest=0.0, column="test_images"),
    Measure(
        name="test_loss",
        title="test loss",
        description="cross-entropy on the test set without label smoothing",
        unit="nats",
        role="loss",
        better="lower",
        lowest=0.0,
        column="test_loss",
    ),
)
"""What every fine-tuning with a cross-entropy measures on its test set."""


def share_score(name: str, title: str, description: str, *, live: bool = False) -> Measure:
    """A score from 0 to 1 where higher is better, in a column of its own name."""
    return Measure(
        name=name,
        title=title,
        description=description,
        unit="fraction",
        role="score",
        better="higher",
        lowest=0.0,
        highest=1.0,
        column=name,
        live=live,
    )
