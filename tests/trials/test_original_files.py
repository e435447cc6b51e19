"""Images that are read from their own files are those of a store of pixels, and a file that is not
what it was is said.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trials.conftest import MakeSpec
from trials import StageSpec, run_stage, stage_id
from trials.data.original_files import OriginalFiles
from trials.data.sources import list_split
from trials.data.store import describe_split, open_store, store_folder, store_is_ready
from trials.errors import InputError
from trials.prepare import prepare_split
from trials.recipes.fields import Storage

SIZES = {"train/a/0.jpg": (40, 30), "train/a/1.png": (90, 60), "train/b/2.jpg": (33, 20), "train/b/3.png": (24, 64), "val/a/4.png": (30, 30)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of five photographs-to-be of different sizes, in two classes."""
    random = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        path = tmp_path / "imagenet" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    list_split.cache_clear()
    return tmp_path


def prepared(data: Path, storage: Storage, split: str = "train") -> None:
    prepare_split("imagenet", data, data / "store", split, 24, storage)


def test_images_of_their_own_files_are_those_of_a_store_of_pixels(data: Path) -> None:
    for storage in ("pixels", "files"):
        prepared(data, storage)  # type: ignore[arg-type]
    stored, read = (open_store(data / "store", "imagenet", "train", 24, storage) for storage in ("pixels", "files"))  # type: ignore[arg-type]
    assert isinstance(read.images, OriginalFiles)
    assert read.images.slow
    read.images.prefetch([2, 0])
    assert read.sizes.tolist() == stored.sizes.tolist() == [[24, 32], [24, 36], [20, 33], [64, 24]]
    for one, other in zip(stored.images, read.images, strict=True):
        assert np.array_equal(one, other)
    assert read.labels.tolist() == [0, 0, 1, 1]
    folder = store_folder(data / "store", "imagenet", "train", 24, "files")
    assert not (folder / "images.u8").exists()
    open_store(data / "store", "imagenet", "train", 24, "files", checksum="always")
    (folder / "files.json").write_text((folder / "files.json").read_text().replace('"data": "/', '"data": "_'))
    with pytest.raises(InputError, match=r"is damaged.*--store-px 24 --storage files"):
        open_store(data / "store", "imagenet", "train", 24, "files", checksum="always")


def test_a_stage_that_reads_files_trains_as_one_that_reads_a_store(data: Path, make_spec: MakeSpec) -> None:
    losses = []
    for storage in ("pixels", "files"):
        for split in ("train", "heldout"):
            prepared(data, storage, split)  # type: ignore[arg-type]
        spec = of_these_images(make_spec("pretrain"), data, storage)  # type: ignore[arg-type]
        folder = data / "stages" / stage_id(spec)
        folder.mkdir(parents=True)
        losses.append(run_stage(spec, folder, data / "store", cpus=1)["metrics"])
    assert losses[0] == losses[1]


def of_these_images(spec: StageSpec, data: Path, storage: Storage) -> StageSpec:
    """The stage on the four images for training and the one held out."""
    prints = {split: describe_split("imagenet", data, split).fingerprint for split in ("train", "heldout")}
    return replace(
        spec,
        data=replace(
            spec.data,
            source="imagenet",
            train_split="train",
            train_fingerprint=prints["train"],
            train_images=4,
            heldout_split="heldout",
            heldout_fingerprint=prints["heldout"],
            heldout_images=1,
            store_px=24,
            storage=storage,
        ),
    )


def test_files_that_changed_are_said(data: Path) -> None:
    prepared(data, "files")
    path = data / "imagenet" / "train" / "b" / "2.jpg"
    kept = path.read_bytes()
    opened = open_store(data / "store", "imagenet", "train", 24, "files")
    assert opened.images[0].shape == (24, 32, 3)
    path.write_bytes(kept[:300])
    with pytest.raises(
        InputError, match=r"2\.jpg below .* can no longer be read: it .*Put the data back as they were, or prepare it with: .*--storage files"
    ):
        opened.images[2]
    Image.new("RGB", (50, 50)).save(path)
    with pytest.raises(InputError, match=r"2\.jpg below .* is no longer the image that it was"):
        opened.images[2]
    list_split.cache_clear()  # as in the next process
    with pytest.raises(InputError, match="are not those that were there"):
        open_store(data / "store", "imagenet", "train", 24, "files").images[0]
    assert not store_is_ready(
        data / "store", "imagenet", "train", 24, "files", info=describe_split("imagenet", data, "train"), images=4
    )  # so a launch makes it anew
    prepared(data, "files")
    assert open_store(data / "store", "imagenet", "train", 24, "files").sizes[2].tolist() == [24, 24]


def test_broken_files_are_left_out(data: Path) -> None:
    (data / "imagenet" / "train" / "a" / "1.png").write_bytes(b"no image")
    list_split.cache_clear()
    with pytest.raises(InputError, match="1 of 4 images"):
        prepared(data, "files")
    prepare_split("imagenet", data, data / "store", "train", 24, "files", broken="skip")
    read = open_store(data / "store", "imagenet", "train", 24, "files")
    assert read.sizes.tolist() == [[24, 32], [20, 33], [64, 24]]
    assert [image.shape[:2] for image in read.images] == [(24, 32), (20, 33), (64, 24)]


def test_generated_images_have_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves makes its images, so there are no files to read them from"):
        prepare_split("leaves", tmp_path, tmp_path / "store", "pretrain-train", 16, "files", images=2)
