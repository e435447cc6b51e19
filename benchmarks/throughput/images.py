"""The same generated pictures twice: in our store, and as JPEG files in class folders for everybody
else.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.throughput.models import Workload
from trials.data.generated import release_processes
from trials.data.sources import split_name
from trials.data.store import describe_split, open_store
from trials.prepare import prepare_split
from trials.spec import DataSpec, StageSpec

SOURCE = "leaves"
QUALITY = 90
HELDOUT_IMAGES = 16  # measured once, before the first step, which is not timed


def prepare(workload: Workload, root: Path, *, images: int) -> Path:
    """Write what is not there yet; the folder of JPEG files, which lie at the model's side, so that
    no rival has to shrink them.
    """
    side = workload.of.image_px
    for part, count in (("train", images), ("heldout", HELDOUT_IMAGES)):
        prepare_split(SOURCE, root, root / "store", split_name(SOURCE, "pretrain", part), side, images=count)
    release_processes()
    folder = root / f"jpeg-{side}-{images}"
    if not (folder / "complete").exists():
        store = open_store(root / "store", SOURCE, split_name(SOURCE, "pretrain", "train"), side)
        for index in range(images):
            name = folder / "train" / store.classes[store.labels[index]] / f"{index:06d}.jpg"
            name.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(store.images[index]).save(name, quality=QUALITY)
        (folder / "complete").touch()
    return folder / "train"


def our_stage(workload: Workload, root: Path, *, images: int, batch_images: int, precision: str, steps: int) -> StageSpec:
    """The pre-training that reads our store, which is never to reach its last step."""
    splits = {part: split_name(SOURCE, "pretrain", part) for part in ("train", "heldout")}
    fingerprints = {part: describe_split(SOURCE, root, split).fingerprint for part, split in splits.items()}
    return StageSpec(
        kind="pretrain",
        objective="simmim",
        encoder=workload.encoder,
        data=DataSpec(
            source=SOURCE,
            image_px=workload.of.image_px,
            train_split=splits["train"],
            train_fingerprint=fingerprints["train"],
            train_images=images,
            sampling="uniform",
            heldout_split=splits["heldout"],
            heldout_fingerprint=fingerprints["heldout"],
            heldout_images=HELDOUT_IMAGES,
        ),
        recipe=workload.recipe(batch_images=batch_images, precision=precision),
        steps=steps,
        eval_points=1,
        seed=0,
        parent=None,
    )
