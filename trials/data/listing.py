"""What one split of a data set holds, before anything is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.decoding import Picture
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


def check_names_in_table(table: Path, names: Sequence[str]) -> None:
    """Check the image names that a data set's own table gives.

    Raises:
        InputError: one would lead out of the folder of images.
    """
    wrong = next((name for name in names if not is_plain_name(name)), None)
    if wrong is not None:
        raise InputError(f"{table} names the image {wrong[:60]!r}, which is no plain file name: correct that line, or unpack the data set anew.")
