"""Images in tar files, for data sets of too many files to list: `tars:NAME` is a folder of tar files.

Nothing is unpacked, and no list of names is kept: an image is the place of its bytes and its class,
28 bytes of memory. Labels come from one of these, whichever the files hold:

```
train-000001.tar:  0001.jpg 0001.cls 0002.jpg 0002.cls     webdataset: a class number or name in .cls
train.tar:         n01440764/a.jpg n01443537/b.jpg          ImageFolder: the folder is the class
train/n01440764.tar:  a.jpg b.jpg                           a tar file for each class, as ImageNet's
```
Files in a folder `train` are trained on, those in `val` or `test` held out, whatever their names;
without such folders, files whose names hold `train`, and those whose names hold `val` or `test`.
Where no name says so, the images whose names' SHA-256 falls in the lowest fifth are held out.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import overload

import numpy as np

from trials.data.class_folders import IMAGE_SUFFIXES
from trials.data.decoding import FILE_BYTES, Broken, Picture, read_picture
from trials.data.listing import Listing, content_fingerprint
from trials.data.sources import FolderSource, register
from trials.errors import InputError

_TRAIN, _HELDOUT = re.compile(r"(^|[^a-z])train"), (re.compile(r"(^|[^a-z])val"), re.compile(r"(^|[^a-z])test"))
_SHARD = re.compile(r"[-_]?\d+$")
_SYNSET = re.compile(r"n\d{8}")
"""A class of ImageNet, whose number is no shard's."""
_PLAIN = re.compile(r"train(ing|val)?|val(id|idation)?|test(ing)?")
_LABEL_BYTES = 256
_BLOCK = 512


class Tars(FolderSource):
    """A folder of tar files below the data folder."""

    name = "tars"
    carries = ("images", "labels")
    folders = ()
    marker = ""
    layout = "tar files with images, such as train-000000.tar and val-000000.tar"

    def list_split(self, root: Path, split: str) -> Listing:
        train, heldout, by_name = _files(root)
        index = _index(root, train, keep="train" if by_name else None)
        labels, classes = index.labelled(root)
        if split == "heldout":  # a class has the number of the training files in both splits
            index = _index(root, heldout, keep="heldout" if by_name else None)
            labels, _ = index.labelled(root, classes)
        return Listing(
            name=self.name,
            split=split,
            names=_Names(index),
            labels=labels,
            classes=classes,
            fingerprint=content_fingerprint(index.tars, root, f"{split} {by_name} {classes}"),
            read=index.read,
        )


@dataclass(kw_only=True)
class _Labels:
    """A class for each image, by number; -1 for none."""

    names: dict[str, int] = field(default_factory=dict)
    """The number of each, in the order in which they were met."""
    numbers: array[int] = field(default_factory=lambda: array("i"))

    def add(self, name: str) -> None:
        """The class of the next image; empty for none."""
        self.numbers.append(-1)
        self.set(len(self.numbers) - 1, name)

    def set(self, place: int, name: str) -> None:
        """The class of an image that was added; empty for none."""
        if name:
            self.numbers[place] = self.names.setdefault(name, len(self.names))


