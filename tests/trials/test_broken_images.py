"""Broken images are named, and refused or skipped as the user chose; what is skipped makes another
data set, known as such.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trials.conftest import MakeSpec
from tests.trials.odd_images import bomb, encoded, put, ramp, usable
from trials import InputError, open_store, run_stage, stage_id
from trials.data.decode_report import DecodeReport, read_decode_report, report_file
from trials.data.sources import list_split
from trials.data.store import SplitInfo, describe_split, store_folder, store_is_ready, without_skipped
from trials.data.subsets import subset
from trials.prepare import main, prepare_split

BROKEN = {"0 empty.png": b"", "2 cut.jpg": encoded(ramp(), "JPEG")[:-60], "4 bomb.png": bomb(), "6 text.gif": b"hello"}


def whole(number: int) -> bytes:
    return encoded(Image.new("RGB", (20, 20), (number, 0, 0)), "PNG")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of five images of one colour, four of them broken in the first; whole ones to be
    measured on.
    """
    put(tmp_path, BROKEN | {f"{n} whole.png": whole(n) for n in (1, 3, 5, 7, 8)})
    put(tmp_path, {f"{n}.png": whole(100 + n) for n in range(5)}, class_name="n001")
    for name in ("n000", "n001"):
        put(tmp_path, {f"{n}.png": whole(n) for n in range(4)}, class_name=name, split="val")
    list_split.cache_clear()
    return tmp_path


def prepare(data: Path, *options: str) -> int:
    return main(["imagenet", "--from", str(data), "--store-px", "16", *options])


