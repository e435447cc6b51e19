"""Classification of whole images, as an intermediate stage or as a fine-tuning."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data.augmentation import Crops, InputForm, centre_squares, takes_nearest, whole_images
from trials.models.encoder import Encoder
from trials.models.heads import Classifier, check_pool
from trials.objectives.examples import chosen_examples, write_examples
from trials.objectives.fixed_images import FixedImages
from trials.objectives.mixing import blended_cross_entropy, draw_mixing, mix
from trials.objectives.objective import (
    WHOLE,
    Batches,
    Kind,
    Objective,
    Part,
    Setting,
    loss_of_zeros,
    register,
    require_data,
)
from trials.objectives.scores import HELDOUT_ACCURACY, TEST_SCORES, TRAIN_LOSS, Measure, share_score
from trials.recipes.fields import Recipe, SupervisedRecipe

TOP = 5


@register
class Classification(Objective):
    """Classification of whole images, with MixUp and label smoothing where the recipe asks for
    them.

    An intermediate stage is scored on held-out images along the way, a fine-tuning once at the end
    on its test set. What it is scored on is neither cropped at random nor flipped.
    """

    name = "classification"
    kinds: ClassVar[tuple[Kind, ...]] = ("intermediate", "finetune")
    needs = ("classes",)
    purpose = "classification"
    loss_score = TRAIN_LOSS
    example_classes = 1000  # ImageNet's

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        if kind == "intermediate":
            return (HELDOUT_ACCURACY,)
        return (
            *TEST_SCORES,
            share_score("accuracy", "top-1 accuracy", "share of test images whose class is the one with the highest logit", live=True),
            share_score("top5_accuracy", "top-5 accuracy", "share of test images whose class is among the five with the highest logits"),
            share_score(
                "mean_class_accuracy", "mean class accuracy", "mean over the classes of the test set of the share of their images classified rightly"
            ),
        )

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        assert isinstance(recipe, SupervisedRecipe)
        check_pool(encoder, recipe.pool)

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return ""

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> Classifier:
        assert isinstance(recipe, SupervisedRecipe)
        return Classifier(encoder, classes=classes, pool=recipe.pool)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        return loss_of_zeros(model(images))

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, SupervisedRecipe)
        self._recipe, self._seed, self._kind = setting.spec.recipe, setting.spec.seed, setting.spec.kind
        self._compute, self._heldout, self._step_inputs = setting.compute, setting.heldout, setting.inputs
        self._inputs = InputForm(self._recipe)
        self.classes = setting.train.classes
        require_data(type(self), setting)
        self.check(setting.spec.encoder, self._recipe)
        self.encoder, model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=len(self.classes)))
        self.model: nn.Module = model
        self._batches = Batches(setting, of_classes=True)
        crops = scored_crops(self._heldout.sizes, self._recipe)
        self._scored = FixedImages(self._heldout, torch.arange(len(self._heldout)), crops, nearest=takes_nearest(self._recipe))
        self._test_crops, self._repeated = crops, setting.repeated

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, _, positions = self._batches.take(step, part)
        labels = self._batches.pictures.labels(positions)
        if self._recipe.mixup == 0 and self._recipe.cutmix == 0:
            return F.cross_entropy(self.model(images), labels, label_smoothing=self._recipe.label_smoothing)
        mixing = self._step_inputs.tensor("mixing", self._draw_mixing, step).to(images.device, non_blocking=True)
        if part == WHOLE:
            partners, others = images.roll(1, 0), labels.roll(1, 0)
        else:
            partners, theirs = self._batches.take_partners(step, part)
            others = self._batches.pictures.labels(theirs)
        logits = self.model(mix(images, partners, mixing, boxes=self._recipe.cutmix > 0))
        return blended_cross_entropy(logits, labels, others, (mixing[0], mixing[1]), self._recipe.label_smoothing)

    def _draw_mixing(self, steps: range) -> Tensor:
        side, recipe = self._heldout.image_px, self._recipe
        return torch.stack([draw_mixing(recipe.mixup, recipe.cutmix, side=side, seed=self._seed, step=step).values() for step in steps])

    @torch.no_grad()
    def heldout_logits(self) -> tuple[Tensor, Tensor]:
        """(N, classes) float32 logits of all held-out images and their (N,) labels."""
        self.model.eval()
        parts = self._scored.parts()
        logits = self._repeated("heldout", partial(self._logits, parts), parts=len(parts))
        self.model.train()
        return logits, self._heldout.labels(self._scored.positions)

    def _logits(self, parts: list[slice]) -> Tensor:
        logits = []
        for rows in parts:
            images = self._scored.images(rows)
            with self._compute.autocast():
                logits.append(self.model(self._inputs(images)))
        return torch.cat(logits)

    def evaluate(self) -> dict[str, float]:
        """The held-out accuracy of an intermediate stage. A test set is looked at once, at the end."""
        return {"val_accuracy": top_accuracy(*self.heldout_logits(), 1)} if self._kind == "intermediate" else {}

    def finish(self, folder: Path) -> dict[str, float | int]:
        """The test scores of a fine-tuning, with its example pictures."""
        if self._kind == "intermediate":
            return {}
        logits, labels = self.heldout_logits()
        self._write_examples(folder, logits.float().cpu(), labels.cpu())
        scores: dict[str, float | int] = {
            "test_images": len(labels),
            "test_loss": float(F.cross_entropy(logits, labels, reduction="sum").double()) / len(labels),
            "accuracy": top_accuracy(logits, labels, 1),
            "mean_class_accuracy": mean_class_accuracy(logits, labels),
        }
        return scores | ({"top5_accuracy": top_accuracy(logits, labels, TOP)} if len(self.classes) > TOP else {})

    def _write_examples(self, folder: Path, logits: Tensor, labels: Tensor) -> None:
        """Write evenly spaced images, then the best, median and worst by the probability of the
        true class.
        """
        probabilities = logits.softmax(dim=1)
        of_truth = probabilities.gather(1, labels[:, None])[:, 0].numpy()
        chosen = chosen_examples(of_truth)
        positions = torch.tensor([p for p, _ in chosen])
        images = self._heldout.images(positions, self._test_crops[positions]).cpu().numpy()
        named = logits.argmax(dim=1)
        items = [
            {
                "caption": f"test image {p}",
                "truth": self.classes[int(labels[p])],
                "prediction": self.classes[int(named[p])],
                "probability": round(float(of_truth[p]), 4),
            }
            | rank
            for p, rank in chosen
        ]
        write_examples(folder, columns=["image"], rows=[[image] for image in images], items=items)


def scored_crops(sizes: Tensor, recipe: SupervisedRecipe) -> Crops:
    """(N, 2) heights and widths -> what a recipe takes of each image that is only looked at."""
    if recipe.test_crop == "whole":
        return whole_images(sizes)
    return centre_squares(sizes, 7 / 8 if recipe.test_crop == "centre" else 1.0)


def mean_class_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean of each class's own accuracy over the classes that occur, so that a rare class counts as
    much as a frequent one; (N, classes) and (N,).
    """
    right = (logits.argmax(dim=1) == labels).double()
    images = torch.bincount(labels, minlength=logits.shape[1])
    hits = torch.zeros_like(images, dtype=torch.float64).index_add_(0, labels, right)
    return float((hits / images)[images > 0].mean())


def top_accuracy(logits: Tensor, labels: Tensor, most: int) -> float:
    """Share of images whose true class is among the `most` with the highest logits; (N, classes)
    and (N,).

    Of equal logits the lower class comes first, so that the share is the same on every device.
    """
    own = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    return int((ahead.sum(dim=1) < most).sum()) / len(labels)
