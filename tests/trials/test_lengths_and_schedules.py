"""Durations in any unit, and schedules as pure functions of the step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials import InputError, parse_length
from trials.schedules import cosine, multi_step


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("100 epochs", 70_313),  # paper 1: 45,000 images, batch 64; its code drops the last short batch of each epoch
        ("125k steps", 125_000),
        ("4M images", 62_500),
        ("1 step", 1),
        ("0.5 epochs", 352),
    ],
)
def test_a_length_in_any_unit_becomes_steps(text: str, steps: int) -> None:
    assert parse_length(text).steps(subset_images=45_000, batch_images=64) == steps


@pytest.mark.parametrize("text", ["100", "ten epochs", "0 epochs", "-3 steps", "", None, "5 hours"])
def test_what_is_no_length_is_refused_with_examples(text: object) -> None:
    with pytest.raises(InputError, match="must read like '100 epochs', '125k steps' or '4M images'"):
        parse_length(text)


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.5))
def test_cosine_rises_then_falls_and_stays_within_the_base_rate(steps: int, warmup: float) -> None:
    rates = [cosine(step, steps=steps, warmup=warmup) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_multi_step_drops_at_the_papers_epochs() -> None:
    rates = [multi_step(step, steps=100, milestones=(0.5, 0.85), gamma=0.1) for step in range(100)]
    assert [rates[step] for step in (0, 49, 50, 84, 85, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
