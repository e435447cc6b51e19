"""`coco:NAME`: images with boxes and instance masks, in COCO's format.

```
annotations/instances_train2017.json instances_val2017.json   train2017/ val2017/     COCO's own
annotations/instances_train.json instances_val.json           images/                 split
annotations.json                                              images/                 not split
```
Images may lie in a folder of the split's name, in `images/`, in such a folder of `images/`, or beside
the annotations. Without a split a fifth of the images is held out, as of `folder:NAME`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trials.data.coco_json import CocoFile, read_coco
from trials.data.decoding import Broken, Picture, read_picture
from trials.data.listing import Listing, content_fingerprint
from trials.data.own_folders import HELDOUT_FOLDERS, SPLIT_BY, TRAIN_FOLDERS, hold_out
from trials.data.sources import FolderSource, register
from trials.errors import InputError

PREFIX = "instances_"
_LOOKED_AT = 50  # names by which the folder of images is found


class CocoFormat(FolderSource):
    """A data set in COCO's format: images with boxes of objects, and masks where it has some."""

    name = "coco"
    carries = ("images", "labels", "boxes", "instance-masks")
    folders = ("coco",)
    marker = ""
    layout = "annotations/instances_train*.json and instances_val*.json, or annotations.json, with their images"

    def list_split(self, root: Path, split: str) -> Listing:
        files = annotation_files(root)
        read = {part: read_coco(path) for part, path in files.items()}
        if len({(one.categories, one.category_ids) for one in read.values()}) > 1:
            raise InputError(f"{files['train']} and {files['heldout']} have other categories: give both the same list.")
        found = read["train" if split == "train" else "heldout"]
        paths = _paths(root, found)
        chosen = list(range(len(paths)))
        if files["train"] == files["heldout"]:
            kept = set(hold_out(root, paths, split))
            chosen = [index for index in chosen if paths[index] in kept]
        if chosen and not any(not one.get("iscrowd", 0) for index in chosen for one in found.of_image[index]):
            raise InputError(f"{found.path} has no box in the images of split {split!r}: annotate some, or use folder:NAME for images alone.")
        has_masks = all(one.has_masks for one in read.values())
        return Listing(
            name=self.name,
            split=split,
            names=[str(paths[index]) for index in chosen],
            labels=np.zeros(len(chosen), dtype=np.int64),
            classes=("image",),
            fingerprint=content_fingerprint([paths[index] for index in chosen], root, f"{found.sha256} {has_masks}"),
            read=lambda place: _picture(found, chosen[place], paths[chosen[place]], has_masks),
            mask_classes=(),
            instance_classes=found.categories,
            has_instance_masks=has_masks,
            split_by=SPLIT_BY if files["train"] == files["heldout"] else "",
        )


def annotation_files(root: Path) -> dict[str, Path]:
    """The annotations of `train` and of `heldout`, one file for both where they are not split.

    Raises:
        InputError: there are none, one of the two is missing, or it is not clear which to take.
    """
    folder = root / "annotations"
    found = sorted(folder.glob(f"{PREFIX}*.json"))
    parts: dict[str, list[Path]] = {"train": [], "heldout": []}
    for path in found:
        name = path.stem.removeprefix(PREFIX)
        for part, names in (("train", TRAIN_FOLDERS), ("heldout", HELDOUT_FOLDERS)):
            parts[part] += [path] if name.startswith(names) else []
    several = next((paths for paths in parts.values() if len(paths) > 1), None)
    if several is not None:
        raise InputError(f"{folder} holds {several[0].name} and {several[1].name}: keep one file for each of training and testing there.")
    if parts["train"] and parts["heldout"]:
        return {part: paths[0] for part, paths in parts.items()}
    if parts["train"] or parts["heldout"]:
        there, missing = ("train", "val") if parts["train"] else ("val", "train")
        raise InputError(f"{folder} holds {PREFIX}{there}*.json and no {PREFIX}{missing}*.json: add it, or name the one file annotations.json.")
    alone = [path for path in (root / "annotations.json", folder / "annotations.json", *found) if path.is_file()]
    if not alone:
        raise InputError(f"{root} holds neither annotations/{PREFIX}train*.json nor annotations.json, as COCO's format has them: put them there.")
    return {"train": alone[0], "heldout": alone[0]}


def _paths(root: Path, found: CocoFile) -> list[Path]:
    """The path of each image that an annotations file lists, whether or not the file exists.

    Raises:
        InputError: none of the images is there.
    """
    split = found.path.stem.removeprefix(PREFIX)
    folders = [root / split, root / "images" / split, root / "images", root]
    names = found.names[:_LOOKED_AT]
    folder = next((one for one in folders if any((one / name).exists() for name in names)), None)
    if folder is None and names:
        looked = ", ".join(str(one) for one in folders)
        raise InputError(f"{found.path} names images that are not there, such as {names[0]}: looked in {looked}; put them into one.")
    return [(folder or root) / name for name in found.names]


def _picture(found: CocoFile, index: int, path: Path, has_masks: bool) -> Picture:
    """Decode an image, with its objects."""
    objects = found.objects(index)
    if not path.exists():
        raise Broken(f"is not there, though {found.path.name} names it")
    picture = read_picture(path)
    height, width = found.sizes[index]
    size = (picture.image.height, picture.image.width)
    if size != (height, width) and not any(kind.startswith("huge JPEG") for kind in picture.conversions):
        raise Broken(f"is {size[1]} x {size[0]} px, but {found.path.name} says {width} x {height}")
    if not has_masks and objects.runs:
        objects = type(objects)(classes=objects.classes, boxes=objects.boxes, crowds=objects.crowds)
    return Picture(image=picture.image, instances=objects.resized((height, width), size), conversions=picture.conversions, file=picture.file)


register(CocoFormat())
