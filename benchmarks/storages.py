"""How fast are batches read from each way of keeping images: decoded pixels, JPEG, or their own files?

Batches of random crops, read in turns from the three stores of the same images, as the steps of a
pre-training read them: while one batch is taken the next is decoded.

python -m benchmarks.storages --data DIR                               about a minute
python -m benchmarks.storages --data DIR --source intel-scenes --side 64
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.fitting.tables import show
from trials import get_recipe, open_store, prepare_split
from trials.data.augmentation import draw_crops
from trials.data.pictures import Pictures
from trials.recipes.fields import Storage
from trials.training.precision import Compute

STORAGES: tuple[Storage, ...] = ("pixels", "jpeg", "files")
COMPUTE = Compute(device=torch.device("cpu"), precision="fp32", reason="")


def lap(pictures: Pictures, *, batches: int, batch_images: int, seed: int) -> float:
    """Seconds for a batch, the mean of several."""
    recipe, draws = get_recipe("pretrain", "compact"), torch.Generator().manual_seed(seed)
    batch = torch.randint(len(pictures), (batch_images,), generator=draws)
    started = time.perf_counter()
    for _ in range(batches):
        following = torch.randint(len(pictures), (batch_images,), generator=draws)
        pictures.images(batch, draw_crops(pictures.sizes[batch], recipe, draws))
        if pictures.slow:
            pictures.prefetch(following)
        batch = following
    return (time.perf_counter() - started) / batches


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storages", description="Images a second from each way of keeping them.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data set")
    parser.add_argument("--source", default="oxford-iiit-pet")
    parser.add_argument("--side", type=int, default=128, help="of crops, in pixels")
    parser.add_argument("--short", type=int, default=147, help="short side of the stores, in pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=6, help="of a turn")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        root, made, pictures = Path(scratch), {}, {}
        for storage in STORAGES:
            started = time.perf_counter()
            folder = prepare_split(options.source, options.data, root, "train", options.short, storage)
            made[storage] = time.perf_counter() - started, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            store = open_store(root, options.source, "train", options.short, storage)
            pictures[storage] = Pictures(store, torch.arange(len(store)).numpy(), COMPUTE, options.side)
        spent: dict[str, list[float]] = {storage: [] for storage in STORAGES}
        for turn in range(options.turns + 1):
            for storage in STORAGES:
                seconds = lap(pictures[storage], batches=options.batches, batch_images=options.batch, seed=turn)
                if turn:  # the first warms up
                    spent[storage].append(seconds)
        images = len(pictures["pixels"])
        print(f"{images:,} images of {options.source}, short side {options.short} px, crops of {options.side} px, batches of {options.batch}\n")
        rows = []
        for storage in STORAGES:
            ratio = statistics.median(own / base for own, base in zip(spent[storage], spent["pixels"], strict=True))
            seconds, size = made[storage]
            speed = options.batch / statistics.median(spent[storage])
            rows.append([storage, f"{speed:,.0f}", f"{1 / ratio:.2f}", f"{seconds:.1f}", f"{size / images / 1000:.2f}"])
        show(["kept as", "images/s", "beside pixels, in turns", "seconds to make", "kB an image"], rows)


if __name__ == "__main__":
    main()
