"""Numbers in sentences have their thousands separated, and years and names stay as they are."""

from __future__ import annotations

import pytest

from analysis.formatting import format_setting, with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("6000 images", "6,000 images"),
        ("6000 image passes", "6,000 image passes"),
        ("1 image", "1 image"),
        ("125000 steps", "125,000 steps"),
        ("12000", "12,000"),
        ("2024", "2024"),
        ("2018 recipes", "2018 recipes"),
        ("inat-2018 images", "inat-2018 images"),
        ("vit/16@1024 images", "vit/16@1024 images"),
        (4000, "4,000"),
        (0.25, "0.25"),
        (None, "None"),
    ],
)
def test_a_setting_in_a_sentence(value: object, text: str) -> None:
    assert format_setting(value) == text


def test_an_end_far_beyond_its_value_has_three_digits() -> None:
    assert with_interval(1e-9, 0.0, 2.2e36, level=0.95).endswith(" to 2.2e+36)")
    assert with_interval(2.0e9, 1.5e9, 3.0e9, level=0.95) == "2,000,000,000 (95% interval 1,500,000,000 to 3,000,000,000)"
