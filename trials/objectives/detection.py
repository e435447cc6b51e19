"""Detection and instance segmentation: Faster and Mask R-CNN on any encoder, scored by pycocotools on
a fixed test set.

Images are squares, as everywhere here: training crops are random, test images are taken whole with
both sides resized. What is found is brought back to the stored image, where it is compared with the
stored boxes and masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from trials.data.augmentation import InputForm, whole_images
from trials.data.coco_json import coco_masks
from trials.data.instances import Instances
from trials.errors import InputError, StageError
from trials.models.detector import Detector, Targets
from trials.models.encoder import Encoder
from trials.models.pyramids import check_stride
from trials.objectives.average_precision import MOST_DETECTIONS, Detections, Precision, average_precision, encode_masks
from trials.objectives.detection_examples import write_detection_examples
from trials.objectives.detection_targets import crop_targets, draw_zooms, zoom_out
from trials.objectives.objective import WHOLE, Batches, Kind, Need, Objective, Part, Setting, register, require_data
from trials.objectives.scores import TEST_SCORES, Measure, share_score
from trials.recipes.fields import FinetuneRecipe, Recipe
from trials.stage_files import write_json
from trials.training.seeding import generator

CLASSES_FILE = "class_aps.json"
"""The average precision of each class on the test set, by name."""
TEST_BATCH = 16
COCO_CLASSES = 80


def _precisions(what: str, of: str) -> tuple[Measure, ...]:
    mean = f"average precision of {of} by COCO's rules, mean over IoU thresholds of .5 to .95 and over the classes"
    return (
        share_score(f"{what}_ap", f"{what} AP", mean, live=True),
        share_score(f"{what}_ap50", f"{what} AP at IoU .5", f"average precision of {of} at an IoU of .5, mean over the classes"),
        share_score(f"{what}_ap75", f"{what} AP at IoU .75", f"average precision of {of} at an IoU of .75, mean over the classes"),
    )


@register
class Detection(Objective):
    """Boxes and classes of objects by Faster R-CNN.

    Of a batch in parts, each part takes its means over its own regions, as in data parallel training
    everywhere, so the parts add up to the batch only where they hold equally many.
    """

    name = "detection"
    kinds = ("finetune",)
    needs: ClassVar[tuple[Need, ...]] = ("boxes",)
    purpose = "detection"
    loss_score = Measure(
        name="train_detection_loss",
        title="detection training loss",
        description="sum of the losses of proposals, classes, boxes and, where learned, masks on training batches, mean over the last tenth of "
        "the steps",
        unit="nats and scaled pixels",
        role="loss",
        better="lower",
        lowest=0.0,
        column="train_detection_loss",
    )
    example_classes = COCO_CLASSES
    has_masks = False

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (TEST_SCORES[0], *_precisions("box", "boxes"))

    @classmethod
    def check(cls, encoder: str, recipe: Recipe) -> None:
        check_stride(encoder)
        coco_masks()

    @classmethod
    def reason_not_captured(cls, recipe: Recipe) -> str:
        return "images have boxes in numbers of their own"

    @classmethod
    def build(cls, encoder: Encoder, recipe: Recipe, *, classes: int) -> Detector:
        assert isinstance(recipe, FinetuneRecipe)
        return Detector(
            encoder,
            classes=classes,
            width=recipe.detector_width,
            anchor_scale=recipe.anchor_scale,
            regions=recipe.regions,
            masks=cls.has_masks,
        )

    @classmethod
    def example_loss(cls, model: nn.Module, recipe: Recipe, images: Tensor) -> Tensor:
        assert isinstance(model, Detector)
        return model.example_loss(images)

    def __init__(self, setting: Setting) -> None:
        assert isinstance(setting.spec.recipe, FinetuneRecipe)
        require_data(type(self), setting)
        self.check(setting.spec.encoder, setting.spec.recipe)
        self._recipe, self._seed = setting.spec.recipe, setting.spec.seed
        self._compute, self._test = setting.compute, setting.heldout
        self._inputs = InputForm(self._recipe)
        self.classes = setting.train.instance_classes
        if self.classes != setting.heldout.instance_classes:
            raise InputError(f"The boxes of {setting.spec.data.source} have other classes in training than in testing: give both the same list.")
        self.encoder, model = setting.build_model(lambda encoder: self.build(encoder, self._recipe, classes=len(self.classes)))
        self.model: Detector = model
        self._batches = Batches(setting)

    def loss(self, step: int, part: Part = WHOLE) -> Tensor:
        images, targets, rows = self._taken(step, part)
        draws = [[generator(self._seed, f"{purpose}-{row}", step) for row in rows] for purpose in ("anchors", "regions")]
        losses = self.model.losses(images, targets, (draws[0], draws[1]))
        return torch.stack(list(losses.values())).sum()

    def _taken(self, step: int, part: Part) -> tuple[Tensor, Targets, range]:
        """(B, 3, S, S) inputs of a part of a batch, their targets on the device, and their rows in the
        whole batch.
        """
        images, crops, positions = self._batches.take(step, part)
        pictures, side = self._batches.pictures, images.shape[-1]
        sizes = pictures.sizes[positions].tolist()
        targets = [
            crop_targets(pictures.instances(position), (height, width), crop, side, masks=self.has_masks, nearest=self._recipe.resize == "nearest")
            for position, (height, width), crop in zip(positions.tolist(), sizes, crops.values.tolist(), strict=True)
        ]
        start = self._batches.rows(part).start
        rows = range(start, start + len(images))
        if self._recipe.zoom_out < 1:
            zooms = draw_zooms(self._recipe.batch_images, self._recipe.zoom_out, generator(self._seed, "zoom-out", step))
            shown = [zoom_out(images[place], target, zooms[row]) for place, (target, row) in enumerate(zip(targets, rows, strict=True))]
            images, targets = torch.stack([image for image, _ in shown]), [target for _, target in shown]
        return images, [{name: one.to(images.device) for name, one in target.items()} for target in targets], rows

    @torch.no_grad()
    def found(self) -> list[Detections]:
        """What is found in each test image."""
        self.model.eval()
        listed = []
        for positions in torch.arange(len(self._test)).split(TEST_BATCH):
            inputs = self._inputs(self._test.images(positions, whole_images(self._test.sizes[positions])))
            with self._compute.autocast():
                made = self.model(inputs)
            sizes = self._test.sizes[positions].tolist()
            listed += [self._of_stored(one, height, width) for one, (height, width) in zip(made, sizes, strict=True)]
        self.model.train()
        return listed

    def _of_stored(self, found: dict[str, Tensor], height: int, width: int) -> Detections:
        """What is found in one image, in pixels of the stored image."""
        side = self.model.image_px
        kept = found["scores"].argsort(descending=True, stable=True)[:MOST_DETECTIONS]
        boxes = found["boxes"][kept].cpu() * torch.tensor([width / side, height / side] * 2)
        masks: list[dict[str, object]] = []
        if self.has_masks:
            from torchvision.models.detection.roi_heads import paste_masks_in_image

            if len(kept):
                pasted = paste_masks_in_image(found["masks"][kept].float().cpu(), boxes, (height, width))[:, 0]
                masks = encode_masks((pasted > 0.5).numpy())
        return Detections(
            boxes=boxes.double().numpy(),
            classes=found["labels"][kept].cpu().numpy() - 1,
            scores=found["scores"][kept].double().cpu().numpy(),
            masks=masks,
        )

    def finish(self, folder: Path) -> dict[str, float | int]:
        found = self.found()
        truths: list[Instances] = [self._test.instances(position) for position in range(len(self._test))]
        sizes = [(height, width) for height, width in self._test.sizes.tolist()]
        score = partial(average_precision, truths, sizes, found, classes=len(self.classes))
        precisions = {"box": score(kind="bbox")} | ({"mask": score(kind="segm")} if self.has_masks else {})
        write_detection_examples(folder, self._test, truths, found, self.classes, side=self.model.image_px)
        scores: dict[str, float | int] = {"test_images": len(truths)}
        of_classes = {}
        for what, one in precisions.items():
            if one is None:
                raise StageError("No test image has an object that counts, so there is nothing to score: annotate some, or test on other images.")
            scores |= _named(what, one)
            of_classes[what] = dict(zip(self.classes, one.of_class, strict=True))
        write_json(folder / CLASSES_FILE, of_classes)
        return scores


def _named(what: str, precision: Precision) -> dict[str, float]:
    return {f"{what}_ap": precision.ap, f"{what}_ap50": precision.ap50, f"{what}_ap75": precision.ap75}


@register
class InstanceSegmentation(Detection):
    """Boxes, classes and masks of objects by Mask R-CNN."""

    name = "instance-segmentation"
    needs = ("boxes", "instance-masks")
    purpose = "instance segmentation"
    has_masks = True

    @classmethod
    def scores(cls, kind: Kind) -> tuple[Measure, ...]:
        return (*super().scores(kind), *_precisions("mask", "instance masks"))
