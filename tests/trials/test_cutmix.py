"""CutMix, alone and by turns with MixUp, against timm and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from timm.data.mixup import Mixup, cutmix_bbox_and_lam
from torchvision.transforms import v2

from trials.objectives.mixing import Mixing, blend, draw_mixing, draw_share, mix


def test_rectangles_and_shares_are_timms_in_distribution() -> None:
    side, count = 32, 20_000
    ours = [draw_mixing(0.0, 1.0, side=side, seed=8, step=step) for step in range(count)]
    np.random.seed(13)  # noqa: NPY002 - timm draws from it
    theirs = [cutmix_bbox_and_lam((8, 3, side, side), np.random.beta(1.0, 1.0)) for _ in range(count)]  # noqa: NPY002
    boxes = np.array([one.box for one in ours])
    expected = np.array([[int(edge) for edge in box] for box, _ in theirs])
    for column in range(4):
        assert ks_2samp(boxes[:, column], expected[:, column]).pvalue > 0.005
    assert ks_2samp([one.share for one in ours], [float(share) for _, share in theirs]).pvalue > 0.01
    area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    assert [one.share for one in ours] == pytest.approx(list(1 - area / side**2))


def test_images_are_mixed_as_torchvision_mixes_them() -> None:
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6) % 5
    theirs = v2.CutMix(num_classes=5)
    expected = theirs.transform(images, {"labels": labels, "batch_size": 6, "box": (1, 2, 6, 7), "lam_adjusted": 1 - 25 / 64})
    assert torch.equal(mix(images, images.roll(1, 0), Mixing(share=1 - 25 / 64, box=(2, 7, 1, 6)).values()), expected)


def test_a_batch_without_a_rectangle_is_blended_whether_or_not_there_may_be_one() -> None:
    images, partners, mixing = torch.randn(6, 3, 8, 8), torch.randn(6, 3, 8, 8), Mixing(share=0.3)
    expected = blend(images, partners, (0.3, 0.7))
    assert torch.equal(mix(images, partners, mixing.values(), boxes=False), expected)
    assert torch.equal(mix(images, partners, mixing.values()), expected)


def test_a_recipe_with_both_takes_each_in_half_of_the_batches_as_timm_does() -> None:
    drawn = [draw_mixing(0.8, 1.0, side=32, seed=2, step=step) for step in range(1000)]
    assert sum(one.box is not None for one in drawn) / 1000 == pytest.approx(0.5, abs=0.05)
    np.random.seed(6)  # noqa: NPY002 - timm draws from it
    theirs = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, switch_prob=0.5)
    ours = [one.share for one in drawn if one.box is None]
    random = [share for share, cut in (theirs._params_per_batch() for _ in range(1000)) if not cut]
    assert ks_2samp(ours, random).pvalue > 0.01


def test_mixup_alone_is_what_it_was() -> None:
    """CutMix came later, so a stage without it must have the numbers that it had."""
    for step in range(20):
        assert draw_mixing(0.8, 0.0, side=32, seed=3, step=step) == Mixing(share=draw_share(0.8, seed=3, step=step))


def test_the_share_of_small_alpha_is_that_of_its_own_beta_distribution() -> None:
    """Beta(0.3, 0.3): most rectangles are nearly all of the image or nearly nothing."""
    side, count = 32, 3000
    ours = [draw_mixing(0.0, 0.3, side=side, seed=5, step=step).share for step in range(count)]
    np.random.seed(7)  # noqa: NPY002 - timm draws from it
    theirs = [float(cutmix_bbox_and_lam((8, 3, side, side), np.random.beta(0.3, 0.3))[1]) for _ in range(count)]  # noqa: NPY002
    assert ks_2samp(ours, theirs).pvalue > 0.01
