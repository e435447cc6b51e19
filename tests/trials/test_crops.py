"""Crops are torchvision's: in distribution as they are drawn, to the grey level as they are
resampled; image and mask move alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as TF

from benchmarks.crops import detail_lost
from trials import get_recipe
from trials.data.augmentation import Crops, centre_squares, draw_crops, largest_crop, whole_images
from trials.data.packed import Packed
from trials.data.pictures import Pictures
from trials.data.resampling import Flat, crop_on_cpu, crop_on_device
from trials.data.store import ImageStore
from trials.training.precision import Compute

RECIPE = get_recipe("pretrain", "compact")
CPU = Compute(device=torch.device("cpu"), precision="fp32", reason="a test")


def sizes_of(*sizes: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(sizes)


def packed(sizes: torch.Tensor, seed: int = 0, *, masks: bool = False) -> Packed:
    """Noise of these heights and widths."""
    pixels = int(sizes.prod(dim=1).sum())
    random = np.random.default_rng(seed)
    values = random.integers(0, 3, pixels, dtype=np.uint8) if masks else random.integers(0, 256, 3 * pixels, dtype=np.uint8)
    return Packed(values, sizes.numpy(), () if masks else (3,))


def on_device(images: Packed, sizes: torch.Tensor) -> Flat:
    """The images as they would lie on a GPU."""
    areas = sizes.prod(dim=1)
    flat = torch.from_numpy(np.concatenate([image.reshape(-1, *images.last) for image in images]))
    return Flat(pixels=flat, starts=areas.cumsum(0) - areas, row_pixels=sizes[:, 1].contiguous())


@given(
    seed=st.integers(0, 500),
    scale=st.floats(0.05, 1),
    ratio=st.floats(1, 2),
    height=st.integers(1, 90),
    width=st.integers(1, 900),
    flip=st.floats(0, 1),
)
def test_crops_lie_inside_the_image(seed: int, scale: float, ratio: float, height: int, width: int, flip: float) -> None:
    recipe = dataclasses.replace(RECIPE, crop_scale_min=scale, crop_ratio_max=ratio, flip=flip)
    crops = draw_crops(sizes_of((height, width)).expand(20, 2), recipe, torch.Generator().manual_seed(seed))
    assert bool((crops.boxes[:, :2] >= 0).all())
    assert bool((crops.boxes[:, 2:] >= 1).all())
    assert bool((crops.boxes[:, :2] + crops.boxes[:, 2:] <= sizes_of((height, width))).all())
    assert bool((crops.boxes[:, 2:] <= torch.tensor(largest_crop(sizes_of((height, width)), recipe))).all())


@pytest.mark.parametrize(
    ("size", "scale", "always_central"),
    [((147, 196), (0.67, 1.0), False), ((147, 196), (0.08, 1.0), False), ((100, 100), (0.9, 1.0), False), ((60, 300), (0.67, 1.0), True)],
)
def test_crops_have_torchvisions_distribution(size: tuple[int, int], scale: tuple[float, float], always_central: bool) -> None:
    """Two samples of 20,000: area, ratio and place by Kolmogorov and Smirnov's test at p > .001, and
    as many central crops.
    """
    count = 20_000
    image = torch.empty(3, *size)
    torch.manual_seed(0)
    theirs = np.array([RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(50 if always_central else count)])
    recipe = dataclasses.replace(RECIPE, crop_scale_min=scale[0], crop_ratio_max=4 / 3, flip=0.3)
    crops = draw_crops(sizes_of(size).expand(count, 2), recipe, torch.Generator().manual_seed(1))
    ours = crops.boxes.numpy()
    if always_central:
        assert (ours == theirs[0]).all()  # the image is so wide that no try lies within it
        return
    for measure in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2], lambda b: b[:, 0], lambda b: b[:, 1], lambda b: b[:, 2]):
        assert ks_2samp(measure(theirs), measure(ours)).pvalue > 0.001
        assert abs(measure(theirs).mean() - measure(ours).mean()) <= 4.5 * measure(ours).std() / np.sqrt(count / 2) + 1e-12
    assert abs(float(crops.flips.double().mean()) - 0.3) < 0.015


def test_crops_that_end_in_the_central_one_are_as_frequent_as_torchvisions() -> None:
    """At an aspect ratio of 2.2 most tries fail, so the fallback crop is tested as well."""
    size, count = (50, 110), 20_000
    torch.manual_seed(0)
    theirs = np.array([RandomResizedCrop.get_params(torch.empty(3, *size), [0.55, 1.0], [3 / 4, 4 / 3]) for _ in range(count)])
    recipe = dataclasses.replace(RECIPE, crop_scale_min=0.55)
    ours = draw_crops(sizes_of(size).expand(count, 2), recipe, torch.Generator().manual_seed(1)).boxes.numpy()
    central = np.array([0, 21, 50, 67])
    shares = [(one == central).all(axis=1).mean() for one in (theirs, ours)]
    assert 0.3 < shares[0] < 1
    assert abs(shares[0] - shares[1]) < 4.5 * np.sqrt(2 * shares[0] * (1 - shares[0]) / count)


SIZES = sizes_of((40, 53), (53, 40), (37, 37), (24, 90), (32, 32), (9, 7))


@pytest.mark.parametrize("side", [32, 48, 16])
def test_a_crop_is_resampled_as_torchvision_does(side: int) -> None:
    images = packed(SIZES)
    crops = draw_crops(SIZES, RECIPE, torch.Generator().manual_seed(3))
    made = crop_on_cpu(images, np.arange(len(SIZES)), crops, side)
    for image, box, flip, ours in zip(images, crops.boxes.tolist(), crops.flips.tolist(), made, strict=True):
        theirs = TF.resized_crop(Image.fromarray(image), *box, size=[side, side])
        apart = (ours.int() - torch.from_numpy(np.array(TF.hflip(theirs) if flip else theirs)).int()).abs()
        assert int(apart.max()) <= 1  # Pillow's weights have fewer digits
        assert float(apart.float().mean()) < 0.06


@pytest.mark.parametrize("side", [32, 48, 16])
def test_the_products_on_a_device_give_the_same_pixels_within_a_grey_level(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = packed(SIZES)
    crops = draw_crops(SIZES, RECIPE, torch.Generator().manual_seed(3))
    host = crop_on_cpu(images, np.arange(len(SIZES)), crops, side)
    flat = on_device(images, SIZES)
    device = crop_on_device(flat, crops, side)
    assert int((host.int() - device.int()).abs().max()) <= 1
    assert float((host != device).float().mean()) < 0.35  # two roundings there, one here
    bound = largest_crop(SIZES, RECIPE)
    assert torch.equal(crop_on_device(flat, Crops(crops.values, bound), side), device)
    monkeypatch.setattr("trials.data.resampling.AT_ONCE_PIXELS", 5000)  # in parts
    assert torch.equal(crop_on_device(flat, crops, side), device)


def test_masks_and_nearest_images_are_the_same_on_host_and_device_and_as_torchvisions() -> None:
    masks = packed(SIZES, masks=True)
    crops = draw_crops(SIZES, RECIPE, torch.Generator().manual_seed(4))
    host = crop_on_cpu(masks, np.arange(len(SIZES)), crops, 24)
    assert torch.equal(host, crop_on_device(on_device(masks, SIZES), crops, 24))
    images = packed(SIZES)
    near = crop_on_cpu(images, np.arange(len(SIZES)), crops, 24, nearest=True)
    assert torch.equal(near, crop_on_device(on_device(images, SIZES), crops, 24, nearest=True))
    for mask, box, flip, ours in zip(masks, crops.boxes.tolist(), crops.flips.tolist(), host, strict=True):
        theirs = TF.resized_crop(torch.from_numpy(mask.copy())[None], *box, size=[24, 24], interpolation=InterpolationMode.NEAREST_EXACT)[0]
        assert torch.equal(ours, theirs.flip(-1) if flip else theirs)


def test_image_and_mask_are_cropped_alike() -> None:
    """A picture of its own mask, cropped, is the picture of its cropped mask."""
    mask = np.random.default_rng(0).integers(0, 3, (6, 4, 5), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    sizes = torch.tensor([mask.shape[1:]] * 6)
    pictures = Packed((mask[..., None] * np.uint8(100)).repeat(3, -1).ravel(), sizes.numpy())
    crops = draw_crops(sizes, RECIPE, torch.Generator().manual_seed(1))
    picture = crop_on_cpu(pictures, np.arange(6), crops, 48)[..., 0]
    cropped = crop_on_cpu(Packed(mask.ravel(), sizes.numpy(), ()), np.arange(6), crops, 48)
    agree = ((picture.float() / 100).round() == cropped).float().mean()
    assert agree > 0.93  # they differ only along edges, where the picture is interpolated


def test_no_crop_takes_the_whole_image_and_a_flip_mirrors_it() -> None:
    recipe = dataclasses.replace(RECIPE, crop_scale_min=1.0, crop_ratio_max=1.0, flip=0.0)
    images = packed(SIZES)
    plain, whole = draw_crops(SIZES, recipe, torch.Generator().manual_seed(0)), whole_images(SIZES)
    assert torch.equal(plain.boxes, whole.boxes)
    mirrored = draw_crops(SIZES, dataclasses.replace(recipe, flip=1.0), torch.Generator().manual_seed(0))
    made = [crop_on_cpu(images, np.arange(len(SIZES)), crops, 32) for crops in (plain, mirrored)]
    assert torch.equal(made[0], made[1].flip(2))
    assert torch.equal(made[0][4], torch.from_numpy(np.array(images[4])))  # of 32 x 32 px: as it is


def test_central_squares_are_torchvisions_resize_and_centre_crop() -> None:
    """Resize the short side to 64, cut out 56: the same part of the image, to a pixel of it."""
    sizes = sizes_of((80, 120), (120, 80), (64, 64))
    inner = centre_squares(sizes, 7 / 8)
    assert inner.boxes.tolist() == [[5, 25, 70, 70], [25, 5, 70, 70], [4, 4, 56, 56]]
    assert centre_squares(sizes).boxes.tolist() == [[0, 20, 80, 80], [20, 0, 80, 80], [0, 0, 64, 64]]
    smooth = np.add.outer(np.arange(120.0), np.arange(80.0))
    image = np.repeat((smooth * 255 / smooth.max()).astype(np.uint8)[..., None], 3, axis=2)
    ours = crop_on_cpu(Packed(image.ravel(), sizes.numpy()[1:2]), np.array([0]), inner[1:2], 56)[0]
    theirs = TF.center_crop(TF.resize(torch.from_numpy(image).permute(2, 0, 1), 64, antialias=True), [56, 56]).permute(1, 2, 0)
    assert int((ours.int() - theirs.int()).abs().max()) <= 2


@settings(max_examples=20)
@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_parts_of_a_batch_are_the_batchs(rows: list[int]) -> None:
    """Crops of some rows are those of the whole batch, and so are the pixels."""
    store = ImageStore(images=packed(SIZES), labels=np.zeros(6, dtype=np.int64), masks=packed(SIZES, masks=True), classes=("a",), fingerprint="f")
    pictures = Pictures(store, np.arange(6), CPU, 16)
    crops = draw_crops(pictures.sizes, RECIPE, torch.Generator().manual_seed(0))
    every, some = torch.arange(6), torch.tensor(rows)
    assert torch.equal(pictures.images(every, crops)[some], pictures.images(some, crops[some]))
    assert torch.equal(pictures.masks(every, crops)[some], pictures.masks(some, crops[some]))
    assert isinstance(crops[some], Crops)


def test_fine_detail_is_that_of_crops_from_the_original() -> None:
    """Noise with the spectrum of photographs at 500 px, stored at 8/7 of 128 px: its Laplacian after
    the crop is within 6% of that of torchvision's crop from the original at areas of .67 to 1.
    """
    assert abs(detail_lost(147, Image.Resampling.LANCZOS, 0.67)) < 0.06
    assert detail_lost(147, Image.Resampling.BICUBIC, 0.67) < -0.1  # which is why stores are not made by it
