"""A plug-in: an objective, an encoder family and a data source, each registered once.

- objective `mean-colour`: name the mean colour of an image from its mean token;
- encoder `toyconv-WIDTHxDEPTH@SIDE`: squares of 4 px mixed by 3 x 3 convolutions;
- source `gradients`: generated ramps of one colour, with labels and masks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.generated import Drawn, GeneratedSource
from trials.data.sources import register as register_source
from trials.errors import InputError
from trials.models.encoder import Encoder
from trials.models.encoders import SIDE, EncoderName, Family
from trials.models.encoders import register as register_encoder
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


class Convolutions(Encoder):
    """Squares of 4 px, embedded and mixed with their neighbours by 3 x 3 convolutions."""

    def __init__(self, width: int, depth: int, image_px: int) -> None:
        super().__init__()
        self.image_px, self.embed_px, self.stride_px = image_px, 4, 4
        self.dim = self.embed_dim = width
        self.layers = depth
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.steps = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def _mix(self, grid: Tensor) -> Tensor:
        for step in self.steps:
            grid = grid + step(grid.relu())
        return self.norm(grid.flatten(2).transpose(1, 2))

    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        return self._mix(self.stem(images))

    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        grid = self.stem(images)
        return self._mix(torch.where(hidden.view(len(hidden), 1, *grid.shape[2:]), mask_token.to(grid.dtype)[:, None, None], grid))

    def layer_of(self, name: str) -> int:
        step = re.match(r"steps\.(\d+)\.", name)
        return 0 if name.startswith("stem.") else int(step[1]) + 1 if step else self.layers + 1


class ConvolutionFamily(Family):
    """`toyconv-WIDTHxDEPTH@SIDE`."""

    name = "toyconv"
    pattern = f"toyconv-[0-9]+x[0-9]+@{SIDE}"
    reads = "toyconv-WIDTHxDEPTH@image"
    sizes = ("toyconv-8x2",)

    def parse(self, name: str) -> EncoderName | None:
        match = re.fullmatch(rf"toyconv-(\d+)x(\d+)@({SIDE})", name)
        if match is None:
            return None
        if int(match[3]) % 4:
            raise InputError(f"Encoder {name!r}: 4 px do not divide {match[3]} px.")
        size = (int(match[1]), int(match[2]))
        return EncoderName(family=self, size=size, size_name=name.partition("@")[0], embed_px=4, stride_px=4, image_px=int(match[3]))

    def spell(self, of: EncoderName, image_px: int) -> str:
        return f"{of.size_name}@{image_px}"

    def build(self, of: EncoderName, *, positions: str) -> Encoder:
        return Convolutions(*of.size, of.image_px)


register_encoder(ConvolutionFamily())


class Gradients(GeneratedSource):
    """A ramp of one colour: the colour is the class, the mask its dark, middle and bright part."""

    name = "gradients"
    carries = ("images", "labels", "masks")
    version = 1
    classes = ("red", "green", "blue")

    def draw(self, stream: str, index: int, side: int) -> Drawn:
        random = np.random.default_rng([index, *stream.encode()])
        label = index % len(self.classes)
        ramp = np.broadcast_to(np.linspace(0, 255, side), (side, side))
        image = np.zeros((side, side, 3), dtype=np.uint8)
        image[..., label] = ramp * random.uniform(0.5, 1)
        return image, label, (ramp // 86).astype(np.uint8)


register_source(Gradients())
