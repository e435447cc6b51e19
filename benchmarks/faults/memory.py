"""Stages that outgrow the machine's memory: ended by the kernel, or by Ray before the kernel does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.faults.processes import workers
from benchmarks.faults.study import GRID, FaultReport, StudyUnderTest, new_study

ALLOWED_GB = 7.0  # above what is in use when the launch starts, of which Ray and two workers take 3 to 4
MOST_GB = 8.0
"""That a worker takes where Ray does not end it."""
NO_RETRIES = GRID.replace("resources: {cpus: 1, gpus: 0}", "resources: {cpus: 1, gpus: 0, retries: 0}")
BY_KERNEL = "usually because the machine ran out of memory: run fewer stages at once (raise resources.cpus)"
BY_RAY = "was ended by Ray because the machine was running out of memory: run fewer stages at once (raise resources.cpus)"


def out_of_memory(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Kill each attempt at one stage as the kernel does when memory runs out (SIGKILL of its
    worker) and allow no further one: the launch names the stage and what to lower.
    """
    report = FaultReport(fault="a stage outgrows the memory")
    named = 0
    for _ in range(injections):
        study = new_study(data, scratch, report)
        study.grid.write_text(NO_RETRIES)
        process = study.start()
        if study.wait_until_training(process):
            for victim in workers(process.pid):
                os.kill(victim, signal.SIGKILL)
                report.injections += 1
            time.sleep(1.0)
        named += _is_named(study, process, BY_KERNEL)
        study.grid.write_text(GRID)
        study.settle(reference)
    report.notes.append(f"{named} of {injections} launches named the stage and what to lower")
    return report


def memory_monitor(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Let a worker take memory until Ray's memory monitor ends it, with its limit set a few GB above
    what the machine uses; the launch names the stage and what to lower.
    """
    report = FaultReport(fault="a stage outgrows Ray's memory limit")
    named = 0
    hooks = scratch / "grow"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(_GROW.format(flag=str(hooks / "flag"), most=int(MOST_GB * 10)))
    for _ in range(injections):
        total, used = _memory_gb()
        if total - used < MOST_GB + 4.0:
            report.notes.append(f"not injected: {total - used:.0f} GB are free, and the row needs {MOST_GB + 4.0:.0f}")
            break
        study = new_study(data, scratch, report, {"PYTHONPATH": f"{hooks}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
        study.environment["RAY_memory_usage_threshold"] = f"{(used + ALLOWED_GB) / total:.4f}"
        study.grid.write_text(NO_RETRIES)
        process = study.start()
        if study.wait_until_training(process):
            (hooks / "flag").touch()
            report.injections += 1
        named += _is_named(study, process, BY_RAY)
        (hooks / "flag").unlink(missing_ok=True)
        study.grid.write_text(GRID)
        study.environment = {key: value for key, value in study.environment.items() if key not in ("RAY_memory_usage_threshold", "PYTHONPATH")}
        study.settle(reference)
    report.notes.append(f"{named} of {report.injections} launches named the stage and what to lower")
    return report


def _is_named(study: StudyUnderTest, process: subprocess.Popen[bytes], sentence: str) -> bool:
    """Whether a launch ends with 1 and this sentence; what it says instead goes into the notes."""
    status, log = study.end(process), study.log.read_text(errors="replace")
    if status == 1 and sentence in log:
        return True
    study.report.notes.append(f"a launch ended with {status}: {log.strip().splitlines()[-1][:200]}")
    return False


def _memory_gb() -> tuple[float, float]:
    """Memory of the machine, and how much of it is in use."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    found = {words[0]: int(words[1]) * 1024 / 1e9 for words in lines}
    return found["MemTotal:"], found["MemTotal:"] - found["MemAvailable:"]


_GROW = """\
import os
import threading
import time


def grow():
    while True:
        time.sleep(0.2)
        if not os.path.exists({flag!r}):
            continue
        with open("/proc/self/cmdline") as handle:
            title = handle.read()
        if not title.startswith("ray::") or "Trainable" not in title:
            continue
        try:
            os.rename({flag!r}, {flag!r} + ".taken")
        except OSError:
            continue
        held = []
        for _ in range({most}):
            held.append(b"1" * 100_000_000)  # the stage waits meanwhile, so that it does not end first
        time.sleep(30.0)
        held.clear()


threading.Thread(target=grow, daemon=True).start()
"""
