"""Faults of a launch's environment: another Ray, no home, a full temporary folder, `ulimit -v`."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.damage import fill, small_disk
from benchmarks.faults.processes import kill_family
from benchmarks.faults.study import FaultReport, StudyUnderTest, new_study

ANOTHER = "import os, ray; ray.init(address='local', num_cpus=1, include_dashboard=False); print('up', flush=True); input()"


@contextlib.contextmanager
def another_ray() -> Iterator[None]:
    """A Ray of somebody else on this machine."""
    with subprocess.Popen([sys.executable, "-c", ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        try:
            yield
        finally:
            kill_family(process.pid)


def beside_another_ray(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Launch while another Ray runs: the launch starts its own and does not join or stop it."""
    report = FaultReport(fault="another Ray on the machine")
    with another_ray():
        for _ in range(injections):
            report.injections += 1
            new_study(data, scratch, report).settle(reference)
    return report


def without_home(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Launch with HOME unset, which works, and with one that cannot be written, which is refused."""
    report = FaultReport(fault="HOME unset, or unwritable")
    refused = 0
    for _ in range(injections):
        report.injections += 2
        unset = new_study(data, scratch, report)
        del unset.environment["HOME"]
        unset.settle(reference)
        study = new_study(data, scratch, report, {"HOME": "/dev/null"})
        refused += _is_refused(study, "cannot be kept private")
        study.environment = os.environ | {key: value for key, value in study.environment.items() if key != "HOME"}
        study.settle(reference)
    report.notes.append(f"{refused} of {injections} unwritable ones refused with status 2 and a sentence")
    return report


def full_temporary_folder(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Launch while the folder that Ray writes its logs to is full: refused, and then launched."""
    report = FaultReport(fault="temporary folder full at the start")
    refused = 0
    with small_disk(700) as disk:
        for _ in range(injections):
            report.injections += 1
            study = new_study(data, scratch, report, {"RAY_TMPDIR": str(disk), "TMPDIR": str(disk)})
            ballast = fill(disk, 1_000_000)
            refused += _is_refused(study, "Ray writes its logs to")
            ballast.unlink()
            study.settle(reference)
    report.notes.append(f"{refused} refused with status 2 and a sentence")
    return report


def virtual_memory_limit(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Launch under `ulimit -v` of 4 GB: refused before anything is imported; then without it."""
    report = FaultReport(fault="ulimit -v 4 GB")
    refused = 0
    for _ in range(injections):
        report.injections += 1
        study = new_study(data, scratch, report)
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, before[1]))
        try:
            refused += _is_refused(study, "ulimit -v allows 4.0 GiB of virtual memory")
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        study.settle(reference)
    report.notes.append(f"{refused} refused with status 2 and a sentence")
    return report


def _is_refused(study: StudyUnderTest, sentence: str) -> bool:
    """Whether a launch ends with 2 and this sentence, having started nothing."""
    status = study.end(study.start())
    return status == 2 and sentence in study.log.read_text(errors="replace") and not list(study.folder.glob("stages/*/log.txt"))
