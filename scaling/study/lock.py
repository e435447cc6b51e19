"""One launch at a time works on a study, also where the file system knows no locks, and a launch
that was killed leaves nothing in the way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trials.errors import InputError
from trials.provenance import now

SETTLE_S = 1.0  # without locks: two that begin in the same moment both see, after this long, who wrote last


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lock, in terms that no change of a clock touches."""

    host: str
    boot: str
    """Changes whenever the machine starts, and between containers; '' where that cannot be known."""
    pid: int
    began: str
    """When the process began, in ticks since its machine started; '' where that cannot be known."""
    since: str
    """For people: the time of day when it took the lock."""

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(host=platform.node(), boot=_boot(), pid=os.getpid(), began=_began(os.getpid()), since=now())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def is_alive(self) -> bool | None:
        """Whether it still runs; None where that cannot be told, because it is, or was, on another
        machine or in another container.
        """
        if self.host != platform.node():
            return None
        here, there = _boot().partition(" ")[::2], self.boot.partition(" ")[::2]
        if here[0] and there[0] and here[0] != there[0]:
            return False  # this machine was started anew since then
        if here != there:
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it runs, as somebody else
        return _began(self.pid) == self.began  # else the number now belongs to another process


def _boot() -> str:
    """An id of the machine's last start, and of the container that this is in."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # the name before it may hold anything
    except (OSError, IndexError):
        return ""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the study folder for this process.

    The file system's lock goes with the process however it ends, and is all that counts where it
    works. Where it does not (some network file systems), what the owner wrote into the file does:
    one that is dead on this machine is passed over, one elsewhere has to be vouched for.

    Raises:
        InputError: another launch holds it, or may, or the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"The study folder {folder} cannot be written ({error.strerror}): choose another with --out.") from None
    with os.fdopen(descriptor, "r+") as handle:
        locks = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise InputError(f"Another launch is working on {folder}{_by(_read(path))}: wait for it, or stop it first.") from None
            locks = False  # ENOLCK, ENOTSUP: this file system has none
        left = _read(path)
        alive = left.is_alive() if left else False
        if alive:
            raise InputError(f"Another launch is working on {folder}{_by(left)}: wait for it, or stop it first.")
        if alive is None:
            raise InputError(
                f"{folder} was left locked{_by(left)}, and from here it cannot be told whether that launch still runs: if it does not, "
                f"delete {path} and launch again."
            )
        mine = Owner.here()
        try:
            _write(path, mine)
            if not locks:
                time.sleep(SETTLE_S)
                if _read(path) != mine:
                    raise InputError(f"Another launch began to work on {folder} in the same moment{_by(_read(path))}: wait for it, or stop it first.")
        except OSError as error:
            raise InputError(f"The study folder {folder} cannot be written ({error.strerror}): make room, or choose another with --out.") from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if _read(path) == mine:
                    os.truncate(path, 0)


def _by(owner: Owner | None) -> str:
    return f" ({owner})" if owner else ""


def _read(path: Path) -> Owner | None:
    try:
        values: Any = json.loads(path.read_text())
        return Owner(**values)
    except (OSError, ValueError, TypeError):
        return None  # empty, or of a launch that was killed while it wrote


def _write(path: Path, owner: Owner) -> None:
    # in place: a file renamed into its place would be another, without the lock
    with open(path, "r+") as handle:
        handle.truncate(0)
        handle.write(json.dumps(asdict(owner)))
        handle.flush()
        os.fsync(handle.fileno())
