"""Colour jitter, RandAugment and erasing against torchvision, Pillow and timm: each operation on the
same image, and the draws as distributions.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from timm.data import auto_augment
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from tests.trials.conftest import MakeSpec, changed
from tests.trials.test_objectives import objective_of
from trials.data.distortions import (
    OPERATIONS,
    RandAugmentDraws,
    draw_erasing,
    draw_jitter,
    draw_rand_augment,
    erase,
    jitter_colours,
    rand_augment,
    shift_hue,
)
from trials.recipes.named import get_recipe

TIMM = dict(zip(OPERATIONS, auto_augment._RAND_INCREASING_TRANSFORMS, strict=True))
MOVES = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")


def picture(side: int = 48, seed: int = 0) -> Tensor:
    """A (3, S, S) uint8 image with soft shapes, in 20 to 230, so that no operation is trivial."""
    noise = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size=side, mode="bicubic")[0]
    return (125 + 40 * smooth).clamp(20, 230).round().to(torch.uint8)


def one(name: str, level: float, sign: float) -> RandAugmentDraws:
    """That operation in the first layer, and nothing in the second."""
    operation = torch.tensor([[OPERATIONS.index(name)], [-1]])
    return RandAugmentDraws(operation=operation, level=torch.full((2, 1), level), sign=torch.full((2, 1), sign))


def by_timm(image: Tensor, name: str, level: float, sign: float, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(auto_augment, "_randomly_negate", lambda value: sign * value)
    hparams = {"interpolation": Image.Resampling.BILINEAR, "img_mean": (124, 116, 104)}
    operation = auto_augment.AugmentOp(TIMM[name], prob=1.0, magnitude=level, hparams=hparams)
    return np.asarray(operation(Image.fromarray(image.permute(1, 2, 0).numpy())), dtype=int)


@pytest.mark.parametrize("level", [3.0, 9.0, 9.7])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_pillows_as_timm_calls_it(name: str, level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture()
    for sign in (1.0, -1.0):
        expected = by_timm(image, name, level, sign, monkeypatch)
        found = (rand_augment(image[None] / 255, one(name, level, sign))[0] * 255).round().int().permute(1, 2, 0).numpy()
        difference = np.abs(found - expected)
        if name in MOVES:  # at the border of the image Pillow takes the nearest pixel, and we mix it with the fill
            assert np.quantile(difference, 0.9) <= 2, (name, sign)
            assert difference.mean() < 3, (name, sign)
        else:
            assert difference.max() <= 1, (name, sign)


def test_images_have_operations_of_their_own() -> None:
    images = torch.stack([picture(seed=seed) for seed in range(8)]) / 255
    draws = draw_rand_augment(8, 9.0, torch.Generator().manual_seed(1))
    together = rand_augment(images, draws)
    for place in range(8):
        alone = rand_augment(images[place : place + 1], draws[slice(place, place + 1)])[0]
        torch.testing.assert_close(together[place], alone)


def test_rand_augment_is_timms_in_distribution() -> None:
    count, image = 600, picture(24)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - timm draws from it
    hparams = {"interpolation": Image.Resampling.BILINEAR, "img_mean": (124, 116, 104)}
    theirs = auto_augment.rand_augment_transform("rand-m9-mstd0.5-inc1", hparams)
    start = Image.fromarray(image.permute(1, 2, 0).numpy())
    expected = np.stack([np.asarray(theirs(start), dtype=float) for _ in range(count)])
    original = image.permute(1, 2, 0).numpy().astype(float)

    def at(magnitude: float) -> np.ndarray:
        draws = draw_rand_augment(count, magnitude, torch.Generator().manual_seed(2))
        return (rand_augment((image / 255).expand(count, -1, -1, -1), draws) * 255).permute(0, 2, 3, 1).double().numpy()

    def change(images: np.ndarray) -> np.ndarray:
        return np.abs(images - original).mean(axis=(1, 2, 3)).round(1)

    found = at(9.0)
    for statistic in (change, lambda x: x.mean(axis=(1, 2, 3)).round(1), lambda x: x.std(axis=(1, 2, 3)).round(1)):
        assert ks_2samp(statistic(expected), statistic(found)).pvalue > 0.01
    assert ks_2samp(change(expected), change(at(3.0))).pvalue < 1e-4  # another magnitude is another distribution


def test_erased_rectangles_are_timms_in_distribution() -> None:
    count, side = 1500, 32
    random.seed(3)
    theirs = torch.ones(count, 1, side, side)
    RandomErasing(0.25, mode="const", device="cpu")(theirs)
    boxes = draw_erasing(count, 0.25, side, torch.Generator().manual_seed(4))
    ours = erase(torch.ones(count, 1, side, side), boxes, torch.zeros(count, 1, side, side))
    erased = [1 - images[:, 0] for images in (theirs, ours)]
    shares = [float((one.sum(dim=(1, 2)) > 0).float().mean()) for one in erased]
    assert shares == pytest.approx([0.25, 0.25], abs=0.035)
    hit = [one[one.sum(dim=(1, 2)) > 0] for one in erased]
    for statistic in (lambda x: x.sum(dim=(1, 2)), lambda x: x.amax(dim=2).sum(dim=1), lambda x: x.amax(dim=1).argmax(dim=1).float()):
        assert ks_2samp(*(statistic(one).numpy() for one in hit)).pvalue > 0.01


def test_colours_change_as_torchvision_changes_them() -> None:
    image = picture()[None] / 255
    recipe = get_recipe("finetune", "compact", {"brightness": 0.4, "saturation": 0.4, "hue": 0.1})
    draws = draw_jitter(1, recipe, torch.Generator().manual_seed(0))
    expected = reference.adjust_brightness(image, float(draws.brightness[0]))
    expected = reference.adjust_saturation(expected, float(draws.saturation[0]))
    torch.testing.assert_close(jitter_colours(image, draws), reference.adjust_hue(expected, float(draws.hue[0])), atol=2e-3, rtol=0)
    torch.testing.assert_close(shift_hue(image, torch.zeros(1)), image)
    many = draw_jitter(4000, recipe, torch.Generator().manual_seed(1))
    for drawn, middle, reach in ((many.brightness, 1, 0.4), (many.saturation, 1, 0.4), (many.hue, 0, 0.1)):
        assert ks_2samp(drawn.numpy(), np.linspace(middle - reach, middle + reach, 4000)).pvalue > 0.01


STRONG: dict[str, float] = {"brightness": 0.4, "saturation": 0.4, "hue": 0.1, "rand_augment": 9.0, "erasing": 0.5} | {
    "cutmix": 1.0,
    "mixup": 0.8,
    "stochastic_depth": 0.3,
}


def test_a_batch_in_parts_is_distorted_as_the_whole_batch(make_spec: MakeSpec, leaves_store: Path) -> None:
    objective = objective_of(changed(make_spec("finetune", **STRONG), objective="classification"), leaves_store)
    whole = objective.loss(3)
    sizes = [len(rows) for rows in torch.arange(8).tensor_split(3)]
    parts = [objective.loss(3, (index, 3)) * (size / 8) for index, size in enumerate(sizes)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_a_segmentation_takes_colours_alone(make_spec: MakeSpec, leaves_store: Path) -> None:
    """What moves or hides pixels would make its masks wrong."""
    settings: tuple[dict[str, float], ...] = ({}, {"rand_augment": 9.0, "erasing": 1.0}, {"brightness": 0.4})
    plain, moved, coloured = (objective_of(make_spec("finetune", **fields), leaves_store).loss(1) for fields in settings)
    assert torch.equal(plain, moved)
    assert not torch.equal(plain, coloured)
