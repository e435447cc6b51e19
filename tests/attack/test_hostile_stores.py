"""Data sets and image stores made to mislead: links without end, names that lead elsewhere, and
records that claim a checksum was compared.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.trials.odd_images import FILES_OF_ONE_COLOUR, put
from tests.trials.test_pets import make_pets
from trials import InputError, open_store
from trials.data import checksum
from trials.data.checksum import VERIFIED
from trials.data.sources import list_split
from trials.prepare import main, prepare_split


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of four images in both splits."""
    for split in ("train", "val"):
        for name in ("n000", "n001"):
            put(tmp_path, dict(list(FILES_OF_ONE_COLOUR.items())[:4]), class_name=name, split=split)
    list_split.cache_clear()
    return tmp_path


@pytest.fixture
def store(data: Path) -> Path:
    return prepare_split("imagenet", data, data / "store", "train", 16)


def test_a_link_that_leads_to_itself_is_one_broken_image_and_not_a_broken_data_set(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "imagenet/train/n000/loop.png").symlink_to("loop.png")
    (data / "imagenet/train/n000/long.png").symlink_to("x" * 300)
    command = ["imagenet", "--from", str(data), "--store-px", "16"]
    assert main(command) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("2 of 10 images of imagenet cannot be decoded: ")
    assert "loop.png" in said
    assert main([*command, "--broken", "skip"]) == 0
    assert len(open_store(data / "store", "imagenet", "train", 16)) == 8


def test_a_store_has_the_rights_of_any_folder(store: Path) -> None:
    """Others can read a shared one as far as its maker's umask lets them."""
    (store.parent / "another").mkdir()
    assert store.stat().st_mode == (store.parent / "another").stat().st_mode


def test_a_data_set_of_nothing_but_looping_links_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(tmp_path, {})
    (folder / "loop.png").symlink_to("loop.png")
    assert main(["imagenet", "--from", str(tmp_path), "--store-px", "16", "--broken", "skip"]) == 2
    said = capsys.readouterr().err.strip()
    assert "are incomplete" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["../../../secret.png", "/etc/secret.png", ".."])
def test_a_table_of_images_names_no_file_elsewhere(data: Path, name: str) -> None:
    """Tiny ImageNet's table of validation images."""
    (data / "secret.png").write_bytes(FILES_OF_ONE_COLOUR["1.png"])
    put(data, {"own.png": FILES_OF_ONE_COLOUR["2.png"]}, class_name="images", split="val")
    (data / "imagenet/val/val_annotations.txt").write_text(f"own.png\tn000\n{name}\tn001\n")
    with pytest.raises(InputError, match=r"val_annotations\.txt names the image '.*', which is no plain file name"):
        prepare_split("imagenet", data, data / "store", "heldout", 16)


@pytest.mark.parametrize("name", ["../../secret", "/etc/secret"])
def test_a_list_of_pets_names_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    make_pets(tmp_path, each=2)
    with open(tmp_path / "oxford-iiit-pet/annotations/trainval.txt", "a") as handle:
        handle.write(f"{name} 1 1 1\n")
    with pytest.raises(InputError, match=r"trainval\.txt names the image '.*secret.jpg', which is no plain file name"):
        prepare_split("oxford-iiit-pet", tmp_path, tmp_path / "store", "train", 16)


def opened(store: Path) -> None:
    open_store(store.parent.parent, "imagenet", "train", 16)


def changed(store: Path) -> None:
    """Flip one pixel and leave the length."""
    pixels = np.memmap(store / "images.u8", np.uint8, "r+")
    pixels[100] ^= 1
    pixels.flush()


@pytest.fixture
def other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has opened nothing yet, and files count as old at once."""
    monkeypatch.setattr(checksum, "_known", set())
    monkeypatch.setattr(checksum, "_SETTLED_S", -1.0)


def forged(store: Path) -> None:
    """Write into the record the sizes, inodes and times that the files have now."""
    record = json.loads((store / VERIFIED).read_text())
    for name in record["files"]:
        found = (store / name).stat()
        record["files"][name] = [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    (store / VERIFIED).write_text(json.dumps(record))


def test_a_record_forged_for_changed_pixels_is_not_believed(store: Path, other_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(store)
    monkeypatch.setattr(checksum, "_known", set())
    changed(store)
    forged(store)
    with pytest.raises(InputError, match="is damaged, its pixels are not those that were written"):
        opened(store)


def test_a_file_put_in_the_place_of_another_is_compared_again(store: Path, other_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size and bytes, another inode."""
    opened(store)
    seen: list[Path] = []
    real = checksum.pixels_sha256
    monkeypatch.setattr(checksum, "pixels_sha256", lambda folder, manifest: (seen.append(folder), real(folder, manifest))[1])
    monkeypatch.setattr(checksum, "_known", set())
    opened(store)
    assert not seen
    before = (store / "images.u8").stat()
    (store / "copy").write_bytes((store / "images.u8").read_bytes())
    os.utime(store / "copy", ns=(before.st_atime_ns, before.st_mtime_ns))
    (store / "copy").rename(store / "images.u8")
    opened(store)
    assert seen == [store]


def test_the_blocks_that_are_read_again_lie_at_both_ends_and_between(store: Path, other_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "_BLOCKS", 3)
    monkeypatch.setattr(checksum, "_BLOCK_BYTES", 10)
    opened(store)
    size = (store / "images.u8").stat().st_size
    for place in (0, size - 1, size // 2):
        monkeypatch.setattr(checksum, "_known", set())
        pixels = np.memmap(store / "images.u8", np.uint8, "r+")
        pixels[place] ^= 1
        pixels.flush()
        forged(store)
        with pytest.raises(InputError, match="is damaged"):
            opened(store)
        pixels[place] ^= 1
        pixels.flush()


@pytest.mark.parametrize("junk", ["", "[" * 10_000, "3", '{"files": {}}'])
def test_a_damaged_record_costs_one_comparison(store: Path, other_process: None, junk: str) -> None:
    (store / VERIFIED).write_text(junk)
    opened(store)
    assert "sample" in json.loads((store / VERIFIED).read_text())


@pytest.mark.parametrize("name", ["images.u8", "labels.npy", "labels.sha256", "decode_report.json", VERIFIED])
def test_a_pipe_in_a_store_is_refused_and_not_waited_on(store: Path, name: str) -> None:
    (store / name).unlink(missing_ok=True)
    os.mkfifo(store / name)
    with pytest.raises(InputError, match=f"cannot be read .*{name} is no file"):
        opened(store)
