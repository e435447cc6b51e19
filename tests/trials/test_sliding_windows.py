"""The sliding-window test: windows as mmsegmentation lays them, logits averaged, and the whole image
where one window covers it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.trials.conftest import MakeSpec
from tests.trials.test_objectives import objective_of
from trials import InputError
from trials.data.augmentation import normalise
from trials.objectives.segmentation import Segmentation
from trials.objectives.sliding_windows import MOST_WINDOWS, resized_pixels, scaled_size, sliding_logits, window_starts
from trials.recipes.named import get_recipe


def test_windows_of_ade20k_lie_426_px_apart() -> None:
    assert window_starts(640, 640) == [0]
    assert window_starts(2560, 640) == [0, 426, 852, 1278, 1704, 1920]
    assert window_starts(853, 640) == [0, 213]


@given(length=st.integers(6, 80), window=st.integers(3, 40))
def test_windows_cover_the_image_and_stay_within(length: int, window: int) -> None:
    length = max(length, window)
    starts = window_starts(length, window)
    covered = {place for start in starts for place in range(start, start + window)}
    assert covered == set(range(length))
    assert len(starts) == max(length - window + window * 2 // 3 - 1, 0) // (window * 2 // 3) + 1  # mmsegmentation's count


@pytest.mark.parametrize(
    ("size", "short_px", "expected"),
    [((480, 640), 640, (640, 853)), ((683, 512), 640, (854, 640)), ((100, 800), 64, (32, 256)), ((32, 32), 32, (32, 32))],
)
def test_images_are_scaled_by_their_short_side_unless_they_get_too_long(size: tuple[int, int], short_px: int, expected: tuple[int, int]) -> None:
    assert scaled_size(*size, short_px, 32) == expected


def test_logits_are_the_mean_over_the_windows_of_each_pixel() -> None:
    """Against a pixel-by-pixel reference, with a model that sees where a pixel lies in its window."""

    def logits_of(inputs: Tensor) -> Tensor:
        place = torch.arange(6.0)
        return torch.cat([inputs.sum(dim=1, keepdim=True) * place[:, None], inputs.mean(dim=1, keepdim=True) + place], dim=1)

    pixels = torch.randn(1, 3, 11, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = sliding_logits(logits_of, pixels, 6)
    for y in range(11):
        for x in range(17):
            tops = [top for top in (0, 4, 5) if top <= y < top + 6]
            lefts = [left for left in (0, 4, 8, 11) if left <= x < left + 6]
            values = [logits_of(pixels[..., top : top + 6, left : left + 6])[0, :, y - top, x - left] for top in tops for left in lefts]
            torch.testing.assert_close(found[0, :, y, x], torch.stack(values).mean(dim=0))


def test_one_window_gives_the_scores_of_the_whole_image(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Test images are stored as large as the training crops."""
    one, sliding = (objective_of(make_spec("finetune", test_windows=windows), leaves_store) for windows in ("one", "sliding"))
    scores = {}
    for name, stage in (("one", one), ("sliding", sliding)):
        (tmp_path / name).mkdir()
        scores[name] = stage.finish(tmp_path / name)
    assert scores["sliding"] == pytest.approx(scores["one"], rel=1e-5)


def test_a_larger_test_side_is_scored_against_the_stored_masks(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Images of 16 px brought to 24 px are covered by four windows; a direct loop gives the same."""
    stage = objective_of(make_spec("finetune", test_windows="sliding", test_px=24), leaves_store)
    assert isinstance(stage, Segmentation)
    metrics = stage.finish(tmp_path)
    hits = unions = np.zeros(3)
    stage.model.eval()
    for position in range(len(stage._test)):
        image, mask = stage._test.whole(position)
        pixels = normalise(resized_pixels(image, (24, 24)))
        total, count = torch.zeros(1, 3, 24, 24), torch.zeros(24, 24)
        for top in (0, 8):
            for left in (0, 8):
                with torch.no_grad():
                    total[..., top : top + 16, left : left + 16] += stage.model(pixels[..., top : top + 16, left : left + 16])
                count[top : top + 16, left : left + 16] += 1
        predicted = F.interpolate(total / count, size=(16, 16), mode="bilinear", align_corners=False).argmax(dim=1)
        both = [[(mask == c) & (predicted == c), (mask == c) | (predicted == c)] for c in range(3)]
        hits = hits + np.array([int(one[0].sum()) for one in both])
        unions = unions + np.array([int(one[1].sum()) for one in both])
    assert metrics["miou"] == pytest.approx(float(np.mean((hits / unions)[unions > 0])), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"test_px": 16}, r"^test_px: 16 is below the 32 px of a window: give 32 or more, or 0\.$"),
        ({"test_transforms": True}, r"^test_windows: sliding windows cover test images as they are"),
    ],
)
def test_what_windows_cannot_do_is_one_sentence(fields: dict[str, object], sentence: str) -> None:
    recipe = get_recipe("finetune", "compact", {"test_windows": "sliding"} | fields)
    with pytest.raises(InputError, match=sentence):
        Segmentation.check("pico/8@32", recipe)


def test_an_image_of_many_windows_is_covered_whole() -> None:
    """A model that gives each pixel back: the mean over any windows is the image. 100 windows are
    several batches.
    """
    pixels = torch.randn(1, 2, 40, 42, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert len(window_starts(40, 6)) * len(window_starts(42, 6)) > 2 * MOST_WINDOWS
    torch.testing.assert_close(sliding_logits(lambda inputs: inputs, pixels, 6), pixels)


def test_resized_pixels_are_rounded_to_the_nearest_value() -> None:
    images = torch.randint(0, 256, (1, 20, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    exact = F.interpolate(images.permute(0, 3, 1, 2).double(), size=(13, 17), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    off = resized_pixels(images, (13, 17)).double() - exact
    assert float(off.abs().max()) <= 0.5 + 1e-3
