"""The registry of data sources: where images come from, and what they carry.

A source is one file, or stands with others of its layout: a subclass of `FolderSource` for images on
disk, or of `trials.data.generated.GeneratedSource` for images made from a seed, registered with
`register`. A plug-in registers sources in the same way. The grid, its JSON Schema, the plan and
`trials.prepare` read them from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Literal

from trials.data.listing import Listing
from trials.data.mask_classes import TRIMAP
from trials.errors import InputError, nearest
from trials.received_files import is_plain_name
from trials.registry import Registry

KINDS = ("pretrain", "intermediate", "finetune")
PARTS = ("train", "heldout")

Carried = Literal["images", "labels", "masks", "boxes", "instance-masks"]


class Source(ABC):
    """One data set."""

    name: str
    """What a grid calls it."""
    carries: tuple[Carried, ...]
    """What comes with each image, or may come: 'images', and 'labels' (a class), 'masks' (a class a
    pixel), 'boxes' (of objects, with a class each) or 'instance-masks' (of the same objects).
    """
    mask_classes: tuple[str, ...] = TRIMAP
    """Names of the classes of its masks, unless a listing names others."""

    instance_classes: tuple[str, ...] = ()
    """Names of the classes of its objects, unless a listing names them."""

    @property
    def has_masks(self) -> bool:
        """Whether each image comes, or may come, with a mask."""
        return "masks" in self.carries

    @property
    def generated(self) -> bool:
        """Whether its images are made from a seed, in streams that never end."""
        return False

    def locate(self, data: Path, chosen: str = "") -> Path:
        """Its folder, given the data folder; the data folder itself where it needs none.

        Args:
            chosen: name of its folder below the data folder, as in `imagenet:FOLDER`.

        Raises:
            InputError: it is not there.
        """
        return data

    def split_name(self, kind: str, part: str, seed: int) -> str:
        """The split that a kind of stage trains on (`train`) or is measured on (`heldout`)."""
        return part


class FolderSource(Source):
    """A data set on disk, in a layout of its own."""

    folders: tuple[str, ...]
    """Names that its folder may have within the data folder."""
    marker: str
    """A path inside the folder by which it is recognised."""
    layout: str
    """The layout it must have, for the message when it has not."""

    @abstractmethod
    def list_split(self, root: Path, split: str) -> Listing:
        """What the split `train` or `heldout` holds, from the data set's folder. Decodes nothing."""

    def locate(self, data: Path, chosen: str = "") -> Path:
        """Looks in the data folder for each of `folders`, or takes the folder given for its own."""
        tried = [data / chosen] if chosen else [*(data / folder for folder in self.folders), data]
        for folder in tried:
            if (folder / self.marker).exists():
                return folder
        name = f"{self.name}:{chosen}" if chosen else self.name
        if not data.is_dir():
            raise InputError(f"Data for {name!r} not found: there is no folder {data}; name the folder that holds your data sets with --data.")
        raise InputError(
            f"Data for {name!r} not found: looked for {self.layout} in {', '.join(str(t) for t in tried)}; unpack the data set there "
            "or name another folder with --data."
        )


SOURCES: Registry[Source] = Registry(
    "data source",
    group="scaling_laws.sources",
    modules=(
        "trials.data.class_folders",
        "trials.data.pets",
        "trials.data.cifar10",
        "trials.data.own_folders",
        "trials.data.parquet_images",
        "trials.data.tars",
        "trials.data.ade20k",
        "trials.data.inaturalist",
        "trials.data.coco",
        "trials.data.leaves",
        "trials.data.leaf_scenes",
    ),
)
"""Every data source by name."""


def register(source: Source) -> Source:
    """Add a source to `SOURCES` under its name."""
    return SOURCES.register(source.name, source)


def get_source(name: str) -> Source:
    """The source of that name; `imagenet:FOLDER` names its folder below the data folder as well."""
    base, colon, chosen = name.partition(":")
    if base not in SOURCES:
        raise InputError(f"There is no data source {base[:60]!r}; {nearest(base[:60], SOURCES)}")
    source = SOURCES[base]
    if colon and source.generated:
        raise InputError(f"The images of {base} are generated, so it takes no folder: write {base!r}, not {name[:60]!r}.")
    if colon and not all(is_plain_name(part) for part in chosen.split("/")):
        raise InputError(f"{name[:60]!r} must name a folder below the data folder, as in '{base}:my-images'.")
    return source


def locate(name: str, data: Path) -> Path:
    """The folder of source `name` (or `name:FOLDER`), given the data folder, its parent, or the
    folder itself.
    """
    return get_source(name).locate(data, name.partition(":")[2])


def no_masks(name: str, purpose: str) -> str:
    """The sentence for a source whose images carry no masks of classes."""
    able = ", ".join(other for other, one in SOURCES.items() if one.has_masks)
    folder = " A folder of yours does with masks in masks/ beside images/." if name.partition(":")[0] == "folder" else ""
    return f"{name} carries no masks of classes, so it cannot be used for {purpose}; these do: {able}.{folder}"


def lacking(name: str, what: Carried, purpose: str) -> str:
    """The sentence for a source whose images lack something."""
    able = ", ".join(other for other, one in SOURCES.items() if what in one.carries)
    return f"{name} carries no {what.replace('-', ' ')}, so it cannot be used for {purpose}; these do: {able}."


def refuse_files_of_generated(name: str, storage: str) -> None:
    """Raise InputError where images are to be read from their own files and are made instead."""
    if storage == "files" and get_source(name).generated:
        raise InputError(f"{name} makes its images, so there are no files to read them from: set storage to pixels or jpeg.")


def split_name(name: str, kind: str, part: str, *, seed: int = 0) -> str:
    """The split of a source that a kind of stage trains on (`train`) or is measured on (`heldout`)."""
    return get_source(name).split_name(kind, part, seed)


@lru_cache(maxsize=32)
def list_split(name: str, data: Path, split: str) -> Listing:
    """List one split of a source on disk.

    Raises:
        InputError: no such source, its folder is missing, or it holds no images.
    """
    source = get_source(name)
    if not isinstance(source, FolderSource):
        raise InputError(f"The images of {name} are generated, so there is no file to list.")
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
