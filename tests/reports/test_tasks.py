"""The page of a study scored by top-1 accuracy, and of one with two tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.claims.finding import Estimate
from reports.build import main
from reports.class_pictures import class_gallery, ranked_class_gallery
from reports.comparison import build_comparison, compose_comparison
from reports.errors import ReportError
from reports.findings import formatted_estimate
from reports.report import build_report, compose
from reports.report_data import read_study
from tests.reports.page_reader import Reader

OF_PIXELS = ["miou", "miou_ucl", "pixel_accuracy", "iou_foreground", "iou_background", "iou_border"]


def to_classes(folder: Path, *, keep: bool = False) -> Path:
    """Turn a study of segmentation into one of classification, or (`keep`) add the latter's runs to
    it.
    """
    runs = pd.read_parquet(folder / "runs.parquet")
    own = runs.assign(accuracy=runs["miou"] + 0.1, top5_accuracy=1.0, finetune_task="classification", **dict.fromkeys(OF_PIXELS, np.nan))
    plan = json.loads((folder / "plan.json").read_text())
    planned = [one | {"finetune_task": "classification"} for one in plan["runs"]]
    if keep:
        for table in (own, *planned):
            table["run_id"] = table["run_id"] + "c"
            table["cell_id"] = table["cell_id"] + "c"
        own, planned = pd.concat([runs, own], ignore_index=True), plan["runs"] + planned
    own.to_parquet(folder / "runs.parquet")
    (folder / "plan.json").write_text(json.dumps(plan | {"runs": planned}))
    return folder


@pytest.fixture
def classes(write: Callable[..., Path], tmp_path: Path) -> Path:
    return to_classes(write(tmp_path / "classes", finetune_sizes=(100, 300, 1000, 3000), examples=False))


def test_a_study_of_classes_has_every_figure_in_its_own_words(classes: Path, tmp_path: Path) -> None:
    page = Reader(build_report(classes, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "mIoU" not in page.text.replace("mean intersection", "")
    for section in ("scores", "pretraining", "returns", "surface", "intermediate", "correlation", "runs"):
        assert "top‑1 accuracy" in page.text_of(section).replace("Top", "top").replace("top-1", "top‑1"), section
    assert "raises top-1 accuracy" in page.text_of("claims")
    specifications = page.specifications
    points = specifications["scores-0"]["layer"][-1]["encoding"]["y"]
    assert (points["field"], points["title"]) == ("accuracy", "top‑1 accuracy")
    assert specifications["pretraining-0"]["layer"][0]["encoding"]["y"]["title"] == "difference in top‑1 accuracy"


def test_a_page_of_two_tasks_is_about_the_first_and_says_how_to_get_the_other(write: Callable[..., Path], tmp_path: Path) -> None:
    both = to_classes(write(tmp_path / "both", finetune_sizes=(100, 300), examples=False), keep=True)
    page = compose(read_study(both))
    phrases = [text for text in page.remarks if "two" not in text and "This page is about segmentation." in text]
    assert len(phrases) == 1
    assert "--task classification writes a page about them" in phrases[0]
    assert any("mIoU" in figure.claim for section in page.sections for figure in section.figures)
    other = compose(read_study(both), task="classification")
    claims = [figure.claim for section in other.sections for figure in section.figures]
    assert any("top‑1 accuracy" in claim for claim in claims)
    assert not any("mIoU" in claim for claim in claims)
    assert page.facts[0] == other.facts[0]  # how far the grid is: of both tasks
    with pytest.raises(ReportError, match="has no runs of the task 'detection'; its tasks are segmentation and classification"):
        compose(read_study(both), task="detection")


def test_a_study_of_two_tasks_has_a_page_for_each_and_they_are_linked(write: Callable[..., Path], tmp_path: Path) -> None:
    both = to_classes(write(tmp_path / "both", finetune_sizes=(100, 300), examples=False), keep=True)
    first = build_report(both)
    assert first == both / "report.html"
    pages = {name: Reader((both / name).read_text(encoding="utf-8")) for name in ("report.html", "report-classification.html")}
    assert "report-classification.html" in pages["report.html"].attributes("href")
    assert "report.html" in pages["report-classification.html"].attributes("href")
    for page in pages.values():
        assert page.attributes("aria-current") == ["page"]
        assert "writes a page about them" not in page.text
    assert "mIoU" in pages["report.html"].text_of("scores")
    assert "accuracy" in pages["report-classification.html"].text_of("scores")
    assert "mIoU" not in pages["report-classification.html"].text_of("scores")


def test_two_studies_of_two_tasks_are_compared_by_both(write: Callable[..., Path], tmp_path: Path) -> None:
    folders = [to_classes(write(tmp_path / name, finetune_sizes=(100, 300), examples=False), keep=True) for name in ("a", "b")]
    runs = pd.read_parquet(folders[1] / "runs.parquet")
    runs.assign(run_id=runs["run_id"] + "b", accuracy=runs["accuracy"] + 0.01, miou=runs["miou"] - 0.02).to_parquet(folders[1] / "runs.parquet")
    first = build_comparison(*folders, tmp_path / "both.html")
    pixels, whole = (Reader(path.read_text(encoding="utf-8")) for path in (first, tmp_path / "both-classification.html"))
    assert "mIoU changes by −0.020" in pixels.text_of("differences")
    assert "accuracy changes by +0.010" in whole.text_of("differences")
    assert "both-classification.html" in pixels.attributes("href")
    assert "both.html" in whole.attributes("href")


def test_the_page_of_one_task_is_a_file_of_its_own(write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = to_classes(write(tmp_path / "both", finetune_sizes=(100, 300), examples=False), keep=True)
    assert main([str(both), "--task", "classification"]) == 0
    assert (both / "report-classification.html").exists()
    with pytest.raises(SystemExit):
        main([str(both), "--task", "classification", "--watch"])
    assert "--task takes one study folder, and no --watch." in capsys.readouterr().err


def test_two_studies_of_classes_are_compared_by_accuracy(classes: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    other = to_classes(write(tmp_path / "other", finetune_sizes=(100, 300, 1000, 3000), examples=False))
    runs = pd.read_parquet(other / "runs.parquet")
    runs.assign(run_id=runs["run_id"] + "b", accuracy=runs["accuracy"] + 0.01, encoder="other").to_parquet(other / "runs.parquet")
    plan = json.loads((other / "plan.json").read_text())
    plan["runs"] = [run | {"encoder": "other"} for run in plan["runs"]]
    (other / "plan.json").write_text(json.dumps(plan))
    page = compose_comparison(classes, other)
    claims = [figure.claim for section in page.sections for figure in section.figures]
    assert any("top‑1 accuracy changes by +0.010" in claim for claim in claims)
    other_task = write(tmp_path / "pixels", finetune_sizes=(100, 300), examples=False)
    with pytest.raises(ReportError, match=r"is scored by top-1 accuracy.* and .* by mIoU, .* no score in common; compare studies of one task"):
        compose_comparison(classes, other_task)


def test_pictures_of_a_classification_say_what_each_was_taken_for(tmp_path: Path) -> None:
    plain = {"caption": "test image 0", "truth": "rings", "prediction": "rings", "probability": 0.98, "place": 1, "of": 9}
    missed = {"caption": "test image 4", "truth": "dots", "prediction": "rings", "probability": 0.01, "rank": "worst", "place": 9, "of": 9}
    items = [plain, plain | {"rank": "best"}, plain | {"rank": "median", "place": 5, "probability": 0.5}, missed]
    folder = tmp_path / "a" / "examples"
    folder.mkdir(parents=True)
    for number, item in enumerate(items):
        item = items[number] = item | {"file": f"{number}.png"}
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / item["file"])
    (folder / "index.json").write_text(json.dumps({"columns": ["image"], "tile_px": 8, "items": items}))
    same, ranked = class_gallery([("series", tmp_path / "a"), ("old", tmp_path / "b")]), ranked_class_gallery([("series", tmp_path / "a")])
    assert [tile.caption for row in same.rows for tile in row.tiles] == ["rings, named so (0.98)"]
    assert same.missing == "No example pictures were kept for: old."
    assert [tile.caption for tile in ranked.rows[0].tiles] == [
        "best, place 1 of 9: rings, named so (0.98)",
        "median, place 5 of 9: rings, named so (0.50)",
        "worst, place 9 of 9: dots, named rings (0.01)",
    ]


def test_the_hyphen_of_a_scores_name_is_no_minus_sign() -> None:
    estimate = Estimate(what="mean difference", value=-0.0123, low=-0.02, high=0.001, level=0.95, unit="top-1 accuracy")
    assert formatted_estimate(estimate).startswith("−0.0")
    assert "top-1 accuracy (95% interval −0.0" in formatted_estimate(estimate)