def test_broken_images_are_refused_by_name_and_nothing_is_made(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(data) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert said.startswith("4 of 14 images of imagenet cannot be decoded: ")
    for name, why in (("0 empty.png", "is empty"), ("2 cut.jpg", "image file is truncated"), ("6 text.gif", "is no JPEG, PNG, GIF, BMP or WebP")):
        assert f"n000/{name} ({why}" in said
    assert said.endswith("Replace or delete them, or go on without them by --broken skip (in a grid: broken_images: skip).")
    assert not store_folder(data / "store", "imagenet", "train", 16).exists()


def test_more_broken_images_than_a_sentence_holds_are_listed_in_a_file(data: Path) -> None:
    put(data, {f"x{n}.png": b"x" for n in range(20)})
    with pytest.raises(InputError, match=r"24 of 34 images .*; and 19 more \(all in .*train-refused\.json\)"):
        prepare_split("imagenet", data, data / "store", "train", 16)
    listed = data / "store/imagenet@16/train-refused.json"
    assert len(json.loads(listed.read_text())["skipped"]) == 24
    prepare_split("imagenet", data, data / "store", "train", 16, broken="skip")
    assert not listed.exists()


def test_skipping_keeps_the_others_in_order_and_says_what_was_skipped(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(data, "--broken", "skip") == 0
    store = open_store(data / "store", "imagenet", "train", 16)
    assert [int(image[0, 0, 0]) for image in store.images] == [1, 3, 5, 7, 8, 100, 101, 102, 103, 104]
    assert store.labels.tolist() == [0] * 5 + [1] * 5
    found = read_decode_report(store_folder(data / "store", "imagenet", "train", 16))
    assert found is not None
    assert [(one["index"], Path(one["name"]).name) for one in found.skipped] == [(i, name) for i, name in zip((0, 2, 4, 6), BROKEN, strict=True)]
    said = capsys.readouterr().out
    assert "Skipped 4 of 14 images: " in said
    assert "n000/4 bomb.png (holds more than the 178,956,970 pixels that are decoded whole; make it smaller)" in said


def test_a_store_with_skipped_images_is_never_taken_for_the_whole_split(data: Path) -> None:
    root, plain = data / "store", describe_split("imagenet", data, "train")
    made = prepare_split("imagenet", data, root, "train", 16, broken="skip")
    held = without_skipped(plain, root, "imagenet", "train", 16)
    assert (held.images, held.classes) == (10, 2)
    assert held.fingerprint == open_store(root, "imagenet", "train", 16).fingerprint != plain.fingerprint
    assert not store_is_ready(root, "imagenet", "train", 16, info=plain, images=0)
    assert store_is_ready(root, "imagenet", "train", 16, info=plain, images=0, broken="skip")
    with pytest.raises(InputError, match="4 of 14 images of imagenet cannot be decoded"):
        prepare_split("imagenet", data, root, "train", 16)  # refusing is still refusing
    before = (made / "manifest.json").stat().st_ino
    assert prepare_split("imagenet", data, root, "train", 16, broken="skip") == made
    assert (made / "manifest.json").stat().st_ino == before  # skipping finds its store and makes none


def test_the_same_files_give_the_same_subset_and_other_skips_another_fingerprint(data: Path) -> None:
    chosen, prints = [], []
    for number in range(2):
        root = data / f"store{number}"
        prepare_split("imagenet", data, root, "train", 16, broken="skip")
        store = open_store(root, "imagenet", "train", 16)
        few, more = (subset(store.labels, images=n, seed=3, sampling="uniform") for n in (4, 8))
        assert set(few) <= set(more)
        chosen.append(np.array([store.images[int(one)] for one in more]))
        prints.append(store.fingerprint)
    assert np.array_equal(chosen[0], chosen[1])
    assert prints[0] == prints[1]
    left_out = [DecodeReport(listing_fingerprint="a", listed=9) for _ in range(4)]
    for one, indices in zip(left_out, [(), (1,), (2,), (1, 2)], strict=True):
        for index in indices:
            one.skip(index, "name", "why")
    assert left_out[0].fingerprint == "a"
    assert len({one.fingerprint for one in left_out}) == 4


def test_nothing_skipped_is_the_same_store_as_ever(data: Path) -> None:
    for broken in ("refuse", "skip"):
        prepare_split("imagenet", data, data / broken, "heldout", 16, broken=broken)  # type: ignore[arg-type]
    for name in ("images.u8", "labels.npy", "manifest.json"):
        assert (data / "refuse/imagenet@16/heldout" / name).read_bytes() == (data / "skip/imagenet@16/heldout" / name).read_bytes()
    plain = describe_split("imagenet", data, "heldout")
    assert without_skipped(plain, data / "skip", "imagenet", "heldout", 16) == plain
    assert not (data / "skip/imagenet@16/heldout/decode_report.json").exists()


def test_a_mended_image_of_the_same_size_comes_back(data: Path) -> None:
    prepare_split("imagenet", data, data / "store", "train", 16, broken="skip")
    cut = data / "imagenet/train/n000/2 cut.jpg"
    mended = whole(2)
    assert len(mended) < len(BROKEN["2 cut.jpg"])
    cut.write_bytes(mended.ljust(len(BROKEN["2 cut.jpg"]), b"\0"))
    prepare_split("imagenet", data, data / "store", "train", 16, broken="skip")
    assert [int(image[0, 0, 0]) for image in open_store(data / "store", "imagenet", "train", 16).images[:3]] == [1, 2, 3]


def test_a_stage_trains_on_what_is_left_and_one_planned_for_all_is_refused(data: Path, make_spec: MakeSpec, tmp_path: Path) -> None:
    root, splits = data / "store", ("train", "heldout")
    for split in splits:
        prepare_split("imagenet", data, root, split, 16, broken="skip")
    plain = {split: describe_split("imagenet", data, split) for split in splits}
    held = {split: without_skipped(plain[split], root, "imagenet", split, 16) for split in splits}

    def spec_of(infos: dict[str, SplitInfo], images: int) -> object:
        base = make_spec("pretrain")
        splits_of = {"train_split": "train", "train_fingerprint": infos["train"].fingerprint, "train_images": images}
        held_of = {"heldout_split": "heldout", "heldout_fingerprint": infos["heldout"].fingerprint, "heldout_images": 8}
        return dataclasses.replace(base, data=dataclasses.replace(base.data, source="imagenet", **splits_of, **held_of))

    for infos, images, refused in (
        (held, 10, ""),
        (held, 11, "A subset of 11 images was asked for, but there are 10: ask for fewer, or see what was skipped"),
        (plain, 10, "was made from other files than the plan"),
    ):
        spec = spec_of(infos, images)
        folder = tmp_path / "stages" / stage_id(spec)  # type: ignore[arg-type]
        if refused:
            with pytest.raises(InputError, match=refused):
                run_stage(spec, folder, root)  # type: ignore[arg-type]
        else:
            assert run_stage(spec, folder, root)["steps"] == 6  # type: ignore[arg-type]


def test_converted_images_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        put(tmp_path, usable(), split=split)
    list_split.cache_clear()
    assert prepare(tmp_path) == 0
    said = capsys.readouterr().out
    assert "16-bit grey 1, CMYK 1, EXIF orientation not applied 1, first of several frames 3, greyscale 2, palette 4, transparency dropped 3" in said
    assert len(open_store(tmp_path / "store", "imagenet", "train", 16)) == len(usable())


def test_names_of_any_bytes_are_decoded_and_said_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        folder = put(tmp_path, {"a b.png": whole(1), "c\nd.png": whole(2)}, split=split)
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.png"))).write_bytes(whole(3))
    put(tmp_path, {"e\nf.png": b""})
    (tmp_path / os.fsdecode(b"imagenet/train/n000/\xfa.png")).write_bytes(b"")
    list_split.cache_clear()
    assert prepare(tmp_path) == 2
    said = capsys.readouterr().err.strip()
    assert "n000/e\\nf.png (is empty); " in said
    assert "n000/\\udcfa.png (is empty)" in said
    assert prepare(tmp_path, "--broken", "skip") == 0
    assert sorted(int(image[0, 0, 0]) for image in open_store(tmp_path / "store", "imagenet", "train", 16).images) == [1, 2, 3]
    assert "Skipped 2 of 5 images: " in capsys.readouterr().out.encode().decode()


def test_an_empty_class_folder_is_named_and_keeps_its_number_if_skipped(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in BROKEN:
        (data / "imagenet/train/n000" / name).unlink()
    put(data, {"notes.txt": b"no images"}, class_name="n000a")
    list_split.cache_clear()
    assert prepare(data) == 2
    said = capsys.readouterr().err
    assert "Class folders of imagenet train without images (.jpeg .jpg .png .bmp .webp .gif): 1, namely " in said
    assert "train/n000a. Fill or delete them, or go on without them by --broken skip (in a grid: broken_images: skip)." in said
    assert prepare(data, "--broken", "skip") == 0
    assert "Class folders without images: " in capsys.readouterr().out
    store = open_store(data / "store", "imagenet", "train", 16)
    assert store.classes == ("n000", "n000a", "n001")
    assert store.labels.tolist() == [0] * 5 + [2] * 5
    assert store.fingerprint == describe_split("imagenet", data, "train").fingerprint  # no image is missing, so it is the same set


def test_if_every_image_is_broken_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    put(tmp_path, {"a.png": b"", "b.png": b"x"})
    list_split.cache_clear()
    with pytest.raises(InputError, match=r"Every image was skipped, so there is nothing to train on: .*a\.png \(is empty\); .*Unpack"):
        prepare_split("imagenet", tmp_path, tmp_path / "store", "train", 16, broken="skip")
    assert [p for p in (tmp_path / "store/imagenet@16").iterdir() if p.is_dir()] == []


def test_a_damaged_decode_report_is_none(data: Path) -> None:
    folder = prepare_split("imagenet", data, data / "store", "train", 16, broken="skip")
    plain, good = describe_split("imagenet", data, "train"), json.loads((folder / "decode_report.json").read_text())
    for damage in (
        "",
        "[]",
        "null",
        "[" * 10_000,
        "{}",
        json.dumps(good | {"more": 1}),
        json.dumps(good | {"skipped": 3}),
        json.dumps(good | {"skipped": [{"index": -1, "name": "", "why": ""}]}),
        json.dumps(good | {"skipped": [{"index": 0}]}),
        json.dumps(good | {"converted": [1]}),
        json.dumps(good | {"listed": None}),
    ):
        (folder / "decode_report.json").write_text(damage)
        assert read_decode_report(folder) is None
        assert without_skipped(plain, data / "store", "imagenet", "train", 16) == plain


def test_the_report_of_a_store_made_before_its_file_was_renamed_is_read(data: Path) -> None:
    folder = prepare_split("imagenet", data, data / "store", "train", 16, broken="skip")
    report, plain = read_decode_report(folder), describe_split("imagenet", data, "train")
    counted = without_skipped(plain, data / "store", "imagenet", "train", 16)
    (folder / "decode_report.json").rename(folder / "oddities.json")
    assert report_file(folder).name == "oddities.json"
    assert read_decode_report(folder) == report
    assert without_skipped(plain, data / "store", "imagenet", "train", 16) == counted != plain


def test_a_choice_that_there_is_not_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match="What to do about broken images must be one of refuse, skip, not 'ignore'"):
        prepare_split("imagenet", data, data / "store", "train", 16, broken="ignore")  # type: ignore[arg-type]
