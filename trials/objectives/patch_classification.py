"""Spatial supervision, an intermediate stage: each output token names the majority trimap class of
its own patch.

The control of Bridge, Sun et al. for classification, which supervises one token an image. Theirs
was trained on the images that it was probed and fine-tuned on; a grid here names disjoint ones.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data.augmentation import InputForm, takes_nearest
from trials.data.mask_classes import IGNORED, TRIMAP
from trials.data.pictures import Pictures, evenly_spaced
from trials.models.encoder import Encoder
from trials.objectives.examples import EXAMPLES, mask_colours, write_examples
from trials.objectives.objective import (
    WHOLE,
    Batches,
    Kind,
    Objective,
    Part,
    Setting,
    batched_positions,
    loss_of_zeros,
    register,
    require_data,
)
from trials.objectives.scores import HELDOUT_ACCURACY, TRAIN_LOSS, Measure
from trials.recipes.fields import Recipe, SupervisedRecipe


def patch_majority(masks: Tensor, patch_px: int, classes: int = len(TRIMAP)) -> Tensor:
    """(B, S, S) class indices -> (B, patches) the most common class of each patch; a tie goes to
    the lower class, as in the released code. `IGNORED` where no pixel of a patch counts.
    """
    votes = torch.cat([F.avg_pool2d((masks == c).float()[:, None], patch_px) for c in range(classes)], dim=1)
    return votes.argmax(dim=1).masked_fill(votes.sum(dim=1) == 0, IGNORED).flatten(1)


def patch_accuracy(named: Tensor, truth: Tensor) -> float:
    """Share of the patches with a class that are named rightly, both of one shape; NaN where none has
    a class.
    """
    return float((named == truth)[truth != IGNORED].double().mean())


class PatchClassifier(nn.Module):
    """A linear head on each output token of an encoder; no CLS token is fed."""

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, patches, classes) logits in float32."""
        return self.head(self.encoder(images, cls=False)).float()


@register
class SpatialSupervision(Objective):
    """Cross-entropy on the majority class of each patch of the crop; the score is accuracy per
    patch on held-out images, uncropped.
    """

    name = "spatial"
    kinds = ("intermediate",)
    needs = ("masks",)
    purpose = "spatial supervision"
    loss_score = TRAIN_LOSS
    example_classes = len(TRIMAP)

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (
            HELDOUT_ACCURACY,
            Measure(name="majority_accuracy", title="majority accuracy", description="accuracy of always naming the most common class"),
            Measure(name="place_accuracy", title="place accuracy", description="accuracy of naming, at each place, the class most common there"),
        )

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return ""

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> PatchClassifier:
        return PatchClassifier(encoder, classes=classes)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        return loss_of_zeros(model(images).flatten(0, 1))

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, SupervisedRecipe)
        require_data(type(self), setting)
        self._recipe = setting.spec.recipe
        self._compute, self._heldout = setting.compute, setting.heldout
        self._inputs = InputForm(self._recipe)
        self._classes, self._trimaps = len(setting.train.mask_classes), setting.train.mask_classes == TRIMAP
        self._colours = mask_colours(setting.train.mask_classes)
        self.encoder, self.model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=self._classes))
        self._patch_px = self.encoder.stride_px
        self._batches = Batches(setting)

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, crops, positions = self._batches.take(step, part)
        masks = self._batches.pictures.masks(positions, crops, nearest=takes_nearest(self._recipe))
        classes = patch_majority(masks, self._patch_px, self._classes)
        logits, smoothing = self.model(images).transpose(1, 2), self._recipe.label_smoothing
        if self._trimaps:  # in which every pixel counts
            return F.cross_entropy(logits, classes, label_smoothing=smoothing)
        return F.cross_entropy(logits, classes, label_smoothing=smoothing, ignore_index=IGNORED, reduction="none").mean()

    def evaluate(self) -> dict[str, float]:
        truth = self._truth(self._heldout)
        named = self._predict(torch.arange(len(truth)))
        return {"val_accuracy": patch_accuracy(named, truth)}

    @torch.no_grad()
    def finish(self, folder: Path) -> dict[str, float | int]:
        """Two trivial accuracies for comparison: of the most common class, and of the class that is
        most common at each place in training.
        """
        truth, seen = self._truth(self._heldout), self._truth(self._batches.pictures)
        at_place = torch.stack([(seen == c).sum(dim=0) for c in range(self._classes)]).argmax(dim=0)
        counted = truth != IGNORED
        self._write_examples(folder, truth)
        return {
            "majority_accuracy": int(torch.bincount(truth[counted], minlength=self._classes).max()) / int(counted.sum()),
            "place_accuracy": float((truth == at_place)[counted].double().mean()),
        }

    def _truth(self, pictures: Pictures) -> Tensor:
        """(N, patches) majority classes of uncropped images, on the CPU."""
        return torch.cat([patch_majority(pictures.masks(p), self._patch_px, self._classes).cpu() for p in batched_positions(len(pictures))])

    @torch.no_grad()
    def _predict(self, positions: Tensor) -> Tensor:
        """(P,) positions of held-out images -> (P, patches) predicted classes, on the CPU."""
        self.model.eval()
        named = []
        for some in batched_positions(len(positions)):
            with self._compute.autocast():
                named.append(self.model(self._inputs(self._heldout.images(positions[some]))).argmax(dim=-1).cpu())
        self.model.train()
        return torch.cat(named)

    def _write_examples(self, folder: Path, truth: Tensor) -> None:
        positions = evenly_spaced(len(self._heldout), EXAMPLES)
        images = self._heldout.images(positions).cpu().numpy()
        named = self._predict(positions)
        rows = [[image, self._tile(truth[p]), self._tile(one)] for image, p, one in zip(images, positions, named, strict=True)]
        scores = [patch_accuracy(one, truth[p]) for p, one in zip(positions, named, strict=True)]
        items = [
            {"caption": f"held-out image {int(p)}"} | ({} if math.isnan(score) else {"accuracy": round(score, 4)})
            for p, score in zip(positions, scores, strict=True)
        ]
        write_examples(folder, columns=["image", "truth", "prediction"], rows=rows, items=items)

    def _tile(self, classes: Tensor) -> np.ndarray:
        """(patches,) classes as a picture of the image's size."""
        side = math.isqrt(len(classes))
        return self._colours[classes.view(side, side).numpy()].repeat(self._patch_px, axis=0).repeat(self._patch_px, axis=1)
