"""Where images come from: data sets on disk in their own layouts, and `leaves`, which is generated.

A source lists what a split holds (paths, classes, a fingerprint) without decoding anything, so a
plan can check counts at once; `trials.data.store` decodes it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from trials.data import leaves
from trials.data.decoding import Broken, Picture, read_picture
from trials.data.listing import Listing, fingerprint
from trials.data.pets import list_half_pets, list_pets, list_pooled_pets
from trials.errors import InputError, nearest

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif")
KINDS = ("pretrain", "intermediate", "finetune")
PARTS = ("train", "heldout")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set: where it lies below a data folder, and how its splits are listed."""

    folders: tuple[str, ...]
    """Names under which its folder may lie in the data folder; empty if it needs no folder."""
    marker: str
    """A path inside the folder by which it is recognised."""
    layout: str
    """The layout it must have, for the message when it has not."""
    list_split: Callable[[Path, str], Listing]
    has_masks: bool = False
    generated: bool = False


def locate(name: str, data: Path) -> Path:
    """The folder of source `name` (or `name:FOLDER`), given the data folder, its parent, or the
    folder itself.
    """
    base, _, chosen = name.partition(":")
    source = get_source(name)
    if source.generated:
        return data
    tried = [data / chosen] if chosen else [*(data / folder for folder in source.folders), data]
    for folder in tried:
        if (folder / source.marker).exists():
            return folder
    raise InputError(
        f"Data for {base!r} not found: looked for {source.layout} in {', '.join(str(t) for t in tried)}; unpack the data set there "
        "or name another folder with --data."
    )


def get_source(name: str) -> Source:
    """The source of that name; `imagenet:FOLDER` names its folder below the data folder as well."""
    base = name.partition(":")[0]
    if base not in SOURCES:
        raise InputError(f"There is no data source {base!r}; {nearest(base, SOURCES)}")
    return SOURCES[base]


def no_masks(name: str, purpose: str) -> str:
    """The sentence for a source whose images carry no trimaps."""
    able = ", ".join(other for other, one in SOURCES.items() if one.has_masks)
    return f"{name} carries no trimaps, so it cannot be used for {purpose}; these do: {able}."


def split_name(name: str, kind: str, part: str, *, seed: int = 0) -> str:
    """The split that a kind of stage trains on (`train`) or is measured on (`heldout`).

    The streams of `leaves` never end, so there each kind of stage has its own, and so has each seed
    of a training set: other seeds draw other images, and no image is seen twice. Held-out images
    are the same for all seeds.
    """
    if not get_source(name).generated:
        return part
    return f"{kind}-train-{seed}" if part == "train" else f"{kind}-{part}"


