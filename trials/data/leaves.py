"""`leaves`: images made from a seed, so that a whole study runs with no download.

A dead-leaves picture is shapes that occlude one another, their sizes from a power law. It has the
scale invariance and the occlusion edges of photographs (Lee, Mumford and Huang 2001), and encoders
pre-trained on such pictures transfer to real ones (Baradad et al. 2021, "Learning to See by Looking
at Noise"). Ours are textured, coloured with the covariance of natural images, and hold one
foreground object: a wavy blob with a pattern. Its outline is the segmentation truth, its pattern
the class.

Image `index` of a stream depends on (stream, index, side) alone: any count is a prefix of a longer
one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from trials.data.generated import Drawn, GeneratedSource
from trials.data.sources import register

VERSION = 1  # raised when the same index would give another picture

PATTERNS = ("ramp", "stripes", "checks", "rings", "dots", "waves", "mosaic", "clouds")
"""The object's pattern is the class of the image."""

TRIMAP = ("object", "background", "border")

LEAVES = 70  # enough that about a tenth of the backdrop stays visible
RADII = 0.05, 0.4  # shares of the image side; density falls as radius^-3, which is scale invariance
_BORDER = 0.03  # half width of the border class, a share of the image side; gives it about the share it has in Oxford-IIIT Pets

# Mean colour and principal axes of ImageNet's RGB values (Krizhevsky et al. 2012, section 4.1):
# brightness, blue to yellow, and green to magenta. The spreads keep the axes' ratio, 1 : 0.29 :
# 0.14.
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], dtype=np.float32)
_SPREAD = np.array([0.36, 0.105, 0.051], dtype=np.float32)

_TILE_SIDE = 256


@lru_cache(maxsize=1)
def _clouds() -> np.ndarray:
    """A periodic tile of 1/f noise in -1..1, the amplitude spectrum of natural images; shape (256,
    256).
    """
    frequency = np.hypot(np.fft.fftfreq(_TILE_SIDE)[:, None], np.fft.fftfreq(_TILE_SIDE)[None, :])
    frequency[0, 0] = np.inf
    white = np.random.default_rng(VERSION).standard_normal((_TILE_SIDE, _TILE_SIDE))
    tile = np.fft.ifft2(np.fft.fft2(white) / frequency).real
    return np.clip(tile / (2 * tile.std()), -1, 1).astype(np.float32)


def _pattern(kind: int, u: np.ndarray, v: np.ndarray, period: float, shift: np.ndarray) -> np.ndarray:
    """A pattern in -1..1 at local coordinates (u, v), in shares of the image side."""
    wave = np.float32(2 * np.pi / period)
    name = PATTERNS[kind]
    if name == "ramp":
        return np.clip(u * 4, -1, 1)
    if name == "stripes":
        return np.sin(wave * u)
    if name == "checks":
        return np.sign(np.sin(wave * u) * np.sin(wave * v))
    if name == "rings":
        return np.sin(wave * np.hypot(u, v))
    if name == "dots":
        return np.where(np.cos(wave * u) + np.cos(wave * v) > 0.8, 1, -0.4).astype(np.float32)
    if name == "waves":
        return np.sin(wave * (u + 0.25 * period * np.sin(wave * 0.5 * v)))
    cell = period / 2 if name == "mosaic" else 1 / _TILE_SIDE
    row = (np.floor(v / cell).astype(int) + int(shift[0] * _TILE_SIDE)) % _TILE_SIDE
    column = (np.floor(u / cell).astype(int) + int(shift[1] * _TILE_SIDE)) % _TILE_SIDE
    if name == "mosaic":  # far apart in the tile, so that neighbouring cells differ
        row, column = row * 37 % _TILE_SIDE, column * 61 % _TILE_SIDE
    return _clouds()[row, column]


