"""Data in COCO's format: masks are those of pycocotools, and what is wrong is said in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from trials import InputError, open_store
from trials.data.coco_json import coco_masks, runs_of_text
from trials.data.decode_report import read_decode_report
from trials.data.instances import encode_runs
from trials.data.sources import list_split
from trials.data.store import describe_split
from trials.prepare import prepare_split

WIDTH, HEIGHT = 40, 30
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' decoding
Change = Callable[[dict[str, Any]], None]


def annotation(number: int, image: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    left, top, wide, tall = box
    corners = [left, top, left + wide, top, left + wide / 2, top + tall]  # a triangle
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": wide * tall / 2,
        "iscrowd": 0,
        "segmentation": [corners],
    } | more


def content(images: int = 5) -> dict[str, Any]:
    crowd = {"size": [HEIGHT, WIDTH], "counts": [100, 50, HEIGHT * WIDTH - 150]}
    found = [annotation(number, number, 7 if number % 2 else 3, [2.5 + number, 3, 20, 15.5]) for number in range(images)]
    found += [annotation(50, 1, 3, [0, 0, WIDTH + 0.4, 4]), annotation(51, 2, 7, [3, 10, 2, 20], iscrowd=1, segmentation=crowd)]
    return {
        "images": [{"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in reversed(range(images))],
        "annotations": found,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def put(folder: Path, values: dict[str, Any], name: str = "annotations.json", images: str = "images") -> Path:
    list_split.cache_clear()
    (folder / images).mkdir(parents=True, exist_ok=True)
    for one in values["images"]:
        grey = np.full((HEIGHT, WIDTH, 3), 20 * one["id"], dtype=np.uint8)
        Image.fromarray(grey).save(folder / images / f"{one['id']}.png")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(values))
    return folder / name


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """The data folder, with COCO's own layout in `coco`."""
    put(tmp_path / "coco", content(), "annotations/instances_train2017.json", "train2017")
    put(tmp_path / "coco", content(3), "annotations/instances_val2017.json", "val2017")
    return tmp_path


def test_boxes_and_masks_are_those_of_pycocotools(split: Path) -> None:
    info = describe_split("coco", split, "train")
    assert (info.images, info.instance_classes, info.has_instance_masks, info.has_masks) == (5, ("cat", "dog"), True, False)
    folder = prepare_split("coco", split, split / "store", "train", 30)
    store = open_store(split / "store", "coco", "train", 30)
    assert store.instances is not None
    theirs = COCO(str(split / "coco" / "annotations" / "instances_train2017.json"))
    for index in range(5):
        assert (store.images[index] == 20 * index).all()
        found, expected = store.instances[index], theirs.loadAnns(theirs.getAnnIds(index))
        assert found.classes.tolist() == [{3: 0, 7: 1}[one["category_id"]] for one in expected]
        assert found.crowds.tolist() == [one["iscrowd"] == 1 for one in expected]
        for box, mask, one in zip(found.boxes, found.masks(HEIGHT, WIDTH), expected, strict=True):
            left, top, wide, tall = one["bbox"]
            assert box.tolist() == [left, top, min(left + wide, WIDTH), top + tall]
            assert np.array_equal(mask, theirs.annToMask(one) > 0)
    assert not (folder.with_name("train-files.json")).exists()


def test_objects_are_brought_to_the_side_of_the_store(split: Path) -> None:
    prepare_split("coco", split, split / "store", "heldout", 15)
    store = open_store(split / "store", "coco", "heldout", 15)
    assert store.instances is not None
    assert store.sizes.tolist() == [[15, 20]] * 3
    assert store.instances[0].boxes.tolist() == [[1.25, 1.5, 11.25, 9.25]]
    whole = COCO(str(split / "coco" / "annotations" / "instances_val2017.json")).anns[0]["area"]
    assert store.instances[0].masks(15, 20).sum() == pytest.approx(whole / 4, rel=0.1)


def test_run_lengths_are_read_from_the_text_of_pycocotools() -> None:
    random = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = random.random((37, 300)) < share
        text = coco_masks().encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        assert np.array_equal(runs_of_text(text), encode_runs(mask))


def test_one_file_is_split_by_names_and_boxes_without_masks_do(tmp_path: Path) -> None:
    values = content(10)
    values["annotations"] = [{k: v for k, v in one.items() if k != "segmentation"} for one in values["annotations"]]
    put(tmp_path / "mine", values)
    parts = [list_split("coco:mine", tmp_path, part) for part in ("train", "heldout")]
    assert [len(one) for one in parts] == [8, 2]
    assert not set(parts[0].names) & set(parts[1].names)
    assert not describe_split("coco:mine", tmp_path, "train").has_instance_masks
    prepare_split("coco:mine", tmp_path, tmp_path / "store", "train", 30)
    store = open_store(tmp_path / "store", "coco:mine", "train", 30)
    assert store.instances is not None
    assert sum(len(one) for one in store.instances) >= 8
    assert all(one.runs == () for one in store.instances)


def test_the_fingerprint_follows_boxes_and_pixels(tmp_path: Path) -> None:
    seen = set()
    for box, grey in ([3, 3, 9, 9], 0), ([3, 3, 9, 8], 0), ([3, 3, 9, 8], 7):
        values = content()
        values["annotations"][0]["bbox"] = box
        put(tmp_path / "mine", values)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), grey, dtype=np.uint8)).save(tmp_path / "mine" / "images" / "0.png")
        seen |= {describe_split("coco:mine", tmp_path, "train").fingerprint, describe_split("coco:mine", tmp_path, "heldout").fingerprint}
    assert len(seen) >= 5


def _boxes(box: list[Any]) -> Change:
    return lambda values: values["annotations"][0].update(bbox=box)


