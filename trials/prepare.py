"""Decode a data set once into a store of uint8 images.

    python -m trials.prepare oxford-iiit-pet --from data --size 64

A launch does this by itself for what its grid needs; this command is for doing it beforehand, or elsewhere.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from trials import leaves
from trials.errors import InputError
from trials.leaves import leaf_image
from trials.sources import KINDS, PARTS, SOURCES, get_source, list_split, locate, split_name
from trials.store import Decoded, describe_split, store_folder, store_is_ready, write_store

Progress = Callable[[str, int, int], None]


def fit_square(image: Image.Image, mask: np.ndarray | None, side: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Make an image square: uint8 (S, S, 3), and its mask (S, S) if there is one.

    Images alone keep their shape: the short side becomes `side` (bicubic, antialiased) and the centre square is kept. An image with a
    mask is kept whole, both sides resized to `side` (masks nearest), so that every labelled pixel counts in the scores.
    """
    if mask is not None:
        whole = image.resize((side, side), Image.Resampling.BICUBIC)
        small = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
        return np.asarray(whole, dtype=np.uint8), np.asarray(small, dtype=np.uint8)
    scale = side / min(image.size)
    size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.uint8), None


def prepare_split(source: str, data: Path, root: Path, split: str, image_px: int, *, images: int = 0, progress: Progress | None = None) -> Path:
    """Make the store of one split, if it is not there already.

    Args:
        data: folder that holds the data set. root: folder that holds the stores.
        images: how many are needed; generated sources make that many, others are decoded whole.
        progress: called as (what, done, total).

    Raises:
        InputError: the data are missing, an image cannot be decoded, or the store cannot be written.
    """
    info = describe_split(source, data, split)
    count = images if info.images is None else info.images
    if store_is_ready(root, source, split, image_px, fingerprint=info.fingerprint, images=count):
        return store_folder(root, source, split, image_px)
    report = partial(progress, f"{source} {split} at {image_px} px") if progress else (lambda done, total: None)
    if get_source(source).generated:
        classes: tuple[str, ...] = leaves.PATTERNS
        decode = partial(_generate, split, image_px, count, report)
    else:
        classes = list_split(source, data, split).classes
        decode = partial(_decode, source, data, split, image_px, report)
    return write_store(root, source, split, image_px, info=info, images=count, classes=classes, decoded=decode)


def _decode(source: str, data: Path, split: str, side: int, report: Callable[[int, int], None]) -> Iterator[Decoded]:
    listing = list_split(source, data, split)

    def one(index: int) -> Decoded | str:
        try:
            image, mask = listing.read(index)
            pixels, small = fit_square(image, mask, side)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for truncated and foreign files
            return f"{listing.names[index]} ({error})"
        return pixels, int(listing.labels[index]), small

    broken: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the interpreter while it decodes
        step = 2000  # bounds what waits in memory
        for start in range(0, len(listing), step):
            for result in pool.map(one, range(start, min(start + step, len(listing)))):
                if isinstance(result, str):
                    broken.append(result)
                elif not broken:
                    yield result
            report(min(start + step, len(listing)), len(listing))
    if broken:
        shown = "; ".join(broken[:5]) + (f"; and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise InputError(f"{len(broken)} of {len(listing)} images of {source} cannot be decoded: {shown}. Replace or delete them and start again.")


def _leaf_chunk(split: str, side: int, indices: range) -> list[tuple[np.ndarray, int, np.ndarray]]:
    return [leaf_image(split, index, side) for index in indices]


def _generate(split: str, side: int, count: int, report: Callable[[int, int], None]) -> Iterator[Decoded]:
    chunks = [range(start, min(start + 100, count)) for start in range(0, count, 100)]
    workers = min(os.cpu_count() or 1, 8)
    if len(chunks) < 4 or workers == 1:
        for chunk in chunks:
            yield from _leaf_chunk(split, side, chunk)
            report(chunk.stop, count)
        return
    for chunk, results in zip(chunks, _leaf_workers(workers).map(partial(_leaf_chunk, split, side), chunks), strict=True):
        yield from results
        report(chunk.stop, count)


@lru_cache(maxsize=1)
def _leaf_workers(workers: int) -> ProcessPoolExecutor:
    """Processes that draw leaves, kept between splits: each takes seconds to start, since it imports what the command imports.

    Spawned, not forked: a process with torch's threads in it must not be forked.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def release_workers() -> None:
    """End the processes that drew leaves, if there are any."""
    if _leaf_workers.cache_info().currsize:
        _leaf_workers(min(os.cpu_count() or 1, 8)).shutdown()
        _leaf_workers.cache_clear()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.prepare", description="Decode a data set once into a store of uint8 images.")
    parser.add_argument("name", help=f"data source: {', '.join(SOURCES)} (imagenet:FOLDER names its folder)")
    parser.add_argument("--from", dest="data", type=Path, required=True, help="folder that holds the data set")
    parser.add_argument("--size", type=int, required=True, help="image side in pixels")
    parser.add_argument("--to", type=Path, help="folder for the stores (default: store/ in the --from folder)")
    parser.add_argument("--images", type=int, default=10_000, help="images to generate for each split of leaves (default 10,000)")
    options = parser.parse_args(arguments)
    root = options.to or options.data / "store"
    try:
        if options.size < 8:
            raise InputError(f"--size must be at least 8 px, not {options.size}.")
        locate(options.name, options.data)
        for split in dict.fromkeys(split_name(options.name, kind, part) for kind in KINDS for part in PARTS):
            folder = prepare_split(options.name, options.data, root, split, options.size, images=options.images, progress=_print_progress)
            print(f"\r{folder}: ready" + " " * 40)
    except InputError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    finally:
        release_workers()
    return 0


def _print_progress(what: str, done: int, total: int) -> None:
    if sys.stdout.isatty() or done == total:
        print(f"\r{what}: {done:,} of {total:,}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
