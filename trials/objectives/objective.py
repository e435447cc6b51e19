"""What the kinds of stage share: a model, a loss for each step, and a held-out score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from trials.data.augmentation import crop_images, draw_crops, input_form
from trials.data.pictures import Pictures
from trials.data.sources import get_source, no_masks
from trials.errors import InputError
from trials.models.encoder import Encoder
from trials.models.encoders import adapt_weights, build_encoder
from trials.spec import StageSpec
from trials.training.precision import Compute
from trials.training.seeding import EpochOrder, derive_seed, generator

EVAL_BATCH = 256
WHOLE = (0, 1)

Part = tuple[int, int]
"""Which part of a batch, and of how many: data parallel and micro-batches take a batch in parts, as
even as can be, the first ones larger by one.
"""

Model = TypeVar("Model", bound=nn.Module)


class Objective(Protocol):
    """One kind of stage."""

    loss_name: str
    """Name of the training loss in metrics.jsonl."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        """Mean training loss over a part of the batch at `step`, a float32 scalar with gradients.

        All randomness is drawn for the whole batch, so parts weighted by their images put together
        are the whole.
        """

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

    def build_model(self, wrap: Callable[[Encoder], Model]) -> tuple[Encoder, Model]:
        """An encoder with the parent's weights, or fresh, and the model that `wrap` makes of it, on
        the device.

        The encoder and the head draw from generators of their own, so a head's initialisation is
        the same with and without a parent, and global random state is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.spec.seed, "init-encoder"))
            encoder = build_encoder(self.spec.encoder, positions=self.spec.recipe.positions)
            if self.parent_weights is not None:
                prefix = "encoder."
                own = {k.removeprefix(prefix): v for k, v in self.parent_weights.items() if k.startswith(prefix)}
                encoder.load_state_dict(adapt_weights(encoder, own))
            # a trunk is the beginning of a pre-training, and so must start as one
            kind = "pretrain" if self.spec.kind == "trunk" else self.spec.kind
            torch.manual_seed(derive_seed(self.spec.seed, f"init-{kind}"))
            model = wrap(encoder)
        return encoder, model.to(self.compute.device)


class Batches:
    """Training batches of a stage: the order of images, each cropped and flipped afresh; a pure
    function of the step.
    """

    def __init__(self, setting: Setting) -> None:
        self._recipe = setting.spec.recipe
        self._seed = setting.spec.seed
        self._device = setting.compute.device
        self._order = EpochOrder(images=len(setting.train), batch_images=self._recipe.batch_images, seed=self._seed)
        self._inputs = input_form(self._recipe)
        self.pictures = setting.train

    def positions(self, step: int) -> Tensor:
        """(batch_images,) positions within the training subset."""
        return self._order.batch(step)

    def rows(self, part: Part = WHOLE) -> slice:
        """The rows of a batch that a part holds: those of `torch.tensor_split`."""
        index, count = part
        size, larger = divmod(self._recipe.batch_images, count)
        start = index * size + min(index, larger)
        return slice(start, start + size + (index < larger))

    def take(self, step: int, part: Part = WHOLE) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) input crops, the (B, 2, 3) crop maps, and the (B,) positions of a part of
        the batch at `step`.
        """
        return self._take(step, self.rows(part))

    def take_partners(self, step: int, part: Part = WHOLE) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) crops and (B,) positions of what the images of a part are blended with: the
        image before each in the whole batch.

        The order of a batch is random, so the image before is a random other one, as in
        torchvision's MixUp.
        """
        total, rows = self._recipe.batch_images, self.rows(part)
        images, _, positions = self._take(step, (torch.arange(rows.start, rows.stop) - 1) % total)
        return images, positions

    def _take(self, step: int, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = draw_crops(self._recipe.batch_images, self._recipe, generator(self._seed, "augment", step, self._device))
        maps = maps[rows if isinstance(rows, slice) else rows.to(self._device)]
        positions = self.positions(step)[rows]
        return crop_images(self._inputs(self.pictures.images(positions)), maps), maps, positions


def require_masks(setting: Setting, purpose: str) -> None:
    """Raises InputError for a source whose images carry no trimaps."""
    source = setting.spec.data.source
    if not get_source(source).has_masks:
        raise InputError(f"{setting.spec.kind}: {no_masks(source, purpose)}")


def batched_positions(total: int) -> list[Tensor]:
    """Positions 0..total-1 in evaluation batches."""
    return list(torch.arange(total).split(EVAL_BATCH))
