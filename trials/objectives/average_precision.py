"""Average precision of boxes and of instance masks, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trials.data.coco_json import coco_masks
from trials.data.instances import Instances

Kind = Literal["bbox", "segm"]
MOST_DETECTIONS = 100
"""Of an image, those with the highest scores: COCO's number."""


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What was found in one image, in pixels of the stored image."""

    boxes: np.ndarray
    """(n, 4) left, top, right and bottom."""
    classes: np.ndarray
    """(n,) class numbers."""
    scores: np.ndarray
    """(n,) from 0 to 1."""
    masks: Sequence[dict[str, Any]] = ()
    """Of each object its mask, as `encode_masks` gives it; empty where none are found."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Average precision over a test set, each from 0 to 1."""

    ap: float
    """Mean over IoU of .5 to .95 and over the classes that occur: COCO's AP."""
    ap50: float
    ap75: float
    of_class: tuple[float | None, ...]
    """AP of each class; None for one that does not occur."""


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """(n, H, W) bool -> pycocotools' run lengths."""
    pycocotools = coco_masks()
    return [pycocotools.encode(np.asfortranarray(one, dtype=np.uint8)) for one in masks]


def truth_of(truths: Sequence[Instances], sizes: Sequence[tuple[int, int]], classes: int) -> dict[str, Any]:
    """The objects of each image, of those heights and widths, as a data set of COCO's format."""
    annotations: list[dict[str, Any]] = []
    for image, (objects, (height, width)) in enumerate(zip(truths, sizes, strict=True)):
        for place in range(len(objects)):
            left, top, right, bottom = objects.boxes[place].tolist()
            area = float(objects.runs[place][1::2].sum()) if objects.runs else (right - left) * (bottom - top)
            one = {
                "id": len(annotations) + 1,
                "image_id": image + 1,
                "category_id": int(objects.classes[place]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": area,
                "iscrowd": int(objects.crowds[place]),
            }
            annotations.append(one | ({"segmentation": {"size": [height, width], "counts": objects.runs[place].tolist()}} if objects.runs else {}))
    images = [{"id": number + 1, "height": height, "width": width} for number, (height, width) in enumerate(sizes)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": number + 1} for number in range(classes)]}


def results_of(found: Sequence[Detections], kind: Kind) -> list[dict[str, Any]]:
    """Detections as results of COCO's format."""
    results = []
    for image, one in enumerate(found):
        for place in range(len(one.scores)):
            left, top, right, bottom = (float(value) for value in one.boxes[place])
            what = {"bbox": [left, top, right - left, bottom - top]} if kind == "bbox" else {"segmentation": one.masks[place]}
            results.append({"image_id": image + 1, "category_id": int(one.classes[place]) + 1, "score": float(one.scores[place])} | what)
    return results


def average_precision(
    truths: Sequence[Instances], sizes: Sequence[tuple[int, int]], found: Sequence[Detections], *, classes: int, kind: Kind
) -> Precision | None:
    """Average precision of what was found; None where no image has an object that counts.

    Args:
        truths: the objects of each image, of the heights and widths `sizes`. Crowds neither count as
            missed nor make what is found in them wrong.
        found: in each image.
        classes: of objects.
        kind: whether boxes or masks are compared.
    """
    coco_masks()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if all(one.crowds.all() for one in truths):
        return None
    present = {int(number) for one in truths for number in one.classes[~one.crowds]}
    results = results_of(found, kind)
    if not results:
        return Precision(ap=0.0, ap50=0.0, ap75=0.0, of_class=tuple(0.0 if number in present else None for number in range(classes)))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it prints, and warns of what numpy 2 changed
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        data = COCO()
        data.dataset = truth_of(truths, sizes, classes)
        data.createIndex()
        scored = COCOeval(data, data.loadRes(results), kind)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    precision = scored.eval["precision"][:, :, :, 0, -1]  # (IoU thresholds, recalls, classes), all areas, 100 detections
    of_class = [precision[:, :, number] for number in range(classes)]
    return Precision(
        ap=float(scored.stats[0]),
        ap50=float(scored.stats[1]),
        ap75=float(scored.stats[2]),
        of_class=tuple(float(one.mean()) if (one > -1).any() else None for one in of_class),
    )
