"""Trains a stage whose study is in a remote store, in a scratch folder of its node.

What the stage needs is fetched before; its files are pushed while it trains. They are pushed in an
order that leaves a valid state wherever it is interrupted: metrics before their checkpoint, a new
checkpoint before the old one is deleted, result.json last. A checkpoint's name holds its checksum
and a result holds that of its weights, so readers can check what was fetched.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.study.remote import Remote
from trials.errors import InputError, StageError
from trials.stage_files import atomic, read_result
from trials.training.checkpoints import list_checkpoints

if TYPE_CHECKING:
    from scaling.execution.worker import Assignment, Report, Stop
    from trials.spec import StageSpec

POLL_S = 1.0  # between two checks for a new checkpoint
RESULT = "result.json"
_HEAVY = "checkpoint/"


def scratch_folder(uri: str) -> Path:
    """Where this node keeps its copy of a store, on its local disk; it may be deleted while idle.

    Raises:
        InputError: another user could have put it there, or could write into it.
    """
    own = Path(tempfile.gettempdir()) / f"scaling-{getpass.getuser()}"  # a name that others can foresee
    with contextlib.suppress(FileExistsError):
        own.mkdir(mode=0o700, parents=True)
    status = own.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(f"{own} is not a folder that only you can write, so others could change what is kept there: delete it, or set TMPDIR.")
    return own / hashlib.sha256(uri.encode()).hexdigest()[:16]


def train_remote_stage(work: Assignment, spec: StageSpec, report: Report, stop: Stop) -> dict[str, Any]:
    """Train the stage in scratch; returns its metrics once its result is in the store.

    Raises:
        InputError, StageError, Interrupted: as `trials.stage.run_stage` does.
        OSError: the store does not answer; a temporary error.
    """
    from trials.stage import run_stage

    remote, scratch = Remote(work.remote), scratch_folder(work.remote)
    for need in spec.needs:
        RemoteStage(remote, scratch, need).fetch_to_start_from()
    stage = RemoteStage(remote, scratch, work.stage)
    stage.fetch()
    with stage.pushing():
        result = run_stage(spec, stage.folder, Path(work.store), cpus=work.cpus, gpus=work.gpus, on_progress=report, stop=stop, **work.options)
    metrics: dict[str, Any] = result["metrics"]
    return metrics


class RemoteStage:
    """The folder of one stage in scratch and in the store."""

    def __init__(self, remote: Remote, scratch: Path, name: str) -> None:
        self._remote, self._name = remote, name
        self.folder = scratch / "stages" / name
        self._pushed: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Make the scratch folder equal to the stage's folder in the store. Raises OSError."""
        there = {entry.path.removeprefix(f"stages/{self._name}/"): entry for entry in self._remote.list(f"stages/{self._name}")}
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self._files():
            if path not in there:
                (self.folder / path).unlink(missing_ok=True)
        for path in sorted(there, key=lambda path: path == RESULT):
            self._fetch(path)

    def fetch_to_start_from(self) -> None:
        """Fetch what a child or branch needs of this finished stage, once per node.

        Raises:
            OSError: the store does not answer.
            StageError: the stage has no result.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".fetching", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self._remote.read(f"stages/{self._name}/{RESULT}")
            if result is None:
                raise StageError(f"{self._name} has no {RESULT} in {self._remote.name}: launch the grid again to train it.")
            local = self.folder / RESULT
            if local.exists() and local.read_bytes() == result and (any(self.folder.glob("checkpoint/*.safetensors"))):
                return
            local.unlink(missing_ok=True)
            for entry in self._remote.list(f"stages/{self._name}"):
                path = entry.path.removeprefix(f"stages/{self._name}/")
                if path != RESULT and not path.startswith(("examples/", "examples_train/", "diagnostics/")):
                    self._fetch(path)
            self._fetch(RESULT)

    def push(self) -> None:
        """Copy what is new to the store, in an order that may stop anywhere. Raises OSError."""
        done = read_result(self.folder) is not None
        files = self._files()
        heavy = [path for path in files if path.startswith(_HEAVY)]
        for path in [path for path in files if path not in heavy and path != RESULT] + heavy:
            self._push(path)
        if done:
            self._push(RESULT)
        for entry in self._remote.list(f"stages/{self._name}"):
            path = entry.path.removeprefix(f"stages/{self._name}/")
            if path not in files and (path.startswith(_HEAVY) or path == "error.json"):
                self._remote.delete(entry.path)

    @contextlib.contextmanager
    def pushing(self) -> Iterator[None]:
        """Push in the background after every new checkpoint, and everything at the end of the `with`.

        Raises:
            OSError: the last push failed.
        """
        ended = threading.Event()

        def watch() -> None:
            newest = None
            while not ended.wait(POLL_S):
                found = next(iter(list_checkpoints(self.folder)), None)
                if found is not None and found != newest:
                    with contextlib.suppress(OSError):  # the next push, or the last one, copies what this one did not
                        self.push()
                        newest = found

        watching = threading.Thread(target=watch, name="push", daemon=True)
        watching.start()
        try:
            yield
        except BaseException:
            ended.set()
            watching.join()
            with contextlib.suppress(OSError):  # the error of the stage matters more
                self.push()
            raise
        ended.set()
        watching.join()
        self.push()

    def _files(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def _push(self, path: str) -> None:
        local = self.folder / path
        try:
            status = local.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if self._pushed.get(path) == stamp:
                return
            data = local.read_bytes()
        except FileNotFoundError:
            return  # a newer checkpoint has replaced it
        self._remote.write(f"stages/{self._name}/{path}", data)
        self._pushed[path] = stamp

    def _fetch(self, path: str) -> None:
        data = self._remote.read(f"stages/{self._name}/{path}")
        if data is not None:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with atomic(self.folder / path) as handle:
                handle.write(data)
