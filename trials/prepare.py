"""Decode a data set once into a store of whole images.

    # for stages at 64 px: short sides of 74 px, which is 8/7 of that
    python -m trials.prepare oxford-iiit-pet --from data --size 64
    # with short sides of 256 px, as JPEG files
    python -m trials.prepare imagenet --from data --store-px 256 --storage jpeg
    # compare the stores with their checksums
    python -m trials.prepare oxford-iiit-pet --from data --size 64 --verify

An image that cannot be decoded is named, and nothing is made, unless `--broken skip` says to go on
without it. A launch does this by itself for what its grid needs; this command is for doing it
beforehand, or elsewhere.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from trials.data.class_folders import IMAGE_SUFFIXES
from trials.data.decode_report import DecodeReport, read_decode_report, report_file, shown, shown_images, shown_list
from trials.data.decoding import Broken, fit_short, quiet_pillow
from trials.data.generated import GeneratedSource, release_processes
from trials.data.listing import Listing
from trials.data.packed import JPEG_QUALITY
from trials.data.sources import KINDS, PARTS, SOURCES, get_source, list_split, locate, refuse_files_of_generated, split_name
from trials.data.store import OnBroken, describe_split, open_store, store_folder, store_is_ready, stored_px
from trials.data.store_writing import JpegFile, OriginalFile, Stored, write_store
from trials.errors import InputError
from trials.recipes.fields import Storage

Progress = Callable[[str, int, int], None]
MOST_PX = 8192


def as_jpeg(image: Image.Image, file: Path | None) -> JpegFile:
    """An image as JPEG: its own file where that is given, else encoded."""
    if file is not None:
        return JpegFile(data=file.read_bytes(), height=image.height, width=image.width)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return JpegFile(data=written.getvalue(), height=image.height, width=image.width)


def prepare_split(
    source: str,
    data: Path,
    root: Path,
    split: str,
    store_px: int,
    storage: Storage = "pixels",
    *,
    images: int = 0,
    progress: Progress | None = None,
    broken: OnBroken = "refuse",
) -> Path:
    """Make the store of one split, if it is not there already; returns its folder.

    What was skipped, with the reason, and what was converted is in `decode_report.json` there,
    which `trials.data.decode_report.read_decode_report` reads.

    Args:
        data: folder that holds the data set. root: folder that holds the stores.
        store_px: short side of the images in the store, in pixels; smaller ones stay as they are.
        storage: whether decoded pixels are kept, or JPEG files, or where the images' files lie.
        images: how many are needed; generated sources make that many, others are decoded whole.
        progress: called as (what, done, total).
        broken: what to do about images that cannot be decoded and class folders without images:
            `refuse`, or `skip` and go on without. A store from which something was skipped has a
            fingerprint of its own (`trials.data.store.without_skipped`), so no stage takes it for
            the whole split.

    Raises:
        InputError: the data are missing, an image cannot be decoded, the store cannot be written,
            or it is not what was written there.
    """
    if broken not in get_args(OnBroken):
        raise InputError(f"What to do about broken images must be one of {', '.join(get_args(OnBroken))}, not {broken!r}.")
    refuse_files_of_generated(source, storage)
    info = describe_split(source, data, split)
    count = images if info.images is None else info.images
    folder = store_folder(root, source, split, store_px, storage)
    found = get_source(source)
    refused = folder.with_name(f"{split}-refused.json")
    with quiet_pillow():
        if broken == "skip" and not found.generated:
            _forget_mended(list_split(source, data, split), folder)
        if store_is_ready(root, source, split, store_px, storage, info=info, images=count, broken=broken):
            open_store(root, source, split, store_px, storage)  # which compares its checksums
            return folder
        advance = partial(progress, f"{source} {split} at {store_px} px") if progress else (lambda done, total: None)
        if isinstance(found, GeneratedSource):
            classes = found.classes
            decode: Callable[[DecodeReport], Iterator[Stored]] = lambda _: _generated(found, split, store_px, storage, count, advance)  # noqa: E731
        else:
            listing = list_split(source, data, split)
            classes = listing.classes
            if listing.empty_classes and broken == "refuse":
                raise InputError(
                    f"Class folders of {source} {split} without images ({' '.join(IMAGE_SUFFIXES)}): {len(listing.empty_classes)}, namely "
                    f"{shown_list(listing.empty_classes)}. Fill or delete them, "
                    "or go on without them by --broken skip (in a grid: broken_images: skip)."
                )
            decode = partial(_decode, source, listing, store_px, storage, advance, refused if broken == "refuse" else None)
        made = write_store(root, source, split, store_px, storage, info=info, images=count, classes=classes, decoded=decode, broken=broken, data=data)
    refused.unlink(missing_ok=True)  # of an earlier attempt
    if not found.generated and (listed := list_split(source, data, split)).split_by:
        from trials.stage_files import write_json  # imports torch, which --help need not wait for

        write_json(folder.with_name(f"{split}-files.json"), {"split_by": listed.split_by, "files": [shown(name) for name in listed.names]})
    return made


def _generated(
    source: GeneratedSource, split: str, store_px: int, storage: Storage, count: int, progress: Callable[[int, int], None]
) -> Iterator[Stored]:
    for image, label, mask, instances in source.generate(split, store_px, count, progress):
        yield Stored(image if storage == "pixels" else as_jpeg(Image.fromarray(image), None), label, mask, instances)


def _forget_mended(listing: Listing, folder: Path) -> None:
    """Have the store made anew if an image that was skipped can be decoded now.

    A mended file may have the size of the broken one, and the fingerprint knows only sizes.
    """
    found = read_decode_report(folder)
    if found is None or found.listing_fingerprint != listing.fingerprint or found.listed != len(listing):
        return
    for one in found.skipped:
        try:
            listing.read(one["index"])
        except Broken:
            continue
        report_file(folder).unlink(missing_ok=True)
        return


def _decode(
    source: str, listing: Listing, store_px: int, storage: Storage, progress: Callable[[int, int], None], refused: Path | None, report: DecodeReport
) -> Iterator[Stored]:
    """The images that can be decoded, in order. `refused` is where to write the report if a broken
    image ends the preparation; None to skip it.
    """

    def one(index: int) -> tuple[Stored, tuple[str, ...]] | Broken:
        try:
            picture = listing.read(index)
        except Broken as error:
            return error
        image, mask = fit_short(picture.image, picture.mask, store_px)
        stored: np.ndarray | JpegFile | OriginalFile
        if storage == "files":
            stored = OriginalFile(number=index, height=image.height, width=image.width)
        else:
            stored = np.asarray(image, dtype=np.uint8) if storage == "pixels" else as_jpeg(image, picture.file if image is picture.image else None)
        size, to = ((one.height, one.width) for one in (picture.image, image))
        instances = None if picture.instances is None else picture.instances.resized(size, to)
        return Stored(stored, int(listing.labels[index]), mask, instances), picture.conversions

    report.empty_classes += [shown(name) for name in listing.empty_classes]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the interpreter while it decodes
        step = 500  # bounds what waits in memory
        for start in range(0, len(listing), step):
            indices = range(start, min(start + step, len(listing)))
            for index, result in zip(indices, pool.map(one, indices), strict=True):
                if isinstance(result, Broken):
                    report.skip(index, shown(listing.names[index]), shown(str(result)))
                    continue
                for kind in result[1]:
                    report.convert(kind, shown(listing.names[index]))
                if not (refused and report.skipped):
                    yield result[0]
            progress(indices.stop, len(listing))
    if refused and report.skipped:
        report.write(refused)
        raise InputError(
            f"{len(report.skipped)} of {len(listing)} images of {source} cannot be decoded: {shown_images(report.skipped)} (all in {refused}). "
            "Replace or delete them, or go on without them by --broken skip (in a grid: broken_images: skip)."
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trials.prepare", description="Decode a data set once into a store of whole images.")
    parser.add_argument("name", help=f"data source: {', '.join(SOURCES)} (imagenet:FOLDER names its folder)")
    parser.add_argument("--from", dest="data", type=Path, required=True, help="folder that holds the data set")
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--size", type=int, help="image side of the stages that will read it, in pixels: short sides of 8/7 of that are kept")
    side.add_argument("--store-px", type=int, help="short side to keep, in pixels")
    parser.add_argument("--storage", choices=get_args(Storage), default="pixels", help="keep decoded pixels (default), JPEG files, or no image")
    parser.add_argument("--to", type=Path, help="folder for the stores (default: store/ in the --from folder)")
    parser.add_argument("--images", type=int, default=10_000, help="images of each split where they are generated (default 10,000)")
    parser.add_argument(
        "--broken", choices=get_args(OnBroken), default="refuse", help="images that cannot be decoded: refuse the data set (default), or skip them"
    )
    parser.add_argument("--verify", action="store_true", help="make nothing: compare the stores that are there with their checksums")
    options = parser.parse_args(arguments)
    root = options.to or options.data / "store"
    try:
        for name, given in (("--size", options.size), ("--store-px", options.store_px)):
            if given is not None and not 8 <= given <= MOST_PX:
                raise InputError(f"{name} must be 8 to {MOST_PX:,} px, not {given}.")
        store_px = stored_px(options.size or 0, options.store_px or 0)
        splits = dict.fromkeys(split_name(options.name, kind, part) for kind in KINDS for part in PARTS)
        if not options.verify:
            locate(options.name, options.data)
        for split in splits:
            if options.verify:
                store = open_store(root, options.name, split, store_px, options.storage, checksum="always")
                print(f"{shown(str(store_folder(root, options.name, split, store_px, options.storage)))}: {len(store):,} images, checksums hold")
            else:
                _prepare_and_say(options, root, split, store_px)
    except InputError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    finally:
        release_processes()
    return 0


def _prepare_and_say(options: argparse.Namespace, root: Path, split: str, store_px: int) -> None:
    folder = prepare_split(
        options.name, options.data, root, split, store_px, options.storage, images=options.images, progress=_print_progress, broken=options.broken
    )
    print(f"\r{shown(str(folder))}: ready" + " " * 40)
    found = read_decode_report(folder)
    for sentence in found.sentences(report_file(folder)) if found else ():
        print(f"  {sentence}")


def _print_progress(what: str, done: int, total: int) -> None:
    if sys.stdout.isatty() or done == total:
        print(f"\r{what}: {done:,} of {total:,}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
