"""Damaged stores: whatever their manifest or labels hold, there is a store or one sentence that
names the folder and the remedy.

    # as many as a release should see
    SCALING_FUZZ_EXAMPLES=20000 uv run pytest tests/trials/test_manifest_fuzz.py
"""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trials.odd_images import FILES_OF_ONE_COLOUR, put
from trials import InputError, open_store
from trials.data.sources import list_split
from trials.prepare import prepare_split

EXAMPLES = int(os.environ.get("SCALING_FUZZ_EXAMPLES", "300"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 1000, database=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.integers(-3, 70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a store of four images, two of each class."""
    for name in ("n000", "n001"):
        put(tmp_path, dict(list(FILES_OF_ONE_COLOUR.items())[:2]), class_name=name)
    list_split.cache_clear()
    return prepare_split("imagenet", tmp_path, tmp_path / "store", "train", 16)


def opens(folder: Path) -> bool:
    """Whether the store opens; if not, that it is refused as it should be."""
    try:
        found = open_store(folder.parent.parent, "imagenet", "train", 16)
    except InputError as error:
        said = str(error)
        assert str(folder) in said
        assert "prepare it with: python -m trials.prepare imagenet --from DIR --store-px 16" in said
        assert "\n" not in said
        assert len(said) < 1000
        return False
    assert len(found.images) == 4
    assert found.sizes.tolist() == [[16, 19]] * 4
    assert np.array_equal(np.bincount(found.labels), [2, 2])
    assert len(found.classes) >= 2
    return True


def test_whatever_a_manifest_holds_it_is_a_store_or_one_sentence(store: Path) -> None:
    path = store / "manifest.json"
    text = path.read_text()
    good: dict[str, Any] = json.loads(text)
    replaced = st.tuples(st.sampled_from([*good, "more"]), JSON).map(lambda change: good | {change[0]: change[1]})
    removed = st.sampled_from(list(good)).map(lambda key: {k: v for k, v in good.items() if k != key})
    cut_in = st.tuples(st.integers(0, len(text)), st.integers(0, 5), st.text(max_size=3) | st.sampled_from(["9" * 5000, "[" * 5000, "NaN", "1e999"]))
    spliced = cut_in.map(lambda cut: text[: cut[0]] + cut[2] + text[cut[0] + cut[1] :])
    seen = {True: 0, False: 0}

    @given(st.one_of(JSON.map(json.dumps), replaced.map(json.dumps), removed.map(json.dumps), spliced).map(str.encode) | st.binary(max_size=40))
    @SETTINGS
    def refuses_or_opens(written: bytes) -> None:
        path.write_bytes(written)
        seen[opens(store)] += 1

    refuses_or_opens()
    print(seen)
    assert seen[False] > EXAMPLES // 2
    path.write_text(text)
    assert opens(store)


@pytest.mark.parametrize("name", ["labels.npy", "sizes.npy"])
def test_whatever_the_arrays_hold_they_are_those_written_or_one_sentence(store: Path, name: str) -> None:
    path = store / name
    good = path.read_bytes()
    cut_in = st.tuples(st.integers(0, len(good)), st.integers(0, 9), st.binary(max_size=9))

    @given(cut_in.map(lambda cut: good[: cut[0]] + cut[2] + good[cut[0] + cut[1] :]) | st.binary(max_size=200))
    @SETTINGS
    def refuses_or_opens(written: bytes) -> None:
        path.write_bytes(written)
        assert opens(store) == (written == good)

    refuses_or_opens()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"images": 2**39, "images_per_class": [2**39, 0]}, r"sizes\.npy holds 192 bytes instead of 8,796,093,022,336"),
        ({"pixels": 2**34, "image_bytes": 3 * 2**34}, r"images\.u8 holds 3,648 bytes instead of 51,539,607,552"),
        ({"storage": "jpeg"}, r"images\.jpeg holds 0 bytes instead of 3,648"),
        ({"storage": "png"}, "storage cannot be what it says"),
        ({"image_bytes": 3647}, "image_bytes is not 3 bytes a pixel"),
        ({"images": 10**4000}, "images cannot be what it says"),
        ({"images": True}, "images cannot be what it says"),
        ({"images": 0, "images_per_class": [0, 0]}, "images cannot be what it says"),
        ({"store_px": -16}, "store_px cannot be what it says"),
        ({"images_per_class": [3, 2]}, "images_per_class does not add up to images"),
        ({"images_per_class": [4]}, "images_per_class is shorter than classes"),
        ({"classes": ["a", 3]}, "classes cannot be what it says"),
        ({"sha256": "x"}, "sha256 cannot be what it says"),
        ({"has_masks": True}, r"masks\.u8 holds 0 bytes instead of 1,216"),
        ({"format": 3}, "is of another version"),
        ({"format": 1}, "is of another version, whose images are already cut to squares"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_an_absurd_manifest_is_refused_before_anything_is_allocated(store: Path, change: dict[str, Any], why: str) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | change))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"{why}.*delete that folder and prepare it with"):
            open_store(store.parent.parent, "imagenet", "train", 16)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    (store / "manifest.json").write_text(json.dumps(manifest))
    assert opens(store)


def test_labels_that_claim_to_be_huge_are_not_believed(store: Path) -> None:
    text = (store / "labels.npy").read_bytes().replace(b"(4,)", b"(9999999999999,)")
    (store / "labels.npy").write_bytes(text)
    assert not opens(store)


def test_a_manifest_that_is_too_large_to_be_one_is_not_read(store: Path) -> None:
    with open(store / "manifest.json", "wb") as handle:
        handle.truncate(1 << 33)  # a hole, which takes no room
    with pytest.raises(InputError, match="holds 8,589,934,592 bytes, which none of ours does: delete that folder"):
        open_store(store.parent.parent, "imagenet", "train", 16)


def test_files_that_are_missing_or_folders_are_refused(store: Path) -> None:
    for name in ("labels.npy", "sizes.npy", "images.u8", "manifest.json"):
        kept = (store / name).read_bytes()
        (store / name).unlink()
        assert not opens(store)
        (store / name).mkdir()
        assert not opens(store)
        (store / name).rmdir()
        (store / name).write_bytes(kept)
    assert opens(store)
