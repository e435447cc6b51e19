"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from scaling.formatting import count, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.2, "8 s"), (99, "99 s"), (150, "2 min"), (7200, "2.0 h"), (99 * 3600, "99.0 h"), (240 * 3600, "10 days"), (1e9, "32 years")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(950, "950"), (20_000, "20k"), (1_340_000, "1.34M"), (2.5e9, "2.5G")])
def test_counts(number: float, text: str) -> None:
    assert count(number) == text
