"""A report of a study that runs: built when something changes, reloading until the study has ended,
never stopped by half a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError
from reports import build_report
from reports.build import main
from reports.report_data import read_study
from reports.sections.progress import under_way
from reports.watching import fingerprint, has_ended, watch
from tests.reports.page_reader import Reader

Step = Callable[[], object]


@pytest.fixture
def real_findings() -> None:
    """Named by a test that wants analysis to be asked: its tests take seconds, and most pages here
    are about something else.
    """


@pytest.fixture(autouse=True)
def quick_findings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(runs: pd.DataFrame) -> None:
        raise AnalysisError("not asked in this test.")

    if "real_findings" not in request.fixturenames:
        monkeypatch.setattr("analysis.findings", refuse, raising=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished: scratch and one pre-training, two sizes, two seeds. Shared: tests copy from it."""
    from tests.reports.conftest import write_study

    folder = tmp_path_factory.mktemp("runs") / "live"
    return write_study(folder, pretrain_sizes=(0, 2000), intermediates=("none",), finetune_sizes=(100, 300), seeds=(0, 1))


def watched(folder: Path, steps: Sequence[Step]) -> list[str]:
    """What a watch says while the steps happen, one after each look; Ctrl-C after the last. Without
    a step left it has ended by itself.
    """
    lines: list[str] = []
    waiting = iter(steps)

    def sleep(seconds: float) -> None:
        step = next(waiting, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    watch(folder, every_s=3, log=lines.append, sleep=sleep)
    return lines


def page_of(folder: Path) -> Reader:
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def reloads(folder: Path) -> bool:
    assert "refresh" not in page_of(folder).attributes("http-equiv")
    return bool(page_of(folder).attributes("data-reload"))


def stage_of(done: Path, kind: str) -> str:
    plan = json.loads((done / "plan.json").read_text(encoding="utf-8"))
    return next(stage["id"] for stage in plan["stages"] if stage["kind"] == kind)


def copy(done: Path, live: Path, *names: str) -> None:
    for name in names:
        live.mkdir(parents=True, exist_ok=True)
        (live / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (done / name).is_dir() else shutil.copy)(done / name, live / name)


def test_a_study_is_followed_from_nothing_to_its_end(done: Path, tmp_path: Path) -> None:
    live, pretrain = tmp_path / "live", stage_of(done, "pretrain")
    seen: list[Reader] = []
    live_states: list[bool] = []

    def look() -> None:
        seen.append(page_of(live))
        live_states.append(reloads(live))

    def plan() -> None:
        copy(done, live, "plan.json", "grid.yaml")

    def trained() -> None:
        look()
        copy(done, live, f"stages/{pretrain}")

    def finished() -> None:
        look()
        shutil.copytree(done / "stages", live / "stages", dirs_exist_ok=True)
        copy(done, live, "runs.parquet", "stages.parquet")

    lines = watched(live, [plan, trained, finished])
    assert lines[0] == f"Waiting for a study in {live}."
    assert [line.partition("(")[2] for line in lines[1:]] == [f"{n} of 10 stages have ended)." for n in (0, 1, 10)]
    planned, early = (page.text for page in seen)
    assert "No run is finished yet" in planned
    assert "0 of 8 runs are finished; 8 not run yet" in planned
    assert "1 of 2 pre-trainings have a validation loss so far" in early
    assert list(seen[1].specifications) == ["loss-so-far", "coverage-map-0"]
    assert seen[1].count("img") > 0
    assert live_states == [True, True]
    assert not reloads(live)
    assert "Complete: all 8 runs are finished." in page_of(live).text


def test_the_last_page_is_the_one_that_a_plain_build_writes(done: Path, tmp_path: Path) -> None:
    live = Path(shutil.copytree(done, tmp_path / "live"))
    assert watched(live, []) == [f"Wrote {live / 'report.html'} (10 of 10 stages have ended)."]
    assert build_report(done, tmp_path / "plain.html").read_bytes() == (live / "report.html").read_bytes()


def test_nothing_is_built_while_nothing_changes(done: Path, tmp_path: Path) -> None:
    live = tmp_path / "live"
    copy(done, live, "plan.json")
    lines = watched(live, [lambda: None, lambda: None])
    assert len(lines) == 2  # one build, and the last one on Ctrl-C
    assert lines[1].startswith("Stopped; wrote")
    assert not reloads(live)


def test_ctrl_c_before_there_is_a_study_leaves_nothing(tmp_path: Path) -> None:
    assert watched(tmp_path / "none", [])[-1] == f"Stopped; there was no study in {tmp_path / 'none'} yet."
    assert not (tmp_path / "none").exists()


def test_half_a_file_is_one_line_and_another_try(done: Path, tmp_path: Path) -> None:
    live = tmp_path / "live"

    def half() -> None:
        copy(done, live, "plan.json")
        (live / "runs.parquet").write_bytes((done / "runs.parquet").read_bytes()[:100])

    def nonsense() -> None:
        (live / "plan.json").write_text('{"stages": [')

    def whole() -> None:
        copy(done, live, "plan.json", "runs.parquet")

    lines = watched(live, [half, lambda: None, nonsense, whole])
    assert all("\n" not in line for line in lines)
    failed = [line for line in lines if line.startswith("Not built, will try again:")]
    assert len(failed) == 2  # the same failure twice is said once
    assert "runs.parquet cannot be read as Parquet" in failed[0]
    assert "plan.json cannot be read as JSON" in failed[1]
    assert "8 of 8 runs are finished" in page_of(live).text or "all 8 runs are finished" in page_of(live).text


def test_stages_under_way_are_shown_with_their_progress(done: Path, tmp_path: Path) -> None:
    live, pretrain = tmp_path / "live", stage_of(done, "pretrain")
    copy(done, live, "plan.json")
    stage = live / "stages" / pretrain
    stage.mkdir(parents=True)
    (stage / "spec.json").write_text('{"steps": 200}')
    (stage / "metrics.jsonl").write_text('{"step": 0, "val_mim_loss": 1.0}\n{"step": 50, "train_mim_loss": 0.75}\n{"step": 51, "tra')
    table = under_way(read_study(live))
    assert table.iloc[0].to_dict() == {
        "stage_id": pretrain,
        "kind": "pretrain",
        "step": 50,
        "of_steps": 200.0,
        "percent": 25.0,
        "latest": "train_mim_loss",
        "loss": 0.75,
    }
    before = fingerprint(live)
    assert fingerprint(live) == before
    (stage / "metrics.jsonl").write_text('{"step": 60, "train_mim_loss": 0.7}\n')
    assert fingerprint(live) != before
    build_report(live)
    assert "One stage has begun and is not finished." in page_of(live).text_of("progress")


def test_pretrainings_are_shown_while_only_scratch_runs_are_finished(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(
        tmp_path / "study", intermediates=("none",), missing=lambda stage: stage["kind"] == "finetune" and stage["run"]["pretrain_images"] > 0
    )
    build_report(study)
    page = page_of(study)
    assert {"scores", "losses-so-far", "reconstructions-so-far"} <= set(page.attributes("id"))
    assert "No finished run was pre-trained" not in page.text
    assert "6 of 6 pre-trainings have a validation loss so far" in page.text


@pytest.mark.usefixtures("real_findings")
def test_one_finished_run_is_enough_for_a_page_that_says_what_cannot_be_told_yet(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(
        tmp_path / "study",
        pretrain_sizes=(0, 2000),
        missing=lambda s: s["kind"] != "finetune" or s["run"]["seed"] + s["run"]["finetune_images"] > 100 or s["run"]["intermediate"] != "none",
    )
    build_report(study)
    text = page_of(study).text
    assert "1 of 48 runs are finished" in text
    assert "No claim could be tested; the reasons stand below." in text


def test_a_study_has_ended_when_every_stage_has_and_the_tables_say_so(write: Callable[..., Path], done: Path, tmp_path: Path) -> None:
    assert has_ended(done)
    failed = write(tmp_path / "failed", fails=lambda stage: stage["kind"] == "pretrain")
    assert has_ended(failed)  # failed and blocked stages are not waited for
    live = tmp_path / "live"
    copy(done, live, "plan.json", "stages")
    assert not has_ended(live)
    copy(done, live, "stages.parquet")
    assert has_ended(live)
    (live / "stages" / stage_of(done, "finetune") / "result.json").unlink()
    assert not has_ended(live)
    assert not has_ended(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a", "b", "--watch"], "--watch takes one study folder."),
        (["a", "--format", "pdf"], "--format is of the files that --figures DIR writes"),
        (["a", "--watch", "--every", "0"], "--every takes seconds from 0.1 to 86400."),
        (["a", "b", "c"], "two studies can be compared, not 3."),
        ([], "name either a study folder"),
        (["a", "--published", "data-scaling"], "name either a study folder"),
    ],
)
def test_options_that_do_not_go_together_say_so(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert sentence in capsys.readouterr().err
