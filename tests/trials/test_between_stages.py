"""What a process keeps from one stage to the next, and what it lets go."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, run
from trials.data.pictures import open_pictures
from trials.data.resampling import Flat
from trials.data.resident import RESIDENT, ResidentImages
from trials.objectives.masked_image_modelling import MaskedImageModelling
from trials.stage_files import DeferredSync, atomic, read_json
from trials.training.precision import choose_compute


def flat() -> Flat:
    return Flat(pixels=torch.zeros(1), starts=torch.zeros(1), row_pixels=torch.zeros(1))


def test_images_used_last_stay_and_the_oldest_go() -> None:
    held, loaded = ResidentImages(most_bytes=100), []

    def get(key: str, nbytes: int) -> Flat:
        return held.get(key, nbytes, lambda: loaded.append(key) or flat())  # type: ignore[func-returns-value]

    first = get("a", 60)
    assert get("b", 40) is not first
    assert get("a", 60) is first
    get("c", 40)  # no room for all three: b was used longest ago
    assert get("a", 60) is first
    get("b", 40)
    get("too large", 101)
    get("too large", 101)
    assert loaded == ["a", "b", "c", "b", "too large", "too large"]
    held.clear()
    assert get("a", 60) is not first


def test_the_next_stage_finds_the_same_images_and_no_others(make_spec: MakeSpec, leaves_store: Path) -> None:
    RESIDENT.clear()
    compute = choose_compute("fp32", gpus=0)

    def opened(images: int) -> list[Any]:
        spec = make_spec("finetune", train_images=images)
        pictures = open_pictures(spec.data, leaves_store, seed=0, compute=compute, recipe=spec.recipe)
        for one in pictures:
            one._hold()  # as on a GPU
        return [list(one._resident.values()) for one in pictures]

    (train, heldout), (other_train, same_heldout) = opened(20), opened(10)
    assert len(train) == 2, "images and masks"
    assert train[0].pixels.shape[1:] == (3,)
    assert all(a is b for a, b in zip(heldout, same_heldout, strict=True))
    assert all(a is not b for a, b in zip(train, other_train, strict=True)), "another subset"
    RESIDENT.clear()


def test_a_stage_lets_go_of_its_model_at_once(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: Any) -> None:
    models: list[weakref.ref[Any]] = []
    build = MaskedImageModelling.__init__

    def remember(self: MaskedImageModelling, setting: Any) -> None:
        build(self, setting)
        models.append(weakref.ref(self.model))

    monkeypatch.setattr(MaskedImageModelling, "__init__", remember)
    run(make_spec("pretrain", seed=1), tmp_path, leaves_store)  # imports what torch imports late
    gc.collect()
    gc.disable()
    try:
        run(make_spec("pretrain"), tmp_path, leaves_store, capture="on")
        assert [one() for one in models] == [None, None]
    finally:
        gc.enable()


def test_deferred_files_are_there_at_once_and_flushed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    files = DeferredSync()
    with files.collecting():
        for name in ("a", "b", "a"):
            with atomic(tmp_path / "below" / name) as handle:
                handle.write(name.encode())
        assert (tmp_path / "below" / "b").read_bytes() == b"b"
    assert synced == []
    files.sync()
    inodes = [(tmp_path / "below" / name).stat().st_ino for name in ("a", "b", "")]
    assert sorted(synced) == sorted(inodes)
    assert synced[-1] == inodes[-1], "the folder's names come last"
    with atomic(tmp_path / "c") as handle:  # outside nothing waits
        handle.write(b"c")
    assert len(synced) == 5


def test_a_stage_has_all_its_files_on_disk_before_its_result(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: dict[int, bool] = {}
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        on_disk[os.fstat(descriptor).st_ino] = True

    def replace(source: str, target: Any, _replace: Any = os.replace) -> None:
        if Path(target).name == "result.json":
            others = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("log.txt", Path(source).name, ".lock")]
            missing.extend(str(path) for path in others if path.stat().st_ino not in on_disk)
            count.append(len(others))
        _replace(source, target)

    missing: list[str] = []
    count: list[int] = []
    spec = make_spec("finetune")
    folder = folder_of(spec, tmp_path)
    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(os, "replace", replace)
    run(spec, tmp_path, leaves_store)
    assert missing == []
    assert count[0] > 10
    assert (read_json(folder / "result.json") or {})["id"] == folder.name
    assert np.isfinite(read_json(folder / "provenance.json")["step_ms"])
