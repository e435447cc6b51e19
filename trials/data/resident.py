"""Images that stay in a GPU's memory from one stage of a process to the next.

Stages of a study share their test and held-out images, and often their training images. Copying them
to the GPU takes a Python loop over the images and fresh pinned memory, for each stage anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from trials.data.packed import Images
from trials.data.resampling import Flat

MOST_BYTES = 512 * 2**20
"""Of the memory that images keep which no running stage uses: each process that shares a GPU has as
much.
"""


class ResidentImages:
    """The images that were used last, up to `most_bytes`."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, tuple[int, Flat]] = OrderedDict()

    def get(self, key: str, nbytes: int, load: Callable[[], Flat]) -> Flat:
        """Returns the images of a key, and loads them if they are not held.

        Args:
            nbytes: that they take. Images that are larger than all that may be held are loaded and
                not kept.
        """
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key][1]
        found = load()
        if nbytes <= self._most_bytes:
            self._held[key] = (nbytes, found)
            while sum(size for size, _ in self._held.values()) > self._most_bytes:
                self._held.popitem(last=False)
        return found

    def clear(self) -> None:
        """Drops all images."""
        self._held.clear()


def images_key(images: Images, *, fingerprint: str, what: str, indices: np.ndarray, sizes: np.ndarray, device: str) -> str:
    """A cache key for some images of a store, from the store's origin and the pixels of three.

    Args:
        fingerprint: of the files that the store was made from.
        what: 'images' or 'masks'.
        indices: of the images within the store.
        sizes: (N, 2) of those images as stored, which differ between stores of other sides.
    """
    digest = hashlib.sha256()
    samples = [np.ascontiguousarray(images[int(indices[place])]).tobytes() for place in (0, len(indices) // 2, -1)]
    for part in (fingerprint.encode(), what.encode(), device.encode(), indices.tobytes(), np.ascontiguousarray(sizes).tobytes(), *samples):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


RESIDENT = ResidentImages()
"""Of this process."""
