"""One's own folders of images: each layout is told, split, stored and trained on; what is wrong ends
in one sentence before anything is trained.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from tests.trials.conftest import MakeSpec, changed
from tests.trials.test_objectives import setting_of
from trials import InputError, StageSpec, open_store, prepare_split, run_stage, stage_id
from trials.data.mask_classes import IGNORED, read_classes
from trials.data.pictures import open_pictures
from trials.data.sources import list_split
from trials.data.store import describe_split, store_folder
from trials.objectives.patch_classification import patch_accuracy
from trials.objectives.segmentation import Segmentation
from trials.training.precision import choose_compute


def picture(path: Path, colour: tuple[int, int, int] = (90, 20, 200), size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def masked_folder(root: Path, *, count: int = 12, classes: str = "names: {10: sky, 20: tree, 30: road, 40: car}\nignore: 0\n") -> Path:
    """Four vertical stripes whose colours are those of their classes, the first rows ignored."""
    values = np.repeat(np.array([10, 20, 30, 40]), 5)[None].repeat(20, axis=0)
    values[:4] = 0
    colours = {0: (0, 0, 0), 10: (0, 0, 250), 20: (0, 250, 0), 30: (120, 120, 120), 40: (250, 0, 0)}
    for number in range(count):
        turned = np.roll(values, number * 3, axis=1)
        (root / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([[colours[int(v)] for v in row] for row in turned], dtype=np.uint8)).save(root / "images" / f"{number}.png")
        mask(root / "masks" / f"{number}.png", turned)
    if classes:
        (root / "classes.yaml").write_text(classes)
    return root


def splits(source: str, data: Path) -> tuple[set[str], set[str]]:
    train, heldout = (set(list_split(source, data, split).names) for split in ("train", "heldout"))
    return train, heldout


def test_class_folders_without_a_split_hold_out_a_fifth_of_each_class_and_say_so(tmp_path: Path) -> None:
    for label, count in (("cat", 10), ("dog", 5), ("owl", 2)):
        for number in range(count):
            picture(tmp_path / "mine" / label / f"{number}.jpg")
    train, heldout = splits("folder:mine", tmp_path)
    assert not train & heldout
    assert len(train | heldout) == 17
    listing = list_split("folder:mine", tmp_path, "heldout")
    assert listing.classes == ("cat", "dog", "owl")
    assert np.bincount(listing.labels).tolist() == [2, 1, 1]
    folder = prepare_split("folder:mine", tmp_path, tmp_path / "store", "heldout", 16)
    record = json.loads((folder.parent / "heldout-files.json").read_text())
    assert set(record["files"]) == heldout
    assert "SHA-256" in record["split_by"]
    # images that are added leave the split by name as it is, but for as many as the fifth grows
    picture(tmp_path / "mine" / "owl" / "another.jpg")
    list_split.cache_clear()
    again = splits("folder:mine", tmp_path)[0]
    assert len(train - again) <= 1


@pytest.mark.parametrize("heldout", ["val", "validation", "test"])
def test_class_folders_that_are_split_stay_so(heldout: str, tmp_path: Path) -> None:
    for split, count in (("train", 3), (heldout, 2)):
        for label in ("cat", "dog"):
            for number in range(count):
                picture(tmp_path / "mine" / split / label / f"{number}.png")
    train, held = splits("folder:mine", tmp_path)
    assert (len(train), len(held)) == (6, 4)
    assert all(f"/{heldout}/" in name for name in held)
    assert not describe_split("folder:mine", tmp_path, "train").has_masks


def test_a_flat_folder_serves_pretraining(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "mine" / f"{number}.jpg")
    train, heldout = splits("folder:mine", tmp_path)
    assert (len(train), len(heldout)) == (8, 2)
    assert describe_split("folder:mine", tmp_path, "train").classes == 1


def test_another_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "mine" / f"{number}.bmp")
    first = describe_split("folder:mine", tmp_path, "train").fingerprint
    for number in range(4):
        picture(tmp_path / "mine" / f"{number}.bmp", (91, 20, 200))
    list_split.cache_clear()
    assert describe_split("folder:mine", tmp_path, "train").fingerprint != first


def test_masks_have_the_classes_that_classes_yaml_names(tmp_path: Path) -> None:
    masked_folder(tmp_path / "mine")
    prepare_split("folder:mine", tmp_path, tmp_path / "store", "train", 20)
    store = open_store(tmp_path / "store", "folder:mine", "train", 20)
    assert store.mask_classes == ("sky", "tree", "road", "car")
    assert store.masks is not None
    assert set(np.unique(store.masks[0])) == {0, 1, 2, 3, IGNORED}
    assert (store.masks[0][:4] == IGNORED).all()
    # each class has its colour, so image and mask are of one file
    for image, classes in zip(store.images, store.masks, strict=True):
        assert (image[classes == 3] == (250, 0, 0)).all()


def test_classes_are_read_from_the_masks_where_no_file_names_them(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / "mine" / "images" / f"{number}.png")
        mask(tmp_path / "mine" / "masks" / f"{number}.png", np.where(np.eye(20) > 0, 255, number % 4))
    assert describe_split("folder:mine", tmp_path, "train").mask_classes == ("class 0", "class 1", "class 2", "class 3")


def test_ade20k_s_layout(tmp_path: Path) -> None:
    for split, count in (("training", 3), ("validation", 2)):
        for number in range(count):
            picture(tmp_path / "ade" / "images" / split / f"{split}_{number}.jpg")
            mask(tmp_path / "ade" / "annotations" / split / f"{split}_{number}.png", np.full((20, 20), number))
    (tmp_path / "ade" / "classes.yaml").write_text("names: {1: wall, 2: building}\nignore: 0\n")
    train, heldout = splits("folder:ade", tmp_path)
    assert (len(train), len(heldout)) == (3, 2)
    assert describe_split("folder:ade", tmp_path, "heldout").mask_classes == ("wall", "building")


def _spec(make_spec: MakeSpec, data: Path, kind: str = "finetune", **of: object) -> StageSpec:
    for split in ("train", "heldout"):
        prepare_split("folder:mine", data, data / "store", split, 16)
    prints = {f"{split}_fingerprint": describe_split("folder:mine", data, split).fingerprint for split in ("train", "heldout")}
    spec = make_spec(kind, **of)
    counts = {"train_images": 8, "heldout_images": 2}
    return changed(spec, data=dataclasses.replace(spec.data, source="folder:mine", train_split="train", heldout_split="heldout", **prints, **counts))


@pytest.fixture
def stripes(tmp_path: Path, make_spec: MakeSpec) -> StageSpec:
    masked_folder(tmp_path / "mine")
    return _spec(make_spec, tmp_path, steps=60, learning_rate=0.01, crop_scale_min=0.67)


def test_segmentation_learns_own_classes_and_scores_them_as_scikit_learn_does(stripes: StageSpec, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "stages" / stage_id(stripes)
    metrics = run_stage(stripes, folder, tmp_path / "store")["metrics"]
    assert metrics["miou"] > 0.5, "four classes of a colour each; a guess scores 0.25 or less"
    stage = Segmentation(setting_of(stripes, tmp_path / "store"))
    stage.model.load_state_dict(load_file(folder / "checkpoint" / "weights.safetensors"))
    stage.model.eval()
    test = open_pictures(stripes.data, tmp_path / "store", seed=0, compute=choose_compute("fp32", gpus=0))[1]
    positions = torch.arange(len(test))
    truth = test.masks(positions).numpy().ravel()
    named = stage.model(stage._inputs(test.images(positions))).argmax(dim=1).numpy().ravel()
    counted = truth != IGNORED
    assert 0 < counted.sum() < counted.size
    expected = jaccard_score(truth[counted], named[counted], labels=range(4), average=None)
    assert metrics["miou"] == pytest.approx(expected.mean())
    matrix = confusion_matrix(truth[counted], named[counted], labels=range(4))
    assert metrics["pixel_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    named_ious = json.loads((folder / "class_ious.json").read_text())
    assert named_ious == pytest.approx(dict(zip(("sky", "tree", "road", "car"), expected, strict=True)))
    assert "iou_foreground" not in metrics


def test_pixels_that_are_ignored_have_no_say_in_the_loss_and_parts_add_up(stripes: StageSpec, tmp_path: Path) -> None:
    stage = Segmentation(setting_of(stripes, tmp_path / "store"))
    whole = float(stage.loss(0).detach())
    parts = [float(stage.loss(0, (index, 2)).detach()) for index in (0, 1)]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)
    images, crops, positions = stage._batches.take(0)
    classes = stage._batches.pictures.masks(positions, crops).long()
    logits = stage.model(images).log_softmax(dim=1)
    counted = classes != IGNORED
    picked = logits.gather(1, classes.masked_fill(~counted, 0)[:, None])[:, 0][counted]
    assert whole == pytest.approx(float(-picked.sum().detach()) / classes.numel(), rel=1e-5)


def test_spatial_supervision_takes_own_classes(tmp_path: Path, make_spec: MakeSpec) -> None:
    masked_folder(tmp_path / "mine")
    spec = changed(_spec(make_spec, tmp_path, "intermediate", steps=3), objective="spatial")
    metrics = run_stage(spec, tmp_path / "stages" / stage_id(spec), tmp_path / "store")["metrics"]
    assert 0 < metrics["majority_accuracy"] < 1


def test_patches_without_a_class_have_no_say_in_the_accuracy_of_an_image() -> None:
    truth, named = torch.tensor([[0, 1, IGNORED, IGNORED]]), torch.tensor([[0, 0, 1, 1]])
    assert patch_accuracy(named, truth) == 0.5
    assert math.isnan(patch_accuracy(named, torch.full_like(truth, IGNORED)))


def test_a_manifest_with_impossible_mask_classes_is_refused(tmp_path: Path) -> None:
    masked_folder(tmp_path / "mine")
    prepare_split("folder:mine", tmp_path, tmp_path / "store", "train", 20)
    file = store_folder(tmp_path / "store", "folder:mine", "train", 20) / "manifest.json"
    for wrong in ([], [3], "sky", ["x"] * 256):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"mask_classes": wrong}))
        with pytest.raises(InputError, match="mask_classes cannot be what it says"):
            open_store(tmp_path / "store", "folder:mine", "train", 20)


def _one_image_class(root: Path) -> None:
    for number in range(3):
        picture(root / "cat" / f"{number}.png")
    picture(root / "dog" / "0.png")


def _no_mask(root: Path) -> None:
    masked_folder(root)
    (root / "masks" / "3.png").unlink()


def _no_masks(root: Path) -> None:
    picture(root / "images" / "0.png")


def _only_train(root: Path) -> None:
    picture(root / "train" / "cat" / "0.png")


def _empty_split(root: Path) -> None:
    for label in ("cat", "dog"):
        picture(root / "train" / label / "0.png")
        (root / "val" / label).mkdir(parents=True)


def _empty(root: Path) -> None:
    (root / "cat").mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_one_image_class, "The class 'dog' in .*mine has one image, so none can be held out"),
        (_no_mask, r"1 of the .* images in .*images have no mask in .*masks, the first is 3\.png: add a mask"),
        (_no_masks, "holds images/ and no masks/"),
        (_only_train, "holds train/ and none of val, valid, validation, test"),
        (_empty_split, "no images in split 'heldout'"),
        (_empty, "holds no images"),
    ],
)
def test_a_folder_that_cannot_serve_ends_in_a_sentence(make: object, sentence: str, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "mine")
    with pytest.raises(InputError, match=sentence):
        splits("folder:mine", tmp_path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((20, 20), 50), r"mask .*3\.png holds the value 50, which is no class by classes\.yaml"),
        (np.full((20, 18), 10), r"mask .*3\.png is 18 x 20 px, but its image is 20 x 20"),
        (np.full((20, 20, 3), 10), r"mask .*3\.png has colours instead of one class number a pixel"),
    ],
)
def test_a_wrong_mask_is_named_before_anything_is_trained(values: np.ndarray, sentence: str, tmp_path: Path) -> None:
    masked_folder(tmp_path / "mine")
    mask(tmp_path / "mine" / "masks" / "3.png", values)
    split = "train" if any(name.endswith("/3.png") for name in list_split("folder:mine", tmp_path, "train").names) else "heldout"
    with pytest.raises(InputError, match=f"1 of .* images of folder:mine cannot be decoded: .*{sentence}"):
        prepare_split("folder:mine", tmp_path, tmp_path / "store", split, 16)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("names: {1: a}\nignore: 1\n", "names the pixel value 1 as a class and ignores it as well"),
        ("names: {a: 1}\n", "gives the pixel value 'a', which is no whole number"),
        ("names: [a, a]\n", "gives two classes one name"),
        ("classes: [a]\n", "names no classes: write `names:"),
        ("names: [", "cannot be read"),
        ("names: {70000: a}\n", "gives the pixel value '70000'"),
        (f"names: {[str(n) for n in range(300)]}\n", "names 300 classes, but a store holds at most 255"),
    ],
)
def test_a_wrong_classes_file_ends_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_classes(tmp_path / "classes.yaml")
