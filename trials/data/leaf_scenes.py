"""`leaves-objects`: the pictures of `leaves` with one to four objects each, for dense tasks with many
classes, detection and instance segmentation.

Each object is a blob whose pattern is its class. Objects hide a little of one another, later ones in
front, and up to three small leaves may hide parts of them; boxes and masks are of what is seen.
"""

from __future__ import annotations

import hashlib

import numpy as np

from trials.data.generated import Drawn, GeneratedSource
from trials.data.instances import instances_of_masks
from trials.data.leaves import LEAVES, PATTERNS, RADII, draw_blob, draw_leaves, mean_colours, power_law_radii
from trials.data.sources import register

VERSION = 1  # raised when the same index would give another picture

MOST_OBJECTS = 4
_RADIUS_MIN, _RADIUS_MAX = 0.09, 0.22  # of an object, shares of the image side
_APART = 0.8  # least distance of two centres over the sum of the radii
_TRIES = 20


def leaf_scene(stream: str, index: int, side: int) -> Drawn:
    """One picture.

    Returns:
        image (side, side, 3) uint8; the class of its first object, an index into PATTERNS; mask
        (side, side) uint8, 0 for the background and 1 + class where an object is seen; the objects.
    """
    digest = hashlib.blake2b(f"leaves-objects/{VERSION}/{stream}/{index}".encode(), digest_size=16).digest()
    random = np.random.default_rng(int.from_bytes(digest, "little"))
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    image = np.broadcast_to(mean_colours(random, 1), (side, side, 3)).copy()
    draw_leaves(image, np.zeros((side, side), dtype=np.float32), axis, random, power_law_radii(random, LEAVES, *RADII))

    label = index % len(PATTERNS)  # so that any prefix of a stream holds equally many of each class
    shapes = _places(random, int(random.integers(1, MOST_OBJECTS + 1)))
    classes = [label, *random.integers(0, len(PATTERNS), len(shapes) - 1).tolist()]
    mask = np.zeros((side, side), dtype=np.uint8)
    numbers = np.zeros((side, side), dtype=np.uint8)  # 1 + the number of the object that is seen
    for number, ((centre, radius), one) in enumerate(zip(shapes, classes, strict=True)):
        inside = draw_blob(image, axis, random, one, centre, radius) < 0
        mask[inside], numbers[inside] = one + 1, number + 1

    hidden = np.zeros((side, side), dtype=np.float32)
    draw_leaves(image, hidden, axis, random, power_law_radii(random, int(random.integers(0, 4)), 0.03, 0.07))
    mask[hidden > 0.5] = numbers[hidden > 0.5] = 0
    image += random.standard_normal(image.shape, dtype=np.float32) * np.float32(0.01)  # a sensor's grain
    return Drawn(
        np.round(np.clip(image, 0, 1) * 255).astype(np.uint8),
        label,
        mask,
        instances_of_masks([numbers == number + 1 for number in range(len(shapes))], classes),
    )


def _places(random: np.random.Generator, count: int) -> list[tuple[np.ndarray, float]]:
    """Centres and radii of at most `count` objects, shares of the image side: an object that finds no
    free place is left out, the first always finds one.
    """
    placed: list[tuple[np.ndarray, float]] = []
    for _ in range(count):
        radius = _RADIUS_MIN + (_RADIUS_MAX - _RADIUS_MIN) * random.random()
        for centre in 0.12 + 0.76 * random.random((_TRIES, 2)):
            if all(np.hypot(*(centre - other)) > _APART * (radius + reach) for other, reach in placed):
                placed.append((centre, radius))
                break
    return placed


class LeavesObjects(GeneratedSource):
    """Textured dead-leaves pictures with several objects, their boxes, masks and pattern classes."""

    name = "leaves-objects"
    carries = ("images", "labels", "masks", "boxes", "instance-masks")
    version = VERSION
    classes = PATTERNS
    mask_classes = ("background", *PATTERNS)
    instance_classes = PATTERNS

    def draw(self, stream: str, index: int, side: int) -> Drawn:
        return leaf_scene(stream, index, side)


register(LeavesObjects())
