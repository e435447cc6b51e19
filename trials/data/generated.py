"""Data sources whose images are made from a seed, on all cores."""

from __future__ import annotations

import multiprocessing
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trials.data.instances import Instances
from trials.data.sources import Source
from trials.registry import load_plugin, loaded_plugins


class Drawn(NamedTuple):
    """One image, with what its source carries."""

    image: np.ndarray
    """(S, S, 3) uint8."""
    label: int
    mask: np.ndarray | None = None
    """(S, S) uint8 class numbers."""
    instances: Instances | None = None


CHUNK_IMAGES = 100
MOST_PROCESSES = 8


class GeneratedSource(Source):
    """A source whose images are made from a seed, in streams that never end.

    Each kind of stage has streams of its own, and so has each seed of a training set: other seeds
    draw other images, and no image is seen twice. Held-out images are the same for all seeds.
    """

    version: int
    """Raised when the same place in a stream would give another image."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""

    @property
    def generated(self) -> bool:
        """True."""
        return True

    @abstractmethod
    def draw(self, stream: str, index: int, side: int) -> Drawn:
        """One image of a stream, a function of (stream, index, side) alone.

        It runs in other processes, so the source must be found by importing its module.
        """

    def split_name(self, kind: str, part: str, seed: int) -> str:
        """Such as `pretrain-train-0` and `pretrain-heldout`."""
        return f"{kind}-train-{seed}" if part == "train" else f"{kind}-{part}"

    def fingerprint(self, split: str) -> str:
        """By which a stage knows the images of a split: their version and stream."""
        return f"{self.name}-{self.version}-{split}"

    def generate(self, split: str, side: int, count: int, progress: Callable[[int, int], None]) -> Iterator[Drawn]:
        """The first `count` images of a split, in order.

        Args:
            progress: called as (done, total) after each part.
        """
        parts = [range(start, min(start + CHUNK_IMAGES, count)) for start in range(0, count, CHUNK_IMAGES)]
        workers = min(os.cpu_count() or 1, MOST_PROCESSES)
        draw = partial(_draw, self, split, side)
        made = map(draw, parts) if len(parts) < 4 or workers == 1 else _processes(workers).map(draw, parts)
        for part, images in zip(parts, made, strict=True):
            yield from images
            progress(part.stop, count)


def _draw(source: GeneratedSource, split: str, side: int, indices: range) -> list[Drawn]:
    return [Drawn(*source.draw(split, index, side)) for index in indices]  # a plug-in may return a plain tuple


@lru_cache(maxsize=1)
def _processes(workers: int) -> ProcessPoolExecutor:
    """Processes that draw images, kept between splits: each takes seconds to start, since it
    imports what the command imports.

    Spawned, not forked: a process with torch's threads in it must not be forked.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_load_plugins, initargs=(loaded_plugins(),))


def _load_plugins(files: tuple[str, ...]) -> None:
    for file in files:
        load_plugin(Path(file))


def release_processes() -> None:
    """End the processes that drew images, if there are any."""
    if _processes.cache_info().currsize:
        _processes(min(os.cpu_count() or 1, MOST_PROCESSES)).shutdown()
        _processes.cache_clear()
