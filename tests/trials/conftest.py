"""A tiny store of generated images, and specs that train on it in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trials.data.sources import KINDS, split_name
from trials.data.store import describe_split
from trials.prepare import prepare_split
from trials.recipes.named import get_recipe
from trials.spec import DataSpec, StageSpec

OBJECTIVE = {"pretrain": "simmim", "intermediate": "classification", "finetune": "segmentation"}
MakeSpec = Callable[..., StageSpec]


@pytest.fixture(scope="session")
def leaves_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures for each split, 16 px."""
    root = tmp_path_factory.mktemp("store")
    for kind in KINDS:
        for part in ("train", "heldout"):
            for seed in (0, 1):
                prepare_split("leaves", root, root, split_name("leaves", kind, part, seed=seed), 16, images=40)
    return root


@pytest.fixture(scope="session")
def make_spec(leaves_store: Path) -> MakeSpec:
    """A stage of a few steps on `leaves`; fp32, so that every CPU gives the same bits."""

    def make(kind: str, *, steps: int = 6, train_images: int = 20, seed: int = 0, parent: str | None = None, **recipe: Any) -> StageSpec:
        splits = {part: split_name("leaves", kind, part, seed=seed) for part in ("train", "heldout")}
        data = DataSpec(
            source="leaves",
            image_px=16,
            train_split=splits["train"],
            train_fingerprint=describe_split("leaves", leaves_store, splits["train"]).fingerprint,
            train_images=train_images,
            sampling="uniform",
            heldout_split=splits["heldout"],
            heldout_fingerprint=describe_split("leaves", leaves_store, splits["heldout"]).fingerprint,
            heldout_images=16,
        )
        return StageSpec(
            kind=kind,
            objective=OBJECTIVE[kind],
            encoder="pico/4@16",
            data=data,
            recipe=get_recipe(kind, "compact", {"batch_images": 8, "precision": "fp32"} | recipe),
            steps=steps,
            eval_points=3,
            seed=seed,
            parent=parent,
        )

    return make


def changed(spec: StageSpec, **fields: Any) -> StageSpec:
    """The spec with fields replaced."""
    return dataclasses.replace(spec, **fields)