@dataclass(kw_only=True)
class _Index:
    """The tar file, byte offset, length and class of every image of a split."""

    tars: list[Path]
    tar: array[int] = field(default_factory=lambda: array("I"))
    start: array[int] = field(default_factory=lambda: array("Q"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    written: _Labels = field(default_factory=lambda: _Labels())
    """By .cls."""
    placed: _Labels = field(default_factory=lambda: _Labels())
    """By the folder within the tar file, or the tar file."""

    def labelled(self, root: Path, classes: tuple[str, ...] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
        """(N,) labels and the names of the classes: whole numbers as they are, names sorted.

        Args:
            classes: of the training files, for held-out ones.

        Raises:
            InputError: an image has no class although others have, or one that no training file has.
        """
        used = self.written if self.written.names else self.placed
        own = np.frombuffer(used.numbers, dtype=np.int32) if len(self.start) else np.zeros(0, dtype=np.int32)
        if not used.names and classes in (None, ("image",)):
            return np.zeros(len(own), dtype=np.int64), ("image",)
        if (own < 0).any():
            raise InputError(
                f"{self.name(int(np.argmax(own < 0)))} has no class, as others in {root} have: add it in a .cls or a folder, or remove the image."
            )
        whole = all(re.fullmatch(r"\d{1,6}", name) for name in used.names)
        spelled = [f"class {int(name)}" for name in used.names] if whole else list(used.names)
        if classes is None:
            classes = tuple(f"class {number}" for number in range(max(map(int, used.names)) + 1)) if whole else tuple(sorted(spelled))
        position = {name: number for number, name in enumerate(classes)}
        new = next((number for number, name in enumerate(spelled) if name not in position), None)
        if new is not None:
            first = self.name(int(np.argmax(own == new)))
            raise InputError(f"{first} is of the class {spelled[new][:60]!r}, which the training files have not: remove it, or add it there.")
        return np.array([position[name] for name in spelled], dtype=np.int64)[own], classes

    def name(self, index: int) -> str:
        """The tar file and the member's name, read from the header before its bytes."""
        path = self.tars[self.tar[index]]
        try:
            with open(path, "rb") as handle:
                handle.seek(self.start[index] - _BLOCK)
                member = handle.read(100).split(b"\0")[0].decode("utf-8", "replace")
        except OSError:
            member = f"at byte {self.start[index]:,}"
        return f"{path}, {member}"

    def read(self, index: int) -> Picture:
        """Decode one image."""
        try:
            with open(self.tars[self.tar[index]], "rb") as handle:
                handle.seek(self.start[index])
                data = handle.read(self.size[index])
        except OSError as error:
            raise Broken(f"cannot be read from its tar file ({error})") from error
        if len(data) < self.size[index]:
            raise Broken("is cut off: its tar file ends before it does")
        return read_picture(data)


class _Names(Sequence[str]):
    """The names of the images, each read when it is asked for."""

    def __init__(self, index: _Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index.start)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._index.name(one) for one in range(*index.indices(len(self)))]
        return self._index.name(range(len(self))[index])


def _files(root: Path) -> tuple[list[Path], list[Path], bool]:
    """The tar files to train on, those held out, and whether images are split by their names."""
    every = sorted(path for path in root.rglob("*") if path.name.endswith((".tar", ".tar.gz", ".tgz")) and path.is_file())
    packed = next((path for path in every if not path.name.endswith(".tar")), None)
    if packed is not None:
        raise InputError(f"{packed} is compressed, so no single image of it can be read: unpack it to a .tar (gunzip), which is hardly larger.")
    if not every:
        raise InputError(f"{root} holds no tar files: name the folder that holds them.")
    named = {path: _split_folder(root, path) or path.relative_to(root).as_posix().lower() for path in every}
    train = [path for path, name in named.items() if _TRAIN.search(name)]
    heldout = next((found for one in _HELDOUT if (found := [path for path, name in named.items() if one.search(name) and path not in train])), [])
    if not train and not heldout:
        return every, every, True
    if not train or not heldout:
        lacks = "train" if not train else "val or test"
        raise InputError(f"No tar file in {root} has {lacks} in its name or its folder's, but others say what they are for: name them so.")
    return train, heldout, False


def _split_folder(root: Path, path: Path) -> str:
    """The nearest folder of a tar file that is named as a split; empty for none."""
    folders = reversed(path.relative_to(root).parent.as_posix().lower().split("/"))
    return next((folder for folder in folders if _PLAIN.fullmatch(folder)), "")


def _class_of(root: Path, path: Path) -> str:
    """The class that a tar file is named as; empty where its name says the split or the shard."""
    stem = path.stem.lower()
    if _SYNSET.fullmatch(stem):
        return path.stem
    if _split_folder(root, path):  # so that a class may begin as a split does: valley, trainers
        names_split = any(_PLAIN.fullmatch(word) for word in re.findall("[a-z]+", stem))
    else:
        names_split = any(one.search(stem) for one in (_TRAIN, *_HELDOUT))
    return "" if names_split or _SHARD.search(stem) else path.stem


def _index(root: Path, tars: list[Path], *, keep: str | None) -> _Index:
    """Find the images of tar files.

    Args:
        keep: the split to keep the images of, by their names; None keeps all.
    """
    index = _Index(tars=tars)
    for number, path in enumerate(tars):
        _add(index, root, number, path, keep)
    return index


def _add(index: _Index, root: Path, number: int, path: Path, keep: str | None) -> None:
    images: dict[str, int] = {}  # of this file, whose .cls was not met yet, by the name without suffix
    labels: dict[str, str] = {}
    of_class = _class_of(root, path)
    for member, text in _members(path):
        key = member.name.rpartition(".")[0]
        if text is not None:
            if key in images:
                index.written.set(images.pop(key), text)
            else:
                labels[key] = text
            continue
        if keep is not None and _held_out(f"{path.relative_to(root).as_posix()}/{member.name}") != (keep == "heldout"):
            continue
        if key not in labels:
            images[key] = len(index.start)
        index.tar.append(number)
        index.start.append(member.offset_data)
        index.size.append(member.size)
        index.written.add(labels.pop(key, ""))
        index.placed.add(PurePosixPath(member.name).parent.name or of_class)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, str | None]]:
    """The images of a tar file, and its labels with their text, in order; none is kept."""
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # which would hold every member
                suffix = PurePosixPath(member.name).suffix.lower()
                if not member.isreg() or member.issparse() or PurePosixPath(member.name).name.startswith("."):
                    continue
                if suffix == ".cls" and member.size <= _LABEL_BYTES:
                    held = tar.extractfile(member)
                    yield member, held.read().decode("utf-8", "replace").strip() if held is not None else ""
                elif suffix in IMAGE_SUFFIXES and member.size <= FILE_BYTES:
                    yield member, None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is no tar file that can be read ({' '.join(str(error).split())[:200]}): download it anew.") from None


def _held_out(name: str) -> bool:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] < 256 / 5


register(Tars())
