"""CIFAR-10, read through torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from trials.data.decoding import Broken, Picture
from trials.data.listing import Listing, fingerprint
from trials.data.sources import FolderSource, register
from trials.errors import InputError


class Cifar10(FolderSource):
    """CIFAR-10 (Krizhevsky 2009): 32 px images of ten classes."""

    name = "cifar10"
    carries = ("images", "labels")
    folders = ("cifar-10-batches-py",)
    marker = "batches.meta"
    layout = "cifar-10-batches-py/, as torchvision's CIFAR10"

    def list_split(self, root: Path, split: str) -> Listing:
        from torchvision.datasets import CIFAR10  # slow to import, and only pets and CIFAR need it

        try:
            data_set = CIFAR10(str(root.parent), train=split == "train")
        except RuntimeError as error:
            raise InputError(f"CIFAR-10 in {root} is incomplete or corrupted ({error}): unpack it anew.") from error
        files = sorted(p for p in root.iterdir() if p.is_file())

        def read(index: int) -> Picture:
            if not 0 <= data_set.targets[index] < len(data_set.classes):
                raise Broken(f"its class is {data_set.targets[index]}, not 0 to {len(data_set.classes) - 1}")
            return Picture(image=Image.fromarray(data_set.data[index]))

        return Listing(
            name=self.name,
            split=split,
            names=[f"{split} image {i}" for i in range(len(data_set))],
            labels=np.asarray(data_set.targets, dtype=np.int64),
            classes=tuple(data_set.classes),
            fingerprint=fingerprint(files, root, split),
            read=read,
        )


register(Cifar10())
