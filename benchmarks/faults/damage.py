"""Full disks, truncated files, and two launches at once."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.processes import kill_family
from benchmarks.faults.study import FaultReport, moment_s, new_study

DISK_MB = 64
RAY_DISK_MB = 700
LONGEST_S = 4.0


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A tmpfs of this size, with a short path for Ray's sockets. Needs permission to mount."""
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path, leave_bytes: int) -> Path:
    """Write a file that leaves this many bytes free; returns its path."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with open(ballast, "wb") as handle, contextlib.suppress(OSError):
        os.posix_fallocate(handle.fileno(), 0, max(1, free - leave_bytes))
    return ballast


def full_disk(where: str, injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Fill the disk of the study or of Ray's temporary folder at random moments; then free it and
    launch again.
    """
    rng = random.Random(f"{where} {seed}")
    report = FaultReport(fault=f"disk full ({where})")
    sentences = 0
    with small_disk(DISK_MB if where == "study" else RAY_DISK_MB) as disk:
        while report.injections < injections:
            study = new_study(data, disk if where == "study" else scratch, report, None if where == "study" else {"RAY_TMPDIR": str(disk)})
            while not study.is_complete() and report.injections < injections:
                process = study.start()
                if study.wait_until_training(process) and study.sleep(process, moment_s(rng, LONGEST_S)):
                    ballast = fill(disk, rng.choice([0, 1_000, 20_000, 200_000]))
                    report.injections += 1
                    study.sleep(process, 30.0)  # retries with backoff take 11 s
                    ballast.unlink()
                study.end(process)
                sentences += "No space left on device" in study.log.read_text(errors="replace")
            study.settle(reference)
            shutil.rmtree(study.folder.parent)
    report.notes.append(f"tmpfs; {sentences} launches reported it")
    return report


def truncated_checkpoints(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Kill the driver while stages train, and truncate every checkpoint at a random byte."""
    rng = random.Random(f"checkpoint {seed}")
    report = FaultReport(fault="truncated checkpoint")
    damaged = 0
    while report.injections < injections:
        study = new_study(data, scratch, report)
        while not study.is_complete() and report.injections < injections:
            process = study.start()
            alive = study.wait_until_training(process) and study.sleep(process, 0.5 + moment_s(rng, LONGEST_S))
            kill_family(process.pid)
            study.end(process)
            if alive:
                report.injections += 1
                for path in study.folder.glob("stages/*/checkpoint/state*"):
                    os.truncate(path, rng.randrange(path.stat().st_size))
                    damaged += 1
        study.settle(reference)
    report.notes.append(f"{damaged} checkpoints truncated")
    return report


def truncated_result(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Kill the driver while stages train, and truncate one result at a random byte.

    Only that stage may run again.
    """
    rng = random.Random(f"result {seed}")
    report = FaultReport(fault="half-written result")
    while report.injections < injections:
        study = new_study(data, scratch, report)
        while not study.is_complete() and report.injections < injections:
            process = study.start()
            alive = study.wait_until_training(process) and study.sleep(process, 1.0 + moment_s(rng, LONGEST_S))
            kill_family(process.pid)
            study.end(process)
            if alive and study.seen:
                report.injections += 1
                name = rng.choice(sorted(study.seen))
                path = study.folder / "stages" / name / "result.json"
                os.truncate(path, rng.randrange(path.stat().st_size - 2))
                del study.seen[name]
                study.hidden.add(name)
        study.settle(reference)
    return report


def two_launches(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Launch a study that another launch works on: the second must refuse, the first continue."""
    rng = random.Random(f"two {seed}")
    report = FaultReport(fault="two launches at once")
    refused = 0
    while report.injections < injections:
        study = new_study(data, scratch, report)
        first = study.start()
        study.sleep(first, 6.0)
        while report.injections < injections and study.sleep(first, moment_s(rng, LONGEST_S)):
            status = study.start().wait()
            if first.poll() is not None:
                break
            report.injections += 1
            refused += status == 2
        study.end(first)
        study.settle(reference)
    report.notes.append(f"{refused} refused with status 2")
    return report
