"""Example pictures for the page: the same held-out images for every series, or each series' best and
worst, as data URIs within a budget of bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.runs.received_files import FileRefusedError, file_inside
from reports.errors import ReportError
from reports.report_data import read_json
from reports.theme import decimals

BUDGET_BYTES = 170_000
"""Base64 bytes for one gallery, of which a page has up to four, so that the whole page stays under
3 MB.
"""
MOST_BYTES = 10_000_000
PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
"""How every PNG begins: its signature and its first chunk."""
MOST_IMAGES = 5
MOST_NAMED = 3
"""Stages without pictures that are named; of more the number is said."""
RANKS = ("best", "median", "worst")

Stage = tuple[str, dict[str, Any], Path]
"""A row label, the index of a stage's pictures, and their folder."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One square cut out of a PNG by the page's style sheet: no image library is needed to show
    part of a row of tiles.
    """

    source: str
    """data: URI of the whole row of tiles."""
    position: float
    """Where the tile lies in the row, 0 (first) to 100 (last), as CSS object-position wants it."""
    alternative: str
    caption: str = ""
    """What stands under it, where its row shows whole pictures."""


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """One row of the gallery, a tile an image."""

    label: str
    tiles: tuple[Tile, ...]
    whole: bool = False
    """Whether each picture is shown as its whole row of tiles, with its caption, and not as one
    tile of it.
    """


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of tiles; `missing` says in a sentence what is not shown, '' where all is."""

    rows: tuple[PictureRow, ...]
    missing: str = ""


def gallery(stages: Iterable[tuple[str, Path]], *, shared: tuple[str, ...], own: str, folder: str = "examples") -> Gallery:
    """Rows for the tiles that all stages share, then one row for each stage; pictures chosen by
    their rank are left out.

    Args:
        stages: pairs of a row label and a stage's folder.
        shared: columns that are equal in every stage (the image, the truth), drawn once.
        own: the column that is the stage's own (its prediction).
        folder: where a stage keeps these pictures, 'examples' or 'diagnostics'.

    Raises:
        ReportError: if an index.json is there and cannot be read.
    """
    present, missing = found_pictures(stages, folder)
    captions = _common_captions(present, (*shared, own))
    if not captions:
        return Gallery(rows=(), missing=missing or "The stages share no example pictures.")
    for many in range(min(len(captions), MOST_IMAGES), 0, -1):
        # Evenly through the list, as they were drawn: never the ones that look best.
        step = len(captions) / many
        chosen = [captions[int(index * step)] for index in range(many)]
        rows = _rows(present, chosen, shared, own)
        if bytes_of(rows) <= BUDGET_BYTES:
            return Gallery(rows=rows, missing=missing)
    return Gallery(rows=(), missing=f"The example pictures are too large to embed; they are in stages/*/{folder}/.")


def ranked_gallery(stages: Iterable[tuple[str, Path]]) -> Gallery:
    """For each stage its best, median and worst picture by score, side by side; no rows where no
    stage kept ranks, as older ones did not.

    Raises:
        ReportError: if an examples/index.json is there and cannot be read.
    """
    present, _ = found_pictures(stages, "examples")
    needed = {"rank", "miou", "place", "of"}
    by_rank = [(label, {item["rank"]: item for item in index["items"] if needed <= set(item)}, index, folder) for label, index, folder in present]
    rows, without = [], []
    for label, items, index, folder in by_rank:
        if set(RANKS) <= set(items):
            tiles = tuple(_ranked(folder, items[rank], index["columns"]) for rank in RANKS)
            rows.append(PictureRow(label=label, tiles=tiles, whole=True))
        else:
            without.append(label)
    missing = [f"Not ranked when they were scored: {', '.join(without)}."] if without and rows else []
    while bytes_of(rows) > BUDGET_BYTES:
        rows.pop()
        missing = [f"Only the first {len(rows)} of {len(by_rank)} fit here; all are in stages/*/examples/."]
    return Gallery(rows=tuple(rows), missing=" ".join(missing))


def _ranked(folder: Path, item: dict[str, Any], columns: Sequence[str]) -> Tile:
    place = f"{item['rank']} of {item['of']:,}" if item["rank"] == "best" else f"{item['rank']}, place {item['place']:,} of {item['of']:,}"
    caption = f"{place}: mIoU {decimals(float(item['miou']), 2)}"
    return Tile(source=source_of(folder, item), position=0.0, alternative=f"{caption}; {item['caption']}: {', '.join(columns)}", caption=caption)


def bytes_of(rows: Iterable[PictureRow]) -> int:
    """Size of the embedded pictures, in characters of their data addresses."""
    return sum(len(tile.source) for row in rows for tile in row.tiles)


