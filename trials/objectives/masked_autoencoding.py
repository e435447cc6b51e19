"""The pre-training stage by MAE, with its loss on fixed held-out images, crops and masks."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from trials.models.encoder import Encoder
from trials.models.mae import MaskedAutoencoder, check_dropping, masked_autoencoder
from trials.objectives.masked_image_modelling import MaskedImageModelling
from trials.objectives.objective import register
from trials.objectives.scores import Measure
from trials.recipes.fields import PretrainRecipe, Recipe


@register
class MaskedAutoencoding(MaskedImageModelling):
    """MAE (He et al. 2022, arXiv 2111.06377) on a subset of images."""

    name = "mae"
    purpose = "masked autoencoding"
    loss_score = Measure(
        name="train_mae_loss",
        title="MAE training loss",
        description="mean squared error over the hidden patches of training batches, mean over the last tenth of the steps",
        unit="squared error of normalised patches",
        role="loss",
        better="lower",
        lowest=0.0,
        column="train_mae_loss",
    )
    heldout_loss = Measure(
        name="val_mae_loss",
        title="MAE validation loss",
        description="mean squared error over the hidden patches of fixed held-out images with fixed crops and masks",
        unit="squared error of normalised patches",
        role="loss",
        better="lower",
        lowest=0.0,
        column="val_mae_loss",
        live=True,
    )

    fixed_train_loss = Measure(
        name="train_eval_mae_loss",
        title="MAE loss on training images",
        description="mean squared error over the hidden patches of training images with fixed crops and masks, measured as val_mae_loss is",
        unit="squared error of normalised patches",
        role="loss",
        better="lower",
        lowest=0.0,
        column="train_eval_mae_loss",
    )

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        check_dropping(encoder)

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> MaskedAutoencoder:
        assert isinstance(recipe, PretrainRecipe)
        return masked_autoencoder(recipe, encoder)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        assert isinstance(model, MaskedAutoencoder)
        return cast(Tensor, model(images, torch.arange(model.encoder.patches, device=images.device).expand(len(images), -1)))
