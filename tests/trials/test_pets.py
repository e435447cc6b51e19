"""Pets: two disjoint parts and a test set in neither, annotations and trimaps that are not trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trials import InputError, open_store
from trials.data.pets import half_of
from trials.data.sources import list_split, locate
from trials.data.store import describe_split, store_folder
from trials.prepare import prepare_split

PARTS = ("oxford-iiit-pet-half-a", "oxford-iiit-pet-half-b")


def make_pets(root: Path, *, each: int = 40) -> Path:
    """A small copy of the data set's layout: two breeds, each image of one colour of its own, a
    trimap of all three values.
    """
    folder = root / "oxford-iiit-pet"
    for name in ("images", "annotations/trimaps"):
        (folder / name).mkdir(parents=True)
    trimap = Image.fromarray(np.repeat(np.array([1, 2, 3], np.uint8), 10 * 20).reshape(30, 20))
    for part, start in (("trainval", 0), ("test", each)):
        rows = []
        for number in range(start, start + each):
            for label, breed in ((1, "Bengal"), (3, "american_bulldog")):
                stem = f"{breed}_{number}"
                Image.new("RGB", (20, 30), (2 * number, 80 * label, 7)).save(folder / f"images/{stem}.jpg", quality=100)
                trimap.save(folder / f"annotations/trimaps/{stem}.png")
                rows.append(f"{stem} {label} 1 1")
        (folder / f"annotations/{part}.txt").write_text("\n".join(rows) + "\n")
    list_split.cache_clear()
    return root


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return make_pets(tmp_path)


def check_disjoint(data: Path) -> list[int]:
    """That parts and test set share no file; returns how many each has."""
    pooled = {split: list_split("oxford-iiit-pet-pooled", data, split) for split in ("train", "heldout")}
    halves = [list_split(part, data, "train") for part in PARTS]
    names = [set(half.names) for half in halves]
    test = set(pooled["heldout"].names)
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & test
    assert names[0] | names[1] == set(pooled["train"].names)
    for part in PARTS:
        held = list_split(part, data, "heldout")
        assert list(held.names) == list(pooled["heldout"].names)
        assert held.fingerprint == pooled["heldout"].fingerprint
    labels = dict(zip(pooled["train"].names, pooled["train"].labels.tolist(), strict=True))
    for half in halves:
        assert [labels[name] for name in half.names] == half.labels.tolist()
    assert len({half.fingerprint for half in (*halves, *pooled.values())}) == 4
    return [len(one) for one in (*names, test)]


def test_two_parts_and_the_test_set_are_disjoint_and_cover_the_pooled_pets(pets: Path) -> None:
    a, b, test = check_disjoint(pets)
    assert (a + b, test) == (160 - 22, 22)
    assert abs(a - b) < 40


def test_real_parts_and_the_real_test_set_are_disjoint(real_data: Path) -> None:
    a, b, test = check_disjoint(real_data)
    assert a + b + test == 693
    assert abs(a - b) < 4 * (a + b) ** 0.5  # as fair coins fall


def test_parts_hold_other_pixels(pets: Path) -> None:
    seen = []
    for part, split in ((PARTS[0], "train"), (PARTS[1], "train"), (PARTS[0], "heldout")):
        prepare_split(part, pets, pets / "store", split, 16)
        store = open_store(pets / "store", part, split, 16)
        assert store.masks is not None
        seen.append({image.tobytes() for image in store.images})
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]


def test_an_image_stays_in_its_part_whatever_other_images_there_are(pets: Path) -> None:
    before = {Path(name).stem: part for part in PARTS for name in list_split(part, pets, "train").names}
    rows = (pets / "oxford-iiit-pet/annotations/test.txt").read_text().splitlines()
    (pets / "oxford-iiit-pet/annotations/test.txt").write_text("\n".join(rows[5:]) + "\n")
    list_split.cache_clear()
    after = {Path(name).stem: part for part in PARTS for name in list_split(part, pets, "train").names}
    assert {stem: after[stem] for stem in before if stem in after} == {stem: part for stem, part in before.items() if stem in after}
    assert (half_of("Abyssinian_1"), half_of("Abyssinian_100"), half_of("Bengal_1")) == ("a", "b", "a")  # for ever


def test_a_trimap_of_another_size_or_missing_or_out_of_range_is_named(pets: Path) -> None:
    folder = pets / "oxford-iiit-pet"
    first, second, third, fourth = (folder / f"annotations/trimaps/Bengal_{n}.png" for n in range(4))
    Image.new("L", (30, 20), 1).save(first)
    second.unlink()
    Image.new("L", (20, 30), 4).save(third)
    Image.new("RGB", (20, 30)).save(fourth)
    list_split.cache_clear()
    with pytest.raises(InputError) as refused:
        prepare_split("oxford-iiit-pet", pets, pets / "store", "train", 16)
    said = str(refused.value)
    assert said.startswith(f"4 of 80 images of oxford-iiit-pet cannot be decoded: {folder}/images/Bengal_0.jpg (trimap {first} is 30 x 20 px, ")
    assert f"trimap {second} No such file or directory" in said
    assert said.count("holds values outside 1 pet, 2 background, 3 border") == 2
    prepare_split("oxford-iiit-pet", pets, pets / "store", "train", 16, broken="skip")
    store = open_store(pets / "store", "oxford-iiit-pet", "train", 16)
    assert len(store) == 76
    assert store.masks is not None
    assert set(np.unique(store.masks)) == {0, 1, 2}


def test_a_class_out_of_range_is_named(pets: Path) -> None:
    rows = (pets / "oxford-iiit-pet/annotations/trainval.txt").read_text().splitlines()
    rows[0], rows[1] = "Bengal_0 0 1 1", "american_bulldog_0 99 1 1"
    (pets / "oxford-iiit-pet/annotations/trainval.txt").write_text("\n".join(rows))
    list_split.cache_clear()
    with pytest.raises(InputError, match=r"2 of 80 images.*Bengal_0\.jpg \(its class in annotations/trainval\.txt is 0, not 1 to 37\).* is 99, not"):
        prepare_split("oxford-iiit-pet", pets, pets / "store", "train", 16)
    prepare_split("oxford-iiit-pet", pets, pets / "store", "train", 16, broken="skip")
    assert len(open_store(pets / "store", "oxford-iiit-pet", "train", 16)) == 78


def test_breeds_that_a_trimmed_copy_lacks_leave_a_name_for_every_label(pets: Path) -> None:
    """Labels keep their numbers, so a classifier needs as many outputs as the largest asks for, not
    as many as there are breeds.
    """
    assert describe_split("oxford-iiit-pet", pets, "train").classes == 2
    prepare_split("oxford-iiit-pet", pets, pets / "store", "train", 16)
    store = open_store(pets / "store", "oxford-iiit-pet", "train", 16)
    assert sorted(set(store.labels.tolist())) == [0, 2]
    assert store.classes == ("Bengal", "class 1", "American Bulldog")


def test_every_part_has_a_class_for_every_label_of_the_others(real_data: Path) -> None:
    listings = [list_split(part, real_data, split) for part in PARTS for split in ("train", "heldout")]
    assert len({listing.classes for listing in listings}) == 1
    assert max(int(listing.labels.max()) for listing in listings) < len(listings[0].classes) <= 37


def test_pets_without_any_image_are_incomplete(pets: Path) -> None:
    for file in (pets / "oxford-iiit-pet").rglob("*.*g"):
        file.unlink()
    list_split.cache_clear()
    with pytest.raises(InputError, match=r"Data for 'oxford-iiit-pet' in .* are incomplete"):
        list_split("oxford-iiit-pet", locate("oxford-iiit-pet", pets), "train")
    assert not store_folder(pets / "store", "oxford-iiit-pet", "train", 16).exists()
