"""A store that no longer holds what was written is refused; one that does is read once for each
state of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.trials.odd_images import FILES_OF_ONE_COLOUR, put
from trials import InputError, open_store
from trials.data import checksum
from trials.data.manifest import read_manifest
from trials.data.sources import list_split
from trials.prepare import main, prepare_split


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a store of eight images in two classes."""
    for split in ("train", "val"):
        for name in ("n000", "n001"):
            put(tmp_path, dict(list(FILES_OF_ONE_COLOUR.items())[:4]), class_name=name, split=split)
    list_split.cache_clear()
    return prepare_split("imagenet", tmp_path, tmp_path / "store", "train", 16)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old at once, so that a state is remembered."""
    monkeypatch.setattr(checksum, "_SETTLED_S", -1.0)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose pixels were read, one entry each time."""
    seen: list[Path] = []
    real = checksum.pixels_sha256

    def counted(folder: Path, manifest: object) -> str:
        seen.append(folder)
        return real(folder, manifest)  # type: ignore[arg-type]

    monkeypatch.setattr(checksum, "pixels_sha256", counted)
    return seen


def flip(path: Path, place: int) -> None:
    """Change one bit, leaving the length."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns + 1_000_000))  # as any later change has


def opened(folder: Path) -> None:
    open_store(folder.parent.parent, "imagenet", "train", 16)


def test_one_changed_bit_of_the_pixels_is_refused_and_not_quietly_mended(store: Path, settled: None) -> None:
    opened(store)
    flip(store / "images.u8", 1000)
    sentence = r"is damaged, its pixels are not those that were written \(another SHA-256\): delete that folder and prepare it with.*may be wrong"
    with pytest.raises(InputError, match=sentence):
        opened(store)
    with pytest.raises(InputError, match=sentence):  # what was trained on it must be known to be in doubt
        prepare_split("imagenet", store.parents[2], store.parents[1], "train", 16)


def test_labels_that_changed_places_are_refused(store: Path, settled: None) -> None:
    opened(store)
    labels = np.load(store / "labels.npy")
    np.save(store / "labels.npy", labels[::-1])
    with pytest.raises(InputError, match="is damaged, its labels are not those that were written"):
        opened(store)


def test_a_label_of_another_class_is_refused_even_where_no_checksum_of_labels_was_written(store: Path) -> None:
    (store / "labels.sha256").unlink()  # as before there was one
    opened(store)
    labels = np.load(store / "labels.npy")
    labels[0] = 1
    np.save(store / "labels.npy", labels)
    with pytest.raises(InputError, match=r"labels\.npy does not hold the labels that the manifest counts"):
        opened(store)


def test_pixels_are_read_once_for_each_state_of_the_files(store: Path, settled: None, compared: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        opened(store)
    assert len(compared) == 1
    monkeypatch.setattr(checksum, "_known", set())  # another process
    opened(store)
    assert len(compared) == 1
    os.utime(store / "images.u8")
    opened(store)
    assert len(compared) == 2
    copy = store.parent.parent / "imagenet@16" / "copied"
    store.rename(copy)  # elsewhere, the record is not believed
    open_store(store.parent.parent, "imagenet", "copied", 16)
    assert len(compared) == 3


def test_a_store_just_written_is_not_remembered_since_a_change_could_keep_its_time(
    store: Path, compared: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksum, "_SETTLED_S", 3600.0)
    opened(store)
    opened(store)
    assert len(compared) == 2
    assert not (store / "verified.json").exists()


@pytest.mark.parametrize("junk", ["", "[", "null", "3", "[" * 10_000, '{"folder": 1}'])
def test_a_record_that_is_damaged_is_not_believed(store: Path, settled: None, compared: list[Path], junk: str) -> None:
    (store / "verified.json").write_text(junk)
    opened(store)
    assert len(compared) == 1
    assert json.loads((store / "verified.json").read_text())["folder"] == str(store.resolve())


def test_the_command_verifies_in_any_case(store: Path, settled: None, capsys: pytest.CaptureFixture[str]) -> None:
    data = store.parents[2]
    prepare_split("imagenet", data, data / "store", "heldout", 16)
    command = ["imagenet", "--from", str(data), "--store-px", "16", "--verify"]
    assert main(command) == 0
    assert capsys.readouterr().out.count("8 images, checksums hold") == 2
    state = os.stat(store / "images.u8")
    opened(store)
    flip(store / "images.u8", 5)
    os.utime(store / "images.u8", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert main(command) == 2
    assert "is damaged, its pixels are not those that were written" in capsys.readouterr().err


def test_verifying_what_is_not_there_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imagenet", "--from", str(tmp_path), "--store-px", "16", "--verify"]) == 2
    assert "No image store in" in capsys.readouterr().err


@pytest.mark.parametrize("chunk_bytes", [1, 5000, 1 << 20])
def test_the_checksum_is_over_each_image_and_its_mask_in_order(leaves_store: Path, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "_CHUNK_BYTES", chunk_bytes)
    store = open_store(leaves_store, "leaves", "finetune-heldout", 16)
    assert store.masks is not None
    pixels = b"".join(image.tobytes() + mask.tobytes() for image, mask in zip(store.images, store.masks, strict=True))
    expected = hashlib.sha256(pixels + store.sizes.tobytes()).hexdigest()
    folder = leaves_store / "leaves@16/finetune-heldout"
    assert checksum.pixels_sha256(folder, read_manifest(folder, "")) == expected


def test_labels_sum_is_what_sha256sum_checks(store: Path) -> None:
    digest = hashlib.sha256((store / "labels.npy").read_bytes()).hexdigest()
    assert (store / "labels.sha256").read_text() == f"{digest}  labels.npy\n"
