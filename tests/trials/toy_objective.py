"""A plug-in with one objective: name the mean colour of an image from its mean token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trials.models.encoder import Encoder
from trials.objectives.objective import WHOLE, Batches, Kind, Objective, Part, Setting, batched_positions, register
from trials.objectives.scores import Measure
from trials.recipes.fields import Recipe


class ColourModel(nn.Module):
    """A linear head on the mean token that predicts the three channel means."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, 3)."""
        return self.head(self.encoder(images).mean(dim=1)).float()


@register
class MeanColour(Objective):
    """Mean absolute error of the predicted channel means, in normalised units."""

    name = "mean-colour"
    kinds = ("pretrain", "finetune")
    purpose = "predicting the mean colour"
    loss_score = Measure(name="train_colour_loss", title="training colour error", description="on training batches", role="loss", better="lower")
    model: ColourModel

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        name = "colour_error" if kind == "finetune" else "val_colour_error"
        return (
            Measure(
                name=name,
                title="colour error",
                description="mean absolute error of the channel means of held-out images",
                role="score" if kind == "finetune" else "loss",
                better="lower",
                lowest=0.0,
                column=name,
                live=True,
            ),
        )

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> ColourModel:
        return ColourModel(encoder)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        return model(images).abs().mean()

    def __init__(self, setting: Setting) -> None:
        self._kind, self._heldout, self._compute = setting.spec.kind, setting.heldout, setting.compute
        self.encoder, self.model = setting.build_model(lambda encoder: self.build(encoder, setting.spec.recipe, classes=0))
        self._batches = Batches(setting)

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, _ = self._batches.take(step, part)
        return self._error(images)

    def _error(self, images: Tensor) -> Tensor:
        return (self.model(images) - images.mean(dim=(2, 3))).abs().mean()

    @torch.no_grad()
    def _heldout_error(self) -> float:
        from trials.data.augmentation import normalise

        errors = [float(self._error(normalise(self._heldout.images(p)))) * len(p) for p in batched_positions(len(self._heldout))]
        return sum(errors) / len(self._heldout)

    def evaluate(self) -> dict[str, float]:
        return {"val_colour_error": self._heldout_error()} if self._kind == "pretrain" else {}

    def finish(self, folder: Path) -> dict[str, Any]:
        return {"colour_error": self._heldout_error()} if self._kind == "finetune" else {}
