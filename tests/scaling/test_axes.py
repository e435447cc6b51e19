"""Zipped axes, exclusions and named arms: which runs a grid asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling import load_grid, make_plan
from scaling.grid.axes import AXES, Axes
from trials import InputError
from trials.recipes.lengths import Length


def length(steps: int) -> Length:
    return Length(value=steps, unit="steps")


def axes(**changed: tuple[object, ...]) -> dict[str, tuple[object, ...]]:
    plain: dict[str, tuple[object, ...]] = {
        "encoder": ("pico/8@16",),
        "pretrain.source": ("leaves",),
        "pretrain.images": (0, 12, 24),
        "pretrain.length": (length(2), length(4), length(6)),
        "pretrain.recipe": ("compact",),
        "pretrain.sampling": ("uniform",),
        "pretrain.objective": ("simmim",),
        "intermediate.objective": ("none", "classification"),
        "intermediate.source": ("leaves",),
        "intermediate.images": (8, 16),
        "intermediate.length": (length(2),),
        "intermediate.recipe": ("compact",),
        "finetune.source": ("leaves",),
        "finetune.task": ("segmentation",),
        "finetune.images": (8, 16),
        "finetune.length": (length(2),),
        "finetune.recipe": ("compact",),
    }
    assert list(plain) == list(AXES)
    return plain | {name.replace("_", ".", 1): values for name, values in changed.items()}


def axes_of(values: dict[str, tuple[object, ...]], **more: Any) -> Axes:
    return Axes(values=values, sampling={"intermediate": "uniform", "finetune": "proportional"}, **more)


def test_the_product_leaves_out_what_has_no_meaning() -> None:
    # (1 scratch + 2 sizes x 3 lengths) x (none + classification on 2 sizes) x 2 numbers of labels
    assert len(list(axes_of(axes()).combinations())) == (1 + 2 * 3) * (1 + 2) * 2


def test_zipped_axes_advance_together() -> None:
    found = list(axes_of(axes(), zipped=(("pretrain.images", "pretrain.length"),)).combinations())
    assert {one.pretrain and (one.pretrain.images, one.pretrain.length) for one in found} == {None, (12, length(4)), (24, length(6))}
    assert len(found) == 3 * 3 * 2


def test_an_exclusion_leaves_out_where_all_its_axes_match() -> None:
    everything = list(axes_of(axes()).combinations())
    entry = {"pretrain.images": (0,), "intermediate.objective": ("classification",)}
    left = list(axes_of(axes(), excluded=(entry,)).combinations())
    gone = [one for one in everything if one.pretrain is None and one.intermediate is not None]
    assert set(left) == set(everything) - set(gone)
    assert gone


@given(st.permutations([0, 12, 24]), st.sampled_from([(), (("pretrain.images", "pretrain.length"),)]))
@settings(deadline=None, max_examples=20)
def test_the_order_of_values_does_not_change_which_cells_there_are(sizes: list[int], zipped: tuple[tuple[str, ...], ...]) -> None:
    lengths = tuple(length(2 + size) for size in sizes)
    values = axes(pretrain_images=tuple(sizes), pretrain_length=lengths)
    straight = axes(pretrain_images=(0, 12, 24), pretrain_length=(length(2), length(14), length(26)))
    assert set(axes_of(values, zipped=zipped).combinations()) == set(axes_of(straight, zipped=zipped).combinations())


def plan_of(grid_file: Path, data: Path, extra: str) -> list[dict[str, object]]:
    grid_file.write_text(grid_file.read_text() + extra)
    return make_plan(load_grid(grid_file), data).runs


def test_arms_are_a_union_in_which_what_is_shared_is_run_once(grid_file: Path, small_data: Path) -> None:
    before = make_plan(load_grid(grid_file), small_data)
    runs = plan_of(grid_file, small_data, "arms:\n  short: {}\n  long: {pretrain: {length: 6 steps}}\n")
    assert {run["run_id"] for run in before.runs} < {run["run_id"] for run in runs}
    scratch = [run for run in runs if run["pretrain_images"] == 0]
    assert {run["arm"] for run in scratch} == {"short, long"}
    assert {run["arm"] for run in runs if run["pretrain_images"]} == {"short", "long"}
    assert len(runs) == 16 + 8


def test_an_arm_may_replace_a_recipe_and_keeps_the_rest(grid_file: Path) -> None:
    grid_file.write_text(grid_file.read_text() + "arms:\n  slow: {pretrain: {recipe: {learning_rate: 0.0001}}}\n  fast: {}\n")
    arms = dict(load_grid(grid_file).arms)
    assert arms["slow"].pretrain.recipes[0].overrides == {"learning_rate": 0.0001, "batch_images": 8, "precision": "fp32"}
    assert arms["fast"].pretrain.recipes[0].overrides == {"batch_images": 8, "precision": "fp32"}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("zip: [pretrain.images, pretrain.lenght]\n", "line 25: there is no axis 'pretrain.lenght'"),
        (
            "zip: [pretrain.images, pretrain.length]\n",
            "line 25: zipped axes need equally many values, and pretrain.images has 2, pretrain.length has 1",
        ),
        ("zip: pretrain.images\n", "line 25: zip names two axes or more"),
        ("exclude: [{pretrain.images: 7}]\n", "line 25: pretrain.images never is 7: it takes 0, 24."),
        ("exclude: [{pretrain.length: 3 stepps}]\n", "line 25: A training length must read like"),
        ("exclude: [{finetune.images: [8, 16]}]\n", "every combination is excluded"),
        ("exclude: none\n", "line 25: exclude is a list such as"),
        ("arms: {a: {seeds: 5}}\n", "an arm cannot set 'seeds'; it is the same for all arms."),
        ("arms: {a: {pretrian: {images: 3}}}\n", "an arm cannot set 'pretrian'; did you mean 'pretrain'"),
        ("arms: {a: {pretrain: {imags: 3}}}\n", "unknown key 'imags' in 'pretrain'"),
        ("arms: {a b: {}}\n", "an arm's name takes up to 100 letters"),
        ("arms: {a: 3}\n", "the arm 'a' must hold 'key: value' lines"),
        ("arms: []\n", "arms must hold 'name: {settings}'"),
    ],
)
def test_a_mistake_is_answered_with_its_line(grid_file: Path, extra: str, message: str) -> None:
    grid_file.write_text(grid_file.read_text() + extra)
    with pytest.raises(InputError) as caught:
        load_grid(grid_file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_a_source_sampling_and_a_task_are_axes(grid_file: Path, small_data: Path) -> None:
    text = grid_file.read_text()
    first = "recipe: {name: compact, batch_images: 8, precision: fp32}"
    text = text.replace(first, f"recipe: [{first.removeprefix('recipe: ')}, {{name: ucl-paper, label: paper, precision: fp32}}]", 1)
    text = text.replace("  length: 3 steps\n", "  length: 3 steps\n  sampling: [uniform, proportional]\n", 1)
    grid_file.write_text(text)
    plan = make_plan(load_grid(grid_file), small_data)
    pretrain = [stage.spec for stage in plan.stages.values() if stage.spec.kind == "pretrain"]
    assert len(pretrain) == 2 * 2 * 2  # recipes x samplings x seeds
    runs = [run for run in plan.runs if run["pretrain_images"]]
    assert {(run["pretrain_recipe"], run["pretrain_sampling"]) for run in runs} == {
        (recipe, sampling) for recipe in ("compact", "paper") for sampling in ("uniform", "proportional")
    }
    assert len({run["cell_id"] for run in plan.runs}) == len(plan.runs) / 2


def test_zipped_axes_may_name_a_value_again(grid_file: Path, small_data: Path) -> None:
    text = grid_file.read_text().replace("images: [0, 24]", "images: [12, 24, 36]").replace("length: 3 steps", "length: [3 steps, 3 steps, 6 steps]")
    with pytest.raises(InputError, match=r"pretrain\.length names a value twice"):
        load_grid(write(grid_file, text))
    plan = make_plan(load_grid(write(grid_file, text + "zip: [pretrain.images, pretrain.length]\n")), small_data)
    assert {(run["pretrain_images"], run["pretrain_length"]) for run in plan.runs} == {(12, "3 steps"), (24, "3 steps"), (36, "6 steps")}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_two_recipes_need_two_labels(grid_file: Path) -> None:
    plain = "{name: compact, batch_images: 8, precision: fp32}"
    text = grid_file.read_text().replace(plain, f"[{plain}, {{name: compact, batch_images: 16}}]", 1)
    with pytest.raises(InputError, match=r"line \d+: two recipes are called 'compact': tell them apart with a label"):
        load_grid(write(grid_file, text))
