"""Example pictures for the page: the same held-out images for every arm, as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.study import ReportError, read_json

BUDGET_BYTES = 900_000
"""Base64 bytes for one gallery, so that the whole page stays under 3 MB."""
MOST_IMAGES = 5


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One square cut out of a PNG by the page's style sheet: no image library is needed to show part of a row of tiles."""

    source: str
    """data: URI of the whole row of tiles."""
    position: float
    """Where the tile lies in the row, 0 (first) to 100 (last), as CSS object-position wants it."""
    alternative: str


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """One row of the gallery, a tile an image."""

    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of tiles; `missing` says in a sentence what is not shown, '' where all is."""

    rows: tuple[PictureRow, ...]
    missing: str = ""


def gallery(stages: Iterable[tuple[str, Path]], *, shared: tuple[str, ...], own: str) -> Gallery:
    """Rows for the tiles that all stages share, then one row for each stage.

    Args:
        stages: pairs of a row label and a stage's folder.
        shared: columns that are equal in every stage (the image, the truth), drawn once.
        own: the column that is the stage's own (its prediction).

    Raises:
        ReportError: if an examples/index.json is there and cannot be read.
    """
    found = [(label, *_index(folder)) for label, folder in stages]
    absent = [label for label, index, _ in found if index is None]
    present = [(label, index, folder) for label, index, folder in found if index is not None]
    missing = f"No example pictures were kept for: {', '.join(absent)}." if absent else ""
    captions = _common_captions(present, (*shared, own))
    if not captions:
        return Gallery(rows=(), missing=missing or "The stages share no example pictures.")
    for many in range(min(len(captions), MOST_IMAGES), 0, -1):
        # Evenly through the list, as they were drawn: never the ones that look best.
        step = len(captions) / many
        chosen = [captions[int(index * step)] for index in range(many)]
        rows = _rows(present, chosen, shared, own)
        if sum(len(tile.source) for row in rows for tile in row.tiles) <= BUDGET_BYTES:
            return Gallery(rows=rows, missing=missing)
    return Gallery(rows=(), missing="The example pictures are too large to embed; they are in stages/*/examples/.")


def _index(folder: Path) -> tuple[dict[str, Any] | None, Path]:
    """The examples/index.json of a stage, with only the items whose file exists; None where there is nothing to show."""
    examples = folder / "examples"
    index = read_json(examples / "index.json")
    if index is None:
        return None, examples
    if not isinstance(index.get("columns"), list) or not isinstance(index.get("items"), list):
        raise ReportError(f"{examples / 'index.json'} lacks 'columns' or 'items'; docs/study_folder.md shows its form.")
    items = [item for item in index["items"] if (examples / item["file"]).is_file()]
    return ({**index, "items": items} if items else None), examples


def _common_captions(present: list[tuple[str, dict[str, Any], Path]], columns: tuple[str, ...]) -> list[str]:
    """Captions that every stage with the wanted columns has, in the first one's order."""
    lists = [[item["caption"] for item in index["items"]] for _, index, _ in present if set(columns) <= set(index["columns"])]
    if not lists or len(lists) < len(present):
        return []
    return [caption for caption in lists[0] if all(caption in other for other in lists)]


def _rows(present: list[tuple[str, dict[str, Any], Path]], captions: list[str], shared: tuple[str, ...], own: str) -> tuple[PictureRow, ...]:
    first = present[0]
    plain = [PictureRow(label=column, tiles=_tiles(first, captions, column, column)) for column in shared]
    return (*plain, *(PictureRow(label=stage[0], tiles=_tiles(stage, captions, own, f"{own}, {stage[0]}")) for stage in present))


def _tiles(stage: tuple[str, dict[str, Any], Path], captions: list[str], column: str, words: str) -> tuple[Tile, ...]:
    _, index, examples = stage
    columns: list[str] = index["columns"]
    position = 100 * columns.index(column) / max(len(columns) - 1, 1)
    items = {item["caption"]: item for item in index["items"]}
    tiles = []
    for caption in captions:
        item = items[caption]
        score = f", mIoU of this image {item['miou_ucl']:.2f}" if column == "prediction" and "miou_ucl" in item else ""
        data = base64.b64encode((examples / item["file"]).read_bytes()).decode("ascii")
        source = f"data:image/png;base64,{data}"
        tiles.append(Tile(source=source, position=position, alternative=f"{caption}: {words}{score}"))
    return tuple(tiles)
