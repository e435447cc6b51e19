"""Do detectors over the smallest encoders learn, on generated images with several objects?

Mask R-CNN over SwinV2-pico (feature pyramid network) and ViT-pico (simple feature pyramid), from
fresh weights, scored by pycocotools on fixed test images. The floor knows the training objects and
not the image: as many detections as COCO scores, each a random training object where it lies there.

python -m benchmarks.detection                      minutes on a CPU core
python -m benchmarks.detection --steps 4000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.fresh_weights import against_margin, smallest_encoders, trained
from benchmarks.generated_data import data_of
from trials.data.store import open_store
from trials.objectives.average_precision import MOST_DETECTIONS, Detections, average_precision, encode_masks
from trials.spec import DataSpec

SOURCE = "leaves-objects"
MARGIN = 0.1
"""By which AP at an IoU of .5 must be above the floor, of boxes and of masks."""


def floor(store: Path, data: DataSpec) -> dict[str, float]:
    """AP at an IoU of .5 of detections that know the training objects and not the image."""
    train, test = (open_store(store, SOURCE, split, data.image_px) for split in (data.train_split, data.heldout_split))
    assert train.instances is not None
    assert test.instances is not None
    objects = [one for index in range(data.train_images) for one in [train.instances[index]]]
    boxes, classes = np.concatenate([one.boxes for one in objects]), np.concatenate([one.classes for one in objects])
    masks = np.concatenate([one.masks(data.image_px, data.image_px) for one in objects])
    random = np.random.default_rng(0)
    found = []
    for _ in range(data.heldout_images):
        chosen = random.permutation(len(boxes))[:MOST_DETECTIONS]
        scores = random.random(len(chosen))
        found.append(Detections(boxes=boxes[chosen], classes=classes[chosen], scores=scores, masks=encode_masks(masks[chosen])))
    truths, sizes = [test.instances[index] for index in range(data.heldout_images)], [(data.image_px, data.image_px)] * data.heldout_images
    scored = {what: average_precision(truths, sizes, found, classes=8, kind=kind) for what, kind in (("box", "bbox"), ("mask", "segm"))}  # type: ignore[arg-type]
    return {what: one.ap50 for what, one in scored.items() if one is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--test-images", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = data_of(SOURCE, "finetune", root, image_px=options.side, images=options.images, heldout_images=options.test_images)
        floors = floor(root / "store", data)
        print(f"{options.images:,} images of {options.side} px, {options.steps:,} steps of {options.batch}, {options.test_images} test images")
        print("| encoder | box AP | box AP at .5 | mask AP | mask AP at .5 | minutes |\n|---|---|---|---|---|---|")
        print(f"| floor | | {floors['box']:.3f} | | {floors['mask']:.3f} | |", flush=True)
        above = []
        changes = {"batch_images": options.batch, "learning_rate": options.rate, "detector_width": 32, "anchor_scale": 4.0, "regions": 32}
        device = {"cpus": options.cpus, "gpus": options.gpus}
        for encoder in smallest_encoders(options.side):
            scores, minutes = trained(root, data, "instance-segmentation", encoder, changes, steps=options.steps, **device)
            row = " | ".join(f"{scores[name]:.3f}" for name in ("box_ap", "box_ap50", "mask_ap", "mask_ap50"))
            print(f"| {encoder} | {row} | {minutes:.1f} |", flush=True)
            above += [scores[f"{what}_ap50"] - floors[what] for what in ("box", "mask")]
    print(against_margin(above, MARGIN))


if __name__ == "__main__":
    main()
