"""The benchmark for a GPU runs whole on a CPU with tiny sizes, and writes as it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import parts, rates, whole_stages
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.results import TARGETS, Results, Target
from benchmarks.gpu.sizes import Sizes
from benchmarks.throughput.contender import Job
from benchmarks.throughput.rounds import Contender


@pytest.mark.slow
def test_a_dry_run_measures_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run", "--out", str(tmp_path), "--minutes", "30"]) == 0
    values, report = json.loads((tmp_path / "results.json").read_text()), (tmp_path / "report.md").read_text()
    assert report == capsys.readouterr().out.rstrip("\n") + "\n"
    assert values["parity_captured"] == 0.0  # on a CPU a recorded step is an eager one
    assert values["resumed_equal"] == 1.0
    assert values["parity_captured_is_captured"]
    assert values["parity_evaluated"] == 0.0
    assert values["parity_evaluated_is_captured"]
    assert values["prepare_cpu_ms"] > 0
    assert set(values["together_images_per_s"]) == {"1"}
    for name in (
        "steps_images_per_s",
        "over_usual",
        "pico_utilisation",
        "stage_overhead_s",
        "packing_chosen",
        "compile_cold_s",
        "compile_warm_s",
        "study_s",
    ):
        assert name in values, name
    assert values["study_stages"] == 5  # one pre-training, and two fine-tunings with and without it
    for name in parts.PARTS:
        assert f"## {name}\n" in report
    assert report.count("| not measured |") + report.count("| met |") + report.count("| missed |") + report.count(" | - |\n") >= len(TARGETS)


def test_a_part_that_fails_is_named_and_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(sizes: Sizes, results: Results, left_s: parts.Left) -> None:
        results.keep(half=1)
        raise ValueError("no such kernel\nand more")

    def fine(sizes: Sizes, results: Results, left_s: parts.Left) -> None:
        results.keep(viny_64=21_000.0)

    monkeypatch.setattr("benchmarks.gpu.__main__.PARTS", {"broken": broken, "fine": fine})
    assert main(["--dry-run", "--out", str(tmp_path)]) == 1
    report = (tmp_path / "report.md").read_text()
    assert "## broken\nfailed: ValueError: no such kernel\n" in report
    assert "| ViNy, batch 64, one process | 21,000 images/s | at least 20,000 images/s | met |" in report
    assert json.loads((tmp_path / "results.json").read_text()) == {"half": 1, "viny_64": 21_000.0}


def test_parts_beyond_the_minutes_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.__main__.PARTS", {"parity": lambda *_: pytest.fail("it ran")})
    assert main(["--dry-run", "--out", str(tmp_path), "--minutes", "0.1"]) == 0
    assert "skipped: the minutes are over" in (tmp_path / "report.md").read_text()


def test_without_a_gpu_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path)])
    assert "there is no GPU here that torch can use; --dry-run shows" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "verdict"), [(0.5, "met"), (0.7, "met"), (0.8, "missed"), (None, "-")])
def test_a_target_can_be_a_most(value: float | None, verdict: str) -> None:
    assert Target("x", "a stage", "s", 0.7, least=False).line(value).endswith(f"| at most 0.7 s | {verdict} |")


def test_a_way_that_does_not_work_costs_its_own_rows_alone(tmp_path: Path) -> None:
    sizes, results = Sizes.whole(tmp_path), Results(tmp_path / "out", lambda text: None)
    assert rates.fastest_way(sizes, results) == "captured"
    results.keep(steps_images_per_s={"eager 64": 2_000.0, "captured 64": 14_000.0, "captured 1024": 9.0})
    assert rates.fastest_way(sizes, results) == "captured"
    results.keep(steps_images_per_s={"captured 64": 14_000.0, "compiled and captured 64": 22_000.0})
    assert rates.fastest_way(sizes, results) == "compiled and captured"


def test_a_process_that_hangs_is_ended_and_its_log_kept(tmp_path: Path) -> None:
    hanging = "import sys, time; print('@ {}', flush=True); print('last words', file=sys.stderr, flush=True); time.sleep(600)"
    one = Contender(name="pico, batch 8", job=Job.__new__(Job), files=tmp_path, limit_s=1.0)
    one.log = tmp_path / "log"
    with open(one.log, "w") as errors:
        one.process = subprocess.Popen(
            [sys.executable, "-c", hanging], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0
        )
    one.await_ready()
    results, able = Results(tmp_path / "out", lambda text: None), [one]
    rates._each(able, results, lambda contender: contender.round(1.0))
    assert able == []
    assert "pico, batch 8: gave up: it did not answer for 1 s; its last line: last words" in (tmp_path / "out/report.md").read_text()
    assert (tmp_path / "out/logs/pico-batch-8.txt").read_text() == "last words\n"


def test_a_contender_that_fell_back_is_not_taken_for_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "captured": ["the stage goes on without a captured step: capturing failed: RuntimeError: no"],
        "eager": ["steps not captured (there is no GPU)"],
    }
    results = Results(tmp_path, lambda text: None)
    for way, as_asked in (("captured", False), ("eager", True)):
        one = rates._ours(Sizes.tiny(tmp_path), workload="pico", way=way, batch=8)
        monkeypatch.setattr(one, "ask", lambda command, way=way: {"lines": said[way]})
        assert rates._as_asked(one, results) == as_asked
    assert "pico, batch 8, captured: NOT as asked: the stage goes on without a captured step" in (tmp_path / "report.md").read_text()


def test_parts_of_one_command_add_to_those_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"parity": lambda sizes, results, left_s: results.keep(parity_cpu=0.01), "steps": lambda sizes, results, left_s: results.keep(viny_64=2.0)}
    monkeypatch.setattr("benchmarks.gpu.__main__.PARTS", made)
    for name in made:
        assert main(["--dry-run", "--out", str(tmp_path), "--only", name]) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == {"parity_cpu": 0.01, "viny_64": 2.0}
    assert "## parity" in (tmp_path / "report.md").read_text()


def test_a_launch_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    starts_another = f"import subprocess, sys; p = subprocess.Popen(['sleep', '600']); open({str(child)!r}, 'w').write(str(p.pid)); p.wait()"
    with pytest.raises(subprocess.TimeoutExpired):
        whole_stages._ended_within([sys.executable, "-c", starts_another], 3.0)
    state = Path(f"/proc/{child.read_text()}/stat")
    assert not state.exists() or state.read_text().split(")")[1].split()[0] == "Z"
    assert whole_stages._ended_within([sys.executable, "-c", "import sys; sys.exit('no such grid')"], 60.0) == (1, "no such grid")
