"""The pictures that a fine-tuning keeps: evenly spaced ones, and the best, median and worst by
score.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.trials.conftest import MakeSpec
from trials import open_store, run_stage, stage_id
from trials.data.pictures import HELDOUT_SEED
from trials.data.subsets import subset
from trials.objectives.examples import TRIMAP_COLOURS


def test_ranks_are_of_the_whole_test_set_and_recomputed_from_the_pictures_alone(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("finetune", steps=30, learning_rate=3e-3)
    folder = tmp_path / "stages" / stage_id(spec)
    run_stage(spec, folder, leaves_store)
    index = json.loads((folder / "examples" / "index.json").read_text())
    plain = [item for item in index["items"] if "rank" not in item]
    ranked = {item["rank"]: item for item in index["items"] if "rank" in item}
    assert [item["caption"] for item in plain] == [f"test image {p}" for p in (0, 3, 6, 9, 12, 15)]
    assert {name: item["place"] for name, item in ranked.items()} == {"best": 1, "median": 8, "worst": 16}
    assert ranked["best"]["miou"] >= ranked["median"]["miou"] >= ranked["worst"]["miou"]
    places = [item["place"] for item in sorted(plain, key=lambda item: -item["miou"])]
    assert places == sorted(places)
    assert {item["of"] for item in index["items"]} == {16}

    store = open_store(leaves_store, "leaves", "finetune-heldout", 16)
    heldout = subset(store.labels[:16], images=16, seed=HELDOUT_SEED, sampling="proportional")
    for item in ranked.values():
        row = np.asarray(Image.open(folder / "examples" / item["file"]))
        place = heldout[int(item["caption"].removeprefix("test image "))]
        assert (row[:, :16] == store.images[place]).mean() > 0.95  # normalising and back may round a pixel
        truth, prediction = ((row[:, part, None] == TRIMAP_COLOURS).all(-1).argmax(-1) for part in (slice(16, 32), slice(32, 48)))
        assert (truth == store.masks[place]).all()
        ious = [((truth == c) & (prediction == c)).sum() / union for c in range(3) if (union := ((truth == c) | (prediction == c)).sum())]
        assert item["miou"] == round(float(np.mean(ious)), 4)
