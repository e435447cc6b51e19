"""Colour jitter, RandAugment and random erasing, drawn for each image of a batch on the device.

torchvision.transforms.v2 draws once for a whole batch, and timm works on one PIL image at a time;
here every image has draws of its own and no image waits for another. RandAugment (Cubuk et al.
2020) is timm's `rand-m9-mstd0.5-inc1`, with which SimMIM fine-tunes: of its 15 operations all but
four (colour, sharpness, and the geometric ones) are tables of 256 values for each image and channel,
and all geometric ones are one affine map. Tests hold each operation to Pillow's and the draws to
timm's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.recipes.fields import Recipe, SupervisedRecipe
from trials.training.step_inputs import StepInputs

OPERATIONS = (
    "auto-contrast",
    "equalise",
    "invert",
    "rotate",
    "posterise",
    "solarise",
    "solarise-add",
    "colour",
    "contrast",
    "brightness",
    "sharpness",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
)
"""In the order of timm's `_RAND_INCREASING_TRANSFORMS`."""
LAYERS = 2
"""Operations in turn, each with probability 1/2."""
LEVEL_DEVIATION = 0.5
MOST_LEVEL = 10.0
FILL = (124.0, 116.0, 104.0)
"""Fill value of pixels from outside the image: ImageNet's mean colour, as in timm."""
_GREY = (19595, 38470, 7471)  # Pillow's weights of red, green and blue, over 65536


@dataclass(frozen=True, kw_only=True)
class JitterDraws:
    """Colour jitter of each image, each (B,)."""

    brightness: Tensor
    saturation: Tensor
    hue: Tensor

    def __getitem__(self, rows: slice | Tensor) -> JitterDraws:
        return JitterDraws(**{name: value[rows] for name, value in vars(self).items()})


def jitters(recipe: Recipe) -> bool:
    """Whether a recipe has any of the colour jitter of this file."""
    return max(recipe.brightness, recipe.saturation, recipe.hue) > 0


def draw_jitter(count: int, recipe: Recipe, generator: torch.Generator) -> JitterDraws:
    """Factors uniform in 1 plus or minus the recipe's strengths, at least 0, and shifts of the hue
    as shares of its circle.
    """
    brightness, saturation, hue = 2 * torch.rand(3, count, generator=generator, device=generator.device) - 1
    return JitterDraws(
        brightness=(1 + brightness * recipe.brightness).clamp(min=0),
        saturation=(1 + saturation * recipe.saturation).clamp(min=0),
        hue=hue * recipe.hue,
    )


