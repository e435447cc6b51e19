"""The fine-tuning stage: segmentation into the classes of the masks, by the head of the recipe,
scored on one fixed test set.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data.augmentation import Crops, InputForm, draw_transforms, takes_nearest, whole_images
from trials.data.mask_classes import IGNORED, TRIMAP
from trials.errors import InputError, StageError
from trials.models.encoder import Encoder
from trials.models.encoders import parse_encoder
from trials.models.segmentation_heads.head import HEADS, Segmenter, resized
from trials.objectives.examples import chosen_examples, mask_colours, write_examples
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
from trials.objectives.scores import TEST_SCORES, TRAIN_LOSS, Measure, share_score
from trials.objectives.segmentation_scores import class_ious, confusion_per_image, mean_ious, miou, miou_ucl_per_image, pixel_accuracy
from trials.objectives.sliding_windows import resized_pixels, scaled_size, sliding_logits
from trials.recipes.fields import FinetuneRecipe, Recipe
from trials.stage_files import write_json
from trials.training.seeding import generator

CLASSES_FILE = "class_ious.json"
"""The IoU of each class on the test set, by name."""


@register
class Segmentation(Objective):
    """Per-pixel cross-entropy on freshly cropped images; test images are neither cropped nor
    flipped.
    """

    name = "segmentation"
    kinds = ("finetune",)
    needs = ("masks",)
    purpose = "segmentation"
    loss_score = TRAIN_LOSS
    example_classes = len(TRIMAP)
    model: Segmenter

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (
            *TEST_SCORES,
            share_score("pixel_accuracy", "pixel accuracy", "share of test pixels classified rightly"),
            share_score("miou", "mIoU", "mean intersection over union of the classes, from one confusion matrix over the whole test set", live=True),
            share_score(
                "miou_ucl",
                "per-image mIoU (UCL)",
                "mean over test images of the sum of class IoUs / number of classes, a class absent from both scoring 0",
            ),
            share_score("iou_foreground", "IoU of the foreground", "intersection over union of trimap class 1 (the object)"),
            share_score("iou_background", "IoU of the background", "intersection over union of trimap class 2 (background)"),
            share_score("iou_border", "IoU of the border", "intersection over union of trimap class 3 (border)"),
        )

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return ""

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        assert isinstance(recipe, FinetuneRecipe)
        HEADS.find(recipe.head, where="head: ")
        image_px = parse_encoder(encoder).image_px
        if recipe.test_windows == "sliding" and 0 < recipe.test_px < image_px:
            raise InputError(f"test_px: {recipe.test_px} is below the {image_px} px of a window: give {image_px} or more, or 0.")
        if recipe.test_windows == "sliding" and recipe.test_transforms:
            raise InputError("test_windows: sliding windows cover test images as they are, so they do not go with test_transforms.")
        if recipe.head != "patch-linear" and recipe.batch_images < 2:
            raise InputError(f"head: {recipe.head} normalises over the images of a batch: set batch_images to 2 or more, or take head: patch-linear.")

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> Segmenter:
        assert isinstance(recipe, FinetuneRecipe)
        return HEADS[recipe.head].make(encoder, classes=classes, channels=recipe.head_channels, dropout=recipe.head_dropout)

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        assert isinstance(model, Segmenter)
        return torch.stack([weight * loss_of_zeros(logits) for weight, logits in model.training_logits(images)]).sum()

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, FinetuneRecipe)
        require_data(type(self), setting)
        self._recipe = setting.spec.recipe
        self._compute, self._test = setting.compute, setting.heldout
        self._inputs, self._nearest = InputForm(self._recipe), takes_nearest(self._recipe)
        self._test_crops, self._test_contrast = self._test_transforms(setting.spec.seed)
        self.classes = setting.train.mask_classes
        if self.classes != setting.heldout.mask_classes:
            raise InputError(
                f"The masks of {setting.spec.data.source} have other classes in training than in testing: name them in classes.yaml, beside the "
                "folders of images and masks."
            )
        self.encoder, self.model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=len(self.classes)))
        self._batches, self._step_inputs = Batches(setting), setting.inputs
        self._dropouts = self.model.dropouts()

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, crops, positions = self._batches.take(step, part)
        classes = self._batches.pictures.masks(positions, crops, nearest=self._nearest).long()
        for number, dropout in enumerate(self._dropouts):
            rows = self._batches.rows(part)
            shown = slice(rows.start, rows.start + len(images))
            dropout.draw(self._recipe.batch_images, shown, self._step_inputs.generator(f"head-dropout-{number}", step))
        losses = [weight * self._cross_entropy(self._form(logits), classes) for weight, logits in self.model.training_logits(images)]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _cross_entropy(self, logits: Tensor, classes: Tensor) -> Tensor:
        smoothing = self._recipe.label_smoothing
        if self.classes == TRIMAP:  # in which every pixel counts
            return F.cross_entropy(logits, classes, label_smoothing=smoothing)
        # over all pixels, so that parts of a batch add up whatever each ignores
        return F.cross_entropy(logits, classes, label_smoothing=smoothing, ignore_index=IGNORED, reduction="none").mean()

    def _test_transforms(self, seed: int) -> tuple[Crops, Tensor]:
        """What is taken of each test image: the whole of it, unless the recipe transforms test images
        as it does training images; drawn once.
        """
        if not self._recipe.test_transforms:
            return whole_images(self._test.sizes), torch.ones(len(self._test), dtype=torch.float64)
        crops, contrast = draw_transforms(self._test.sizes, self._recipe, partial(generator, seed), "test-transforms")
        return Crops(crops), contrast

    def _form(self, logits: Tensor) -> Tensor:
        return over_pixels(logits) if self._recipe.pixel_loss == "ucl-code" else logits

    def _logits(self, inputs: Tensor) -> Tensor:
        with self._compute.autocast():
            return self._form(self.model(inputs))

    def _predicted(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(B, H, W) true classes and (B, classes, H, W) logits of all test images, in order."""
        if self._recipe.test_windows == "sliding":
            side = self._test.image_px
            for position in range(len(self._test)):
                image, mask = self._test.whole(position)
                height, width = mask.shape[1:]
                size = scaled_size(height, width, self._recipe.test_px or side, side)
                logits = sliding_logits(self._logits, self._inputs(resized_pixels(image, size)), side)
                yield mask.long(), logits if size == (height, width) else resized(logits, (height, width))
            return
        for positions in batched_positions(len(self._test)):
            crops = self._test_crops[positions]
            truth = self._test.masks(positions, crops, nearest=self._nearest).long()
            yield truth, self._logits(self._inputs(self._test.images(positions, crops, nearest=self._nearest), self._test_contrast[positions]))

    @torch.no_grad()
    def finish(self, folder: Path) -> dict[str, float | int]:
        self.model.eval()
        predictions, loss, side = [], 0.0, self._test.image_px
        total = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        ucl: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for truth, logits in self._predicted():
            loss += float(F.cross_entropy(logits, truth, reduction="sum", ignore_index=IGNORED).double())
            prediction = logits.argmax(dim=1)
            counts = confusion_per_image(truth, prediction, len(self.classes)).cpu().numpy()
            total += counts.sum(axis=0)
            ucl.append(miou_ucl_per_image(counts))
            # by the mean over the classes that an image has: miou_ucl counts an absent class as 0, so
            # its worst image may be a perfect one
            scores.append(mean_ious(counts))
            shown = prediction.to(torch.uint8)
            predictions.append((shown if shown.shape[1:] == (side, side) else F.interpolate(shown[:, None], size=(side, side))[:, 0]).cpu())
        self.model.train()
        per_image = np.concatenate(ucl)
        self._write_examples(folder, torch.cat(predictions), np.concatenate(scores), per_image)
        if not total.sum():
            raise StageError("No pixel of the test masks counts for a class, so there is nothing to score: see the ignored values in classes.yaml.")
        ious = class_ious(total)
        write_json(folder / CLASSES_FILE, {name: None if np.isnan(iou) else float(iou) for name, iou in zip(self.classes, ious, strict=True)})
        of_trimap = zip(("iou_foreground", "iou_background", "iou_border"), ious, strict=False) if self.classes == TRIMAP else ()
        return {
            "test_images": len(self._test),
            "test_loss": loss / int(total.sum()),
            "pixel_accuracy": pixel_accuracy(total),
            "miou": miou(total),
            "miou_ucl": float(per_image.mean()),
        } | {name: float(iou) for name, iou in of_trimap}

    def _write_examples(self, folder: Path, predictions: Tensor, scores: np.ndarray, per_image: np.ndarray) -> None:
        """Evenly spaced images, then the best, median and worst of the whole test set."""
        chosen = chosen_examples(scores)
        positions = torch.tensor([p for p, _ in chosen])
        crops = self._test_crops[positions]
        images = self._test.images(positions, crops, nearest=self._nearest).cpu().numpy()
        truth = self._test.masks(positions, crops, nearest=self._nearest).cpu().numpy()
        colours = mask_colours(self.classes)
        rows = [[image, colours[mask], colours[predictions[p].numpy()]] for image, mask, (p, _) in zip(images, truth, chosen, strict=True)]
        items = [
            {"caption": f"test image {p}", "miou": round(float(scores[p]), 4), "miou_ucl": round(float(per_image[p]), 4)} | rank for p, rank in chosen
        ]
        write_examples(folder, columns=["image", "truth", "prediction"], rows=rows, items=items)


def over_pixels(logits: Tensor) -> Tensor:
    """(B, classes, H, W) -> the same shape: log-softmax over all pixels of an image, for each class
    alone.

    The first paper's code does so before its cross-entropy and before it takes the largest
    (models/finetune.py in itshuey/masked-image-modelling): a class's map is shifted by one number
    an image, so that a class cannot be likely everywhere.
    """
    return logits.flatten(2).log_softmax(dim=-1).view_as(logits)
