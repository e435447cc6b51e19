"""A study scored by a column that only its columns.json documents has its figures like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.report import build_report
from reports.report_data import read_study
from reports.score import score_of
from tests.reports.page_reader import Reader

OF_PIXELS = ["miou", "miou_ucl", "pixel_accuracy", "iou_foreground", "iou_background", "iou_border"]
DEPTH = {
    "description": "mean over test pixels of |predicted - true depth| / true depth",
    "unit": "",
    "role": "score",
    "better": "lower",
    "lowest": 0.0,
    "highest": None,
    "title": "AbsRel",
}


@pytest.fixture
def depth(write: Callable[..., Path], tmp_path: Path) -> Path:
    """A study of another task, scored by an error without an upper bound."""
    folder = write(tmp_path / "depth", pretrain_sizes=(0, 2000, 20000), finetune_sizes=(100, 300, 1000, 3000), examples=False)
    runs = pd.read_parquet(folder / "runs.parquet")
    runs.assign(abs_rel=2.0 * (1.0 - runs["miou"]), finetune_task="depth", **dict.fromkeys(OF_PIXELS, np.nan)).to_parquet(folder / "runs.parquet")
    (folder / "columns.json").write_text(json.dumps({"runs": {"abs_rel": DEPTH}, "stages": {}}))
    return folder


def test_the_score_is_read_from_the_columns_documentation(depth: Path) -> None:
    score = score_of(read_study(depth).runs)
    assert (score.column, score.title, score.better, score.lowest, score.highest) == ("abs_rel", "AbsRel", "lower", 0.0, None)
    assert score.clipped((-0.2, 1.7)) == (0.0, 1.7)


def test_a_study_with_a_score_of_its_own_has_its_figures(depth: Path, tmp_path: Path) -> None:
    page = Reader(build_report(depth, tmp_path / "report.html").read_text(encoding="utf-8"))
    drawn = {name.removeprefix("figure-") for name in page.attributes("id") if name.startswith("figure-")}
    assert {"scores", "pretraining", "intermediate", "returns", "worth", "surface", "correlation", "residuals"} <= drawn
    specifications = page.specifications
    y = specifications["scores-0"]["layer"][-1]["encoding"]["y"]
    assert (y["field"], y["title"]) == ("abs_rel", "AbsRel")
    assert y["scale"]["domain"][1] > 1.0
    assert "Below the line at zero, pre-training helps." in page.text_of("pretraining")
    assert "mIoU" not in page.text_of("scores") + page.text_of("pretraining") + page.text_of("returns")
    assert "No law of both sizes" in page.text_of("surface")


@pytest.mark.parametrize(("name", "better", "side"), [("f_measure", "higher", "Above"), ("abs_rel", "lower", "Below")])
def test_a_score_that_nothing_documents_has_its_figures_too(write: Callable[..., Path], tmp_path: Path, name: str, better: str, side: str) -> None:
    folder = write(tmp_path / name, pretrain_sizes=(0, 2000), finetune_sizes=(100, 300, 1000, 3000), examples=False)
    runs = pd.read_parquet(folder / "runs.parquet").assign(gpu=1, rate=lambda table: 0.001 * table["finetune_images"])
    runs[name] = runs["miou"] if better == "higher" else 1.0 - runs["miou"]
    runs.drop(columns=OF_PIXELS, errors="ignore").to_parquet(folder / "runs.parquet")
    page = Reader(build_report(folder, tmp_path / "report.html").read_text(encoding="utf-8"))
    drawn = {one.removeprefix("figure-") for one in page.attributes("id") if one.startswith("figure-")}
    assert {"scaling", "moved", "scores", "pretraining", "intermediate", "returns", "worth"} <= drawn
    remark = f"No score is documented, so '{name}' is taken for it, and {better} values count as better"
    assert remark in page.text_of("findings")
    assert f"{side} the line at zero, pre-training helps." in page.text_of("pretraining")
    assert "mIoU" not in page.text_of("scores") + page.text_of("findings")


def test_a_documented_score_is_preferred_and_nothing_is_assumed(depth: Path) -> None:
    assert read_study(depth).assumed == ""
