"""Preparing and opening stores: decoded rightly, once, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trials import InputError, open_store
from trials.data.decoding import fit_short
from trials.data.packed import Encoded
from trials.data.sources import get_source, list_split, locate
from trials.data.store import store_folder
from trials.prepare import main, prepare_split


def make_class_folders(root: Path, *, classes: int = 3, each: int = 4, side: int = 20) -> None:
    """ImageNet's layout, in colours that say class and number."""
    for split in ("train", "val"):
        for label in range(classes):
            folder = root / "imagenet" / split / f"n{label:03d}"
            folder.mkdir(parents=True)
            for number in range(each):
                Image.new("RGB", (side + 8, side), (40 * label, 20 * number, 200)).save(folder / f"{number}.png")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    make_class_folders(tmp_path)
    return tmp_path


def test_class_folders_become_a_store(folders: Path) -> None:
    root = folders / "store"
    prepare_split("imagenet", folders, root, "train", 16)
    store = open_store(root, "imagenet", "train", 16)
    assert store.sizes.tolist() == [[16, 22]] * 12  # of 28 x 20 px: the aspect is kept
    assert len(store.images) == 12
    assert {image.shape for image in store.images} == {(16, 22, 3)}
    assert store.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert store.classes == ("n000", "n001", "n002")
    assert store.images[5][0, 0].tolist() == [40, 20, 200]
    manifest = json.loads((store_folder(root, "imagenet", "train", 16) / "manifest.json").read_text())
    assert manifest["images_per_class"] == [4, 4, 4]


def test_a_store_is_made_once_and_made_anew_when_the_files_change(folders: Path) -> None:
    root = folders / "store"
    made = prepare_split("imagenet", folders, root, "train", 16) / "manifest.json"
    first = made.stat().st_mtime_ns
    prepare_split("imagenet", folders, root, "train", 16)
    assert made.stat().st_mtime_ns == first
    Image.new("RGB", (30, 30)).save(folders / "imagenet/train/n000/extra.png")
    list_split.cache_clear()
    prepare_split("imagenet", folders, root, "train", 16)
    assert len(open_store(root, "imagenet", "train", 16)) == 13


def test_a_truncated_image_is_named_and_nothing_half_made_stays(folders: Path) -> None:
    broken = folders / "imagenet/train/n001/2.png"
    broken.write_bytes(broken.read_bytes()[:40])
    list_split.cache_clear()
    sentence = r"1 of 12 images of imagenet cannot be decoded: .*n001/2\.png .*Replace or delete them, or go on without them by --broken skip"
    with pytest.raises(InputError, match=sentence):
        prepare_split("imagenet", folders, folders / "store", "train", 16)
    assert not store_folder(folders / "store", "imagenet", "train", 16).exists()
    assert [p.name for p in (folders / "store" / "imagenet@16").iterdir() if p.is_dir()] == []


def test_a_store_that_was_cut_short_is_not_trusted(folders: Path) -> None:
    root = folders / "store"
    folder = prepare_split("imagenet", folders, root, "train", 16)
    (folder / "images.u8").write_bytes(b"x" * 10)
    with pytest.raises(InputError, match=r"images\.u8 holds 10 bytes instead of 12,672: delete that folder and prepare it with"):
        open_store(root, "imagenet", "train", 16)


def test_missing_data_say_what_was_looked_for_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"Data for 'intel-scenes' not found: looked for seg_train/seg_train/<class>/"):
        locate("intel-scenes", tmp_path)
    assert main(["intel-scenes", "--from", str(tmp_path), "--size", "32"]) == 2
    assert "unpack the data set there" in capsys.readouterr().err
    with pytest.raises(InputError, match="no data source 'intel-scene'; did you mean 'intel-scenes'"):
        locate("intel-scene", tmp_path)


def test_images_keep_their_aspect_and_masks_follow_them() -> None:
    image = Image.new("RGB", (60, 30), (255, 0, 0))
    image.paste((0, 0, 255), (15, 0, 45, 30))
    mask = np.ones((30, 60), np.uint8)
    mask[:, 15:45] = 2
    small, labels = fit_short(image, mask, 12)
    assert small.size == (24, 12)
    assert labels is not None
    assert labels[6].tolist() == [1] * 6 + [2] * 12 + [1] * 6
    assert [small.getpixel((x, 6)) for x in (0, 12)] == [(255, 0, 0), (0, 0, 255)]