def _segmentation(of: Any) -> Change:
    return lambda values: values["annotations"][0].update(segmentation=of)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda values: values.pop("categories"), r"is no file of COCO's format, which has the lists images, annotations, categories"),
        (lambda values: values.update(images=[]), r"annotation 0 is of image 0, which the file does not list"),
        (lambda values: values.update(images=[], annotations=[]), r"no images in split 'train'"),
        (lambda values: values.update(annotations=[]), r"has no box in the images of split 'train'"),
        (lambda values: values["annotations"][0].update(category_id=99), r"annotation 0 has the category 99, which the file does not name"),
        (
            lambda values: values["annotations"][0].update(category_id={"a": 1}),
            r"annotation 0 has the category \{'a': 1\}, which the file does not name",
        ),
        (lambda values: values["annotations"][0].update(image_id=[0]), r"annotation 0 is of image \[0\], which the file does not list"),
        (lambda values: values["images"][0].update(file_name="../4.png"), r"names the image '\.\./4\.png', which is no plain file name"),
        (lambda values: values["images"][0].update(id=2), r"gives two images the same id"),
        (lambda values: values["images"][0].update(height="30"), r"image 4 has the height 30, which is no whole number"),
        (
            lambda values: [one.update(file_name=f"x{one['file_name']}") for one in values["images"]],
            r"names images that are not there, such as x0\.png",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_at_once(tmp_path: Path, change: Change, sentence: str) -> None:
    values = content()
    path = put(tmp_path / "mine", values)
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=sentence) as refused:
        list_split("coco:mine", tmp_path, "train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_boxes([35, 3, 9, 9]), r"annotation 0 has the box \[35, 3, 9, 9\], which reaches out of the image of 40 x 30 px"),
        (_boxes([40.0, 3, 0.5, 9]), r"annotation 0 has the box .* lies outside the image"),
        (_boxes([5, 3, 0, 9]), r"annotation 0 has a box of no area, \[5, 3, 0, 9\]"),
        (_boxes([5, 3, float("nan"), 9]), r"annotation 0 has no box of four numbers"),
        (_boxes([10**400, 3, 9, 9]), r"annotation 0 has no box of four numbers"),
        (lambda values: values["annotations"][0].update(segmentation=[[1, 2]]), r"neither polygons nor run lengths"),
        (_segmentation([[3, 3, 20, 3, 10, 20], [1, 2, 9, 9]]), r"neither polygons nor run lengths"),  # the second is a line
        (_segmentation([[1e9, 3, 20, 3, 10, 20]]), r"neither polygons nor run lengths"),  # at which pycocotools ends the process
        (_segmentation({"size": [30, 40], "counts": [10**30]}), r"neither polygons nor run lengths"),
        (_segmentation({"size": [30, 40], "counts": [2**63 - 1, 2**63 - 1, 1202]}), r"neither polygons nor run lengths"),  # 1,200 in 64 bits
        (lambda values: values["annotations"][0].update(segmentation={"size": [30, 40], "counts": [3, 4]}), r"neither polygons nor run lengths"),
        (lambda values: values["images"][-1].update(height=31), r"is 40 x 30 px, but annotations\.json says 40 x 31"),
        (lambda values: values["images"][-1].update(file_name="x.png"), r"x\.png \(is not there, though annotations\.json names it\)"),
    ],
)
def test_an_image_with_a_wrong_box_is_refused_or_left_out(tmp_path: Path, change: Change, sentence: str) -> None:
    values = content(6)
    values["annotations"][1]["bbox"] = [5, 3, 9, 9]
    change(values)
    put(tmp_path / "mine", values)
    part = next(
        one for one in ("train", "heldout") if any(name.endswith(("/0.png", "/x.png")) for name in list_split("coco:mine", tmp_path, one).names)
    )
    count = len(list_split("coco:mine", tmp_path, part))
    with pytest.raises(InputError, match=sentence):
        prepare_split("coco:mine", tmp_path, tmp_path / "store", part, 30)
    if count > 1:
        folder = prepare_split("coco:mine", tmp_path, tmp_path / "store", part, 30, broken="skip")
        report = read_decode_report(folder)
        assert report is not None
        assert len(report.skipped) == 1
        assert len(open_store(tmp_path / "store", "coco:mine", part, 30)) == count - 1


def test_files_that_are_not_where_they_should_be(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    with pytest.raises(InputError, match=r"holds neither annotations/instances_train\*\.json nor annotations\.json"):
        list_split("coco:mine", tmp_path, "train")
    put(root, content(), "annotations/instances_train.json")
    with pytest.raises(InputError, match=r"holds instances_train\*\.json and no instances_val\*\.json"):
        list_split("coco:mine", tmp_path, "train")
    other = content()
    other["categories"][0]["name"] = "wolf"
    put(root, other, "annotations/instances_val.json")
    with pytest.raises(InputError, match=r"have other categories"):
        list_split("coco:mine", tmp_path, "train")


def test_without_pycocotools_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine", content())
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)
    with pytest.raises(InputError, match=r"pycocotools .* is not installed: pip install 'scaling-law-laboratory\[detection\]'"):
        list_split("coco:mine", tmp_path, "train")


def test_masks_are_used_only_where_every_object_has_one(tmp_path: Path) -> None:
    values = content(6)
    del values["annotations"][0]["segmentation"]
    put(tmp_path / "mine", values)
    assert not describe_split("coco:mine", tmp_path, "train").has_instance_masks
    for part in ("train", "heldout"):
        prepare_split("coco:mine", tmp_path, tmp_path / "store", part, 30)
        store = open_store(tmp_path / "store", "coco:mine", part, 30)
        assert store.instances is not None
        assert all(one.runs == () for one in store.instances)
