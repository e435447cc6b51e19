"""Durations in any unit, and schedules as pure functions of the step."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trials.conftest import MakeSpec, changed
from trials import RECIPES, InputError, get_recipe, parse_length
from trials.recipes.schedules import cooldown, cosine, decay_start, drop, learning_rate, multi_step, tail_start, trunk_steps


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


def test_step_and_cooldown_have_these_rates() -> None:
    assert [drop(step, steps=16, decay=0.25, gamma=0.1) for step in (0, 11, 12, 15)] == [1, 1, 0.1, 0.1]
    assert [cooldown(step, steps=16, decay=0.25) for step in (0, 11, 12, 13, 14, 15)] == [1, 1, 1, 0.75, 0.5, 0.25]
    assert [drop(step, steps=16, decay=0, gamma=0.1) for step in (0, 15)] == [1, 1]


def test_warm_up_takes_the_same_steps_whatever_the_whole_length(make_spec: MakeSpec) -> None:
    """2 epochs of 20 images in batches of 8 are 5 steps."""
    rates = []
    for steps in (40, 80):
        for schedule in ("step", "wsd"):
            spec = make_spec("pretrain", steps=steps, schedule=schedule, warmup_length="2 epochs", learning_rate=6.0, gamma=0.5)
            rates.append([learning_rate(spec, step) for step in range(35)])
    assert rates[0][:7] == [1, 2, 3, 4, 5, 6, 6]
    assert rates[0] == rates[1] == rates[2] == rates[3]


@given(steps=st.integers(1, 2000), longer=st.integers(0, 2000), decay=st.floats(0, 1), schedule=st.sampled_from(["step", "wsd"]))
def test_every_longer_training_shares_the_trunk_and_the_last_tenth_lies_behind_it(
    steps: int, longer: int, decay: float, schedule: str, make_spec: MakeSpec
) -> None:
    spec = make_spec("pretrain", steps=steps, schedule=schedule, gamma=0.1, warmup_length="7 steps", decay=decay)
    shared = trunk_steps(spec.recipe, steps)
    assert 0 <= shared <= min(decay_start(steps, decay), tail_start(steps)) < steps
    for other in (changed(spec, steps=steps + longer), changed(spec, kind="trunk")):
        for step in {0, shared // 2, shared - 1} & set(range(shared)):
            assert learning_rate(spec, step) == learning_rate(other, step)
    assert trunk_steps(get_recipe("pretrain", "compact"), steps) == 0


def test_the_second_papers_lengths_branch_where_it_says_and_save_what_it_says() -> None:
    """Data Scaling in MIM, section 3: the lengths share their first phase, which is 37.5% cheaper."""
    recipe = get_recipe("pretrain", "compact", {"schedule": "step", "decay": 0.125, "gamma": 0.1})
    points = [trunk_steps(recipe, steps) for steps in (125_000, 250_000, 500_000)]
    assert points == [109_375, 218_750, 437_500]
    saved = sum(points) - max(points)  # without sharing each trains its first phase, with it the longest one is all there is
    assert saved / (125_000 + 250_000 + 500_000) == 0.375


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in RECIPES for name in RECIPES[kind]])
def test_no_named_recipes_schedule_changes_with_the_subset(kind: str, name: str, make_spec: MakeSpec) -> None:
    """At equal steps the rate of every step is the same for any number of images."""
    specs = [changed(make_spec(kind, steps=20_000, train_images=images), recipe=RECIPES[kind][name]) for images in (128_117, 1_281_167, 14_197_122)]
    for step in (0, 100, 625, 6_249, 6_250, 10_000, 19_999):
        assert len({learning_rate(spec, step) for spec in specs}) == 1


def test_the_second_papers_warm_up_is_6250_steps_and_a_grid_may_ask_for_passes_of_the_subset(make_spec: MakeSpec) -> None:
    recipe = RECIPES["pretrain"]["simmim-swinv2"]
    spec = changed(make_spec("pretrain", steps=125_000, train_images=128_117), recipe=recipe)
    assert learning_rate(spec, 6_249) < recipe.learning_rate == learning_rate(spec, 6_250)
    asked = changed(spec, recipe=dataclasses.replace(recipe, warmup_length="10 epochs"))
    assert learning_rate(asked, 625) < recipe.learning_rate == learning_rate(asked, 626)
