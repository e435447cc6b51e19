"""How much fine detail crops of stored images have, relative to crops of the original.

    python -m benchmarks.crops

Noise with the spectrum of photographs at 500 x 375 px is cropped to 128 px, 60 crops at each
setting, from the original and from stores of several short sides and filters. Printed: the root
mean square of the Laplacian of the crops, over that of crops of the original, less 1. A few seconds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from PIL import Image

from trials.data.augmentation import draw_crops
from trials.data.packed import Packed
from trials.data.resampling import crop_on_cpu
from trials.recipes.named import get_recipe

WIDTH, HEIGHT, SIDE, CROPS = 500, 375, 128, 60
FILTERS = {"Lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


def photograph_like(seed: int = 0) -> Image.Image:
    """Noise whose amplitude falls as 1 over frequency."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH))) / frequency).real
    noise = np.clip(128 + 40 * (noise - noise.mean()) / noise.std(), 0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(noise[..., None], 3, axis=2))


def roughness(image: Image.Image, crop_scale_min: float) -> float:
    """Root mean square of the Laplacian of random crops at 128 px."""
    recipe = dataclasses.replace(get_recipe("pretrain", "compact"), crop_scale_min=crop_scale_min)
    sizes = torch.tensor([[image.height, image.width]]).expand(CROPS, 2)
    crops = draw_crops(sizes, recipe, torch.Generator().manual_seed(0))
    stored = Packed(np.asarray(image).ravel(), sizes[:1].numpy())
    made = crop_on_cpu(stored, np.zeros(CROPS, dtype=int), crops, SIDE)[..., 0].double()
    around = made[:, :-2, 1:-1] + made[:, 2:, 1:-1] + made[:, 1:-1, :-2] + made[:, 1:-1, 2:]
    return float((4 * made[:, 1:-1, 1:-1] - around).square().mean().sqrt())


def detail_lost(store_px: int, resample: Image.Resampling, crop_scale_min: float) -> float:
    """The roughness of crops of an image stored with that short side, over that of crops of the
    original, less 1.
    """
    original = photograph_like()
    stored = original.resize((round(store_px * WIDTH / HEIGHT), store_px), resample)
    return roughness(stored, crop_scale_min) / roughness(original, crop_scale_min) - 1


def main() -> None:
    print("| short side of the store | filter | crops of .67 to 1 | crops of .08 to 1 |\n|---|---|---|---|")
    for store_px in (147, 192, 256):
        for name, resample in FILTERS.items():
            lost = [f"{detail_lost(store_px, resample, scale):+.1%}" for scale in (0.67, 0.08)]
            print(f"| {store_px} px | {name} | {lost[0]} | {lost[1]} |")


if __name__ == "__main__":
    main()
