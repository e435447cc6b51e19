"""Data sources of one's own, one generated and one on disk: registered here, in one place, and used
by all that sources are for.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaling.schema import grid_schema
from tests.trials.conftest import MakeSpec, changed
from trials import InputError, StageSpec, open_store, prepare_split, run_stage, stage_id
from trials.data.decoding import Picture
from trials.data.generated import Drawn, GeneratedSource, release_processes
from trials.data.listing import Listing, fingerprint
from trials.data.sources import SOURCES, FolderSource, get_source, list_split, no_masks, register, split_name
from trials.data.store import describe_split
from trials.diagnostics.heldout import choose_heldout
from trials.prepare import main


class Gradients(GeneratedSource):
    """A ramp of one colour: the colour is the class, the mask its bright, dark and middle part."""

    name = "gradients"
    carries = ("images", "labels", "masks")
    version = 3
    classes = ("red", "green", "blue")

    def draw(self, stream: str, index: int, side: int) -> Drawn:
        random = np.random.default_rng([index, *stream.encode()])
        label = index % len(self.classes)
        ramp = np.broadcast_to(np.linspace(0, 255, side), (side, side))
        image = np.zeros((side, side, 3), dtype=np.uint8)
        image[..., label] = ramp * random.uniform(0.5, 1)
        return image, label, (ramp // 86).astype(np.uint8)


class Grey(FolderSource):
    """Grey squares in files named by their shade, without masks."""

    name = "grey"
    carries = ("images", "labels")
    folders = ("grey-squares",)
    marker = "shades"
    layout = "shades/<split>-<shade>.txt"

    def list_split(self, root: Path, split: str) -> Listing:
        files = sorted((root / "shades").glob(f"{split}-*.txt"))
        return Listing(
            name=self.name,
            split=split,
            names=[file.name for file in files],
            labels=np.arange(len(files)) % 2,
            classes=("dark", "light"),
            fingerprint=fingerprint(files, root),
            read=lambda index: Picture(image=Image.new("RGB", (20, 20), (int(files[index].read_text()),) * 3)),
        )


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both sources, registered for one test: other tests list what there is."""
    list(SOURCES)
    monkeypatch.setattr(SOURCES, "_things", dict(SOURCES._things))
    register(Gradients())
    register(Grey())
    list_split.cache_clear()
    yield
    list_split.cache_clear()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    assert main(["gradients", "--from", str(tmp_path), "--store-px", "16", "--images", "40"]) == 0
    return tmp_path / "store"


def test_prepare_makes_its_images_and_a_plan_knows_them(store: Path) -> None:
    split = split_name("gradients", "pretrain", "train", seed=0)
    info = describe_split("gradients", store, split)
    made = open_store(store, "gradients", split, 16)
    assert (info.images, info.classes, info.has_masks, info.fingerprint) == (None, 3, True, "gradients-3-pretrain-train-0")
    assert (len(made), made.classes, made.fingerprint) == (40, ("red", "green", "blue"), info.fingerprint)
    image, label, mask = Gradients().draw(split, 7, 16)
    assert mask is not None
    assert made.masks is not None
    assert np.array_equal(made.images[7], image)
    assert made.labels[7] == label
    assert np.array_equal(made.masks[7], mask)


def test_other_processes_make_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    try:
        prepare_split("gradients", tmp_path, tmp_path, "pretrain-train-0", 8, images=320)
    finally:
        release_processes()
    made = open_store(tmp_path, "gradients", "pretrain-train-0", 8)
    assert np.array_equal(made.images[319], Gradients().draw("pretrain-train-0", 319, 8)[0])


def spec_of(kind: str, store: Path, make_spec: MakeSpec, parent: StageSpec | None = None) -> StageSpec:
    like = make_spec(kind, parent=stage_id(parent) if parent else None)
    splits = {part: split_name("gradients", kind, part) for part in ("train", "heldout")}
    prints = {f"{part}_fingerprint": describe_split("gradients", store, split).fingerprint for part, split in splits.items()}
    return changed(like, data=dataclasses.replace(like.data, source="gradients", **prints))


def test_it_is_pre_trained_and_fine_tuned_on(store: Path, make_spec: MakeSpec, tmp_path: Path) -> None:
    pretrain = spec_of("pretrain", store, make_spec)
    finetune = spec_of("finetune", store, make_spec, pretrain)
    for spec in (pretrain, finetune):
        folder = tmp_path / "stages" / stage_id(spec)
        folder.mkdir(parents=True)
        metrics = run_stage(spec, folder, store)["metrics"]
        assert all(np.isfinite(value) for value in metrics.values())
    chosen = choose_heldout([pretrain, finetune], store, image_px=16, images=4)
    assert chosen.test.masks is not None
    assert chosen.no_probe == ""


def test_the_schema_and_messages_name_them() -> None:
    schema = json.dumps(grid_schema()["$defs"]["pretrain"])
    assert '"gradients", "grey"' in schema
    assert no_masks("grey", "segmentation").endswith("leaves, leaves-objects, gradients.")
    assert get_source("grey").carries == ("images", "labels")


def test_a_folder_is_found_listed_and_decoded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Data for 'grey' not found: looked for shades/<split>-<shade>\.txt in .*grey-squares"):
        list_split("grey", tmp_path, "train")
    with pytest.raises(InputError, match=r"Data for 'folder:mine' not found: looked for .* in .*mine; unpack"):
        list_split("folder:mine", tmp_path, "train")
    with pytest.raises(InputError, match=r"Data for 'folder:mine' not found: there is no folder .*nowhere; name .* with --data\."):
        list_split("folder:mine", tmp_path / "nowhere", "train")
    (tmp_path / "grey-squares" / "shades").mkdir(parents=True)
    for shade in (10, 20, 200):
        (tmp_path / "grey-squares" / "shades" / f"train-{shade:03}.txt").write_text(str(shade))
    prepare_split("grey", tmp_path, tmp_path / "store", "train", 8)
    made = open_store(tmp_path / "store", "grey", "train", 8)
    assert [int(image[0, 0, 0]) for image in made.images] == [10, 20, 200]
    assert made.masks is None
    assert made.classes == ("dark", "light")
