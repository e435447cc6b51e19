"""A study in a remote store: a local mirror of its small files, and a lease for one launch."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scaling.cluster.address import without_secrets
from scaling.study.folder import EARLIER_GRIDS
from scaling.study.lock import Owner, another_launch, owner_of
from scaling.study.remote import Remote
from scaling.study.remote_stage import scratch_folder
from scaling.study.retention import SET_ASIDE
from trials.errors import InputError
from trials.stage_files import STATE, WEIGHTS, atomic

LEASE = "lease.json"
HEARTBEAT_S = 15.0
STALE_S = 60.0  # a lease that has not changed for this long, by the clock of the reader, is expired
SETTLE_S = 2.0  # two launches that take it at once see after this long which of them wrote last
THREADS = 8
_TOP = ("plan.json", "grid.yaml")
RUNNING = "running.json"  # `scaling.monitoring.running_now`


def mirrored(uri: str, folder: Path) -> Mirror:
    """The up-to-date mirror of a study's store, for a launch.

    Raises:
        InputError: the store cannot be used from here.
    """
    mirror = Mirror(Remote(uri), folder)
    with _errors_as_input_error(uri):
        check_writable(mirror.remote, "launch")
        mirror.pull()
    return mirror


def watched(uri: str) -> Callable[[], Path]:
    """Return a function that updates a local copy of the small files of a study in a store and
    returns the copy's folder.

    Nothing is written to the store. The copy stays in this machine's scratch folder for the next
    call.

    Raises:
        InputError: nothing here opens such an address; when called, the store cannot be read from
            here.
    """
    name = without_secrets(uri).rstrip("/").rpartition("/")[2]
    mirror = Mirror(Remote(uri), scratch_folder(uri) / "status" / name)

    def look() -> Path:
        with _errors_as_input_error(uri):
            mirror.pull()
            mirror.pull_launch()
        return mirror.folder

    return look


@contextlib.contextmanager
def _errors_as_input_error(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The store {without_secrets(uri)} cannot be used from here ({error}): check its name and your credentials for it."
        ) from None


class Mirror:
    """Copies of the small files of a study, for its tables, status and report.

    It is also a watcher, and copies the files of every stage that ends.
    """

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote, self.folder = remote, folder
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mirror")

    def pull(self) -> None:
        """Copy what is new, and delete results that the store does not have. Raises OSError."""
        entries = [entry for entry in self.remote.list() if entry.path in _TOP or _is_small(entry.path)]
        there = {entry.path for entry in entries}
        for path in self.folder.glob("stages/*/result.json"):
            if path.relative_to(self.folder).as_posix() not in there:
                path.unlink()
        # the files of finished stages do not change, and the others are few
        fresh = [entry.path for entry in entries if not self._is_same(entry.path, entry.size)]
        list(self._pool.map(self._copy, [path for path in fresh if not path.endswith("/result.json")]))
        list(self._pool.map(self._copy, [path for path in fresh if path.endswith("/result.json")]))

    def in_background(self, call: Callable[..., None], *arguments: Any) -> None:
        """Run it in one of the mirror's threads."""
        self._pool.submit(call, *arguments)

    def pull_launch(self) -> None:
        """Copy the launch's lease and running.json, with their times of writing. Raises OSError."""
        for name in (RUNNING, LEASE):
            local = self.folder / name
            written_s = self.remote.modified_s(name)
            data = self.remote.read(name) if written_s is not None else None
            if written_s is None or data is None:
                local.unlink(missing_ok=True)
            else:
                local.write_bytes(data)
                os.utime(local, (written_s, written_s))

    def push_plan(self) -> None:
        """Copy plan and grid to the store, for mirrors on other machines. Raises OSError."""
        earlier = [path.relative_to(self.folder).as_posix() for path in self.folder.glob(f"{EARLIER_GRIDS}/*.yaml")]
        for name in (*_TOP, *earlier):
            self.remote.write(name, (self.folder / name).read_bytes())

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Does nothing: files are copied when a stage ends or is retried."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Copy its log."""
        self._pool.submit(self._follow, name)

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """Copy its files, in the background."""
        self._pool.submit(self._follow, name)

    def _follow(self, name: str) -> None:
        with contextlib.suppress(OSError):  # the launch copies everything that is new at its end
            found = [entry.path for entry in self.remote.list(f"stages/{name}") if _is_small(entry.path)]
            for path in sorted(found, key=lambda path: path.endswith("/result.json")):
                self._copy(path)

    def _is_same(self, path: str, size: int) -> bool:
        local = self.folder / path
        finished = path.startswith("stages/") and (self.folder / "/".join(path.split("/")[:2]) / "result.json").exists()
        return finished and local.exists() and local.stat().st_size == size

    def _copy(self, path: str) -> None:
        data = self.remote.read(path)
        if data is not None:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with atomic(self.folder / path) as handle:
                handle.write(data)


