"""Pictures of what a detector finds: evenly spaced test images with true and found objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trials.data.coco_json import runs_of_text
from trials.data.instances import Instances, decode_runs, nearest_places
from trials.data.mask_classes import MOST_CLASSES
from trials.data.pictures import Pictures, evenly_spaced
from trials.objectives.average_precision import Detections
from trials.objectives.examples import EXAMPLES, mask_colours, write_examples

SHOWN_FROM = 0.5
"""Score from which a found object is drawn."""


def write_detection_examples(
    folder: Path, pictures: Pictures, truths: list[Instances], found: list[Detections], classes: tuple[str, ...], *, side: int
) -> None:
    """Write examples/: each image, its true objects and those found with a score of .5 or more.

    Args:
        side: of each picture in pixels.
    """
    positions = evenly_spaced(len(truths), EXAMPLES)
    images = pictures.images(positions).cpu().numpy()
    colours = mask_colours(())[1:]
    rows, items = [], []
    for image, position in zip(images, positions.tolist(), strict=True):
        size = tuple(pictures.sizes[position].tolist())
        truth, shown = truths[position], found[position].scores >= SHOWN_FROM
        boxes, numbers = found[position].boxes[shown], found[position].classes[shown]
        masks = [one for one, kept in zip(found[position].masks, shown, strict=False) if kept]
        rows.append(
            [
                image,
                drawn(image, truth.boxes, truth.classes, truth.masks(*size), colours, size),
                drawn(image, boxes, numbers, _decoded(masks, size), colours, size),
            ]
        )
        named = sorted({classes[number] for number in numbers})
        items.append({"caption": f"test image {position}", "objects": len(truth), "found": int(shown.sum()), "classes": named})
    write_examples(folder, columns=["image", "truth", "prediction"], rows=rows, items=items)


def drawn(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray, masks: np.ndarray, colours: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """An (S, S, 3) picture with the outline of each box and half of the colour of its class over each
    mask. Boxes and masks are in pixels of an image of that height and width.
    """
    side = len(image)
    made = image.copy()
    rows, columns = (nearest_places(length, side) for length in size)
    for mask, number in zip(masks, classes, strict=False):
        inside = mask[rows[:, None], columns]
        made[inside] = made[inside] // 2 + colours[number % MOST_CLASSES] // 2
    scaled = boxes * ([side / size[1], side / size[0]] * 2)
    for (left, top, right, bottom), number in zip(scaled.round().astype(int).clip(0, side - 1).tolist(), classes, strict=True):
        for part in (np.s_[top, left : right + 1], np.s_[bottom, left : right + 1], np.s_[top : bottom + 1, left], np.s_[top : bottom + 1, right]):
            made[part] = colours[number % MOST_CLASSES]
    return made


def _decoded(masks: list[dict[str, Any]], size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    return np.array([decode_runs(runs_of_text(one["counts"]), height, width) for one in masks], dtype=bool).reshape(-1, height, width)
