"""An objective in a file beside the grid: the grid, the plan, the tables and the display know it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.schema import grid_schema
from scaling.study.table import run_columns
from trials import registry
from trials.cost.costs import stage_cost
from trials.data.sources import SOURCES
from trials.errors import InputError
from trials.models.encoders import ENCODERS
from trials.objectives.objective import OBJECTIVES, live_scores, loss_names, objectives_for
from trials.registry import loaded_plugins

TOY = Path(__file__).resolve().parents[1] / "toys.py"
GRID = """
study: colours
encoder: pico/4@32
plugins: toys
pretrain:
  source: leaves
  images: [0, 40]
  length: 4 steps
  objective: [simmim, mean-colour]
  recipe: {name: compact, batch_images: 8}
  heldout_images: 8
finetune: {source: leaves, images: 16, length: 4 steps, task: mean-colour, recipe: {name: compact, batch_images: 8}, test_images: 8}
seeds: 1
"""


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for one in (OBJECTIVES, ENCODERS, SOURCES):
        list(one)
        monkeypatch.setattr(one, "_things", dict(one._things))
    monkeypatch.setattr(registry, "_plugins", [])
    shutil.copy(TOY, tmp_path / "toys.py")
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path / "grid.yaml"


def test_a_plugin_beside_the_grid_is_an_objective_like_any_other(grid: Path, tmp_path: Path) -> None:
    plan = make_plan(load_grid(grid), tmp_path)
    assert {stage.spec.objective for stage in plan.stages.values()} == {"simmim", "mean-colour"}
    assert len(plan.runs) == 3
    assert "mean-colour" in objectives_for("pretrain")
    assert live_scores()["colour_error"].better == "lower"
    assert "train_colour_loss" in loss_names()
    assert "mean-colour" in json.dumps(grid_schema()["$defs"]["finetune"]["properties"]["task"])
    columns = run_columns(plan)
    assert columns["colour_error"].role == "score"
    assert columns["colour_error"].better == "lower"
    assert {"pretrain_objective", "val_colour_error"} <= set(columns)
    assert all(stage_cost(stage.spec).train_flops_per_image > 0 for stage in plan.stages.values())
    assert loaded_plugins() == (str(tmp_path / "toys.py"),)


def test_the_objective_of_a_pretraining_is_an_axis(grid: Path, tmp_path: Path) -> None:
    runs = make_plan(load_grid(grid), tmp_path).runs
    assert {run.get("pretrain_objective") for run in runs} == {None, "simmim", "mean-colour"}
    assert len({run["cell_id"] for run in runs}) == 3
    usual = make_plan(load_grid(grid, ["pretrain.objective=simmim"]), tmp_path)
    assert all("pretrain_objective" not in run for run in usual.runs)
    assert "pretrain_objective" not in run_columns(usual)


@pytest.mark.parametrize(
    ("plugins", "sentence"),
    [
        ("missing", r"grid.yaml line 4: plugins: there is no Python file .*missing.py"),
        ("[1]", r"grid.yaml line 4: a plug-in is a Python file beside the grid, such as my_module, not '1'"),
        ("broken", r"grid.yaml line 4: plugins: .*broken.py cannot be imported: NameError"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_sentence(grid: Path, plugins: str, sentence: str) -> None:
    (grid.parent / "broken.py").write_text("undefined\n")
    grid.write_text(GRID.replace("plugins: toys", f"plugins: {plugins}"))
    with pytest.raises(InputError, match=sentence):
        load_grid(grid)


def test_built_in_scores_are_documented_as_the_columns_that_they_fill(tmp_path: Path) -> None:
    from analysis.runs.columns import RUN_COLUMNS

    assert SOURCES  # the registry's own modules are loaded
    for objective in OBJECTIVES.values():
        for kind in objective.kinds:
            for score in (objective.loss_score, *objective.scores(kind)):
                if score.column in RUN_COLUMNS:
                    column = RUN_COLUMNS[score.column]
                    assert (score.better, score.lowest, score.highest) == (column.better, column.lowest, column.highest), score.name
                    if score.column == score.name:
                        assert (score.title, score.role) == (column.title, column.role)


def test_no_objective_is_no_pretraining(grid: Path, tmp_path: Path) -> None:
    scratch = [run for run in make_plan(load_grid(grid), tmp_path).runs if run["pretrain_id"] is None]
    runs = make_plan(load_grid(grid, ["pretrain.objective=[none, simmim]", "pretrain.images=40"]), tmp_path).runs
    assert [(run["pretrain_images"], run.get("pretrain_objective")) for run in runs] == [(0, None), (40, "simmim")]
    assert (runs[0]["run_id"], runs[0]["cell_id"]) == (scratch[0]["run_id"], scratch[0]["cell_id"])