def jitter_colours(images: Tensor, draws: JitterDraws) -> Tensor:
    """(B, 3, H, W) in 0 to 1 -> the same: brightness, saturation and hue of each image changed."""
    pixels = (images * draws.brightness.view(-1, 1, 1, 1)).clamp(0, 1)
    return shift_hue(_blend(_grey(pixels), pixels, draws.saturation), draws.hue)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = _channels(pixels)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _channels(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3, H, W) -> three of (B, 1, H, W)."""
    return pixels[:, :1], pixels[:, 1:2], pixels[:, 2:]


def _blend(other: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    return (other + factor.view(-1, 1, 1, 1) * (pixels - other)).clamp(0, 1)


def shift_hue(pixels: Tensor, shift: Tensor) -> Tensor:
    """(B, 3, H, W) in 0 to 1, (B,) fractions of the circle -> the same with value and saturation as
    they were.
    """
    highest, spread = pixels.amax(dim=1), pixels.amax(dim=1) - pixels.amin(dim=1)
    red, green, blue = pixels.unbind(dim=1)
    part = torch.where(spread > 0, spread, torch.ones_like(spread))
    hue = torch.where(highest == red, (green - blue) / part, torch.where(highest == green, 2 + (blue - red) / part, 4 + (red - green) / part))
    hue = (hue / 6 + shift.view(-1, 1, 1)) % 1.0
    # HSV to RGB: channel n is value - spread * max(0, min(k, 4 - k, 1)) with k = n + 6 hue modulo 6
    turned = [(n + 6 * hue) % 6 for n in (5, 3, 1)]
    return torch.stack([highest - spread * torch.minimum(k, 4 - k).clamp(0, 1) for k in turned], dim=1)


@dataclass(frozen=True, kw_only=True)
class RandAugmentDraws:
    """What RandAugment does to each image, each (layers, B)."""

    operation: Tensor
    """Place in `OPERATIONS`; -1 does nothing."""
    level: Tensor
    """0 to 10."""
    sign: Tensor
    """1 or -1."""

    def __getitem__(self, rows: slice | Tensor) -> RandAugmentDraws:
        return RandAugmentDraws(**{name: value[:, rows] for name, value in vars(self).items()})


def draw_rand_augment(count: int, magnitude: float, generator: torch.Generator) -> RandAugmentDraws:
    """Two operations for each image, each uniform among all and done with probability 1/2, at a
    level of N(magnitude, 0.5) within 0 to 10.
    """
    device = generator.device
    which, done, sign = torch.rand(3, LAYERS, count, generator=generator, device=device)
    level = magnitude + LEVEL_DEVIATION * torch.randn(LAYERS, count, generator=generator, device=device)
    operation = (which * len(OPERATIONS)).long().clamp(max=len(OPERATIONS) - 1)
    return RandAugmentDraws(
        operation=torch.where(done < 0.5, operation, -1),
        level=level.clamp(0, MOST_LEVEL),
        sign=torch.where(sign < 0.5, 1.0, -1.0),
    )


def rand_augment(images: Tensor, draws: RandAugmentDraws) -> Tensor:
    """(B, 3, H, W) in 0 to 1 -> the same, in steps of 1/255 as Pillow's."""
    pixels = (images.clamp(0, 1) * 255).round()
    for operation, level, sign in zip(draws.operation, draws.level, draws.sign, strict=True):
        pixels = _one_operation(pixels, operation, level, sign)
    return pixels / 255


