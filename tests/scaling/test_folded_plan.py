"""Stages that differ in their seed alone are one row of a printed plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.launch import main
from scaling.plan.folding import folded_by_seed, seeds_of

GRID = """\
study: folded
encoder: pico/4@32
pretrain: {source: leaves, images: [0, 24, 48], length: 10 steps, heldout_images: 16}
intermediate: {objective: [none, classification], source: leaves, images: 24, length: 2 steps, heldout_images: 16}
finetune: {source: leaves, images: [8, 16], length: 2 steps, test_images: 16}
seeds: 4
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def test_each_group_has_every_seed_once_and_one_setting(grid: Path) -> None:
    plan = make_plan(load_grid(grid), grid.parent / "data")
    groups = folded_by_seed(plan, lambda name: "")
    assert sorted(name for group in groups for name in group) == sorted(plan.stages)
    assert len(groups) == len(plan.stages) / 4 == 2 + 3 + 3 * 2 * 2
    for group in groups:
        specs = [plan.stages[name].spec for name in group]
        assert [spec.seed for spec in specs] == [0, 1, 2, 3]
        assert len({(spec.kind, spec.steps, spec.data.train_images, spec.parent is None) for spec in specs}) == 1
        assert seeds_of(plan, group) == "seeds 0 to 3"


def test_stages_whose_parents_differ_in_a_setting_are_not_one_row(grid: Path) -> None:
    """Fine-tunings of equal settings after 24 and after 48 pre-training images."""
    plan = make_plan(load_grid(grid), grid.parent / "data")
    for group in folded_by_seed(plan, lambda name: ""):
        parents = [plan.stages[name].spec.parent for name in group]
        assert len({plan.stages[one].spec.data.train_images for one in parents if one}) <= 1


def test_stages_that_differ_in_their_sampling_are_not_one_row(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(grid), "--plan", "--out", str(grid.parent / "run"), "--data", str(grid.parent / "data"), "--set", "pretrain.images=24"]
    assert main([*given, "--set", "pretrain.sampling=[uniform, classes]"]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.startswith("pretrain-")]
    assert len(rows) == 2
    assert all("and 3 more" in row and "24 leaves, seeds 0 to 3" in row for row in rows)
    assert ["sampling classes" in row for row in rows] == [False, True]


def test_a_state_of_its_own_is_a_row_of_its_own(grid: Path) -> None:
    plan = make_plan(load_grid(grid), grid.parent / "data")
    done = next(iter(plan.stages))
    groups = folded_by_seed(plan, lambda name: name == done)
    assert [done] in groups
    rest = next(group for group in groups if group != [done] and plan.stages[group[0]].spec.kind == plan.stages[done].spec.kind)
    assert seeds_of(plan, rest) == "seeds 1 to 3"
    assert seeds_of(plan, rest[:2]) == "seeds 1, 2"
    assert seeds_of(plan, [done]) == "seed 0"


def test_rows_that_differ_in_their_encoder_or_recipe_say_so(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(grid), "--plan", "--out", str(grid.parent / "run"), "--data", str(grid.parent / "data"), "--set", "pretrain.images=[0, 24]"]
    assert main(given) == 0
    assert "setting" not in capsys.readouterr().out.splitlines()[1]
    rates = "finetune.recipe=[compact, {name: compact, learning_rate: 0.02, label: fast}]"
    assert main([*given, "--set", "encoder=[pico/4@32, nano/8@32]", "--set", rates]) == 0
    _, heading, *lines = capsys.readouterr().out.splitlines()
    assert "setting" in heading
    rows = [" ".join(line.split()) for line in lines if "and 3 more" in line]
    assert any("24 leaves, seeds 0 to 3 nano/8@32 " in row and row.startswith("pretrain-") for row in rows)
    assert any("8 leaves, seeds 0 to 3 pico/4@32, learning rate 0.02 " in row for row in rows)


def test_a_plan_of_few_seeds_advises_five(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(grid), "--plan", "--out", str(grid.parent / "run"), "--data", str(grid.parent / "data")]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "4 seeds: intervals will be wide" in said
    assert "24 leaves, seeds 0 to 3" in said
    assert sum("and 3 more" in line for line in said.splitlines()) == 17
    assert main([*given, "--set", "seeds=5"]) == 0
    assert "are advised" not in capsys.readouterr().out
