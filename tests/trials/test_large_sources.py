"""Data sets in layouts of their own: tar files, ADE20K and iNaturalist-2018; what is wrong with them
is one sentence before anything is trained.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trials import InputError, open_store, prepare_split
from trials.data.decoding import Broken
from trials.data.mask_classes import IGNORED
from trials.data.sources import list_split
from trials.data.store import describe_split


def png(shade: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (18, 16), (shade, 0, 7)).save(written, "PNG")
    return written.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def shades(data: Path, source: str, split: str) -> tuple[list[int], list[int], tuple[str, ...]]:
    """First value and label of each image of a store, and its classes."""
    prepare_split(source, data, data / "store", split, 16)
    store = open_store(data / "store", source, split, 16)
    return [int(image[0, 0, 0]) for image in store.images], store.labels.tolist(), store.classes


def test_webdataset_tars_have_their_labels_beside_the_images_in_any_order(tmp_path: Path) -> None:
    write_tar(tmp_path / "mine/train-000000.tar", {"a.png": png(1), "a.cls": b"2\n", "b.cls": b"0", "b.png": png(2), "b.json": b"{}"})
    write_tar(tmp_path / "mine/train-000001.tar", {"deep/" + "n" * 120 + ".png": png(3), "deep/" + "n" * 120 + ".cls": b"1"})
    write_tar(tmp_path / "mine/val-000000.tar", {"c.png": png(4), "c.cls": b"1"})
    assert shades(tmp_path, "tars:mine", "train") == ([1, 2, 3], [2, 0, 1], ("class 0", "class 1", "class 2"))
    assert shades(tmp_path, "tars:mine", "heldout") == ([4], [1], ("class 0", "class 1", "class 2"))
    assert list_split("tars:mine", tmp_path, "train").names[1].endswith("train-000000.tar, b.png")


def test_folders_in_a_tar_are_classes_and_so_are_tars_of_their_own(tmp_path: Path) -> None:
    write_tar(tmp_path / "a/train.tar", {"owl/1.png": png(1), "cat/1.png": png(2), "cat/._1.png": b"not an image"})
    write_tar(tmp_path / "a/val.tar", {"owl/9.png": png(3)})
    assert shades(tmp_path, "tars:a", "train") == ([1, 2], [1, 0], ("cat", "owl"))
    assert shades(tmp_path, "tars:a", "heldout") == ([3], [1], ("cat", "owl"))
    for split in ("train", "val"):
        write_tar(tmp_path / f"b/{split}/owl.tar", {"1.png": png(1), "2.png": png(2)})
        write_tar(tmp_path / f"b/{split}/cat.tar", {"3.png": png(3)})
    assert shades(tmp_path, "tars:b", "train") == ([3, 1, 2], [0, 1, 1], ("cat", "owl"))


def test_tars_that_say_no_split_hold_out_a_fifth_by_name(tmp_path: Path) -> None:
    write_tar(tmp_path / "a/owl.tar", {f"{number}.png": png(number) for number in range(60)})
    write_tar(tmp_path / "a/cat.tar", {f"{number}.png": png(100 + number) for number in range(60)})
    train, heldout = (set(list_split("tars:a", tmp_path, split).names) for split in ("train", "heldout"))
    assert not train & heldout
    assert len(train | heldout) == 120
    assert 12 <= len(heldout) <= 36
    assert list_split("tars:a", tmp_path, "heldout").classes == ("cat", "owl")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, r"holds no tar files: name the folder that holds them"),
        ({"train-0.tar": {"a.png": png(1)}}, r"No tar file in .* has val or test in its name or its folder's"),
        (
            {"train-0.tar": {"a.png": png(1), "a.cls": b"1", "b.png": png(2)}, "val-0.tar": {"a.png": png(1)}},
            r"train-0\.tar, b\.png has no class, as others in",
        ),
        (
            {"train.tar": {"cat/a.png": png(1)}, "val.tar": {"owl/a.png": png(1)}},
            r"val\.tar, owl/a\.png is of the class 'owl', which",
        ),
        ({"train-0.tar": {"a.png": png(1), "a.cls": b"1"}, "val-0.tar": {"a.png": png(1)}}, r"val-0\.tar, a\.png has no class, as others in"),
        (
            {"train-0.tar": {"a.png": png(1), "a.cls": b"1", "b.png": png(2), "b.cls": b"\n"}, "val-0.tar": {"a.png": png(1)}},
            r"train-0\.tar, b\.png has no class, as others in",
        ),
        (
            {"train-0.tar": {"a.png": png(1), "a.cls": b"1", "b.cls": b"\n", "b.png": png(2)}, "val-0.tar": {"a.png": png(1)}},
            r"train-0\.tar, b\.png has no class, as others in",
        ),
    ],
)
def test_tars_that_do_not_serve_are_one_sentence(tmp_path: Path, files: dict[str, dict[str, bytes]], sentence: str) -> None:
    (tmp_path / "mine").mkdir()
    for name, members in files.items():
        write_tar(tmp_path / "mine" / name, members)
    with pytest.raises(InputError, match=sentence):
        [list_split("tars:mine", tmp_path, split) for split in ("train", "heldout")]


def test_a_compressed_or_foreign_tar_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/train-0.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"train-0\.tar\.gz is compressed, so no single image of it can be read: unpack it"):
        list_split("tars:a", tmp_path, "train")
    (tmp_path / "b").mkdir()
    for name in ("train-0.tar", "val-0.tar"):
        (tmp_path / "b" / name).write_bytes(b"x" * 700)
    with pytest.raises(InputError, match=r"train-0\.tar is no tar file that can be read"):
        list_split("tars:b", tmp_path, "train")


def ade20k(root: Path) -> Path:
    """Three images of the challenge's layout: the first rows of each mask are of no class."""
    values = np.repeat(np.array([1, 13, 150, 2], dtype=np.uint8), 4)[None].repeat(16, axis=0)
    values[:4] = 0
    for part, count in (("training", 2), ("validation", 1)):
        for number in range(count):
            for kind, image in (("images", Image.new("RGB", (16, 16), (number, 9, 9))), ("annotations", Image.fromarray(values))):
                (root / kind / part).mkdir(parents=True, exist_ok=True)
                image.save(root / kind / part / f"ADE_{part}_{number}.{'png' if kind == 'annotations' else 'jpg'}")
    return root


