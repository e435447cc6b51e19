"""What the kinds of stage share: a model, a loss for each step, and a held-out score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from trials.augmentation import crop_images, draw_crops, normalise
from trials.encoders import ViT, build_encoder
from trials.pictures import Pictures
from trials.precision import Compute
from trials.seeding import EpochOrder, derive_seed, generator
from trials.spec import StageSpec

EVAL_BATCH = 256

Model = TypeVar("Model", bound=nn.Module)


class Objective(Protocol):
    """One kind of stage."""

    loss_name: str
    """Name of the training loss in metrics.jsonl."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    def loss(self, step: int) -> Tensor:
        """Training loss of the batch at `step`, a float32 scalar with gradients."""

    def evaluate(self) -> dict[str, float]:
        """Held-out scores along the way; empty if there are none."""

    def finish(self, folder: Path) -> dict[str, float | int]:
        """Final metrics; writes the examples."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an objective is built from."""

    spec: StageSpec
    compute: Compute
    train: Pictures
    heldout: Pictures
    parent_weights: dict[str, Tensor] | None

    def build_model(self, wrap: Callable[[ViT], Model]) -> tuple[ViT, Model]:
        """An encoder with the parent's weights, or fresh, and the model that `wrap` makes of it, on the device.

        The encoder and the head draw from generators of their own, so a head's initialisation is the same with and without a
        parent, and global random state is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.spec.seed, "init-encoder"))
            encoder = build_encoder(self.spec.encoder, positions=self.spec.recipe.positions)
            if self.parent_weights is not None:
                prefix = "encoder."
                own = {k.removeprefix(prefix): v for k, v in self.parent_weights.items() if k.startswith(prefix)}
                encoder.load_state_dict(own)
            torch.manual_seed(derive_seed(self.spec.seed, f"init-{self.spec.kind}"))
            model = wrap(encoder)
        return encoder, model.to(self.compute.device)


class Batches:
    """Training batches of a stage: the order of images, each cropped and flipped afresh; a pure function of the step."""

    def __init__(self, setting: Setting) -> None:
        self._recipe = setting.spec.recipe
        self._seed = setting.spec.seed
        self._device = setting.compute.device
        self._order = EpochOrder(images=len(setting.train), batch_images=self._recipe.batch_images, seed=self._seed)
        self.pictures = setting.train

    def positions(self, step: int) -> Tensor:
        """(B,) positions within the training subset."""
        return self._order.batch(step)

    def take(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) normalised crops, the (B, 2, 3) crop maps, and the (B,) positions."""
        positions = self.positions(step)
        images = normalise(self.pictures.images(positions))
        maps = draw_crops(len(images), self._recipe, generator(self._seed, "augment", step, self._device))
        return crop_images(images, maps), maps, positions


def batched_positions(total: int) -> list[Tensor]:
    """Positions 0..total-1 in evaluation batches."""
    return list(torch.arange(total).split(EVAL_BATCH))