class RemoteStorage:
    """Checkpoints in the store of a mirror; see `scaling.study.retention.CheckpointStorage`.

    Raises:
        OSError: the store cannot be read.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        paths = {entry.path for entry in mirror.remote.list("stages")}
        self._weights = {path.split("/")[1] for path in paths if path.endswith(f"/{WEIGHTS}")}
        holding = self._weights | {path.split("/")[1] for path in paths if path.endswith(f"/{STATE}")}
        self._empty = {path.split("/")[1] for path in paths if path.endswith("/result.json")} - holding

    def has_weights(self, name: str) -> bool:
        """Whether they existed when the launch began; what it trains itself has them."""
        return name in self._weights

    def drop(self, name: str, *, with_result: bool) -> None:
        """Delete in the background, so that the scheduler does not wait; the next launch deletes
        what cannot be deleted now.
        """
        if name not in self._empty:
            self._mirror.in_background(self._drop, name, ("result.json", WEIGHTS, STATE) if with_result else (WEIGHTS, STATE))

    def _drop(self, name: str, parts: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            for part in parts:
                self._mirror.remote.delete(f"stages/{name}/{part}")

    def set_aside(self, name: str) -> None:
        """In the store and in its mirror; the result is deleted last."""
        result = self._mirror.remote.read(f"stages/{name}/result.json")
        if result is not None:
            self._mirror.remote.write(f"stages/{name}/{SET_ASIDE}", result)
            self._mirror.remote.delete(f"stages/{name}/result.json")
            folder = self._mirror.folder / "stages" / name
            (folder / "result.json").replace(folder / SET_ASIDE)


def _is_small(path: str) -> bool:
    return path.startswith("stages/") and "/checkpoint/" not in path


def check_writable(remote: Remote, name: str) -> None:
    """Write, read and delete a small file. Raises OSError if that fails."""
    data = os.urandom(16)
    path = f".preflight/{name}"
    remote.write(path, data)
    if remote.read(path) != data:
        raise OSError(f"what was written to {remote.name}/{path} is not what is read there")
    remote.delete(path)


@contextlib.contextmanager
def leased(
    remote: Remote,
    *,
    lost: Callable[[], None] = lambda: None,
    heartbeat_s: float = HEARTBEAT_S,
    stale_s: float = STALE_S,
    settle_s: float = SETTLE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lease of the study in the store, so that only this launch works on it.

    Args:
        lost: called when another launch has taken the lease, because this one could not renew it
            for `stale_s` seconds.

    Raises:
        InputError: another launch holds it. OSError: the store does not answer.
    """
    mine = asdict(Owner.here()) | {"token": os.urandom(8).hex()}
    _wait_for_other_launch(remote, stale_s, heartbeat_s, sleep)
    _write(remote, mine, 0)
    sleep(settle_s)
    if _token(_read(remote)) != mine["token"]:
        raise another_launch(remote.name, owner_of(_read(remote) or b""))
    ended = threading.Event()

    def renew() -> None:
        number = 0
        while not ended.wait(heartbeat_s):
            number += 1
            with contextlib.suppress(OSError):
                if _token(_read(remote)) not in (mine["token"], None):
                    lost()
                    return
                _write(remote, mine, number)

    renewing = threading.Thread(target=renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with contextlib.suppress(OSError):
            if _token(_read(remote)) == mine["token"]:
                remote.delete(LEASE)


def _wait_for_other_launch(remote: Remote, stale_s: float, look_s: float, sleep: Callable[[float], None]) -> None:
    """Return once there is no lease, or an expired one.

    Freshness is judged by whether the heartbeat counter changes, so clocks need not agree.

    Raises:
        InputError: another launch renews its lease.
    """
    first = _read(remote)
    if first is None:
        return
    owner = owner_of(first)
    if owner is not None and owner.is_alive() is False:
        return
    waited_s = 0.0
    while waited_s < stale_s:
        sleep(look_s / 3)
        waited_s += look_s / 3
        now = _read(remote)
        if now is None:
            return
        if now != first:
            raise another_launch(remote.name, owner)


def _write(remote: Remote, mine: dict[str, Any], heartbeat: int) -> None:
    remote.write(LEASE, json.dumps(mine | {"heartbeat": heartbeat}).encode())


def _read(remote: Remote) -> bytes | None:
    return remote.read(LEASE)


def _token(data: bytes | None) -> str | None:
    try:
        return str(json.loads(data or b"{}")["token"])
    except (ValueError, KeyError, TypeError):
        return None
