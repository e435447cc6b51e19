"""Folders of Parquet files as the Hugging Face hub holds them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trials import InputError, open_store, prepare_split
from trials.data.sources import list_split, locate
from trials.data.store import describe_split


def encoded(label: int, number: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (24, 20), (60 * label, 10 * number, 99)).save(written, "PNG")
    return written.getvalue()


def write_file(path: Path, labels: list[int], *, names: list[str] | None = None, **columns: Any) -> None:
    """As `datasets` writes it; `columns` replace or add columns."""
    images = [{"bytes": encoded(label, number), "path": f"{number}.png"} for number, label in enumerate(labels)]
    table = pa.table({"image": images, "label": labels} | columns)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path, row_group_size=3)


def test_a_folder_of_parquet_files_becomes_a_store(tmp_path: Path) -> None:
    write_file(tmp_path / "org/pets/data/train-00000-of-00002.parquet", [0, 1, 2, 0, 1], names=["cat", "dog", "owl"])
    write_file(tmp_path / "org/pets/data/train-00001-of-00002.parquet", [2, 2, 0], names=["cat", "dog", "owl"])
    write_file(tmp_path / "org/pets/data/validation-00000-of-00001.parquet", [1, 0], names=["cat", "dog", "owl"])
    write_file(tmp_path / "org/pets/data/test-00000-of-00001.parquet", [-1, -1, -1], names=["cat", "dog", "owl"])
    prepare_split("hf:org/pets", tmp_path, tmp_path / "store", "train", 20)
    store = open_store(tmp_path / "store", "hf:org/pets", "train", 20)
    assert store.classes == ("cat", "dog", "owl")
    assert store.labels.tolist() == [0, 1, 2, 0, 1, 2, 2, 0]
    for image, label, number in zip(store.images, store.labels, [0, 1, 2, 3, 4, 0, 1, 2], strict=True):
        assert image[0, 0].tolist() == [60 * label, 10 * number, 99]
    assert describe_split("hf:org/pets", tmp_path, "heldout").images == 2, "a validation set is taken before a test set without labels"


def test_labels_without_names_are_numbered_and_images_may_have_no_labels(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_file(tmp_path / "a" / f"{name}.parquet", [0, 1, 1])
        write_file(tmp_path / "b" / f"{name}.parquet", [0, 0], label=["x", "y"])
    assert list_split("hf:a", tmp_path, "train").classes == ("class 0", "class 1")
    assert list_split("hf:b", tmp_path, "train").classes == ("image",)


def test_a_name_that_is_not_downloaded_says_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match=r"hf:uoft-cs/cifar100 is no folder in .*, and nothing is fetched from the hub: .*`hf download"):
        locate("hf:uoft-cs/cifar100", tmp_path)


@pytest.mark.parametrize(
    ("columns", "names", "sentence"),
    [
        (
            {"image": ["a.png", "b.png"]},
            None,
            r"No column of .* is an image \(.*\): there are image \(string\), label \(int64\)",
        ),
        ({"label": [0, -1]}, ["cat", "dog"], "The column 'label' of .* holds -1, but there are 2 classes"),
        ({"label": [0, 7]}, ["cat", "dog"], "The column 'label' of .* holds 7, but there are 2 classes"),
        ({"label": [0, None]}, ["cat", "dog"], "The column 'label' of .* has rows without a label"),
    ],
)
def test_wrong_columns_end_in_a_sentence(columns: dict[str, Any], names: list[str] | None, sentence: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_file(tmp_path / "mine" / f"{split}.parquet", [0, 1], names=names, **columns)
    with pytest.raises(InputError, match=sentence):
        list_split("hf:mine", tmp_path, "train")


def test_wrong_files_end_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no Parquet files"):
        list_split("hf:none", tmp_path, "train")
    write_file(tmp_path / "unsplit" / "part-0.parquet", [0, 1])
    with pytest.raises(InputError, match="do not say how they are split"):
        list_split("hf:unsplit", tmp_path, "train")
    for split in ("train", "test"):
        (tmp_path / "none" / f"{split}.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train\.parquet is no Parquet file that can be read"):
        list_split("hf:none", tmp_path, "train")


def test_an_image_without_bytes_is_broken_and_named(tmp_path: Path) -> None:
    rows = [{"bytes": encoded(0, 0), "path": "0.png"}, {"bytes": None, "path": "1.png"}]
    for split in ("train", "test"):
        write_file(tmp_path / "mine" / f"{split}.parquet", [0, 1], image=rows)
    with pytest.raises(InputError, match=r"1 of 2 images of hf:mine cannot be decoded: .*row 1.*has no bytes in its row"):
        prepare_split("hf:mine", tmp_path, tmp_path / "store", "train", 16)
    prepare_split("hf:mine", tmp_path, tmp_path / "store", "train", 16, broken="skip")
    assert np.array_equal(open_store(tmp_path / "store", "hf:mine", "train", 16).labels, [0])


def test_a_data_set_in_the_hubs_cache_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `hf download` leaves it: snapshots of links into the blobs; that of `main` is taken."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    cached = tmp_path / "home/hub/datasets--org--pets"
    for revision, count in (("old", 2), ("new", 3)):
        for split in ("train", "test"):
            write_file(cached / "blobs" / f"{revision}-{split}", [0, 1, 1][:count], names=["cat", "dog"])
            link = cached / "snapshots" / revision / "data" / f"{split}-00000-of-00001.parquet"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(cached / "blobs" / f"{revision}-{split}")
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("old")
    assert len(list_split("hf:org/pets", tmp_path, "train")) == 2
    prepare_split("hf:org/pets", tmp_path, tmp_path / "store", "train", 20)
    assert open_store(tmp_path / "store", "hf:org/pets", "train", 20).classes == ("cat", "dog")


def write_stream(path: Path, labels: list[int]) -> None:
    """As `datasets.load_dataset` keeps a split."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(label, number), "path": None} for number, label in enumerate(labels)]
    table = pa.table({"image": images, "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def test_a_data_set_that_datasets_has_loaded_is_read_from_its_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home/datasets/org___my_pets/default/0.0.0/0123abcd"
    write_stream(folder / "my_pets-train.arrow", [0, 1, 1])
    write_stream(folder / "my_pets-test.arrow", [1, 0])
    (folder / "cache-train-99.arrow").write_bytes(b"what datasets computed")
    prepare_split("hf:org/MyPets", tmp_path, tmp_path / "store", "train", 20)
    store = open_store(tmp_path / "store", "hf:org/MyPets", "train", 20)
    assert store.labels.tolist() == [0, 1, 1]
    assert [image[0, 0].tolist() for image in store.images] == [[0, 0, 99], [60, 10, 99], [60, 20, 99]]
    assert describe_split("hf:org/MyPets", tmp_path, "heldout").images == 2
    write_stream(tmp_path / "home/datasets/org___my_pets/other/0.0.0/45/my_pets-train.arrow", [0])
    with pytest.raises(InputError, match=r"^hf:org/MyPets was loaded in several configurations \(default, other\): keep one of them"):
        locate("hf:org/MyPets", tmp_path)


def test_a_stream_that_is_cut_off_is_one_sentence(tmp_path: Path) -> None:
    write_stream(tmp_path / "pets/pets-train.arrow", [0, 1])
    write_stream(tmp_path / "pets/pets-test.arrow", [0, 1])
    data = (tmp_path / "pets/pets-train.arrow").read_bytes()
    (tmp_path / "pets/pets-train.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"pets-train.arrow is no Arrow stream that can be read"):
        list_split("hf:pets", tmp_path, "train")