def _one_operation(pixels: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """(B, 3, H, W) whole numbers 0 to 255; (B,) each of the others."""

    def chosen(name: str) -> Tensor:
        return (operation == OPERATIONS.index(name)).view(-1, 1, 1, 1)

    factor = (1 + sign * level / MOST_LEVEL * 0.9).clamp(min=0.1).view(-1, 1, 1, 1)
    grey = _pillow_grey(pixels)
    result = _look_up(pixels, _tables(pixels, grey, operation, level, factor))
    result = torch.where(chosen("colour"), _pillow_blend(grey, pixels, factor), result)
    result = torch.where(chosen("sharpness"), _pillow_blend(_smoothed(pixels), pixels, factor), result)
    moved = chosen("rotate") | chosen("shear-x") | chosen("shear-y") | chosen("translate-x") | chosen("translate-y")
    return torch.where(moved, _moved(pixels, _affine_maps(operation, level / MOST_LEVEL * sign)), result)


def _pillow_grey(pixels: Tensor) -> Tensor:
    red, green, blue = (channel * weight for channel, weight in zip(_channels(pixels), _GREY, strict=True))
    return (red + green + blue + 32768).div(65536).floor()


def _pillow_blend(other: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    return (other + factor * (pixels - other)).clamp(0, 255).floor()


def _smoothed(pixels: Tensor) -> Tensor:
    """Pillow's SMOOTH: a 3 x 3 kernel of ones with 5 in the middle; the edge stays as it is."""
    kernel = pixels.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    inner = (F.conv2d(pixels, kernel / 13, groups=3) + 0.5).floor().clamp(0, 255)
    return torch.cat([pixels[..., :1, :], torch.cat([pixels[..., 1:-1, :1], inner, pixels[..., 1:-1, -1:]], dim=3), pixels[..., -1:, :]], dim=2)


def _look_up(pixels: Tensor, tables: Tensor) -> Tensor:
    return tables.gather(2, pixels.flatten(2).long()).view_as(pixels)


def _tables(pixels: Tensor, grey: Tensor, operation: Tensor, level: Tensor, factor: Tensor) -> Tensor:
    """(B, 3, 256) what each value becomes in each channel of each image; itself where the image's
    operation is none that a table can do.
    """
    values = torch.arange(256.0, device=pixels.device).view(1, 1, 256)
    counts = torch.zeros(*pixels.shape[:2], 256, device=pixels.device)
    counts.scatter_add_(2, pixels.flatten(2).long(), torch.ones_like(pixels).flatten(2))
    share = (level / MOST_LEVEL).view(-1, 1, 1)
    mean = (grey.mean(dim=(2, 3), keepdim=True) + 0.5).floor()[..., 0]
    bits = 4 - (share * 4).floor()
    step = 2 ** (8 - bits)
    threshold = 256 - (share * 256).floor()
    made = {
        "auto-contrast": _auto_contrast(counts, values),
        "equalise": _equalise(counts, values),
        "invert": 255 - values,
        "posterise": (values / step).floor() * step,
        "solarise": torch.where(values < threshold, values, 255 - values),
        "solarise-add": torch.where(values < 128, (values + (share * 110).floor()).clamp(max=255), values),
        "contrast": _pillow_blend(mean, values, factor[..., 0]),
        "brightness": (values * factor[..., 0]).clamp(0, 255).floor(),
    }
    tables = values.expand_as(counts)
    for name, table in made.items():
        tables = torch.where((operation == OPERATIONS.index(name)).view(-1, 1, 1), table, tables)
    return tables


def _auto_contrast(counts: Tensor, values: Tensor) -> Tensor:
    there = counts > 0
    lowest = torch.where(there, values, 255).amin(dim=2, keepdim=True)
    highest = torch.where(there, values, 0).amax(dim=2, keepdim=True)
    scale = 255 / (highest - lowest).clamp(min=1)
    return torch.where(highest > lowest, ((values - lowest) * scale + 1e-4).floor().clamp(0, 255), values)


def _equalise(counts: Tensor, values: Tensor) -> Tensor:
    highest = torch.where(counts > 0, values, 0).amax(dim=2, keepdim=True).long()
    step = ((counts.sum(dim=2, keepdim=True) - counts.gather(2, highest)) / 255).floor()
    below = counts.cumsum(dim=2) - counts
    table = (((step / 2).floor() + below) / step.clamp(min=1)).floor().clamp(max=255)
    return torch.where(step > 0, table, values)


def _affine_maps(operation: Tensor, share: Tensor) -> Tensor:
    """(B, 2, 3) maps for `affine_grid`; `share` is the signed level over 10.

    Pillow shears about the upper left corner, and rotates about the centre.
    """

    def amount(name: str, most: float) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), share * most, 0.0)

    angle = amount("rotate", math.radians(30))
    across, down = amount("shear-x", 0.3), amount("shear-y", 0.3)
    maps = torch.zeros(len(share), 2, 3, device=share.device)
    maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
    maps[:, 0, 1], maps[:, 1, 0] = across - angle.sin(), down + angle.sin()
    maps[:, 0, 2] = across + 2 * amount("translate-x", 0.45)
    maps[:, 1, 2] = down + 2 * amount("translate-y", 0.45)
    return maps


def _moved(pixels: Tensor, maps: Tensor) -> Tensor:
    # made of filled tensors: constants of the host cannot be copied while a step is captured
    fill = torch.cat([torch.full_like(pixels[:1, :1, :1, :1], value) for value in FILL], dim=1)
    grid = F.affine_grid(maps, list(pixels.shape), align_corners=False)
    return (F.grid_sample(pixels - fill, grid, mode="bilinear", align_corners=False) + fill).round().clamp(0, 255)


ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 10 / 3)
ATTEMPTS = 10


