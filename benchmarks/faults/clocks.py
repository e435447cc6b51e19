"""Clocks that jump by up to a year while a launch works: Python's, and those of every process."""

from __future__ import annotations

import os
import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.faults.damage import LONGEST_S
from benchmarks.faults.study import FaultReport, moment_s, new_study

SLACK = timedelta(seconds=60)  # less than the smallest jump
JUMPS_S = ("90", "7200", "172800", "31536000")
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")
MISSING = "not injected: libfaketime is missing, so install it (Debian's package libfaketime)"


def jumping_clock(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Set time.time of all Python processes of a running launch forward and back."""
    report = FaultReport(fault="clock jumps")
    report.notes.append("time.time patched in every Python process")
    hooks = Path(tempfile.mkdtemp(prefix="clock-", dir=scratch))
    _hook(hooks, _TIME.format(offset=str(hooks / "offset")))
    _jump(report, injections, random.Random(f"clock {seed}"), data, scratch, reference, hooks, {})
    return report


def jumping_machine(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Set the clock that every process of a running launch sees, Ray's own in C++ among them, forward
    and back. The monotonic clock stays as it is, as where somebody sets a machine's clock. Needs
    libfaketime.
    """
    report = FaultReport(fault="clock of the machine jumps")
    library = next((str(path) for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern[1:]))), None)
    if library is None:
        report.notes.append(MISSING)
        return report
    report.notes.append("libfaketime in every process")
    hooks = Path(tempfile.mkdtemp(prefix="clock-", dir=scratch))
    _hook(hooks, _SLEEP)
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(hooks / "offset"),
        "FAKETIME_CACHE_DURATION": "1",  # seconds until a jump is seen
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # files keep the time at which they were written
    }
    _jump(report, injections, random.Random(f"clock {seed}"), data, scratch, reference, hooks, environment)
    return report


def other_time(log: Path, began: datetime) -> bool:
    """Whether a line of a stage's log has a time before the row began, or after now."""
    times = [datetime.fromisoformat(line.split(" ")[0]) for line in log.read_text().splitlines() if line[:2] == "20"]
    return any(not began - SLACK < time < datetime.now(UTC) + SLACK for time in times)


def _hook(hooks: Path, text: str) -> None:
    (hooks / "sitecustomize.py").write_text(text)
    _set(hooks / "offset", "+0")


def _set(offset: Path, value: str) -> None:
    """Replace the file, so that no process reads half of it."""
    new = offset.with_name("new")
    new.write_text(value)
    new.replace(offset)


def _jump(
    report: FaultReport,
    injections: int,
    rng: random.Random,
    data: Path,
    scratch: Path,
    reference: bytes,
    hooks: Path,
    environment: dict[str, str],
) -> None:
    paths = {"PYTHONPATH": f"{hooks}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    began, seen = datetime.now(UTC), 0
    while report.injections < injections:
        study = new_study(data, scratch, report, environment | paths)
        while not study.is_complete() and report.injections < injections:
            process = study.start()
            while study.wait_until_training(process) and study.sleep(process, 0.5 + moment_s(rng, LONGEST_S)):
                _set(hooks / "offset", f"{rng.choice('+-')}{rng.choice(JUMPS_S)}")
                report.injections += 1
                if report.injections >= injections:
                    break
            study.end(process)
        study.settle(reference)
        seen += sum(other_time(path, began) for path in study.folder.glob("stages/*/log.txt"))
    report.notes.append(f"{seen} stages wrote a time at which they did not run")


_TIME = """\
import time

_time = time.time


def jumping():
    try:
        return _time() + float(open({offset!r}).read() or 0)
    except (OSError, ValueError):
        return _time()


time.time = jumping
"""
# Python 3.11 sleeps until a moment of the monotonic clock, which libfaketime answers with EINVAL
_SLEEP = """\
import select
import time


def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
"""
