"""The pre-training stage: SimMIM, with its loss on fixed held-out images, crops and masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trials.data.augmentation import crop_images, denormalise, draw_crops, normalise
from trials.data.pictures import HELDOUT_SEED, evenly_spaced
from trials.models.masking import check_masking
from trials.models.simmim import simmim
from trials.objectives.examples import write_examples
from trials.objectives.objective import WHOLE, Batches, Part, Setting, batched_positions
from trials.recipes.fields import PretrainRecipe
from trials.training.seeding import generator

EXAMPLES = 6
MASKED_GREY = 128


class MaskedImageModelling:
    """SimMIM on a subset of images."""

    loss_name = "train_mim_loss"

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, PretrainRecipe)
        check_masking(setting.spec.encoder, setting.spec.recipe)
        self._recipe, self._seed = setting.spec.recipe, setting.spec.seed
        self._compute, self._heldout = setting.compute, setting.heldout
        self.encoder, self.model = setting.build_model(partial(simmim, self._recipe))
        self._batches = Batches(setting)
        # drawn on the CPU, so that the held-out loss is of the same crops and masks on every device
        count = len(self._heldout)
        self._crops = draw_crops(count, self._recipe, generator(HELDOUT_SEED, "heldout-crops"))
        self._masks = self.model.draw_masks(count, self._recipe, generator(HELDOUT_SEED, "heldout-masks"))

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, _ = self._batches.take(step, part)
        masks = self.model.draw_masks(self._recipe.batch_images, self._recipe, generator(self._seed, "mask", step, self._compute.device))
        return self.model(images, masks[self._batches.rows(part)])

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The mean absolute error over the masked pixels of the held-out images, in the units of
        what is predicted.
        """
        self.model.eval()
        losses = []
        for positions in batched_positions(len(self._heldout)):
            crops = self._crops[positions].to(self._compute.device)
            images = crop_images(normalise(self._heldout.images(positions)), crops)
            with self._compute.autocast():
                losses.append(self.model(images, self._masks[positions].to(self._compute.device), per_image=True))
        self.model.train()
        return {"val_mim_loss": float(torch.cat(losses).double().mean())}

    @torch.no_grad()
    def finish(self, folder: Path) -> dict[str, float | int]:
        self.model.eval()
        positions = evenly_spaced(len(self._heldout), EXAMPLES)
        images = normalise(self._heldout.images(positions))
        masked = self._masks[positions].to(self._compute.device)
        with self._compute.autocast():
            rebuilt = self.model.reconstruct(images, masked)
        seen = denormalise(images).cpu().numpy()
        hidden = self.model.hidden_pixels(masked).permute(0, 2, 3, 1).cpu().numpy()
        tiles = (seen, np.where(hidden, np.uint8(MASKED_GREY), seen), denormalise(rebuilt).cpu().numpy())
        # of window-normalised pixels a prediction says nothing of brightness and contrast
        given = "; brightness and contrast of the reconstruction are those around each pixel of the image" if self.model.by_window else ""
        write_examples(
            folder,
            columns=["image", "masked", "reconstruction"],
            rows=[list(row) for row in zip(*tiles, strict=True)],
            items=[{"caption": f"held-out image {int(p)}{given}"} for p in positions],
        )
        self.model.train()
        return {}
