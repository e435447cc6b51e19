"""The rows of `benchmarks.faults` that set clocks: what they need, and what processes see of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.faults import clocks


def test_a_missing_libfaketime_is_said_in_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "LIBRARIES", ("/nowhere/*.so",))
    row = clocks.jumping_machine(1, 0, tmp_path, tmp_path, b"").row()
    assert "| 0 | 0 | 0 | 0 | 0 | yes |" in row
    assert clocks.MISSING in row


@pytest.mark.parametrize("offset", ["+7200", "-31536000"])
def test_the_clock_of_a_process_jumps_and_it_still_sleeps(tmp_path: Path, offset: str) -> None:
    clocks._hook(tmp_path, clocks._TIME.format(offset=str(tmp_path / "offset")) + clocks._SLEEP)
    code = "import time; before = time.time(); print('ready', flush=True); input(); time.sleep(0.01); print(time.time() - before)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(tmp_path)}
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        clocks._set(tmp_path / "offset", offset)
        jumped_s = float(process.communicate("\n")[0])
    assert jumped_s == pytest.approx(float(offset), abs=3000.0)


def test_a_log_with_a_time_of_another_day_is_told_from_one_of_now(tmp_path: Path) -> None:
    began = datetime.now(UTC)
    log = tmp_path / "log.txt"
    log.write_text(f"{began.isoformat(timespec='seconds')} began from step 0\n  continued\n")
    assert not clocks.other_time(log, began)
    for jump in (timedelta(hours=2), timedelta(days=-365)):
        log.write_text(f"{(began + jump).isoformat(timespec='seconds')} began from step 0\n")
        assert clocks.other_time(log, began)
