"""Example pictures of a classification: each image with its class and the predicted class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reports.pictures import BUDGET_BYTES, RANKS, Gallery, PictureRow, Stage, Tile, bytes_of, found_pictures, source_of
from reports.theme import decimals

NEEDED_KEYS = {"truth", "prediction", "probability"}
MOST_IMAGES = 3
"""Of the same images for every stage: as many as stand side by side, each with its words."""


def class_gallery(stages: Iterable[tuple[str, Path]]) -> Gallery:
    """Makes a row for each stage with the same images, evenly spaced through the test set, and
    their predictions.

    Raises:
        ReportError: if an examples/index.json is there and cannot be read.
    """
    return _gallery(stages, _spread, lambda item: "")


def ranked_class_gallery(stages: Iterable[tuple[str, Path]]) -> Gallery:
    """For each stage its best, median and worst image by the probability that the true class got.
    Raises as `class_gallery`.
    """
    return _gallery(stages, _by_rank, lambda item: f"{item['rank']}, place {item['place']:,} of {item['of']:,}: ")


def _spread(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Picks items evenly among those that were not chosen by their outcome."""
    plain = [item for item in items if "rank" not in item]
    many = min(len(plain), MOST_IMAGES)
    return [plain[number * len(plain) // many] for number in range(many)]


def _by_rank(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ranked = {item["rank"]: item for item in items if {"rank", "place", "of"} <= set(item)}
    return [ranked[rank] for rank in RANKS] if set(RANKS) <= set(ranked) else []


def _gallery(stages: Iterable[tuple[str, Path]], choose: Any, lead: Any) -> Gallery:
    present, missing = found_pictures(stages, "examples")
    rows = [row for row in (_row(stage, choose, lead) for stage in present) if row.tiles]
    whole = len(rows)
    while bytes_of(rows) > BUDGET_BYTES:
        rows.pop()
    if len(rows) < whole:
        missing = f"Only the first {len(rows)} of {whole} fit here; all are in stages/*/examples/."
    return Gallery(rows=tuple(rows), missing=missing)


def _row(stage: Stage, choose: Any, lead: Any) -> PictureRow:
    label, index, folder = stage
    items = [item for item in index["items"] if set(item) >= NEEDED_KEYS]
    tiles = []
    for item in choose(items):
        caption = f"{lead(item)}{_named(item)}"
        tiles.append(Tile(source=source_of(folder, item), position=0.0, alternative=f"{item['caption']}: {caption}", caption=caption))
    return PictureRow(label=label, tiles=tuple(tiles), whole=True)


def _named(item: dict[str, Any]) -> str:
    """'rings, named so (0.98)', or 'rings, named dots (0.21)': the number is the probability that
    the true class got.
    """
    right = item["truth"] == item["prediction"]
    return f"{item['truth']}, named {'so' if right else item['prediction']} ({decimals(float(item['probability']), 2)})"
