"""Oxford-IIIT Pets: images with a breed and a trimap, in the data set's own halves, pooled, or
pooled and split into two disjoint parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trials.data.decoding import Broken, Picture, read_picture
from trials.data.listing import Listing, check_names_in_table, fingerprint
from trials.data.sources import FolderSource, register

BREEDS = 37
POOLED_TEST_IMAGES = 1000  # as many as the first paper tests on
POOLED_SEED = 0


def list_pooled_pets(root: Path, split: str) -> Listing:
    """Both halves of the pets in one: 1,000 fixed images are held out (a seventh, where there are
    fewer than 7,000) and the rest trains.

    The data set's own training half holds 3,680 images, too few for the 6,000 labels of Bridge, Sun
    et al. Their test set changed with the number of labels; this one is the same for all, drawn
    once by a stated seed.
    """
    halves = [list_pets(root, one) for one in ("train", "heldout")]
    sizes = [len(half) for half in halves]
    order = np.random.default_rng(POOLED_SEED).permutation(sum(sizes))
    held = min(POOLED_TEST_IMAGES, sum(sizes) // 7)
    chosen = np.sort(order[:held] if split == "heldout" else order[held:])
    places = [(0, int(one)) if one < sizes[0] else (1, int(one) - sizes[0]) for one in chosen]
    return Listing(
        name="oxford-iiit-pet-pooled",
        split=split,
        names=[halves[half].names[index] for half, index in places],
        labels=np.concatenate([half.labels for half in halves])[chosen],
        classes=halves[0].classes,
        fingerprint=hashlib.sha256(f"{halves[0].fingerprint} {halves[1].fingerprint} {POOLED_SEED} {split}".encode()).hexdigest()[:16],
        read=lambda position: halves[places[position][0]].read(places[position][1]),
    )


def half_of(stem: str) -> str:
    """'a' or 'b': the part to which the training image of that file name, without its suffix,
    belongs.

    It hangs on the name alone, neither on a seed nor on which other images there are, so no image
    can be in both parts of any two stages.
    """
    return "ab"[hashlib.sha256(stem.encode("utf-8", "surrogateescape")).digest()[0] & 1]


def list_half_pets(half: str) -> Callable[[Path, str], Listing]:
    """One of two disjoint parts of the pooled pets' training images; the 1,000 test images are the
    same as theirs, and in neither part.

    For a stage with spatial supervision on images that fine-tuning and probe do not see: Bridge,
    Sun et al. used the same images for both.
    """

    def list_half(root: Path, split: str) -> Listing:
        both = {one: list_pooled_pets(root, one) for one in ("train", "heldout")}
        pooled = both[split]
        breeds = {label: name for one in both.values() for label, name in _breeds(one.names, one.labels).items()}
        kept = [i for i, name in enumerate(pooled.names) if split == "heldout" or half_of(Path(name).stem) == half]
        return Listing(
            name=f"oxford-iiit-pet-half-{half}",
            split=split,
            names=[pooled.names[i] for i in kept],
            labels=pooled.labels[kept],
            # a small part may lack the last breeds, and a label must have its class in every part
            classes=tuple(breeds.get(label, f"class {label}") for label in range(max(breeds, default=-1) + 1)),
            fingerprint=pooled.fingerprint if split == "heldout" else hashlib.sha256(f"{pooled.fingerprint} {half}".encode()).hexdigest()[:16],
            read=lambda position: pooled.read(kept[position]),
        )

    return list_half


def list_pets(root: Path, split: str) -> Listing:
    """The data set's own halves: 'trainval' trains, 'test' is held out."""
    from torchvision.datasets import OxfordIIITPet  # slow to import, and only pets and CIFAR need it

    part = {"train": "trainval", "heldout": "test"}[split]
    data_set = OxfordIIITPet(str(root.parent), split=part, target_types=("category", "segmentation"))
    paths, trimaps = list(data_set._images), list(data_set._segs)
    folder = data_set._images_folder
    check_names_in_table(root / "annotations" / f"{part}.txt", [str(p).removeprefix(f"{folder}/") for p in paths])
    listed, labels = [str(p) for p in paths], np.asarray(data_set._labels, dtype=np.int64)

    def read(index: int) -> Picture:
        if not 0 <= labels[index] < BREEDS:
            raise Broken(f"its class in annotations/{part}.txt is {labels[index] + 1}, not 1 to {BREEDS}")
        return read_picture(paths[index], trimaps[index])

    return Listing(
        name="oxford-iiit-pet",
        split=split,
        names=listed,
        labels=labels,
        classes=tuple(name for _, name in sorted(_breeds(listed, labels).items())),
        fingerprint=fingerprint([*paths, *trimaps], root),
        read=read,
    )


def _breeds(names: Sequence[str], labels: np.ndarray) -> dict[int, str]:
    """The breed of each label that is in range: 'american_bulldog_12.jpg' shows an American
    Bulldog.
    """
    stems = {label: Path(name).stem.rsplit("_", 1)[0] for name, label in zip(names, labels.tolist(), strict=True) if 0 <= label < BREEDS}
    return {label: " ".join(word.title() for word in stem.split("_")) for label, stem in stems.items()}


class Pets(FolderSource):
    """Oxford-IIIT Pets (Parkhi et al. 2012), with breeds and trimaps."""

    carries = ("images", "labels", "masks")
    folders = ("oxford-iiit-pet",)
    marker = "annotations/trimaps"
    layout = "images/ and annotations/ in a folder named oxford-iiit-pet, as torchvision's OxfordIIITPet"

    def __init__(self, name: str, listed: Callable[[Path, str], Listing]) -> None:
        """
        Args:
            listed: lists a split of the images that this source holds.
        """
        self.name, self._listed = name, listed

    def list_split(self, root: Path, split: str) -> Listing:
        return self._listed(root, split)


register(Pets("oxford-iiit-pet", list_pets))
register(Pets("oxford-iiit-pet-pooled", list_pooled_pets))
register(Pets("oxford-iiit-pet-half-a", list_half_pets("a")))
register(Pets("oxford-iiit-pet-half-b", list_half_pets("b")))