def draw_erasing(count: int, probability: float, side: int, generator: torch.Generator) -> Tensor:
    """(B, 4) top, left, height and width in pixels of the rectangle that each image loses, of no
    area where it loses none (Zhong et al. 2020, arXiv 1708.04896, as timm draws them).
    """
    device = generator.device
    chosen, top, left = torch.rand(3, count, generator=generator, device=device)
    area, ratio = torch.rand(2, ATTEMPTS, count, generator=generator, device=device)
    area = (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area) * side**2
    ratio = torch.exp(math.log(ERASED_RATIO[0]) + math.log(ERASED_RATIO[1] / ERASED_RATIO[0]) * ratio)
    height, width = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (height < side) & (width < side)
    first = fits.float().argmax(dim=0, keepdim=True)
    height, width = height.gather(0, first)[0], width.gather(0, first)[0]
    done = (chosen < probability) & fits.any(dim=0)
    height, width = height * done, width * done
    return torch.stack([(top * (side - height + 1)).floor(), (left * (side - width + 1)).floor(), height, width], dim=1).long()


def erase(images: Tensor, boxes: Tensor, noise: Tensor) -> Tensor:
    """(B, 3, H, W) normalised, (B, 4) boxes -> the same, with noise of N(0, 1) in the boxes."""
    places = torch.arange(images.shape[-1], device=images.device)
    top, left, height, width = boxes.T[:, :, None]
    rows = (places >= top) & (places < top + height)
    columns = (places >= left) & (places < left + width)
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], noise, images)


class Distortions:
    """What a recipe does to the images of a batch besides crop and flip.

    Draws are made for the whole batch at each step, so parts of a batch get their own rows of them.

    Args:
        inputs: of the stage, where the generators come from.
        of_classes: whether targets are one class an image; only then may RandAugment move pixels
            and erasing hide them.
    """

    def __init__(self, recipe: Recipe, inputs: StepInputs, *, of_classes: bool) -> None:
        self._recipe, self._inputs, self._jitters = recipe, inputs, jitters(recipe)
        labelled = recipe if of_classes and isinstance(recipe, SupervisedRecipe) else None
        self._magnitude = labelled.rand_augment if labelled else 0.0
        self._erasing = labelled.erasing if labelled else 0.0

    def pixels(self, images: Tensor, step: int, rows: slice | Tensor) -> Tensor:
        """(B, H, W, 3) uint8 crops -> the same, with colour jitter, then RandAugment."""
        if not self._jitters and not self._magnitude:
            return images
        unit, count = images.permute(0, 3, 1, 2).float() / 255, self._recipe.batch_images
        if self._jitters:
            draws = draw_jitter(count, self._recipe, self._inputs.generator("jitter", step))
            unit = jitter_colours(unit, draws[_first(rows, len(images))])
        if self._magnitude:
            chosen = draw_rand_augment(count, self._magnitude, self._inputs.generator("rand-augment", step))
            unit = rand_augment(unit, chosen[_first(rows, len(images))])
        return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    def erased(self, images: Tensor, step: int, rows: slice | Tensor) -> Tensor:
        """(B, 3, H, W) inputs -> the same, with rectangles of noise."""
        if not self._erasing:
            return images
        source, count, side = self._inputs.generator("erasing", step), self._recipe.batch_images, images.shape[-1]
        rows = _first(rows, len(images))
        boxes = draw_erasing(count, self._erasing, side, source)[rows]
        return erase(images, boxes, torch.randn(count, 3, side, side, generator=source, device=source.device)[rows])


def _first(rows: slice | Tensor, count: int) -> slice | Tensor:
    """The first of these rows: a batch at the end of an epoch may be short."""
    return slice(rows.start, rows.start + count) if isinstance(rows, slice) else rows[:count]
