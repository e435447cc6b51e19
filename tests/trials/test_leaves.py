"""The generated images: the same from the same seed, with truths that fit them."""

from __future__ import annotations

import numpy as np
import pytest

from trials.data.leaves import PATTERNS, TRIMAP, leaf_image


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, int, np.ndarray]]:
    return [leaf_image("test", index, 48) for index in range(120)]


def test_a_picture_depends_on_its_stream_and_index_alone() -> None:
    first, again = leaf_image("a", 7, 32), leaf_image("a", 7, 32)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[2], again[2])
    assert not np.array_equal(first[0], leaf_image("b", 7, 32)[0])
    assert not np.array_equal(first[0], leaf_image("a", 8, 32)[0])


@pytest.mark.parametrize("side", [16, 33, 96])
def test_any_size(side: int) -> None:
    image, label, trimap = leaf_image("sizes", 0, side)
    assert image.shape == (side, side, 3)
    assert image.dtype == np.uint8
    assert trimap.shape == (side, side)
    assert 0 <= label < len(PATTERNS)


def test_every_class_occurs_and_shares_are_like_those_of_pets(pictures: list[tuple[np.ndarray, int, np.ndarray]]) -> None:
    assert {label for _, label, _ in pictures} == set(range(len(PATTERNS)))
    shares = np.bincount(np.stack([trimap for _, _, trimap in pictures]).ravel(), minlength=len(TRIMAP)) / (120 * 48**2)
    # Oxford-IIIT Pets: pet 0.287, background 0.588, border 0.125
    assert 0.1 < shares[0] < 0.35
    assert 0.06 < shares[2] < 0.15


def test_the_object_is_no_flat_patch_and_can_be_told_by_contrast(pictures: list[tuple[np.ndarray, int, np.ndarray]]) -> None:
    spread = [image[trimap == 0].std(axis=0).mean() for image, _, trimap in pictures if (trimap == 0).sum() > 20]
    assert np.median(spread) > 10


def test_colours_are_correlated_as_in_photographs(pictures: list[tuple[np.ndarray, int, np.ndarray]]) -> None:
    pixels = np.concatenate([image.reshape(-1, 3) for image, _, _ in pictures]).astype(float)
    correlation = np.corrcoef(pixels.T)
    assert correlation[0, 1] > 0.7
    assert correlation[1, 2] > 0.7


def test_power_falls_with_frequency_as_in_photographs(pictures: list[tuple[np.ndarray, int, np.ndarray]]) -> None:
    """Natural images have an amplitude spectrum near 1/f; dead leaves are made to share it."""
    power = np.zeros((48, 48))
    for image, _, _ in pictures:
        grey = image.mean(axis=-1)
        power += np.abs(np.fft.fft2((grey - grey.mean()) * np.outer(np.hanning(48), np.hanning(48)))) ** 2
    radius = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.fftfreq(48)[None, :])
    bands = [(low, 1.6 * low) for low in (0.05, 0.08, 0.128, 0.205)]
    means = [power[(radius >= low) & (radius < high)].mean() for low, high in bands]
    slope = np.polyfit(np.log([low for low, _ in bands]), np.log(means), 1)[0]
    assert -3.2 < slope < -1.2
