"""Lets one launch at a time work on a study, also on a file system without locks.

A launch that was killed does not block the next one.
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
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trials.errors import InputError
from trials.provenance import now
from trials.received_files import file_inside

SETTLE_S = 1.0  # without locks: two launches that start at once see after this long which of them wrote last


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lock, identified without relying on clocks."""

    host: str
    boot: str
    """Differs after every start of the machine and between containers; '' if unknown."""
    pid: int
    began: str
    """When the process began, in clock ticks since its machine started; '' if unknown."""
    since: str
    """When it took the lock, in UTC, ISO 8601; only shown."""

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(host=platform.node(), boot=_boot(), pid=os.getpid(), began=_began(os.getpid()), since=now())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def is_alive(self) -> bool | None:
        """Whether it still runs; None if it is on another machine or in another container."""
        if self.host != platform.node():
            return None
        here, there = _boot().partition(" ")[::2], self.boot.partition(" ")[::2]
        if here[0] and there[0] and here[0] != there[0]:
            return False  # this machine was restarted since
        if here != there:
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it runs as another user
        return _began(self.pid) == self.began  # else the process id was reused


def _boot() -> str:
    """An id of the machine's last start, and of the container that this is in."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # the process name before it may contain anything
    except (OSError, IndexError):
        return ""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Owner]:
    """Hold the study folder for this process; yields what the lock file says of it.

    The file system releases its lock when the process ends, however it ends. On a file system
    without locks (some network file systems) the owner written into the file counts: a dead owner
    on this machine is ignored, and the user must confirm that one on another machine is gone.

    Raises:
        InputError: another launch holds it, or may, or the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)  # a link would have another file overwritten
    except OSError as error:
        raise InputError(f"The study folder {folder} cannot be written ({error.strerror}): choose another with --out.") from None
    with os.fdopen(descriptor, "r+") as handle:
        locks = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise another_launch(str(folder), read_owner(path)) from None
            locks = False  # ENOLCK, ENOTSUP: this file system has none
        left = read_owner(path)
        alive = left.is_alive() if left else False
        if alive:
            raise another_launch(str(folder), left)
        if alive is None:
            raise InputError(
                f"{folder} was left locked{_by(left)}, and from here it cannot be seen whether that launch still runs: if it does not, "
                f"delete {path} and launch again."
            )
        mine = Owner.here()
        try:
            _write(path, mine)
            if not locks:
                time.sleep(SETTLE_S)
                if read_owner(path) != mine:
                    raise another_launch(str(folder), read_owner(path))
        except OSError as error:
            raise InputError(f"The study folder {folder} cannot be written ({error.strerror}): make room, or choose another with --out.") from None
        try:
            yield mine
        finally:
            with contextlib.suppress(OSError):
                if read_owner(path) == mine:
                    os.truncate(path, 0)


def another_launch(place: str, owner: Owner | None) -> InputError:
    """The error of a launch on a study that another launch works on."""
    return InputError(f"Another launch is working on {place}{_by(owner)}: wait for it, or stop it first.")


def _by(owner: Owner | None) -> str:
    return f" ({owner})" if owner else ""


def read_owner(path: Path) -> Owner | None:
    """The owner that a lock or lease file names; None if it names none."""
    try:
        return owner_of(file_inside(path.parent, path.name).read_bytes())
    except OSError:
        return None


def owner_of(data: bytes) -> Owner | None:
    """The owner in the contents of a lock or lease file; None if they are empty or incomplete."""
    try:
        values: Any = json.loads(data)
        return Owner(**{field.name: values[field.name] for field in fields(Owner)})
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, owner: Owner) -> None:
    # in place: a file renamed into its place would be another, without the lock
    with open(path, "r+") as handle:
        handle.truncate(0)
        handle.write(json.dumps(asdict(owner)))
        handle.flush()
        os.fsync(handle.fileno())
