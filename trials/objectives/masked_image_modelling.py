"""The pre-training stage: SimMIM, with its loss on fixed held-out images, crops and masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.augmentation import denormalise, draw_crops, normalise
from trials.data.pictures import HELDOUT_SEED, Pictures, evenly_spaced
from trials.models.encoder import Encoder
from trials.models.mae import MaskedAutoencoder
from trials.models.masking import check_masking, masked_count
from trials.models.simmim import SimMIM, simmim
from trials.objectives.examples import write_examples
from trials.objectives.fixed_images import FixedImages
from trials.objectives.objective import WHOLE, Batches, Kind, Objective, Part, Setting, register
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
FIXED_TRAIN_LOSS = Measure(
    name="train_eval_mim_loss",
    title="loss on training images",
    description="mean absolute error over the masked pixels of training images with fixed crops and masks, measured as val_mim_loss is, of as many "
    "images or all there are: the two differ by their images alone",
    unit="L1 on normalised pixels",
    role="loss",
    better="lower",
    lowest=0.0,
    column="train_eval_mim_loss",
)
EXAMPLES = 6
TRAIN_EXAMPLES = "examples_train"
"""The folder of a stage with reconstructions of training images, beside `examples`."""
MASKED_GREY = 128


@register
class MaskedImageModelling(Objective):
    """SimMIM (Xie et al. 2022, arXiv 2111.09886) on a subset of images."""

    name = "simmim"
    kinds = ("pretrain",)
    purpose = "masked image modelling"
    model: SimMIM | MaskedAutoencoder
    heldout_loss: ClassVar[Measure] = HELDOUT_LOSS
    fixed_train_loss: ClassVar[Measure] = FIXED_TRAIN_LOSS
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
        return (cls.heldout_loss, cls.fixed_train_loss)

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
        self._compute, self._repeated = setting.compute, setting.repeated
        self.encoder, self.model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=0))
        self._batches = Batches(setting)
        # drawn on the CPU, so that the losses are of the same crops and masks on every device; those
        # of training images are by the same numbers as those of held-out ones
        masks = self.model.draw_masks(len(setting.heldout), self._recipe, generator(HELDOUT_SEED, "heldout-masks"))
        self._heldout = self._measured(setting.heldout, torch.arange(len(setting.heldout)), masks)
        self._trained = self._measured(setting.train, evenly_spaced(len(setting.train), len(setting.heldout)), masks)

    def _measured(self, pictures: Pictures, positions: Tensor, masks: Tensor) -> _Measured:
        crops = draw_crops(pictures.sizes[positions], self._recipe, generator(HELDOUT_SEED, "heldout-crops"))
        return _Measured(FixedImages(pictures, positions, crops), masks[: len(positions)].to(self._compute.device))

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, _ = self._batches.take(step, part)
        masks = self.model.draw_masks(self._recipe.batch_images, self._recipe, self._inputs.generator("mask", step))
        return cast(Tensor, self.model(images, masks[self._batches.rows(part)][: len(images)]))

    def evaluate(self) -> dict[str, float]:
        """The error over what is hidden of held-out and of training images, in the units of what is
        predicted.
        """
        return {
            self.heldout_loss.name: self._error("heldout", self._heldout),
            self.fixed_train_loss.name: self._error("training", self._trained),
        }

    @torch.no_grad()
    def _error(self, name: str, measured: _Measured) -> float:
        self.model.eval()
        parts = measured.images.parts()
        losses = self._repeated(name, partial(self._losses, measured, parts), parts=len(parts))
        self.model.train()
        return float(losses.double().mean())

    def _losses(self, measured: _Measured, parts: list[slice]) -> Tensor:
        """(N,) one an image."""
        losses = []
        for rows in parts:
            images = normalise(measured.images.images(rows))
            with self._compute.autocast():
                losses.append(self.model(images, measured.masks[rows], per_image=True))
        return torch.cat(losses)

    def finish(self, folder: Path) -> dict[str, float | int]:
        self._write_reconstructions(folder, self._heldout, "held-out image", "examples")
        self._write_reconstructions(folder, self._trained, "training image", TRAIN_EXAMPLES)
        return {}

    @torch.no_grad()
    def _write_reconstructions(self, folder: Path, measured: _Measured, what: str, into: str) -> None:
        self.model.eval()
        rows = evenly_spaced(len(measured.images), EXAMPLES)
        images = normalise(measured.images.images(rows))
        masked = measured.masks[rows]
        with self._compute.autocast():
            rebuilt = self.model.reconstruct(images, masked)
        seen = denormalise(images).cpu().numpy()
        hidden = self.model.hidden_pixels(masked).permute(0, 2, 3, 1).cpu().numpy()
        tiles = (seen, np.where(hidden, np.uint8(MASKED_GREY), seen), denormalise(rebuilt).cpu().numpy())
        write_examples(
            folder,
            columns=["image", "masked", "reconstruction"],
            rows=[list(row) for row in zip(*tiles, strict=True)],
            items=[{"caption": f"{what} {int(p)}{self.model.given}"} for p in measured.images.positions[rows]],
            into=into,
        )
        self.model.train()


@dataclass(frozen=True)
class _Measured:
    """Images on which a loss is measured again and again, with their masks on the device."""

    images: FixedImages
    masks: Tensor
