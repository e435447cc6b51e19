"""Names of lines in a chart: short where they are long, and never two that read alike."""

from __future__ import annotations

import pytest

from analysis.plots.labels import in_one_form, short_number, told_apart


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["20,000 images", "none"], ["20,000 images", "none"]),
        (
            ["20,000 images, 100,000 image passes", "20,000 images, 512,000 image passes"],
            ["20k images, 100k passes", "20k images, 512k passes"],
        ),
        (["ucl-released-on-pets-and-more, a", "ucl-released-on-pets-and-more, b"], ["ucl-released-…s-and-more, a", "ucl-released-…s-and-more, b"]),
        (["20,000 images, compact+store_px=64", "20,000 images, compact"], ["20k images, c…+store_px=64", "20k images, compact"]),
    ],
)
def test_long_names_are_shortened_where_they_do_not_differ(names: list[str], shown: list[str]) -> None:
    assert told_apart(names, 27) == shown


def test_names_keep_what_tells_them_apart_wherever_it_stands() -> None:
    names = [f"{first}-resnet-of-fifty-layers, {middle}, with the same long end" for first in ("a", "b") for middle in ("x", "y")]
    shown = told_apart(names, 26)
    assert len(set(shown)) == len(names)
    ends = [f"compact+store_px={px} and the rest of a recipe" for px in (0, 64)]
    assert all(len(one) <= 26 for one in told_apart(ends, 26))
    assert len(set(told_apart(ends, 26))) == 2


def test_numbers_of_one_chart_have_one_form() -> None:
    assert in_one_form(["19,000,000", "1,000,000,000"]) == ["19M", "1B"]
    assert in_one_form(["20,000 images", "1,281,167 images"]) == ["20,000 images", "1,281,167 images"]
    assert in_one_form(["10,000,001", "400,000"]) == ["10,000,001", "400k"]  # no digit is lost
    assert [short_number(one) for one in (320, 512_000, 1_281_167, 25e9, 3e12)] == ["320", "512k", "1.28M", "25B", "3T"]
