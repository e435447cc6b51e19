"""Do the segmentation heads learn over the smallest encoders, on generated images?

Each head over SwinV2-pico and ViT-pico from fresh weights, scored by mean IoU on fixed test images.
The floor knows the training masks and not the image: each pixel gets the class that most training
images have there. The margin is asked of UPerNet, which reads four feature maps: the linear heads see
the last one alone, 2 x 2 tokens of SwinV2 at 64 px.

python -m benchmarks.segmentation_heads                minutes on a CPU core
python -m benchmarks.segmentation_heads --steps 1000 --heads upernet
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.fresh_weights import against_margin, smallest_encoders, trained
from benchmarks.generated_data import data_of
from trials.data.store import open_store
from trials.models.segmentation_heads.head import HEADS
from trials.objectives.segmentation_scores import confusion_per_image, miou
from trials.spec import DataSpec

SOURCE = "leaves"
MARGIN = 0.1
"""By which the mean IoU of UPerNet must be above the floor."""


def floor(store: Path, data: DataSpec) -> float:
    """Mean IoU of the most frequent class of each pixel."""
    train, test = (
        _masks(store, split, data.image_px, count)
        for split, count in ((data.train_split, data.train_images), (data.heldout_split, data.heldout_images))
    )
    classes = int(train.max()) + 1
    frequent = np.stack([(train == one).sum(axis=0) for one in range(classes)]).argmax(axis=0)
    predicted = torch.from_numpy(np.broadcast_to(frequent, test.shape).copy()).long()
    return miou(confusion_per_image(torch.from_numpy(test).long(), predicted, classes).sum(dim=0).numpy())


def _masks(store: Path, split: str, image_px: int, count: int) -> np.ndarray:
    masks = open_store(store, SOURCE, split, image_px).masks
    assert masks is not None
    return np.stack([masks[index] for index in range(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--test-images", type=int, default=200)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = data_of(SOURCE, "finetune", root, image_px=options.side, images=options.images, heldout_images=options.test_images)
        least = floor(root / "store", data)
        print(f"{options.images:,} images of {options.side} px, {options.steps:,} steps of {options.batch}, {options.test_images} test images")
        print("| encoder | head | mean IoU | minutes |\n|---|---|---|---|")
        print(f"| floor | | {least:.3f} | |", flush=True)
        above = []
        for encoder in smallest_encoders(options.side):
            for head in options.heads:
                changes = {"batch_images": options.batch, "learning_rate": options.rate, "head": head, "head_channels": 32}
                scores, minutes = trained(root, data, "segmentation", encoder, changes, steps=options.steps)
                print(f"| {encoder} | {head} | {scores['miou']:.3f} | {minutes:.1f} |", flush=True)
                if head == "upernet":
                    above.append(scores["miou"] - least)
    if above:
        print(f"upernet: {against_margin(above, MARGIN)}")


if __name__ == "__main__":
    main()
