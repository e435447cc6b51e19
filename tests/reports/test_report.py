"""The page: one file, no request, the same bytes each time, and its numbers those of analysis."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, findings, fit, independent_groups, load_runs
from analysis.runs.columns import documented_scores
from reports import ReportError, build_report
from reports.build import main
from reports.evidence import gather
from reports.findings import card_of, ranked
from reports.overview import cost_sentence, study_sentence
from reports.page import packed_json, unpacked
from reports.report import compose
from reports.report_data import read_study
from reports.wording import sentence
from tests.reports.page_reader import Reader


@pytest.fixture
def real_findings() -> None:
    """Named by a test that wants analysis to be asked: its tests take seconds, and most pages are
    about something else.
    """


@pytest.fixture(autouse=True)
def quick_findings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(runs: pd.DataFrame) -> None:
        raise AnalysisError("not asked in this test.")

    if "real_findings" not in request.fixturenames:
        monkeypatch.setattr("analysis.findings", refuse, raising=False)


def read(study: Path, tmp_path: Path) -> Reader:
    return Reader(build_report(study, tmp_path / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(full_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the whole study, with the findings that analysis gives."""
    return build_report(full_study, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def page(written: Path) -> Reader:
    return Reader(written.read_text(encoding="utf-8"))


def test_the_page_is_well_formed_in_outline(page: Reader) -> None:
    assert page.count("h1") == 1
    assert page.count("title") == 1
    assert ("html", {"lang": "en"}) in page.tags
    links = [address for address in page.attributes("href") if address.startswith("#")]
    identities = page.attributes("id")
    assert len(identities) == len(set(identities))
    assert len(links) >= 12  # the contents, and the way past them
    assert {link[1:] for link in links} <= set(identities)


def test_nothing_is_loaded_from_any_host(page: Reader) -> None:
    for address in [*page.attributes("src"), *page.attributes("href")]:
        assert address.startswith(("#", "data:"))
    assert "@import" not in page.raw["style"][0]
    assert "url(" not in page.raw["style"][0]
    policy = page.attributes("content")[0]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_the_policy_allows_exactly_the_scripts_of_the_page(page: Reader) -> None:
    policy = page.attributes("content")[0]
    figures, vega, script = page.raw["script"]
    assert "vegaEmbed" in unpacked(vega)
    assert len(figures) + len(vega) < 500_000  # packed they are less than half
    for code in (unpacked(vega), script):
        digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
        assert f"'sha256-{digest}'" in policy


def test_every_chart_has_a_place_and_a_text(page: Reader) -> None:
    specifications = page.specifications
    places = {attributes["id"]: attributes for tag, attributes in page.tags if attributes.get("role") == "img"}
    phones = {name for name in specifications if name.endswith("@narrow")}
    assert [name for name in specifications if name not in phones] == list(places)
    assert phones == {"scaling-plot@narrow", "moved-score@narrow"}
    drawn = {name.rpartition("-")[0] or name for name in places if not name.startswith("tests-")}
    assert {"scores", "pretraining", "returns", "intermediate"} <= {name.partition("-")[0] for name in drawn}
    assert len([name for name in places if not name.startswith("tests-")]) == 26
    assert all(len(attributes["aria-label"] or "") > 20 for attributes in places.values())
    assert all(spec["layer"] for spec in specifications.values())


@pytest.mark.usefixtures("real_findings")
def test_the_same_study_gives_the_same_bytes(full_study: Path, written: Path, tmp_path: Path) -> None:
    assert build_report(full_study, tmp_path / "b.html").read_bytes() == written.read_bytes()
    assert written.stat().st_size < 3_000_000


def test_the_findings_are_what_analysis_says(full_study: Path, page: Reader) -> None:
    found = findings(load_runs(full_study))
    claims, top = page.text_of("claims"), page.text_of("findings")
    assert len(found) >= 3
    for one in found:
        assert sentence(one.sentence) in claims
        assert sentence(one.claim) in claims
    shown = ranked(found)[:3]
    assert len(shown) == 3
    for one in shown:
        assert str(card_of(one).headline) in top
    for question, _ in found.unanswered:
        assert question in claims


def test_the_findings_recover_the_truth(full_study: Path) -> None:
    overall = gather(read_study(full_study)).intermediate
    assert overall is not None
    assert overall.overall["low"].iloc[0] < -0.02 < overall.overall["high"].iloc[0]


def test_the_drawn_law_is_the_fit_of_analysis(full_study: Path, page: Reader) -> None:
    runs = load_runs(full_study)
    scratch = runs.loc[(runs["pretrain_images"] == 0) & (runs["intermediate"] == "none")]
    fitted = fit(scratch["finetune_images"], scratch["miou"], cluster=independent_groups(scratch))
    spec = page.specifications["scores-0"]
    drawn = [row for data in spec["datasets"].values() for row in data if row.get("series") == "none" and row.get("extrapolated") is False]
    drawn.sort(key=lambda row: row["finetune_images"])
    assert drawn[0]["mean"] == pytest.approx(float(fitted.predict(100.0).mean[0]), abs=1e-12)
    assert drawn[-1]["finetune_images"] == 3000


def test_a_csv_holds_every_column_and_digit(full_study: Path, page: Reader) -> None:
    text = unpacked(next(attributes["data-packed"] or "" for _, attributes in page.tags if attributes.get("data-name") == "runs.csv"))
    (full_study.parent / "again.csv").write_text(text, encoding="utf-8")
    again = load_runs(full_study.parent / "again.csv").sort_values("run_id", ignore_index=True)
    pd.testing.assert_frame_equal(again, load_runs(full_study).sort_values("run_id", ignore_index=True))


def test_pictures_are_of_the_same_images_in_every_arm(page: Reader) -> None:
    texts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(texts) == 4 * (2 + 6) + 4 * (2 + 2)
    assert sum(text.startswith("held-out image 3: prediction") for text in texts) == 6
    assert all("mIoU of this image" in text for text in texts if "prediction" in text)


def test_the_top_says_what_was_studied_and_what_it_cost(full_study: Path) -> None:
    study = read_study(full_study)
    assert study_sentence(study) == (
        "micro/8@64 fine-tuned on 100, 300, 1,000 and 3,000 labelled images of pets, from scratch and after pre-training on 2,000 and "
        "20,000 images of coco, with and without an intermediate classification stage; 3 seeds a cell."
    )
    assert "2.9 GPU hours" in cost_sentence(study)  # 87 stages of two minutes
    assert "87 finished stages" in cost_sentence(study)


@pytest.mark.usefixtures("real_findings")
def test_an_unfinished_study_says_what_is_missing_and_why(unfinished_study: Path, tmp_path: Path) -> None:
    text = read(unfinished_study, tmp_path).text
    assert "Not complete: 48 of 72 runs are finished; 8 blocked by a stage that failed, 16 not run yet." in text
    assert "The loss became NaN at step 12; lower the learning rate." in text


def test_a_study_without_a_finished_run_has_a_page_with_the_states(unstarted_study: Path, tmp_path: Path) -> None:
    page = read(unstarted_study, tmp_path)
    assert "No run is finished yet" in page.text
    assert "0 of 72 runs are finished; 72 not run yet" in page.text
    assert "Stages by kind and state" in page.text
    assert list(page.specifications) == ["coverage-map-0", "coverage-map-1"]


def test_a_runs_table_without_rows_is_a_study_without_a_finished_run(unstarted_study: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "empty", missing=lambda stage: True)
    pd.DataFrame({"run_id": []}).to_parquet(study / "runs.parquet")
    assert "No run is finished yet" in read(study, tmp_path).text


def test_a_single_seed_has_no_interval_and_the_reason_is_said(write: Callable[..., Path], tmp_path: Path) -> None:
    page = read(write(tmp_path / "one_seed", seeds=(0,)), tmp_path)
    assert "No point has an interval: a single pair, which has no spread." in page.text


def test_a_study_from_scratch_alone(write: Callable[..., Path], tmp_path: Path) -> None:
    page = read(write(tmp_path / "scratch", pretrain_sizes=(0,), intermediates=("none",)), tmp_path)
    assert "No finished run was pre-trained, so there is no loss to show." in page.text
    assert [name for name in page.specifications if not name.startswith("tests-")] == [
        "scaling-plot",
        "moved-score",
        "scores-0",
        "returns-0",
        "residuals-0",
        "coverage-map-0",
        "scaling-plot@narrow",
        "moved-score@narrow",
    ]


def test_too_few_sizes_for_a_law_draw_the_means_and_say_so(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "two_sizes", pretrain_sizes=(2000,), intermediates=("none",), finetune_sizes=(100, 300))
    page = read(study, tmp_path)
    assert "No law is drawn after pre-training on 2,000 images:" in page.text
    assert "a thin line joins the means of the cells" in page.text
    marks = [layer["mark"]["type"] for layer in page.specifications["scores-0"]["layer"]]
    assert marks == ["line", "rule", "text", "point"]


@pytest.mark.usefixtures("real_findings")
def test_runs_without_a_score_that_is_known_have_no_figure_of_one(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "accuracy", finetune_sizes=(100, 300), examples=False)
    runs = pd.read_parquet(study / "runs.parquet")
    scores = [column.name for column in documented_scores(runs)]
    runs.drop(columns=[*scores, "test_loss"], errors="ignore").to_parquet(study / "runs.parquet")
    page = read(study, tmp_path)
    known = "miou, accuracy, miou_ucl, pixel_accuracy, top5_accuracy, mean_class_accuracy, knn_accuracy, iou_foreground, iou_background, iou_border"
    assert f"The runs have no score ({known}), which the figures of a study are about" in page.text_of("findings")
    assert "No claim could be tested" in page.text_of("findings")


def test_arms_of_one_size_are_told_apart_by_their_length(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "lengths", lengths=("5 epochs", "20 epochs"), intermediates=("none",))
    specifications = read(study, tmp_path).specifications
    series_names = ["2,000, 5 epochs", "2,000, 20 epochs", "20,000, 5 epochs", "20,000, 20 epochs"]
    assert specifications["scores-0"]["layer"][-1]["encoding"]["color"]["scale"]["domain"] == ["none", *series_names]
    effects = specifications["pretraining-0"]
    drawn = {row["series"] for data in effects["datasets"].values() for row in data if "low" in row}
    assert drawn == set(series_names)


def test_a_study_without_examples_costs_or_plan_says_so(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "bare", examples=False, stages_table=False, intermediates=("none",))
    page = read(study, tmp_path)
    assert "No example pictures were kept." in (text := page.text)
    assert "Example pictures" in page.text_of("not-shown")  # no section of its own
    assert "pictures" not in page.by_section
    assert "Not known: the folder has no stages.parquet." in text
    assert "Complete: all 36 runs are finished." in text
    (study / "plan.json").unlink()
    (study / "grid.yaml").unlink()
    assert "The folder has no plan.json" in (text := read(study, tmp_path).text)
    assert "The folder has no grid.yaml." in text


def test_states_are_read_from_the_stages_where_their_table_is_missing(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(
        tmp_path / "states",
        stages_table=False,
        fails=lambda s: s["kind"] == "pretrain" and s["run"]["seed"] == 1 and s["run"]["pretrain_images"] == 2000,
        missing=lambda s: s["run"]["finetune_images"] == 3000 and s["kind"] == "finetune",
    )
    text = read(study, tmp_path).text
    assert "Not complete: 48 of 72 runs are finished; 8 blocked by a stage that failed, 16 not run yet." in text


def test_text_from_a_study_cannot_break_out_of_the_page(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "hostile", intermediates=("none", "</script><h1>"))
    (study / "grid.yaml").write_text("note: </pre><script>alert(1)</script> <!-- &\n", encoding="utf-8")
    page = read(study, tmp_path)
    assert page.count("h1") == 1
    assert page.count("script") == 3
    assert "</script><h1>" in unescape(page.text)


def test_packed_json_cannot_close_its_script_and_means_the_same() -> None:
    text = packed_json({"a": "</script><!-- b"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    assert json.loads(unpacked(text)) == {"a": "</script><!-- b"}
    assert packed_json({"a": "</script><!-- b"}) == text
    with pytest.raises(ValueError, match="JSON compliant"):
        packed_json({"a": float("nan")})


def test_the_command_writes_the_page_into_the_study(full_study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(full_study)]) == 0
    assert (full_study / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: None, "There is no study folder"),
        (lambda folder: folder.mkdir(), "holds neither plan.json nor runs.parquet, so it is not a study folder: name one that a launch wrote"),
        (lambda folder: (folder.mkdir(), (folder / "plan.json").write_text("{")), "cannot be read as JSON"),
        (lambda folder: (folder.mkdir(), (folder / "runs.parquet").write_text("no")), "cannot be read as Parquet"),
    ],
)
def test_a_folder_that_cannot_be_reported_on_is_one_sentence_and_status_2(
    prepare: Callable[[Path], object], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "study")
    assert main([str(tmp_path / "study")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_report_that_cannot_be_written_says_where(full_study: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot be written to .*; name another file with --out"):
        build_report(full_study, tmp_path / "no folder" / "report.html")


def test_every_decimal_in_a_figures_claim_stands_in_its_data(full_study: Path) -> None:
    """In its own tables or its section's, rounded as the claim has it; an effect may be said
    without its sign.
    """
    figures = [(figure, section.tables) for section in compose(read_study(full_study)).sections for figure in section.figures]
    assert len(figures) >= 5
    for figure, shared in figures:
        texts = [base64.b64decode(table.address.partition("base64,")[2]).decode("utf-8") for table in (*figure.tables, *shared)]
        values = [abs(float(cell)) for text in texts for cell in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])", text)]
        for phrase in re.findall(r"\d+\.\d+", figure.claim):
            places = len(phrase.partition(".")[2])
            assert any(f"{value:.{places}f}" == phrase for value in values), f"{figure.identity}: {phrase} in {figure.claim!r}"
