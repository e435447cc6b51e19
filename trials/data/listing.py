"""What one split of a data set holds, before anything is decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.decoding import Picture
from trials.data.mask_classes import TRIMAP
from trials.errors import InputError
from trials.received_files import is_plain_name


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one split of a source holds, before decoding.

    `read(i)` decodes an image and its trimap, if there are any, or raises `Broken`. `fingerprint`
    changes with the names and sizes of the files, so that a stage is known by the data it saw.
    """

    name: str
    split: str
    names: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprint: str
    read: Callable[[int], Picture]
    empty_classes: tuple[str, ...] = ()
    """Class folders that hold no image."""
    mask_classes: tuple[str, ...] = TRIMAP
    """Names of the classes of masks, where the source has masks; none where these images lack them."""
    instance_classes: tuple[str, ...] = ()
    """Names of the classes of objects; none where these images lack boxes."""
    has_instance_masks: bool = False
    """Whether each object has a mask besides its box."""
    split_by: str = ""
    """How the images were split into training and held-out ones, where their folders do not say."""

    def __len__(self) -> int:
        return len(self.labels)


def fingerprint(paths: Sequence[Path], root: Path, extra: str = "") -> str:
    """16 hex digits that change with the names and sizes of the files.

    Single files may be missing or out of reach, such as a link that leads to itself, which decoding
    them will say.

    Raises:
        OSError: none of them can be found.
    """
    digest = hashlib.sha256(extra.encode())
    found = 0
    for path in paths:
        try:
            size = str(path.stat().st_size)
            found += 1
        except OSError as error:
            size = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        # a name need not be UTF-8
        digest.update(f"{path.relative_to(root).as_posix()}\0{size}\n".encode("utf-8", "surrogateescape"))
    if paths and not found:
        paths[0].stat()
    return digest.hexdigest()[:16]


MOST_SAMPLED = 100_000
"""Files whose contents are looked at; of more, as many are chosen evenly spaced."""
_BLOCK_BYTES = 4096


def content_fingerprint(paths: Sequence[Path], root: Path, extra: str = "") -> str:
    """16 hex digits that change with the names, the sizes and the contents of the files.

    Of each file the first, the middle and the last 4 KB are read, so another file of the same size
    is noticed, as is a file of at most 12 KB that was changed anywhere.
    """
    digest = hashlib.sha256(fingerprint(paths, root, extra).encode())
    every = -(-len(paths) // MOST_SAMPLED) or 1
    for path in paths[::every]:
        try:
            if not path.is_file():  # a pipe would be waited on for ever
                continue
            with open(path, "rb") as handle:
                size = handle.seek(0, os.SEEK_END)
                for start in (0, max(0, (size - _BLOCK_BYTES) // 2), max(0, size - _BLOCK_BYTES)):
                    handle.seek(start)
                    digest.update(handle.read(_BLOCK_BYTES))
        except OSError:  # which decoding it will say
            continue
    return digest.hexdigest()[:16]


def check_names_in_table(table: Path, names: Sequence[str]) -> None:
    """Check the image names that a data set's own table gives.

    Raises:
        InputError: one would lead out of the folder of images.
    """
    wrong = next((name for name in names if not is_plain_name(name)), None)
    if wrong is not None:
        raise InputError(f"{table} names the image {wrong[:60]!r}, which is no plain file name: correct that line, or unpack the data set anew.")
