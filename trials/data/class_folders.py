"""Data sets with one folder per class: ImageNet, Tiny ImageNet and the Intel scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trials.data.decoding import read_picture
from trials.data.listing import Listing, check_names_in_table, fingerprint
from trials.data.sources import FolderSource, register
from trials.errors import InputError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif")


class ImageNet(FolderSource):
    """ImageNet, or Tiny ImageNet, whose images lie one folder deeper."""

    name = "imagenet"
    carries = ("images", "labels")
    folders = ("imagenet", "tiny-imagenet-200")
    marker = "train"
    layout = "train/<class>/ (or train/<class>/images/) and val/, as ImageNet or Tiny ImageNet"

    def list_split(self, root: Path, split: str) -> Listing:
        classes = class_names(root / "train")
        if split == "train":
            return list_class_folders(self.name, root, split, root / "train", classes, images_in="images")
        annotations = root / "val" / "val_annotations.txt"
        if not annotations.exists():
            return list_class_folders(self.name, root, split, root / "val", classes)
        # Tiny ImageNet's validation images lie in one folder, their classes in a table
        position = {class_name: label for label, class_name in enumerate(classes)}
        rows = [line.split("\t") for line in annotations.read_text().splitlines() if line.strip()]
        check_names_in_table(annotations, [row[0] for row in rows])
        # a trimmed copy may hold fewer images or classes than its table
        rows = [row for row in rows if row[1] in position and (root / "val" / "images" / row[0]).exists()]
        paths = [root / "val" / "images" / row[0] for row in rows]
        return _listing(self.name, root, split, paths, [position[row[1]] for row in rows], classes)


class IntelScenes(FolderSource):
    """The data source of Intel's scenes: photographs of six classes of landscape."""

    name = "intel-scenes"
    carries = ("images", "labels")
    folders = ("intel-scenes",)
    marker = "seg_train"
    layout = "seg_train/seg_train/<class>/ and seg_test/seg_test/<class>/"

    def list_split(self, root: Path, split: str) -> Listing:
        def folder(name: str) -> Path:
            nested = root / name / name
            return nested if nested.is_dir() else root / name

        wanted = folder({"train": "seg_train", "heldout": "seg_test"}[split])
        return list_class_folders(self.name, root, split, wanted, class_names(folder("seg_train")))


def class_names(folder: Path) -> tuple[str, ...]:
    """Names of the class folders, sorted; hidden folders are left out."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def list_class_folders(name: str, root: Path, split: str, folder: Path, classes: tuple[str, ...], images_in: str = "") -> Listing:
    """The images of `folder`, which has one folder per class, as torchvision's ImageFolder.

    Args:
        classes: names of the training folder's classes, so that a class has the same number in
            every split.
        images_in: name of a folder within a class folder that may hold its images.

    Raises:
        InputError: the folder holds a class that the training folder does not.
    """
    paths: list[Path] = []
    labels: list[int] = []
    empty: list[str] = []
    own = set(class_names(folder)) if folder.is_dir() else set()
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
    return _listing(name, root, split, paths, labels, classes, tuple(empty))


def _listing(
    name: str, root: Path, split: str, paths: list[Path], labels: list[int], classes: tuple[str, ...], empty: tuple[str, ...] = ()
) -> Listing:
    return Listing(
        name=name,
        split=split,
        names=[str(p) for p in paths],
        labels=np.asarray(labels, dtype=np.int64),
        classes=classes,
        fingerprint=fingerprint(paths, root, str(labels)),
        read=lambda index: read_picture(paths[index]),
        empty_classes=empty,
    )


register(ImageNet())
register(IntelScenes())
