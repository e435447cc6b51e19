"""Small pictures of a stage: PNG files, each a row of tiles, and an index that says what they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trials.data.mask_classes import IGNORED, TRIMAP
from trials.data.pictures import evenly_spaced
from trials.stage_files import atomic, write_json

EXAMPLES = 6
# object, background, border: from the colour-blind-safe set of Okabe and Ito
TRIMAP_COLOURS = np.array([[230, 159, 0], [40, 60, 90], [240, 240, 240]], dtype=np.uint8)


def mask_colours(classes: tuple[str, ...]) -> np.ndarray:
    """(256, 3) uint8: a colour for each class number of a mask, and for pixels that do not count.

    Trimaps have three of their own; other classes have the colour map of PASCAL VOC, in which a
    colour's bits are those of the class number, from the highest.
    """
    number = np.arange(1, 257)
    colours = np.zeros((256, 3), dtype=np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((number >> (3 * bit + channel)) & 1) << (7 - bit)
    if classes == TRIMAP:
        colours[: len(TRIMAP)] = TRIMAP_COLOURS
    colours[IGNORED] = 128
    return colours.astype(np.uint8)


def write_examples(folder: Path, *, columns: list[str], rows: list[list[np.ndarray]], items: list[dict[str, Any]], into: str = "examples") -> None:
    """Write examples/, or the folder `into`; the index comes last, so that it names only what is
    there.

    Args:
        folder: the stage's folder.
        columns: what each tile of a row shows.
        rows: for each example its tiles, each (S, S, 3) uint8.
        items: for each example its caption and any scores.
    """
    for number, tiles in enumerate(rows):
        buffer = io.BytesIO()
        Image.fromarray(np.concatenate(tiles, axis=1)).save(buffer, format="PNG", optimize=True)
        with atomic(folder / into / f"{number}.png") as handle:
            handle.write(buffer.getvalue())
    listed = [{"file": f"{number}.png"} | item for number, item in enumerate(items)]
    write_json(folder / into / "index.json", {"columns": columns, "tile_px": int(rows[0][0].shape[0]), "items": listed})


def chosen_examples(scores: np.ndarray) -> list[tuple[int, dict[str, Any]]]:
    """Positions of evenly spaced test images, then of the best, median and worst of the whole test
    set, each with its place in it.

    Args:
        scores: (N,) one number an image, higher is better; of equal ones the earlier image is
            placed ahead.
    """
    ranked = np.argsort(-scores, kind="stable")
    place = np.empty(len(ranked), dtype=int)
    place[ranked] = np.arange(1, len(ranked) + 1)
    chosen: list[tuple[int, dict[str, str]]] = [(int(p), {}) for p in evenly_spaced(len(scores), EXAMPLES)]
    chosen += [(int(ranked[at]), {"rank": name}) for name, at in (("best", 0), ("median", (len(ranked) - 1) // 2), ("worst", -1))]
    return [(p, {"place": int(place[p]), "of": len(place)} | rank) for p, rank in chosen]
