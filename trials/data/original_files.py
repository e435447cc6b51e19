"""Images that a store holds nothing of: each is read from its own file whenever it is needed.

For data that are too large to copy even as JPEG. The store of such a split still holds sizes,
labels and masks, made in one pass in which every file was decoded once, and says here where the
files lie and which files they were.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.decode_report import shown
from trials.data.decoding import Broken, fit_short
from trials.data.listing import Listing
from trials.data.packed import DecodedOnRead
from trials.data.sources import list_split
from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder of a split's original files, and what identifies them."""

    data: Path
    """Folder that holds the data set."""
    fingerprint: str
    """Of the listing of the split when the store was made."""
    again: str
    """What makes the store anew, for messages."""


def place_of(data: Path, fingerprint: str) -> bytes:
    """What a store writes about the folder of its original files."""
    return (json.dumps({"data": str(data.resolve()), "fingerprint": fingerprint}) + "\n").encode("utf-8", "surrogateescape")


def read_place(path: Path, again: str) -> Place:
    """Reads which folder a store's original files are in.

    Raises:
        InputError: it cannot be read.
    """
    try:
        values = json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
        return Place(data=Path(str(values["data"])), fingerprint=str(values["fingerprint"]), again=again)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} does not say where the images lie ({error}): delete that folder and {again}.") from None


class OriginalFiles(DecodedOnRead):
    """Images of a split, each decoded from its own file and brought down to the store's short side."""

    def __init__(self, place: Place, source: str, split: str, numbers: np.ndarray, sizes: np.ndarray, store_px: int) -> None:
        """
        Args:
            numbers: (N,) the number of each image in the listing of the split.
            sizes: (N, 2) heights and widths that images had when the store was made.
            store_px: short side to which images are brought down, in pixels.
        """
        super().__init__(sizes)
        self._place, self._source, self._split, self._numbers, self._short = place, source, split, numbers, store_px
        self._listed: Listing | None = None
        self._listing_lock = threading.Lock()

    def decoded(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8.

        Raises:
            InputError: its file is gone, broken, or of another size than when the store was made.
        """
        listing, number = self._listing(), int(self._numbers[index])
        try:
            picture = listing.read(number)
        except Broken as error:
            raise InputError(f"{shown(listing.names[number])} below {self._place.data} can no longer be read: it {error}. {self._remedy}") from None
        image = np.asarray(fit_short(picture.image, None, self._short)[0], dtype=np.uint8)
        if image.shape[:2] != tuple(self.sizes[index].tolist()):
            raise InputError(f"{shown(listing.names[number])} below {self._place.data} is no longer the image that it was. {self._remedy}")
        return image

    @property
    def _remedy(self) -> str:
        return f"Put the data back as they were, or {self._place.again}"

    def _listing(self) -> Listing:
        """Listed when the first image is read, once."""
        with self._listing_lock:
            if self._listed is None:
                listing = list_split(self._source, self._place.data, self._split)
                if listing.fingerprint != self._place.fingerprint or self._numbers[-1] >= len(listing):
                    raise InputError(f"The files of {self._source} {self._split} in {self._place.data} are not those that were there. {self._remedy}")
                self._listed = listing
            return self._listed
