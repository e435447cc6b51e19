"""Damaged image files: whatever is done to their bytes, there is a store or one sentence that names
the file.

    # as many as a release should see
    SCALING_FUZZ_EXAMPLES=20000 uv run pytest tests/trials/test_decoder_fuzz.py
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trials.odd_images import put, usable
from trials import InputError, open_store
from trials.data.decode_report import read_decode_report
from trials.data.sources import list_split
from trials.data.store import store_folder
from trials.prepare import prepare_split

EXAMPLES = int(os.environ.get("SCALING_FUZZ_EXAMPLES", "150"))
FILES = usable()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image file with bytes flipped, cut off, put in or taken from another."""
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        # the head decides most, so half of all damage is there
        place = place % 64 if draw(st.booleans()) else place
        action = draw(st.sampled_from(["flip", "flip", "flip", "set", "cut", "put in", "take out", "splice"]))
        if action == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif action == "set":
            extreme = draw(st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1"]))
            data[place : place + len(extreme)] = extreme
        elif action == "cut":
            del data[place:]
        elif action == "put in":
            data[place:place] = draw(st.binary(max_size=12))
        elif action == "take out":
            del data[place : place + draw(st.integers(1, 40))]
        elif action == "splice":
            other = FILES[draw(st.sampled_from(sorted(FILES)))]
            data[place:] = other[min(place, len(other)) :]
    return bytes(data)


def test_whatever_is_done_to_an_image_there_is_a_store_or_its_name(tmp_path: Path) -> None:
    put(tmp_path, {"0 whole.png": FILES["plain.png"]})
    seen = {"decoded": 0, "refused": 0}

    @given(damaged(), st.sampled_from([".png", ".jpg", ".gif", ".webp", ".bmp"]))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 1000, database=None)
    def decodes_or_names(data: bytes, suffix: str) -> None:
        list_split.cache_clear()
        store = tmp_path / "store"
        file = put(tmp_path, {f"1 damaged{suffix}": data}) / f"1 damaged{suffix}"
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                try:
                    prepare_split("imagenet", tmp_path, store, "train", 16)
                    assert {image.ndim for image in open_store(store, "imagenet", "train", 16).images} == {3}
                    seen["decoded"] += 1
                except InputError as error:
                    said = str(error)
                    assert said.startswith(f"1 of 2 images of imagenet cannot be decoded: {file} (")
                    assert "\n" not in said
                    prepare_split("imagenet", tmp_path, store, "train", 16, broken="skip")
                    assert len(open_store(store, "imagenet", "train", 16)) == 1
                    found = read_decode_report(store_folder(store, "imagenet", "train", 16))
                    assert found is not None
                    assert found.images == 1
                    seen["refused"] += 1
            assert not heard, [str(one.message) for one in heard]
        finally:
            file.unlink()
            shutil.rmtree(store, ignore_errors=True)

    decodes_or_names()
    print(seen)
    assert min(seen.values()) > EXAMPLES // 20
