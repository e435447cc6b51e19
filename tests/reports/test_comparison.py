"""Two studies on one page: what differs, which runs are the same, and paired differences that are
those of analysis.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.build import main
from reports.comparison import build_comparison, compose_comparison
from reports.comparison.effects import forest_rows, paired_differences
from reports.comparison.pair import read_pair
from tests.reports.page_reader import Reader


def rewrite(study: Path, column: str, change: Callable[[pd.Series], pd.Series]) -> Path:
    """Change one column of the runs, and of the plan's where it has that setting."""
    runs = pd.read_parquet(study / "runs.parquet")
    runs.assign(**{column: change(runs[column])}).to_parquet(study / "runs.parquet")
    plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    if column in plan["runs"][0]:
        changed = change(pd.Series([run[column] for run in plan["runs"]]))
        plan["runs"] = [run | {column: value} for run, value in zip(plan["runs"], changed, strict=True)]
        (study / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return study


@pytest.fixture
def first(write: Callable[..., Path], tmp_path: Path) -> Path:
    return write(tmp_path / "before", finetune_sizes=(100, 300), intermediates=("none",), examples=False)


@pytest.fixture
def second(write: Callable[..., Path], tmp_path: Path) -> Path:
    """The same grid fine-tuned otherwise: 0.01 better, with ids of its own."""
    study = write(tmp_path / "after", finetune_sizes=(100, 300), intermediates=("none",), examples=False)
    rewrite(study, "finetune_recipe", lambda old: old.map({"adamw": "sgd"}))
    rewrite(study, "miou", lambda old: old + 0.01 + 0.001 * np.random.default_rng(0).standard_normal(len(old)))
    return rewrite(study, "run_id", lambda old: old.map("{}-sgd".format))


def compared(first: Path, second: Path, tmp_path: Path) -> Reader:
    return Reader(build_comparison(first, second, tmp_path / "comparison.html").read_text(encoding="utf-8"))


def test_equal_studies_are_said_to_be_equal_to_the_last_digit(first: Path, tmp_path: Path) -> None:
    page = compared(first, Path(shutil.copytree(first, tmp_path / "copy")), tmp_path)
    assert "18 of 18 are equal in all that was measured." in page.text_of("findings")
    assert "Their grids are equal to the letter." in page.text_of("settings")
    assert "All 18 paired differences in mIoU are zero, so none is drawn." in page.text_of("differences")


def test_one_run_that_came_out_otherwise_is_counted(first: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(first, tmp_path / "other"))
    rewrite(other, "miou", lambda old: old.where(old.index > 0, old + 1e-15))
    found = compared(first, other, tmp_path).text_of("findings")
    assert "17 of 18 are equal in all that was measured." in found
    assert "refuted" in found


def test_two_arms_recover_the_difference_between_them(first: Path, second: Path, tmp_path: Path) -> None:
    pair = read_pair(first, second)
    assert pair.differing == {"finetune_recipe": ("adamw", "sgd")}
    effects = paired_differences(pair).effects
    assert effects is not None
    assert len(effects.pairs) == 18
    assert effects.overall["low"].iloc[0] < 0.01 < effects.overall["high"].iloc[0]
    assert list(forest_rows(effects)["label"])[:2] == ["all cells together", "scratch, 100 labels"]
    text = compared(first, second, tmp_path).text
    assert "This setting makes the studies two treatments, and pairs differ in it: finetune recipe (adamw in before, sgd in after)." in text
    assert "finetune_recipe adamw sgd" in text


def test_a_study_with_a_stage_is_compared_with_one_without(write: Callable[..., Path], tmp_path: Path) -> None:
    without, with_stage = (
        write(tmp_path / name, finetune_sizes=(100, 300), intermediates=(name,), examples=False) for name in ("none", "classification")
    )
    pair = read_pair(without, with_stage)
    assert pair.differing["intermediate"] == ("none", "classification")
    assert pair.differing["intermediate_source"] == (None, "intel")
    effects = paired_differences(pair).effects
    assert effects is not None
    assert len(effects.pairs) == 18
    assert effects.overall["difference"].iloc[0] == pytest.approx(-0.02)
    assert "intermediate (none in none, classification in classification)" in compared(without, with_stage, tmp_path).text_of("findings")


def test_every_chart_and_section_has_an_id_of_its_own(first: Path, second: Path, tmp_path: Path) -> None:
    page = compared(first, second, tmp_path)
    identities = page.attributes("id")
    assert len(identities) == len(set(identities))
    charts = [f"{name}{width}" for width in ("", "@narrow") for name in ("scaling-plot", "where-differs")]
    assert sorted(page.specifications) == sorted([*charts, "differences-0", "scores-0", "scores-1", "scores-2"])
    assert build_comparison(first, second, tmp_path / "again.html").read_bytes() == (tmp_path / "comparison.html").read_bytes()


def test_runs_with_one_id_are_left_out_where_others_are_paired(first: Path, second: Path) -> None:
    scratch = {row["run_id"] for row in pd.read_parquet(first / "runs.parquet").to_dict("records") if row["pretrain_images"] == 0}
    rewrite(second, "run_id", lambda old: old.map(lambda name: name.removesuffix("-sgd") if name.removesuffix("-sgd") in scratch else name))
    differences = paired_differences(read_pair(first, second))
    assert differences.left_out == 6
    assert differences.effects is not None
    assert len(differences.effects.pairs) == 12


def test_recipe_versions_commits_and_seeds_that_differ_are_listed(first: Path, second: Path, tmp_path: Path) -> None:
    plan = json.loads((second / "plan.json").read_text(encoding="utf-8"))
    for stage in plan["stages"]:
        stage["spec"] = {"recipe_version": 2, "parent": stage["id"]}
    (second / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    for file in second.glob("stages/*/provenance.json"):
        file.write_text(file.read_text(encoding="utf-8").replace("0123abc", "4567def"), encoding="utf-8")
    text = compared(first, second, tmp_path).text_of("settings")
    assert "finetune recipe_version – 2" in text
    assert "Where they ran differs in: git commit." in text
    assert "git_commit 0123abc 4567def no" in text


def test_an_unfinished_study_is_compared_as_far_as_it_is(first: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    half = write(
        tmp_path / "half",
        finetune_sizes=(100, 300),
        intermediates=("none",),
        missing=lambda s: s["kind"] == "finetune" and s["run"]["finetune_images"] == 300,
    )
    page = compared(first, half, tmp_path)
    text = page.text_of("findings")
    assert "9 of 18 runs, half" in text
    assert "Not complete: 9 of 18 runs are finished" in page.text_of("coverage")
    assert "Both have finished runs in 3 cells; 3 only in before." in text


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({}, "are one folder; name two studies to compare."),
        ({"missing": lambda stage: True}, "has no finished run with a finite score yet, so there is nothing to compare; wait until one is."),
        ({"finetune_sizes": (7, 8)}, "have no finished run in common: they never agree in finetune_images (100, 300 against 7, 8)"),
    ],
)
def test_studies_that_cannot_be_compared_are_one_sentence_and_status_2(
    other: dict[str, object], sentence: str, first: Path, write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "other", **{"finetune_sizes": (100, 300), "examples": False, **other}) if other else first
    assert main([str(first), str(folder), "--out", str(tmp_path / "none.html")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "none.html").exists()


def test_hostile_names_stay_text(first: Path, second: Path, tmp_path: Path) -> None:
    plan = json.loads((second / "plan.json").read_text(encoding="utf-8"))
    (second / "plan.json").write_text(json.dumps(plan | {"study": '</script><h1>"none" 🙂'}), encoding="utf-8")
    page = compared(first, second, tmp_path)
    assert page.count("h1") == 1
    assert page.count("script") == 3


def test_the_first_screen_has_the_difference_where_it_is_and_how_sure(first: Path, second: Path) -> None:
    screen = compose_comparison(first, second).screen
    assert screen is not None
    assert screen.about == "finetune recipe sgd instead of adamw"
    found = re.fullmatch(r"after lies 0\.01\d mIoU above before \(0\.0\d\d to 0\.0\d\d\), all else equal\.", screen.sentence)
    assert found is not None, screen.sentence
    assert screen.scaling is not None
    assert screen.scaling.claim == "after lies above before at every number of labels"
    assert screen.moved is not None
    rows = screen.moved.tables[0].rows
    assert [row[0].text for row in rows] == ["All cells", "100 labels", "300 labels"]
    assert screen.verdicts[0].headline == "On average after differs from before in mIoU."
    assert [fact.text for fact in screen.strip][:2] == ["runs, before", "runs, after"]


def test_the_first_screen_of_equal_studies_says_so(first: Path, tmp_path: Path) -> None:
    screen = compose_comparison(first, Path(shutil.copytree(first, tmp_path / "copy"))).screen
    assert screen is not None
    assert screen.sentence.startswith("All 18 runs that ")
    assert [one.headline for one in screen.verdicts] == ["Runs that both have are equal to the last digit."]
    assert screen.moved is None
    assert screen.scaling is not None
    assert screen.scaling.claim == "mIoU of both by number of labels"