def test_images_smaller_than_the_store_stay_as_they_are() -> None:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    kept, none = fit_short(image, None, 30)
    assert kept is image
    assert none is None
    assert fit_short(image, None, 64)[0] is image


def test_a_store_of_squares_is_refused_and_made_anew_by_a_launch(folders: Path) -> None:
    root = folders / "store"
    folder = prepare_split("imagenet", folders, root, "train", 16)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 1, "image_px": 16}))
    sentence = (
        r"is of another version, whose images are already cut to squares: delete that folder and prepare it with: "
        r"python -m trials\.prepare imagenet --from DIR --store-px 16\."
    )
    with pytest.raises(InputError, match=sentence):
        open_store(root, "imagenet", "train", 16)
    prepare_split("imagenet", folders, root, "train", 16)
    assert len(open_store(root, "imagenet", "train", 16)) == 12


def test_encoded_images_are_the_files_themselves_or_encoded_anew(tmp_path: Path) -> None:
    """A JPEG file that is small enough is kept byte for byte; others are near what decoding gives."""
    folder = tmp_path / "imagenet" / "train" / "n000"
    folder.mkdir(parents=True)
    pictures = {"0.jpg": (40, 30), "1.jpg": (90, 60), "2.png": (33, 20)}
    for number, (name, size) in enumerate(pictures.items()):
        Image.radial_gradient("L").resize(size).convert("RGB").rotate(90 * number).save(folder / name, quality=90)
    list_split.cache_clear()
    for storage in ("pixels", "jpeg"):
        prepare_split("imagenet", tmp_path, tmp_path / "store", "train", 30, storage)  # type: ignore[arg-type]
    plain, coded = (open_store(tmp_path / "store", "imagenet", "train", 30, storage) for storage in ("pixels", "jpeg"))  # type: ignore[arg-type]
    assert isinstance(coded.images, Encoded)
    assert coded.images.file(0).tobytes() == (folder / "0.jpg").read_bytes()
    assert np.array_equal(plain.sizes, coded.sizes)
    assert coded.sizes.tolist() == [[30, 40], [30, 45], [20, 33]]
    coded.images.prefetch([1, 2])
    for decoded, read in zip(plain.images, coded.images, strict=True):
        assert np.abs(decoded.astype(int) - read).mean() < 1.5
    assert np.array_equal(plain.images[0], coded.images[0])
    with open(store_folder(tmp_path / "store", "imagenet", "train", 30, "jpeg") / "images.jpeg", "r+b") as handle:
        handle.seek(700)
        handle.write(b"\x00\x01\x02")
    with pytest.raises(InputError, match=r"is damaged.*--store-px 30 --storage jpeg"):
        open_store(tmp_path / "store", "imagenet", "train", 30, "jpeg", checksum="always")


@pytest.mark.parametrize("wrong", [[[16, 22]] * 11 + [[22, 16]], [[16, 22]] * 11 + [[16, 23]], [[16, 22]] * 11 + [[0, 22]]])
def test_sizes_that_are_not_those_written_are_refused(folders: Path, wrong: list[list[int]]) -> None:
    root = folders / "store"
    folder = prepare_split("imagenet", folders, root, "train", 16)
    np.save(folder / "sizes.npy", np.array(wrong))
    with pytest.raises(InputError, match=r"(sizes of the images|is damaged).*delete that folder and prepare it with"):
        open_store(root, "imagenet", "train", 16)


def test_generated_stores_grow_with_the_same_beginning(tmp_path: Path) -> None:
    prepare_split("leaves", tmp_path, tmp_path, "finetune-train-0", 16, images=5)
    few = np.array(open_store(tmp_path, "leaves", "finetune-train-0", 16).images[:])
    prepare_split("leaves", tmp_path, tmp_path, "finetune-train-0", 16, images=9)
    more = open_store(tmp_path, "leaves", "finetune-train-0", 16)
    assert len(more) == 9
    assert more.masks is not None
    assert np.array_equal(np.array(more.images[:5]), few)


