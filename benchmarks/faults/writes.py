"""kill -9 during a write: while a file is half written, before it is renamed, and right after."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

from benchmarks.faults.study import FaultReport, new_study

ONE_IN = 60  # writes of the study's files that end in a kill


def kills_in_writes(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Kill the process that writes a file of the study, driver or worker, during the write."""
    rng = random.Random(f"write {seed}")
    report = FaultReport(fault="inside a write")
    patch = scratch / "writes"
    patch.mkdir(exist_ok=True)
    where: Counter[str] = Counter()
    while report.injections < injections:
        struck = scratch / f"struck-{report.studies}"
        struck.touch()
        search = f"{patch}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        study = new_study(data, scratch, report, {"PYTHONPATH": search, "FAULTS_SEED": str(rng.randrange(2**32))})
        (patch / "sitecustomize.py").write_text(_PATCH.format(folder=str(study.folder), struck=str(struck), one_in=ONE_IN))
        while not study.is_complete() and report.injections < injections:
            before = len(_lines(struck))
            study.end(study.start())
            report.injections += len(_lines(struck)) - before
        where.update(line.split(" ")[0] for line in _lines(struck))
        (patch / "sitecustomize.py").write_text("")
        study.settle(reference)
    report.notes.append(", ".join(f"{number} {what}" for what, number in where.most_common()))
    return report


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


# A half-written file is cut at a random byte, as by a kill between two of its blocks; only a
# temporary one, since a kill does not undo what was on disk before.
_PATCH = """\
import os
import random
import signal

_fsync, _replace = os.fsync, os.replace
_rng = random.Random(os.environ["FAULTS_SEED"] + str(os.getpid()))


def _struck(path):
    return str(path).startswith({folder!r}) and _rng.randrange({one_in}) == 0


def _die(what, path):
    with open({struck!r}, "a") as handle:
        handle.write(what + " " + str(path) + "\\n")
    os.kill(os.getpid(), signal.SIGKILL)


def fsync(handle):
    number = handle if isinstance(handle, int) else handle.fileno()
    path = os.readlink("/proc/self/fd/" + str(number))
    if _struck(path) and os.path.isfile(path):
        if path.endswith(".part"):
            os.ftruncate(number, _rng.randrange(os.fstat(number).st_size + 1))
        _die("half-written", path)
    return _fsync(handle)


def replace(source, target, **more):
    if _struck(target):
        if _rng.random() < 0.5:
            _die("before-its-name", target)
        _replace(source, target, **more)
        _die("after-its-name", target)
    return _replace(source, target, **more)


os.fsync, os.replace = fsync, replace
"""
