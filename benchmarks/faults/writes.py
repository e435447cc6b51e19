"""kill -9 exactly inside a write: while a file is half written, before it takes its name, and right
after.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

from benchmarks.faults.study import Account, fresh

ONE_IN = 60  # writes of the study's files that end in a kill


def kills_in_writes(injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> Account:
    """Let whichever process of the launch writes a file of the study be killed in the middle of it:
    the driver or a worker.
    """
    rng = random.Random(f"write {seed}")
    account = Account(fault="inside a write")
    patch = scratch / "writes"
    patch.mkdir(exist_ok=True)
    where: Counter[str] = Counter()
    while account.injections < injections:
        struck = scratch / f"struck-{account.studies}"
        struck.touch()
        search = f"{patch}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        study = fresh(data, scratch, account, {"PYTHONPATH": search, "FAULTS_SEED": str(rng.randrange(2**32))})
        (patch / "sitecustomize.py").write_text(_PATCH.format(folder=str(study.folder), struck=str(struck), one_in=ONE_IN))
        while not study.is_whole() and account.injections < injections:
            before = len(_lines(struck))
            study.end(study.start())
            account.injections += len(_lines(struck)) - before
        where.update(line.split(" ")[0] for line in _lines(struck))
        (patch / "sitecustomize.py").write_text("")
        study.settle(reference)
    account.notes.append(", ".join(f"{number} {what}" for what, number in where.most_common()))
    return account


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


# `half`: what was written is cut at a random byte, as by a kill between two of its blocks; only
# where the file has no name of its own yet, since what was put on disk before does not go with a
# process.
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
