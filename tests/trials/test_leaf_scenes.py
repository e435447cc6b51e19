"""Pictures with several objects: masks, boxes and class numbers agree, and a store keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trials import InputError, open_store
from trials.data.generated import Drawn
from trials.data.instances import Instances, box_of, decode_runs, encode_runs, instances_of_masks
from trials.data.leaf_scenes import MOST_OBJECTS, LeavesObjects, leaf_scene
from trials.data.leaves import PATTERNS
from trials.data.store import describe_split, joined_stores
from trials.prepare import prepare_split

SPLIT = "finetune-train-0"


@pytest.fixture(scope="module")
def scenes() -> list[Drawn]:
    return [leaf_scene(SPLIT, index, 48) for index in range(64)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    prepare_split("leaves-objects", root, root, SPLIT, 48, images=64)
    return root


def objects(drawn: Drawn) -> Instances:
    assert drawn.instances is not None
    return drawn.instances


def test_a_picture_depends_on_its_stream_and_index_alone() -> None:
    first, again = leaf_scene("a", 7, 32), leaf_scene("a", 7, 32)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(objects(first).boxes, objects(again).boxes)
    assert not np.array_equal(first.image, leaf_scene("b", 7, 32).image)


def test_the_class_mask_is_that_of_its_objects(scenes: list[Drawn]) -> None:
    for drawn in scenes:
        masks = objects(drawn).masks(48, 48)
        assert (masks.sum(axis=0) <= 1).all()  # what is seen belongs to one object
        expected = (masks * (1 + objects(drawn).classes)[:, None, None]).sum(axis=0)
        assert drawn.mask is not None
        assert np.array_equal(drawn.mask, expected)
        assert [box_of(mask) for mask in masks] == [tuple(box) for box in objects(drawn).boxes.astype(int).tolist()]


def test_every_number_of_objects_and_every_class_occurs(scenes: list[Drawn]) -> None:
    assert {len(objects(drawn)) for drawn in scenes} == set(range(1, MOST_OBJECTS + 1))
    assert set(np.concatenate([objects(drawn).classes for drawn in scenes])) == set(range(len(PATTERNS)))
    assert np.bincount([drawn.label for drawn in scenes]).tolist() == [8] * 8
    shares = [(drawn.mask > 0).mean() for drawn in scenes if drawn.mask is not None]
    assert 0.08 < np.mean(shares) < 0.35


def test_run_lengths_come_back_as_the_mask_and_begin_outside() -> None:
    for mask in (np.eye(5, 7) > 0, np.ones((3, 2), dtype=bool), np.zeros((2, 3), dtype=bool), np.random.default_rng(0).random((9, 4)) > 0.5):
        runs = encode_runs(mask)
        assert np.array_equal(decode_runs(runs, *mask.shape), mask)
        assert runs.sum() == mask.size
        assert runs[0] == 0 or not mask[0, 0]


def test_objects_are_scaled_with_their_image() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 15:45] = True
    made = instances_of_masks([mask, np.zeros_like(mask)], [3, 4]).resized((40, 60), (20, 20))
    assert made.classes.tolist() == [3]
    assert made.boxes.tolist() == [[5, 5, 15, 15]]
    assert box_of(made.masks(20, 20)[0]) == (5, 5, 15, 15)
    assert made.masks(20, 20).sum() == 100


def test_a_store_keeps_the_objects_of_each_image(root: Path, scenes: list[Drawn]) -> None:
    info = describe_split("leaves-objects", root, SPLIT)
    store = open_store(root, "leaves-objects", SPLIT, 48)
    assert (store.instance_classes, store.mask_classes) == (PATTERNS, LeavesObjects.mask_classes)
    assert (info.instance_classes, info.has_instance_masks, info.mask_classes) == (PATTERNS, True, LeavesObjects.mask_classes)
    assert store.instances is not None
    assert store.masks is not None
    for index, drawn in enumerate(scenes):
        found = store.instances[index]
        assert np.array_equal(store.masks[index], drawn.mask)
        assert np.array_equal(found.classes, objects(drawn).classes)
        assert np.array_equal(found.boxes, objects(drawn).boxes)
        assert np.array_equal(found.masks(48, 48), objects(drawn).masks(48, 48))
        assert not found.crowds.any()
    both = joined_stores(store, store)
    assert both.instances is not None
    assert np.array_equal(both.instances[64 + 5].boxes, store.instances[5].boxes)


@pytest.mark.parametrize("damaged", ["boxes.npy", "runs.npy", "instances.npy", "run_starts.npy", "instance_starts.npy"])
def test_damaged_objects_are_refused(tmp_path: Path, damaged: str) -> None:
    folder = prepare_split("leaves-objects", tmp_path, tmp_path, SPLIT, 16, images=4)
    values = np.load(folder / damaged)
    values.flat[-1] += 7
    np.save(folder / damaged, values)
    with pytest.raises(InputError, match=r"The objects of the images in .* are not those that the manifest counts|is damaged"):
        open_store(tmp_path, "leaves-objects", SPLIT, 16)


@pytest.mark.parametrize(("key", "value"), [("instances", 10_000), ("runs", -1), ("instance_classes", []), ("instance_classes", ["a"])])
def test_a_manifest_that_counts_other_objects_is_refused(tmp_path: Path, key: str, value: object) -> None:
    folder = prepare_split("leaves-objects", tmp_path, tmp_path, SPLIT, 16, images=8)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(InputError, match=r"makes no sense|bytes instead of|are not those that the manifest counts"):
        open_store(tmp_path, "leaves-objects", SPLIT, 16)
