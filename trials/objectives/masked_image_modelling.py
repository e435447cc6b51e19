"""The pre-training stage: SimMIM, with its loss on fixed held-out images, crops and masks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.augmentation import denormalise, draw_crops, normalise
from trials.data.pictures import HELDOUT_SEED, evenly_spaced
from trials.models.encoder import Encoder
from trials.models.mae import MaskedAutoencoder
from trials.models.masking import check_masking, masked_count
from trials.models.simmim import SimMIM, simmim
from trials.objectives.examples import write_examples
from trials.objectives.objective import WHOLE, Batches, Kind, Objective, Part, Setting, batched_positions, register
from trials.objectives.scores import Measure
from trials.recipes.fields import PretrainRecipe, Recipe
from trials.training.seeding import generator

HELDOUT_LOSS = Measure(
    name="val_mim_loss",
    title="validation loss",
    description="mean absolute error over the masked pixels of fixed held-out images with fixed crops and masks",
    unit="L1 on normalised pixels",
    role="loss",
    better="lower",
    lowest=0.0,
    column="val_mim_loss",
    live=True,
)
EXAMPLES = 6
MASKED_GREY = 128


@register
class MaskedImageModelling(Objective):
    """SimMIM (Xie et al. 2022, arXiv 2111.09886) on a subset of images."""

    name = "simmim"
    kinds = ("pretrain",)
    purpose = "masked image modelling"
    model: SimMIM | MaskedAutoencoder
    heldout_loss: ClassVar[Measure] = HELDOUT_LOSS
    loss_score = Measure(
        name="train_mim_loss",
        title="training loss",
        description="mean absolute error over the masked pixels of training batches, mean over the last tenth of the steps",
        unit="L1 on normalised pixels",
        role="loss",
        better="lower",
        lowest=0.0,
        column="train_mim_loss",
    )

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (cls.heldout_loss,)

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        assert isinstance(recipe, PretrainRecipe)
        check_masking(encoder, recipe)

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return ""

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> SimMIM | MaskedAutoencoder:
        assert isinstance(recipe, PretrainRecipe)
        return simmim(recipe, encoder)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        assert isinstance(model, SimMIM)
        assert isinstance(recipe, PretrainRecipe)
        masked = masked_count(model.units, recipe.mask_ratio, recipe.mask_rounding)
        return cast(Tensor, model(images, torch.arange(masked, device=images.device).expand(len(images), -1)))

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, PretrainRecipe)
        self.check(setting.spec.encoder, setting.spec.recipe)
        self._recipe, self._inputs = setting.spec.recipe, setting.inputs
        self._compute, self._heldout = setting.compute, setting.heldout
        self.encoder, self.model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=0))
        self._batches = Batches(setting)
        # drawn on the CPU, so that the held-out loss is of the same crops and masks on every device
        count = len(self._heldout)
        self._crops = draw_crops(self._heldout.sizes, self._recipe, generator(HELDOUT_SEED, "heldout-crops"))
        self._masks = self.model.draw_masks(count, self._recipe, generator(HELDOUT_SEED, "heldout-masks"))

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, _ = self._batches.take(step, part)
        masks = self.model.draw_masks(self._recipe.batch_images, self._recipe, self._inputs.generator("mask", step))
        return cast(Tensor, self.model(images, masks[self._batches.rows(part)][: len(images)]))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The error over what is hidden of the held-out images, in the units of what is predicted."""
        self.model.eval()
        losses = []
        for positions in batched_positions(len(self._heldout)):
            images = normalise(self._heldout.images(positions, self._crops[positions]))
            with self._compute.autocast():
                losses.append(self.model(images, self._masks[positions].to(self._compute.device), per_image=True))
        self.model.train()
        return {self.heldout_loss.name: float(torch.cat(losses).double().mean())}

    @torch.no_grad()
    def finish(self, folder: Path) -> dict[str, float | int]:
        self.model.eval()
        positions = evenly_spaced(len(self._heldout), EXAMPLES)
        images = normalise(self._heldout.images(positions, self._crops[positions]))
        masked = self._masks[positions].to(self._compute.device)
        with self._compute.autocast():
            rebuilt = self.model.reconstruct(images, masked)
        seen = denormalise(images).cpu().numpy()
        hidden = self.model.hidden_pixels(masked).permute(0, 2, 3, 1).cpu().numpy()
        tiles = (seen, np.where(hidden, np.uint8(MASKED_GREY), seen), denormalise(rebuilt).cpu().numpy())
        write_examples(
            folder,
            columns=["image", "masked", "reconstruction"],
            rows=[list(row) for row in zip(*tiles, strict=True)],
            items=[{"caption": f"held-out image {int(p)}{self.model.given}"} for p in positions],
        )
        self.model.train()
        return {}