def test_ade20ks_pixels_without_a_class_do_not_count(tmp_path: Path) -> None:
    root = ade20k(tmp_path / "ADEChallengeData2016")
    prepare_split("ade20k", tmp_path, tmp_path / "store", "train", 16)
    store = open_store(tmp_path / "store", "ade20k", "train", 16)
    assert len(store.mask_classes) == 150
    assert store.masks is not None
    assert store.masks[0][0].tolist() == [IGNORED] * 16
    assert store.masks[0][8].tolist() == [0] * 4 + [12] * 4 + [149] * 4 + [1] * 4
    rows = [f"{number}\t0.1\t1\t1\t0\t{name}" for number, name in enumerate(["wall", "door, leaf", *["lamp"] * 148], start=1)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tStuff\tName", *rows]) + "\n")
    list_split.cache_clear()
    assert describe_split("ade20k", tmp_path, "heldout").mask_classes[:4] == ("wall", "door", "lamp 3", "lamp 4")
    (root / "annotations/validation/ADE_validation_0.png").unlink()
    list_split.cache_clear()
    with pytest.raises(InputError, match=r"1 of the 1 images in .*validation have no mask, the first is without .*ADE_validation_0\.png: unpack"):
        list_split("ade20k", tmp_path, "heldout")


def inaturalist(root: Path) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Three species with 1, 2 and 3 training images, and one held-out image of each but the last."""
    tables: dict[str, dict[str, list[dict[str, object]]]] = {}
    for split, counts in (("train", (1, 2, 3)), ("val", (1, 1, 0))):
        categories: list[dict[str, object]] = [{"id": number, "name": str(number), "supercategory": "Plantae"} for number in (2, 10, 7)]
        table: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": categories}
        for number, count in zip((2, 7, 10), counts, strict=True):
            for place in range(count):
                name = f"train_val2018/Plantae/{number}/{split}{place}.jpg"
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (18, 18), (number, place, 0)).save(root / name)
                table["images"].append({"id": 100 * number + place, "file_name": name, "width": 18})
                table["annotations"].append({"id": len(table["annotations"]), "image_id": 100 * number + place, "category_id": number})
        tables[split] = table
        (root / f"{split}2018.json").write_text(json.dumps(table))
    return tables


def test_inaturalist_is_read_in_its_own_layout(tmp_path: Path) -> None:
    inaturalist(tmp_path / "inaturalist-2018")
    train, heldout = (list_split("inaturalist", tmp_path, split) for split in ("train", "heldout"))
    assert train.classes == heldout.classes == ("2", "7", "10")
    assert np.bincount(train.labels).tolist() == [1, 2, 3]
    assert sorted(heldout.labels.tolist()) == [0, 1]
    for name, label in zip(train.names, train.labels, strict=True):
        assert Path(name).parent.name == train.classes[label]
    folder = prepare_split("inaturalist", tmp_path, tmp_path / "store", "train", 16)
    assert json.loads((folder / "manifest.json").read_text())["images_per_class"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table["images"].append({"id": 9, "file_name": "train_val2018/none.jpg"}), None),
        (
            lambda table: table["images"][0].update(file_name="train_val2018/none.jpg"),
            r"names 1 of 6 images that are not there",
        ),
        (lambda table: table["images"][0].update(file_name="../../etc/x.jpg"), r"names the image '\.\./\.\./etc/x\.jpg', which is no place within"),
        (lambda table: table["annotations"][0].update(category_id=99), r"has an annotation of the category 99, which it does not list"),
        (lambda table: table["annotations"][0].update(image_id=-1), r"has an annotation of the image -1, which it does not list"),
        (lambda table: table.pop("annotations"), r"has no list of annotations with image_id and category_id"),
    ],
)
def test_tables_of_inaturalist_that_do_not_serve_are_one_sentence(tmp_path: Path, change: object, sentence: str | None) -> None:
    table = inaturalist(tmp_path / "inaturalist")["train"]
    change(table)  # type: ignore[operator]
    (tmp_path / "inaturalist/train2018.json").write_text(json.dumps(table))
    if sentence is None:  # an image without an annotation is left out
        assert len(list_split("inaturalist", tmp_path, "train")) == 6
        return
    with pytest.raises(InputError, match=sentence):
        list_split("inaturalist", tmp_path, "train")


def test_imagenet_22k_takes_the_validation_images_of_another_imagenet(tmp_path: Path) -> None:
    """`imagenet:imagenet-22k` has more classes than its val/, a link to ImageNet-1K's."""
    for place in ("imagenet-22k/train/n1", "imagenet-22k/train/n2", "imagenet-22k/train/n3", "imagenet/val/n2"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (18, 18)).save(tmp_path / place / "a.jpg")
    (tmp_path / "imagenet-22k/val").symlink_to(tmp_path / "imagenet/val")
    assert list_split("imagenet:imagenet-22k", tmp_path, "train").labels.tolist() == [0, 1, 2]
    assert list_split("imagenet:imagenet-22k", tmp_path, "heldout").labels.tolist() == [1]


def test_a_tar_for_each_class_of_imagenet_is_that_class(tmp_path: Path) -> None:
    """Its number is no shard's; a number alone, or after `train`, is."""
    for split in ("train", "val"):
        write_tar(tmp_path / f"a/{split}/n01440764.tar", {"n01440764_18.png": png(1)})
        write_tar(tmp_path / f"a/{split}/n01443537.tar", {"n01443537_2.png": png(2)})
        write_tar(tmp_path / f"b/{split}/000001.tar", {"1.png": png(3)})
        write_tar(tmp_path / f"b/{split}/000002.tar", {"2.png": png(4)})
    for split in ("train", "heldout"):
        assert shades(tmp_path, "tars:a", split) == ([1, 2], [0, 1], ("n01440764", "n01443537"))
        assert shades(tmp_path, "tars:b", split) == ([3, 4], [0, 0], ("image",))


def test_a_folder_says_the_split_whatever_the_classes_are_called(tmp_path: Path) -> None:
    for split, shade in (("train", 0), ("val", 100)):
        write_tar(tmp_path / f"a/{split}/valley.tar", {"1.png": png(shade + 1)})
        write_tar(tmp_path / f"a/{split}/trainers.tar", {"2.png": png(shade + 2)})
        write_tar(tmp_path / f"b/{split}/train_station.tar", {"x/3.png": png(shade + 3)})
    assert shades(tmp_path, "tars:a", "train") == ([2, 1], [0, 1], ("trainers", "valley"))
    assert shades(tmp_path, "tars:a", "heldout") == ([102, 101], [0, 1], ("trainers", "valley"))
    assert [shades(tmp_path, "tars:b", split)[0] for split in ("train", "heldout")] == [[3], [103]]


def test_a_fifth_of_many_names_is_held_out(tmp_path: Path) -> None:
    write_tar(tmp_path / "a/owl.tar", {f"{number}.png": b"x" for number in range(2000)})
    assert len(list_split("tars:a", tmp_path, "heldout")) / 2000 == pytest.approx(0.2, abs=0.03)


def test_labels_belong_to_images_of_the_same_folder(tmp_path: Path) -> None:
    members = {"x/1.png": png(1), "y/1.png": png(2), "x/1.cls": b"1", "y/1.cls": b"0"}
    for split in ("train", "val"):
        write_tar(tmp_path / f"a/{split}-0.tar", members)
    assert list_split("tars:a", tmp_path, "train").labels.tolist() == [1, 0]


def test_a_tar_that_was_cut_off_since_is_said(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_tar(tmp_path / f"a/{split}-0.tar", {"1.png": png(1), "2.png": png(2)})
    listing = list_split("tars:a", tmp_path, "train")
    path = tmp_path / "a/train-0.tar"
    path.write_bytes(path.read_bytes()[: 3 * 512 + 20])  # two headers, an image and a part of the next
    assert listing.read(0).image.size == (18, 16)
    with pytest.raises(Broken, match="is cut off: its tar file ends before it does"):
        listing.read(1)


def test_a_folder_within_a_tar_is_the_class_also_where_the_tar_has_a_name_of_its_own(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_tar(tmp_path / f"a/{split}/animals.tar", {"owl/1.png": png(1), "cat/2.png": png(2)})
    assert list_split("tars:a", tmp_path, "train").classes == ("cat", "owl")
