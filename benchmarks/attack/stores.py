"""Hostile image stores: every file of a store changed, then the store opened and its images read."""

from __future__ import annotations

import random
import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from benchmarks.attack.case import Attack
from benchmarks.attack.mutation import damaged_file
from trials import open_store
from trials.prepare import prepare_split

IMAGES, SIDE, SPLIT = 12, 16, "finetune-heldout"


@lru_cache(maxsize=1)
def whole_store() -> Path:
    """The root of a store of a few generated pictures with trimaps."""
    root = Path(mkdtemp(prefix="attack-store-"))
    prepare_split("leaves", root, root, SPLIT, SIDE, images=IMAGES)
    return root


def _attempt(rng: random.Random, scratch: Path) -> str:
    shutil.copytree(whole_store(), scratch / "store")
    folder = scratch / "store" / f"leaves@{SIDE}" / SPLIT
    (scratch / "secret").write_bytes(b"secret" * 10_000)
    done = []
    for _ in range(rng.randint(1, 2)):
        done.append(damaged_file(rng, rng.choice([path for path in folder.iterdir() if path.is_file()]), elsewhere=scratch / "secret"))
    try:
        store = open_store(scratch / "store", "leaves", SPLIT, SIDE)
        assert len(store) == len(store.images) > 0
        assert int(np.asarray(store.images).sum()) >= 0
        assert store.labels.min() >= 0
        assert store.labels.max() < len(store.classes)
    except Exception as error:
        error.add_note("; ".join(done))
        raise
    return "; ".join(done)


ATTACKS = (Attack(name="image stores", attempt=_attempt, limit_s=2.0),)
