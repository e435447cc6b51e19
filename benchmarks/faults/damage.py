"""Full disks, damaged files, clocks that jump, and two launches at once."""

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
from benchmarks.faults.study import Account, fresh, moment_s

DISK_MB = 64
RAY_DISK_MB = 700
LONGEST_S = 4.0
# libfaketime would reach further, but with it time.sleep of Python 3.11 raises EINVAL, and Ray does
# not start.


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size; its path is short, since Ray's sockets lie in it. Needs the right to
    mount.
    """
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path, leave_bytes: int) -> Path:
    """A ballast file that leaves so many bytes free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with open(ballast, "wb") as handle, contextlib.suppress(OSError):
        os.posix_fallocate(handle.fileno(), 0, max(1, free - leave_bytes))
    return ballast


def full_disk(where: str, injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Fill the study's disk, or that of Ray's temporary folder, at random moments and to random
    bytes; then make room and launch again.
    """
    rng = random.Random(f"{where} {seed}")
    account = Account(fault=f"disk full ({where})")
    sentences = 0
    with small_disk(DISK_MB if where == "study" else RAY_DISK_MB) as disk:
        while account.injections < injections:
            study = fresh(data, disk if where == "study" else scratch, account, None if where == "study" else {"RAY_TMPDIR": str(disk)})
            while not study.is_whole() and account.injections < injections:
                process = study.start()
                if study.wait_until_training(process) and study.sleep(process, moment_s(rng, LONGEST_S)):
                    ballast = fill(disk, rng.choice([0, 1_000, 20_000, 200_000]))
                    account.injections += 1
                    study.sleep(process, 30.0)  # retries with backoff take 11 s
                    ballast.unlink()
                study.end(process)
                sentences += "No space left on device" in study.log.read_text(errors="replace")
            study.settle(reference)
            shutil.rmtree(study.folder.parent)
    account.notes.append(f"tmpfs; {sentences} launches said so")
    return account


def damaged_checkpoint(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Kill the driver while stages train, and cut every checkpoint off at a random byte."""
    rng = random.Random(f"checkpoint {seed}")
    account = Account(fault="truncated checkpoint")
    damaged = 0
    while account.injections < injections:
        study = fresh(data, scratch, account)
        while not study.is_whole() and account.injections < injections:
            process = study.start()
            alive = study.wait_until_training(process) and study.sleep(process, 0.5 + moment_s(rng, LONGEST_S))
            kill_family(process.pid)
            study.end(process)
            if alive:
                account.injections += 1
                for path in study.folder.glob("stages/*/checkpoint/state*"):
                    os.truncate(path, rng.randrange(path.stat().st_size))
                    damaged += 1
        study.settle(reference)
    account.notes.append(f"{damaged} checkpoints cut off")
    return account


def halved_result(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Kill the driver while stages train, and cut one result off at a random byte: that stage, and
    it alone, is to run again.
    """
    rng = random.Random(f"result {seed}")
    account = Account(fault="half-written result")
    while account.injections < injections:
        study = fresh(data, scratch, account)
        while not study.is_whole() and account.injections < injections:
            process = study.start()
            alive = study.wait_until_training(process) and study.sleep(process, 1.0 + moment_s(rng, LONGEST_S))
            kill_family(process.pid)
            study.end(process)
            if alive and study.seen:
                account.injections += 1
                name = rng.choice(sorted(study.seen))
                path = study.folder / "stages" / name / "result.json"
                os.truncate(path, rng.randrange(path.stat().st_size - 2))
                del study.seen[name]
                study.hidden.add(name)
        study.settle(reference)
    return account


def jumping_clock(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Set the time of day days forward and back, for all processes of a launch, while it runs."""
    rng = random.Random(f"clock {seed}")
    account = Account(fault="clock jumps")
    account.notes.append("time.time patched in every Python process")
    offset = scratch / "offset"
    offset.write_text("+0")
    (scratch / "clock").mkdir(exist_ok=True)
    (scratch / "clock" / "sitecustomize.py").write_text(_PATCH.format(offset=str(offset)))
    environment = {"PYTHONPATH": f"{scratch / 'clock'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    while account.injections < injections:
        study = fresh(data, scratch, account, environment)
        while not study.is_whole() and account.injections < injections:
            process = study.start()
            while study.wait_until_training(process) and study.sleep(process, 0.5 + moment_s(rng, LONGEST_S)):
                offset.write_text(f"{rng.choice('+-')}{rng.choice(['90', '7200', '172800', '31536000'])}")
                account.injections += 1
                if account.injections >= injections:
                    break
            study.end(process)
        study.settle(reference)
    return account


_PATCH = """\
import time

_time = time.time


def jumping():
    try:
        return _time() + float(open({offset!r}).read() or 0)
    except (OSError, ValueError):
        return _time()


time.time = jumping
"""


def two_launches(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Launch a study that is being worked on: the second launch must refuse, and the first must not
    notice.
    """
    rng = random.Random(f"two {seed}")
    account = Account(fault="two launches at once")
    refused = 0
    while account.injections < injections:
        study = fresh(data, scratch, account)
        first = study.start()
        study.sleep(first, 6.0)
        while account.injections < injections and study.sleep(first, moment_s(rng, LONGEST_S)):
            status = study.start().wait()
            if first.poll() is not None:
                break
            account.injections += 1
            refused += status == 2
        study.end(first)
        study.settle(reference)
    account.notes.append(f"{refused} refused with status 2")
    return account
