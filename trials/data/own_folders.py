"""One's own images: class folders, a flat folder, or folders of images and masks.

What a folder holds is told by its layout:

```
images/ masks/ [classes.yaml]          images with a mask of the same name each
train/<class>/ val/<class>/            classes, split
<class>/                               classes, not split
train/*.jpg val/*.jpg                  images alone, split
*.jpg                                  images alone, not split
```
`images` and `masks` may also lie in `train/` and `val/`, or hold folders of these names, as ADE20K's
`images/training` and `annotations/training` do. Where a layout does not split, a fifth of the images
(of each class) is held out: those whose names have the lowest SHA-256, so that the split is the same
on every machine and hangs on names alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trials.data.class_folders import IMAGE_SUFFIXES, class_names, list_class_folders
from trials.data.decoding import read_picture
from trials.data.listing import Listing, content_fingerprint
from trials.data.mask_classes import FILE, MaskClasses, classes_in, read_classes, read_with_mask
from trials.data.sources import FolderSource, register
from trials.errors import InputError

HELDOUT_SHARE = 0.2
SPLIT_BY = "the fifth of the images (of each class) whose file names have the lowest SHA-256 is held out"
TRAIN_FOLDERS = ("train", "training")
HELDOUT_FOLDERS = ("val", "valid", "validation", "test")
MASK_FOLDERS = ("masks", "annotations")


class OwnFolder(FolderSource):
    """A folder of one's own images below the data folder, or the data folder itself."""

    name = "folder"
    carries = ("images", "labels", "masks")
    folders = ()
    marker = ""
    layout = "images/ and masks/, train/<class>/ and val/<class>/, <class>/, or images alone"

    def list_split(self, root: Path, split: str) -> Listing:
        masks = next((name for name in MASK_FOLDERS if (root / name).is_dir()), "")
        if (root / "images").is_dir() and masks:
            listing = _list_masked(root, split, root / "images", root / masks)
        elif (root / "images").is_dir() and not _images(root) and len(class_names(root)) == 1:
            raise InputError(f"{root} holds images/ and no masks/: put a mask of the same name there for each image, or name {root}/images.")
        elif (train := _one_of(root, TRAIN_FOLDERS)) is not None:
            listing = _list_split_folders(root, split, train)
        elif _images(root):
            listing = _flat(root, split, hold_out(root, _images(root), split), SPLIT_BY)
        else:
            listing = _list_classes(root, split)
        return listing


def _list_split_folders(root: Path, split: str, train: Path) -> Listing:
    """Folders for training and for holding out, each of one layout."""
    heldout = _one_of(root, HELDOUT_FOLDERS)
    if heldout is None:
        raise InputError(f"{root} holds {train.name}/ and none of {', '.join(HELDOUT_FOLDERS)}: add one, or name the folder {train} instead.")
    folder = train if split == "train" else heldout
    masks = next((name for name in MASK_FOLDERS if (train / name).is_dir()), "")
    if masks and (train / "images").is_dir():
        classes = _mask_classes(root, [*_images(train / masks), *_images(heldout / masks)])
        return _masked(root, split, folder / "images", folder / masks, _images(folder / "images"), classes, "")
    if class_names(train):
        listed = list_class_folders("folder", root, split, folder, class_names(train))
        return _of_classes(root, split, [Path(name) for name in listed.names], listed.labels.tolist(), listed.classes, "", listed.empty_classes)
    return _flat(root, split, _images(folder), "")


def _list_classes(root: Path, split: str) -> Listing:
    """Class folders that are not split."""
    classes = class_names(root)
    listed = list_class_folders("folder", root, split, root, classes)
    paths, labels = [Path(name) for name in listed.names], listed.labels
    if not paths:
        raise InputError(f"{root} holds no images ({' '.join(IMAGE_SUFFIXES)}), neither in itself nor in folders within: name the folder of images.")
    kept: list[Path] = []
    numbers: list[int] = []
    for label, name in enumerate(classes):
        own = [paths[i] for i in np.flatnonzero(labels == label)]
        if len(own) == 1:
            raise InputError(
                f"The class {name!r} in {root} has one image, so none can be held out for testing: add images of it, delete its folder, "
                "or split the images into train/ and val/ yourself."
            )
        chosen = hold_out(root, own, split)
        kept += chosen
        numbers += [label] * len(chosen)
    return _of_classes(root, split, kept, numbers, classes, SPLIT_BY, listed.empty_classes)


def _list_masked(root: Path, split: str, images: Path, masks: Path) -> Listing:
    train = _one_of(images, TRAIN_FOLDERS)
    if train is None:
        classes = _mask_classes(root, _images(masks))
        return _masked(root, split, images, masks, hold_out(root, _images(images), split), classes, SPLIT_BY)
    heldout = _one_of(images, HELDOUT_FOLDERS)
    if heldout is None:
        raise InputError(f"{images} holds {train.name}/ and none of {', '.join(HELDOUT_FOLDERS)}: add one, with its masks in {masks}.")
    classes = _mask_classes(root, [mask for folder in (train, heldout) for mask in _images(masks / folder.name)])
    folder = train if split == "train" else heldout
    return _masked(root, split, folder, masks / folder.name, _images(folder), classes, "")


def _mask_classes(root: Path, masks: list[Path]) -> MaskClasses:
    return read_classes(root / FILE) if (root / FILE).exists() else classes_in(masks)


def _masked(root: Path, split: str, images: Path, masks: Path, chosen: list[Path], classes: MaskClasses, split_by: str) -> Listing:
    found = {path.stem: path for path in _images(masks)}
    lacking = [path for path in chosen if path.stem not in found]
    if lacking:
        raise InputError(
            f"{len(lacking):,} of the {len(chosen):,} images in {images} have no mask in {masks}, the first is {lacking[0].name}: "
            "add a mask of the same name, or remove the image."
        )
    pairs = [(path, found[path.stem]) for path in chosen]
    table = classes.table()
    return Listing(
        name="folder",
        split=split,
        names=[str(path) for path in chosen],
        labels=np.zeros(len(chosen), dtype=np.int64),
        classes=("image",),
        fingerprint=content_fingerprint([path for pair in pairs for path in pair], root, f"{classes.values} {classes.names} {classes.ignored}"),
        read=lambda index: read_with_mask(*pairs[index], table, classes.said_by),
        mask_classes=classes.names,
        split_by=split_by,
    )


def _of_classes(
    root: Path, split: str, paths: list[Path], labels: list[int], classes: tuple[str, ...], split_by: str, empty: tuple[str, ...] = ()
) -> Listing:
    return Listing(
        name="folder",
        split=split,
        names=[str(path) for path in paths],
        labels=np.asarray(labels, dtype=np.int64),
        classes=classes,
        fingerprint=content_fingerprint(paths, root, str(labels)),
        read=lambda index: read_picture(paths[index]),
        empty_classes=empty,
        mask_classes=(),
        split_by=split_by,
    )


def _flat(root: Path, split: str, paths: list[Path], split_by: str) -> Listing:
    return _of_classes(root, split, paths, [0] * len(paths), ("image",), split_by)


def hold_out(root: Path, paths: Iterable[Path], split: str) -> list[Path]:
    """Those of the split, in the order of their names; of two images or more each split has one."""
    listed = list(paths)
    held = min(max(1, round(HELDOUT_SHARE * len(listed))), max(0, len(listed) - 1))
    turns = sorted(listed, key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(root).as_posix())).digest())
    return sorted(turns[:held] if split == "heldout" else turns[held:])


def _images(folder: Path) -> list[Path]:
    """Image files directly in a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."))


def _one_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


register(OwnFolder())