@lru_cache(maxsize=32)
def list_split(name: str, data: Path, split: str) -> Listing:
    """List one split of a source.

    Raises:
        InputError: no such source, its folder is missing, or it holds no images.
    """
    source = get_source(name)
    folder = locate(name, data)
    try:
        listing = source.list_split(folder, split)
    except (OSError, RuntimeError, KeyError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Data for {name!r} in {folder} are incomplete ({error}); expected {source.layout}: unpack the data set anew.") from error
    if len(listing) == 0:
        raise InputError(f"Data for {name!r}: no images in split {split!r} below {locate(name, data)}; expected {source.layout}.")
    return listing


def _class_names(folder: Path) -> tuple[str, ...]:
    """Names of the class folders, sorted; hidden folders are none."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _class_folders(name: str, root: Path, split: str, folder: Path, classes: tuple[str, ...], images_in: str = "") -> Listing:
    """Images in one folder per class, as torchvision's ImageFolder; Tiny ImageNet keeps them one
    folder deeper.

    `classes` are those of the training folder, so that a class has the same number in every split.
    """
    paths: list[Path] = []
    labels: list[int] = []
    empty: list[str] = []
    own = set(_class_names(folder)) if folder.is_dir() else set()
    if own - set(classes):
        raise InputError(
            f"Data for {name!r}: {folder} holds the class {min(own - set(classes))!r}, which the training folder has not: remove it, or add it there."
        )
    for label, class_name in enumerate(classes):
        if class_name not in own:
            continue
        deeper = folder / class_name / images_in
        where = deeper if images_in and deeper.is_dir() else folder / class_name
        found = sorted(p for p in where.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        paths += found
        labels += [label] * len(found)
        empty += [] if found else [str(where)]
    return _image_listing(name, root, split, paths, labels, classes, tuple(empty))


def _image_listing(
    name: str, root: Path, split: str, paths: list[Path], labels: list[int], classes: tuple[str, ...], empty: tuple[str, ...] = ()
) -> Listing:
    return Listing(
        name=name,
        split=split,
        names=[str(p) for p in paths],
        labels=np.asarray(labels, dtype=np.int64),
        classes=classes,
        has_masks=False,
        fingerprint=fingerprint(paths, root, str(labels)),
        read=lambda index: read_picture(paths[index]),
        empty_classes=empty,
    )


def _list_imagenet(root: Path, split: str) -> Listing:
    classes = _class_names(root / "train")
    if split == "train":
        return _class_folders("imagenet", root, split, root / "train", classes, images_in="images")
    annotations = root / "val" / "val_annotations.txt"
    if not annotations.exists():
        return _class_folders("imagenet", root, split, root / "val", classes)
    # Tiny ImageNet's validation images lie in one folder, their classes in a table
    position = {class_name: label for label, class_name in enumerate(classes)}
    rows = [line.split("\t") for line in annotations.read_text().splitlines() if line.strip()]
    # a trimmed copy may hold fewer images or classes than its table
    rows = [row for row in rows if row[1] in position and (root / "val" / "images" / row[0]).exists()]
    paths = [root / "val" / "images" / row[0] for row in rows]
    return _image_listing("imagenet", root, split, paths, [position[row[1]] for row in rows], classes)


def _list_intel(root: Path, split: str) -> Listing:
    def folder(name: str) -> Path:
        nested = root / name / name
        return nested if nested.is_dir() else root / name

    wanted = folder({"train": "seg_train", "heldout": "seg_test"}[split])
    return _class_folders("intel-scenes", root, split, wanted, _class_names(folder("seg_train")))


def _list_cifar10(root: Path, split: str) -> Listing:
    from torchvision.datasets import CIFAR10

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
        name="cifar10",
        split=split,
        names=[f"{split} image {i}" for i in range(len(data_set))],
        labels=np.asarray(data_set.targets, dtype=np.int64),
        classes=tuple(data_set.classes),
        has_masks=False,
        fingerprint=fingerprint(files, root, split),
        read=read,
    )


def _list_leaves(root: Path, split: str) -> Listing:
    raise NotImplementedError("the images of leaves are made at a size, by trials.data.store; there is no file to read")


SOURCES: dict[str, Source] = {
    "imagenet": Source(
        folders=("imagenet", "tiny-imagenet-200"),
        marker="train",
        layout="train/<class>/ (or train/<class>/images/) and val/, as ImageNet or Tiny ImageNet",
        list_split=_list_imagenet,
    ),
    "intel-scenes": Source(
        folders=("intel-scenes",),
        marker="seg_train",
        layout="seg_train/seg_train/<class>/ and seg_test/seg_test/<class>/",
        list_split=_list_intel,
    ),
    "oxford-iiit-pet": Source(
        folders=("oxford-iiit-pet",),
        marker="annotations/trimaps",
        layout="images/ and annotations/ in a folder named oxford-iiit-pet, as torchvision's OxfordIIITPet",
        list_split=list_pets,
        has_masks=True,
    ),
    "oxford-iiit-pet-pooled": Source(
        folders=("oxford-iiit-pet",),
        marker="annotations/trimaps",
        layout="images/ and annotations/ in a folder named oxford-iiit-pet, as torchvision's OxfordIIITPet",
        list_split=list_pooled_pets,
        has_masks=True,
    ),
    **{
        f"oxford-iiit-pet-half-{half}": Source(
            folders=("oxford-iiit-pet",),
            marker="annotations/trimaps",
            layout="images/ and annotations/ in a folder named oxford-iiit-pet, as torchvision's OxfordIIITPet",
            list_split=list_half_pets(half),
            has_masks=True,
        )
        for half in ("a", "b")
    },
    "cifar10": Source(
        folders=("cifar-10-batches-py",),
        marker="batches.meta",
        layout="cifar-10-batches-py/, as torchvision's CIFAR10",
        list_split=_list_cifar10,
    ),
    "leaves": Source(folders=(), marker="", layout="", list_split=_list_leaves, has_masks=True, generated=True),
}

LEAVES_CLASSES = leaves.PATTERNS
