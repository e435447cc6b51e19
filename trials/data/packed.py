"""Images of different sizes: packed pixels, JPEG files one after another, or files of their own.

All are sequences of (height, width, 3) uint8 arrays, so whoever reads a store need not know which
it is.
"""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

JPEG_QUALITY = 95
"""Of images that are encoded for a store, as FFCV's default for ImageNet is 90 or more."""


class Images(Sequence[np.ndarray]):
    """Arrays of different sizes, by number."""

    def __init__(self, sizes: np.ndarray, last: tuple[int, ...]) -> None:
        """
        Args:
            sizes: (N, 2) heights and widths in pixels.
            last: the axes of each array after these: (3,) of images, none of masks.
        """
        self.sizes, self.last = sizes, last

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self.read(one) for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.read(int(index) % len(self))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int) -> np.ndarray:
        """The array of an image, which must not be written to."""
        raise NotImplementedError

    slow = False
    """Whether reading an image takes long enough to begin before it is needed."""

    def prefetch(self, indices: Iterable[int]) -> None:
        """Begin to read images that will be asked for next, where that takes time."""


class Packed(Images):
    """Pixels one image after another, in one array, such as a memory map."""

    def __init__(self, pixels: np.ndarray, sizes: np.ndarray, last: tuple[int, ...] = (3,)) -> None:
        """
        Args:
            pixels: flat uint8.
        """
        super().__init__(sizes, last)
        self._pixels = np.asarray(pixels)  # slices of a memory map itself take longer to make
        areas = sizes.astype(np.int64).prod(axis=1) * math.prod(last)
        self._starts = np.concatenate([[0], np.cumsum(areas)])

    def read(self, index: int) -> np.ndarray:  # noqa: D102  (as above)
        height, width = self.sizes[index].tolist()
        return self._pixels[self._starts[index] : self._starts[index + 1]].reshape(height, width, *self.last)


class Joined(Images):
    """Two sequences of images one after the other."""

    def __init__(self, first: Images, second: Images) -> None:
        super().__init__(np.concatenate([first.sizes, second.sizes]), first.last)
        self._first, self._second = first, second
        self.slow = first.slow or second.slow

    def read(self, index: int) -> np.ndarray:  # noqa: D102
        before = len(self._first)
        return self._first.read(index) if index < before else self._second.read(index - before)

    def prefetch(self, indices: Iterable[int]) -> None:  # noqa: D102
        every, before = list(indices), len(self._first)
        self._first.prefetch(one for one in every if one < before)
        self._second.prefetch(one - before for one in every if one >= before)


class DecodedOnRead(Images):
    """Images that are decoded by several threads whenever they are read."""

    slow = True

    def __init__(self, sizes: np.ndarray) -> None:
        super().__init__(sizes, (3,))
        self._waiting: dict[int, Future[np.ndarray]] = {}
        self._lock = threading.Lock()

    def decoded(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8 of an image; called from several threads."""
        raise NotImplementedError

    def read(self, index: int) -> np.ndarray:  # noqa: D102  (as above)
        with self._lock:
            waiting = self._waiting.pop(index, None)
        return self.decoded(index) if waiting is None else waiting.result()

    def prefetch(self, indices: Iterable[int]) -> None:  # noqa: D102
        with self._lock:
            for index in indices:
                if index not in self._waiting:
                    self._waiting[index] = _pool().submit(self.decoded, index)


class Encoded(DecodedOnRead):
    """JPEG files one after another in one file."""

    def __init__(self, data: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> None:
        """
        Args:
            data: flat uint8, all files. starts: (N + 1,) where each file begins, and the end.
        """
        super().__init__(sizes)
        self._data, self._starts = data, starts

    def file(self, index: int) -> np.ndarray:
        """The bytes of an image's file."""
        return np.array(self._data[self._starts[index] : self._starts[index + 1]])

    def decoded(self, index: int) -> np.ndarray:  # noqa: D102
        return decode_jpeg(self.file(index))


def decode_jpeg(file: np.ndarray) -> np.ndarray:
    """The bytes of a JPEG file -> (height, width, 3) uint8, as `trials.data.decoding` decodes it."""
    with Image.open(io.BytesIO(file.tobytes()), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads that decode; Pillow lets go of the interpreter meanwhile."""
    return ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="decode")


def open_packed(path: Path, sizes: np.ndarray, last: tuple[int, ...]) -> Packed:
    """Map packed pixels from a file into memory."""
    return Packed(np.memmap(path, np.uint8, "r"), sizes, last)