def test_generated_images_do_not_depend_on_how_many_processes_make_them(tmp_path: Path) -> None:
    prepare_split("leaves", tmp_path, tmp_path / "many", "pretrain-train-0", 16, images=450)
    prepare_split("leaves", tmp_path, tmp_path / "few", "pretrain-train-0", 16, images=150)
    many = open_store(tmp_path / "many", "leaves", "pretrain-train-0", 16)
    few = open_store(tmp_path / "few", "leaves", "pretrain-train-0", 16)
    assert all(np.array_equal(one, other) for one, other in zip(many.images[:150], few.images, strict=True))


@pytest.mark.parametrize(
    ("source", "train", "heldout", "classes", "masks"),
    [("imagenet", 100_000, 5_000, 200, False), ("intel-scenes", 8_741, 2_158, 6, False), ("oxford-iiit-pet", 497, 196, 32, True)],
)
def test_real_data_sets_are_listed_whole(real_data: Path, source: str, train: int, heldout: int, classes: int, masks: bool) -> None:
    listing = list_split(source, real_data, "train")
    assert (len(listing), len(list_split(source, real_data, "heldout"))) == (train, heldout)
    assert len(set(listing.labels.tolist())) == classes
    assert get_source(source).has_masks == masks
    picture = listing.read(0)
    assert picture.image.mode == "RGB"
    assert (picture.mask is not None) == masks


def test_real_pets_have_the_documented_pixel_shares(real_data: Path, tmp_path: Path) -> None:
    counts = np.zeros(3)
    for split in ("train", "heldout"):
        prepare_split("oxford-iiit-pet", real_data, tmp_path, split, 64)
        masks = open_store(tmp_path, "oxford-iiit-pet", split, 64).masks
        assert masks is not None
        counts += sum(np.bincount(mask.ravel(), minlength=3) / mask.size for mask in masks)
    assert counts / counts.sum() == pytest.approx([0.287, 0.588, 0.125], abs=0.01)  # as the data's README says


def test_cifar10_is_read_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10's own files, made small; its checksums are those of the real ones, so the check is
    stood down.
    """
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.arange(3072 * 4, dtype=np.uint8).reshape(4, 3072)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 2, 3]}))
    names = ["airplane", "automobile", "bird", "cat"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a, **k: True)
    prepare_split("cifar10", tmp_path, tmp_path / "store", "train", 32)
    store = open_store(tmp_path / "store", "cifar10", "train", 32)
    assert len(store) == 20
    assert store.classes == tuple(names)
    assert np.array_equal(np.array(store.images[1]), pixels[1].reshape(3, 32, 32).transpose(1, 2, 0))


def test_a_class_has_the_same_number_in_every_split(folders: Path) -> None:
    import shutil

    shutil.rmtree(folders / "imagenet/val/n000")  # a held-out set may lack a class
    (folders / "imagenet/train/.cache").mkdir()  # and a hidden folder is none
    list_split.cache_clear()
    assert list_split("imagenet", folders, "heldout").labels.tolist() == [1] * 4 + [2] * 4
    (folders / "imagenet/val/zebra").mkdir()
    list_split.cache_clear()
    with pytest.raises(InputError, match="holds the class 'zebra', which the training folder has not"):
        list_split("imagenet", folders, "heldout")


def test_incomplete_pets_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "oxford-iiit-pet/annotations/trimaps").mkdir(parents=True)
    list_split.cache_clear()
    with pytest.raises(InputError, match=r"Data for 'oxford-iiit-pet' in .* are incomplete .*unpack the data set anew"):
        list_split("oxford-iiit-pet", tmp_path, "train")


def test_each_seed_has_generated_images_of_its_own_and_all_have_equal_classes(leaves_store: Path) -> None:
    first, second = (open_store(leaves_store, "leaves", f"finetune-train-{seed}", 16) for seed in (0, 1))
    assert not np.array_equal(np.array(first.images[:8]), np.array(second.images[:8]))
    for prefix in (8, 20, 40):
        counts = np.bincount(first.labels[:prefix], minlength=8)
        assert counts.max() - counts.min() <= 1