def found_pictures(stages: Iterable[tuple[str, Path]], folder: str) -> tuple[list[Stage], str]:
    """The stages that have pictures there, and a sentence about the others."""
    found = [(label, *_index(stage / folder), stage / folder) for label, stage in stages]
    absent = [label for label, index, _, _ in found if index is None]
    refused = sum(number for _, _, number, _ in found)
    missing = [_absent(absent, of=len(found))] if absent else []
    if refused:
        missing.append(f"{refused} {'picture is' if refused == 1 else 'pictures are'} left out: not a PNG of the stage's own, or no file.")
    return [(label, index, place) for label, index, _, place in found if index is not None], " ".join(missing)


def _absent(labels: Sequence[str], *, of: int) -> str:
    """Says which stages kept no pictures: all, some of them by name, or how many."""
    if len(labels) == of:
        return "No example pictures were kept."
    if len(labels) > MOST_NAMED:
        return f"No example pictures were kept for {len(labels)} of {of} models."
    return f"No example pictures were kept for: {', '.join(labels)}."


def _index(pictures: Path) -> tuple[dict[str, Any] | None, int]:
    """The index.json of a folder of pictures, with only the items whose file may be shown, and how
    many may not; None where there is nothing to show.
    """
    index = read_json(*_below_study(pictures), "index.json")
    if index is None:
        return None, 0
    if not isinstance(index.get("columns"), list) or not isinstance(index.get("items"), list):
        raise ReportError(f"{pictures / 'index.json'} lacks 'columns' or 'items'; docs/study_folder.md shows its form.")
    items = [item for item in index["items"] if isinstance(item, dict) and is_own_picture(pictures, item.get("file"))]
    return {**index, "items": items} if items else None, len(index["items"]) - len(items)


def _below_study(pictures: Path) -> tuple[Path, str, str, str]:
    """The study folder of a stage's folder of pictures, and the names that lead to it from there."""
    stage = pictures.parent
    return stage.parent.parent, stage.parent.name, stage.name, pictures.name


def is_own_picture(pictures: Path, name: object) -> bool:
    """Whether a name found in an index.json is that of a PNG in its own folder, of which a page may
    hold a copy: a received folder must not make a page of the reader's other files.
    """
    if not isinstance(name, str):
        return False
    try:
        path = file_inside(*_below_study(pictures), name, most_bytes=MOST_BYTES)
        if path is None:
            return False
        with path.open("rb") as handle:
            return handle.read(16) == PNG_START
    except (OSError, FileRefusedError):
        return False


def _plain(index: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The items that no outcome chose, by their caption."""
    return {item["caption"]: item for item in index["items"] if "rank" not in item}


def _common_captions(present: list[Stage], columns: tuple[str, ...]) -> list[str]:
    """Captions that every stage with the wanted columns has, in the first one's order."""
    lists = [list(_plain(index)) for _, index, _ in present if set(columns) <= set(index["columns"])]
    if not lists or len(lists) < len(present):
        return []
    return [caption for caption in lists[0] if all(caption in other for other in lists)]


def _rows(present: list[Stage], captions: list[str], shared: tuple[str, ...], own: str) -> tuple[PictureRow, ...]:
    first = present[0]
    plain = [PictureRow(label=column, tiles=_tiles(first, captions, column, column)) for column in shared]
    return (*plain, *(PictureRow(label=stage[0], tiles=_tiles(stage, captions, own, f"{own}, {stage[0]}")) for stage in present))


def _tiles(stage: Stage, captions: list[str], column: str, what: str) -> tuple[Tile, ...]:
    _, index, folder = stage
    columns: list[str] = index["columns"]
    position = 100 * columns.index(column) / max(len(columns) - 1, 1)
    items = _plain(index)
    tiles = []
    for caption in captions:
        score = _score(items[caption]) if column == "prediction" else ""
        tiles.append(Tile(source=source_of(folder, items[caption]), position=position, alternative=f"{caption}: {what}{score}"))
    return tuple(tiles)


def _score(item: dict[str, Any]) -> str:
    """', mIoU of this image 0.51': the mean over its classes where that was kept, else the first
    paper's; '' where neither was.
    """
    value = item.get("miou", item.get("miou_ucl"))
    return "" if value is None else f", mIoU of this image {decimals(float(value), 2)}"


def source_of(folder: Path, item: dict[str, Any]) -> str:
    """A picture as a data address, which the page embeds."""
    return f"data:image/png;base64,{base64.b64encode((folder / item['file']).read_bytes()).decode('ascii')}"
