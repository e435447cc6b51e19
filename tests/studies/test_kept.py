"""Every kept study says today what it said when it was kept, and its page is built from its tables."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import findings, load_runs
from reports.errors import ReportError
from reports.report import build_report
from studies.deciding import main as decide
from studies.keep import MOST_REPORT_BYTES, keep, main
from studies.rebuild import main as rebuild
from studies.rebuild import study_folder
from studies.replicates import main as replicate
from studies.replicates import replications

ROOT = Path(__file__).parents[2] / "studies"
KEPT = sorted(path.parent for path in ROOT.glob("*/findings.json"))


def equal(one: Any, other: Any) -> bool:
    """Whether two findings agree; numbers to a relative 1e-6, as other machines add up otherwise."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)
    return bool(one == other)


def test_there_are_kept_studies() -> None:
    assert len(KEPT) >= 4


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_kept_study_finds_today_what_it_found(kept: Path, tmp_path: Path) -> None:
    folder = study_folder(kept, tmp_path / "study")
    said = json.loads((kept / "findings.json").read_text())
    found = json.loads(json.dumps([one.to_dict() for one in findings(load_runs(folder)).statements]))
    assert [one["identity"] for one in found] == [one["identity"] for one in said]
    for now, then in zip(found, said, strict=True):
        differ = {name: (now[name], then[name]) for name in then if not equal(now[name], then[name])}
        assert not differ, f"{now['identity']}: run `python -m studies.keep {kept.name}` and say in the changelog why it changed"


@pytest.mark.slow
@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_kept_study_builds_the_page_that_lies_beside_it(kept: Path, tmp_path: Path) -> None:
    page = build_report(study_folder(kept, tmp_path / "study"), tmp_path / "report.html").read_text(encoding="utf-8")
    beside = (kept / "report.html").read_text(encoding="utf-8")
    assert len(beside.encode()) < MOST_REPORT_BYTES
    assert first_screen(page) == first_screen(beside), f"run `python -m studies.keep studies/{kept.name}`"


@pytest.mark.slow
def test_keeping_what_was_rebuilt_keeps_the_same(tmp_path: Path) -> None:
    kept = KEPT[0]
    again = keep(study_folder(kept, tmp_path / "study"), tmp_path / "again").parent
    for name in ("losses.csv", "findings.json", "diagnostics.json", "missing.json"):
        assert (again / name).is_file() == (kept / name).is_file(), name
        assert not (kept / name).is_file() or (again / name).read_text() == (kept / name).read_text(), name
    machines = [json.loads((place / "machines.json").read_text()) for place in (kept, again)]
    assert machines[0] == machines[1]


def test_a_folder_that_is_no_study_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), str(tmp_path / "kept")]) == 2
    assert "There is no study folder" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("studies: ")


def first_screen(page: str) -> str:
    """The words of a page's first section."""
    start = page.index('<section id="findings"')
    body = page[start : page.index("</section>", start)]
    return " ".join(re.sub(r"<(svg|style|script).*?</\1>|<[^>]+>", " ", body, flags=re.DOTALL).split())


def finding(identity: str, estimate: float, low: float, high: float, verdict: str = "supported") -> dict[str, Any]:
    return {"identity": identity, "estimate": estimate, "low": low, "high": high, "verdict": verdict}


def test_a_finding_replicates_where_fresh_seeds_show_the_same_sign() -> None:
    first = [
        finding("a", 0.1, 0.05, 0.15),
        finding("b", -0.1, -0.2, -0.05, "refuted"),
        finding("c", 0.1, 0.0, 0.2),
        finding("d", 0.1, -0.1, 0.2, "open"),
    ]
    second = [finding("a", 0.2, 0.1, 0.3), finding("b", -0.1, -0.3, 0.1, "open"), finding("c", -0.1, -0.2, -0.05), finding("d", 0.1, 0.05, 0.2)]
    assert list(replications(first, second)["replicates"]) == ["yes", "same sign", "no"]


def test_a_study_on_the_same_seeds_is_no_replication(capsys: pytest.CaptureFixture[str]) -> None:
    assert replicate([str(KEPT[0]), str(KEPT[0])]) == 2
    assert "so the second is not independent of the first" in capsys.readouterr().err


def test_a_longest_training_that_nothing_is_shorter_than_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert decide([str(ROOT / "second_paper_in_miniature" / "runs.csv"), "--longest", "5"]) == 2
    assert "no pre-training is shorter than 5 image passes, so nothing predicts it: the table has 6,016, 12,032" in capsys.readouterr().err


def test_a_folder_that_is_no_kept_study_is_named_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replicate([str(KEPT[0]), str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} has no findings.json: keep a study with python -m studies.keep" in said
    assert "Errno" not in said


def test_what_is_planned_and_has_no_row_is_in_the_rebuilt_plan(tmp_path: Path) -> None:
    """And every run of the plan has every setting, also those that it leaves empty."""
    kept = tmp_path / "kept"
    shutil.copytree(KEPT[0], kept)
    runs = pd.read_csv(kept / "runs.csv")
    lost = {"run_id": "lost-1", "seed": 7}
    (kept / "missing.json").write_text(json.dumps([lost]))
    plan = json.loads((study_folder(kept, tmp_path / "study") / "plan.json").read_text())
    assert len(plan["runs"]) == len(runs) + 1
    assert plan["runs"][-1] == lost
    assert len({tuple(run) for run in plan["runs"][:-1]}) == 1


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert rebuild([str(KEPT[0]), "--out", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("studies: ")
    assert "File exists" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["losses.csv", "machines.json", "diagnostics.json"])
def test_a_received_study_writes_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(KEPT[0], kept)
    if name == "losses.csv":
        pd.DataFrame({"stage_id": ["../../../elsewhere"], "step": [1], "train_mim_loss": [0.5]}).to_csv(kept / name, index=False)
    else:
        (kept / name).write_text(json.dumps([{"stages": ["../../../elsewhere"]}] if name == "machines.json" else {"../../../elsewhere": {}}))
    with pytest.raises(ReportError, match=r"names the stage '\.\./\.\./\.\./elsewhere', which is no plain name"):
        study_folder(kept, tmp_path / "far" / "study")
    assert not (tmp_path / "elsewhere").exists()


def test_a_rebuilt_line_of_losses_holds_what_was_measured_at_its_step_and_no_more(tmp_path: Path) -> None:
    losses = pd.read_csv(KEPT[0] / "losses.csv").drop(columns="stage_id")
    lines = [line for path in study_folder(KEPT[0], tmp_path / "study").rglob("metrics.jsonl") for line in path.read_text().splitlines()]
    assert "NaN" not in "".join(lines)
    assert sum(len(json.loads(line)) for line in lines) == losses.notna().sum().sum() < losses.size


@pytest.mark.slow
def test_a_study_of_several_kinds_of_pretraining_keeps_them_apart(tmp_path: Path) -> None:
    folder = study_folder(ROOT / "methods_on_real_images", tmp_path / "study")
    page = build_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"Pre-training: mIoU \S0\.019 \(mae\) to \+0\.009 \(simmim\) at 240 labels", page)
    assert "after pre-training on 20,000 images (supervised)" in page
