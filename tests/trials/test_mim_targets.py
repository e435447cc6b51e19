"""Window-normalised pixels against a loop over windows, and against the code of the paper's authors
written out.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from trials.models.mim_targets import EPSILON, normalise_by_window, window_statistics


@settings(max_examples=20, deadline=None)
@given(height=st.integers(2, 12), width=st.integers(2, 12), reach=st.integers(1, 5), seed=st.integers(0, 99))
def test_each_pixel_is_normalised_by_what_its_window_holds_of_the_image(height: int, width: int, reach: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(1.0, 2.0, size=(3, height, width))
    expected = np.empty_like(image)
    for c, y, x in np.ndindex(*image.shape):
        window = image[c, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        expected[c, y, x] = (image[c, y, x] - window.mean()) / np.sqrt(window.var(ddof=1) + EPSILON)
    ours = normalise_by_window(torch.from_numpy(image)[None].float(), 2 * reach + 1)[0]
    torch.testing.assert_close(ours, torch.from_numpy(expected).float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_sums_down_then_across_equal_two_dimensional_pooling(side: int) -> None:
    """`norm_targets` of microsoft/Swin-Transformer: means of the valid part, variance times n / (n
    - 1), cut at 0.
    """
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pool = {"kernel_size": 47, "stride": 1, "padding": 23}
    mean, square = (F.avg_pool2d(x, **pool, count_include_pad=False) for x in (images, images**2))
    count = F.avg_pool2d(torch.ones_like(images), **pool, count_include_pad=True) * 47**2
    expected = (images - mean) / (((square - mean**2) * (count / (count - 1))).clamp(min=0) + 1e-6) ** 0.5
    torch.testing.assert_close(normalise_by_window(images), expected.float(), atol=2e-5, rtol=1e-5)


def test_a_flat_image_is_zero_and_brightness_and_contrast_do_not_matter() -> None:
    assert float(normalise_by_window(torch.full((1, 3, 64, 64), 2.0)).abs().max()) < 1e-3
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(normalise_by_window(3 * images + 1), normalise_by_window(images), atol=1e-4, rtol=1e-3)
    mean, deviation = window_statistics(images)
    torch.testing.assert_close(normalise_by_window(images) * deviation + mean, images, atol=1e-5, rtol=1e-5)


def test_bf16_autocast_does_not_touch_the_statistics() -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = normalise_by_window(images)
    assert torch.equal(inside, normalise_by_window(images))