def _paint(image: np.ndarray, box: tuple[slice, slice], cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay `colour` (h, w, 3) over the box of `image` where `cover` (h, w, 0..1) says."""
    image[box] += cover[..., None] * (colour - image[box])


def mean_colours(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) colours with the mean and the covariance of natural images."""
    return _MEAN + (random.standard_normal((count, 3)).astype(np.float32) * _SPREAD) @ _AXES.T


def draw_leaves(image: np.ndarray, covered: np.ndarray, axis: np.ndarray, random: np.random.Generator, radii: np.ndarray) -> None:
    """Paint superellipses back to front; `covered` (S, S) is raised to how much the leaves hide of
    what was there.
    """
    count, side = len(radii), len(axis)
    centres = random.random((count, 2), dtype=np.float32)
    turn = random.random(count) * np.pi
    squash = 1 - 0.6 * random.random(count)
    roundness = random.choice([1.0, 2.0, 2.0, 8.0], count)  # diamond, ellipse, rectangle
    base, accent = mean_colours(random, count), mean_colours(random, count)
    kinds = random.integers(0, len(PATTERNS), count)
    periods = 0.06 + 0.14 * random.random(count)
    strength = (0.15 * random.random(count)).astype(np.float32)
    shifts = random.random((count, 2))
    for i in range(count):
        reach = radii[i] * 1.5
        low = np.maximum(((centres[i] - reach) * side).astype(int), 0)
        high = np.minimum(((centres[i] + reach) * side).astype(int) + 2, side)
        if (low >= high).any():
            continue
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        y, x = axis[box[0], None] - centres[i, 0], axis[None, box[1]] - centres[i, 1]
        cosine, sine = np.float32(np.cos(turn[i])), np.float32(np.sin(turn[i]))
        u, v = cosine * x + sine * y, cosine * y - sine * x
        major, minor, power = radii[i], radii[i] * squash[i], np.float32(roundness[i])
        distance = (np.abs(u / major) ** power + np.abs(v / minor) ** power) ** (1 / power) - 1
        cover = np.clip(0.5 - distance * minor * side, 0, 1).astype(np.float32)  # one pixel of antialiasing
        texture = _pattern(int(kinds[i]), u, v, periods[i], shifts[i]).astype(np.float32)
        colour = base[i] + (strength[i] * texture)[..., None] * (accent[i] - base[i] + np.float32(0.2))
        _paint(image, box, cover, colour)
        covered[box] = np.maximum(covered[box], cover)


def power_law_radii(random: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Radii with density proportional to r^-3 between low and high, by inverting the distribution
    function.
    """
    share = random.random(count)
    return (low**-2 - share * (low**-2 - high**-2)) ** -0.5


def draw_blob(image: np.ndarray, axis: np.ndarray, random: np.random.Generator, label: int, centre: np.ndarray, radius: float) -> np.ndarray:
    """Paint an object: a star-shaped blob, its radius a sum of harmonics of the angle.

    Args:
        image: (S, S, 3), painted on. axis: (S,) places of its pixels.
        label: index into PATTERNS. centre, radius: shares of the image side.

    Returns:
        (S, S) distance from its outline, a share of the image side, below 0 inside.
    """
    side = len(axis)
    y, x = axis[:, None] - np.float32(centre[0]), axis[None, :] - np.float32(centre[1])
    angle, outline = np.arctan2(y, x), np.ones((side, side), dtype=np.float32)
    for harmonic in range(2, 6):
        amplitude, phase = 0.35 * random.random() / harmonic, 2 * np.pi * random.random()
        outline += np.float32(amplitude) * np.cos(harmonic * angle + np.float32(phase))
    distance = np.hypot(x, y) - np.float32(radius) * outline
    turn = np.pi * random.random()
    u, v = (
        np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y,
        np.float32(np.cos(turn)) * y - np.float32(np.sin(turn)) * x,
    )
    texture = _pattern(label, u, v, 0.09 + 0.05 * random.random(), random.random(2)).astype(np.float32)
    base, accent = mean_colours(random, 2)
    accent = base + (accent - base) + np.float32(np.copysign(0.25, (accent - base).sum()))  # always a visible contrast
    colour = base + (0.5 + 0.5 * texture)[..., None] * (accent - base)
    _paint(image, (slice(None), slice(None)), np.clip(0.5 - distance * side, 0, 1), colour)
    return distance


def leaf_image(stream: str, index: int, side: int) -> tuple[np.ndarray, int, np.ndarray]:
    """One picture.

    Returns:
        image (side, side, 3) uint8; class, an index into PATTERNS; trimap (side, side) uint8, an
        index into TRIMAP.
    """
    digest = hashlib.blake2b(f"leaves/{VERSION}/{stream}/{index}".encode(), digest_size=16).digest()
    random = np.random.default_rng(int.from_bytes(digest, "little"))
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    image = np.broadcast_to(mean_colours(random, 1), (side, side, 3)).copy()
    ignored = np.zeros((side, side), dtype=np.float32)
    draw_leaves(image, ignored, axis, random, power_law_radii(random, LEAVES, *RADII))

    label = index % len(PATTERNS)  # so that any prefix of a stream holds equally many of each class
    centre, radius = 0.32 + 0.36 * random.random(2), 0.18 + 0.16 * random.random()
    distance = draw_blob(image, axis, random, label, centre, radius)
    trimap = np.where(distance < -_BORDER, 0, np.where(distance > _BORDER, 1, 2)).astype(np.uint8)

    # a few small leaves in front; what they hide is background
    hidden = np.zeros((side, side), dtype=np.float32)
    draw_leaves(image, hidden, axis, random, power_law_radii(random, int(random.integers(0, 4)), 0.04, 0.1))
    trimap[hidden > 0.5] = 1
    image += random.standard_normal(image.shape, dtype=np.float32) * np.float32(0.01)  # a sensor's grain
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), label, trimap


class Leaves(GeneratedSource):
    """Textured dead-leaves pictures with an object, its trimap and its pattern class."""

    name = "leaves"
    carries = ("images", "labels", "masks")
    version = VERSION
    classes = PATTERNS

    def draw(self, stream: str, index: int, side: int) -> Drawn:
        return Drawn(*leaf_image(stream, index, side))


register(Leaves())
