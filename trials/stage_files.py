"""Files of a stage's folder. Writes are atomic, and files are checked before they are used."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from trials.errors import StageError
from trials.received_files import file_inside

WEIGHTS = "checkpoint/weights.safetensors"
STATE = "checkpoint/state.safetensors"  # what a finished trunk leaves; checkpoints of an unfinished stage have their step in their names
MOST_WEIGHTS_BYTES = 1 << 40
_PART = ".part"
_SYNCING = 16  # files that are flushed at once


class DeferredSync:
    """Files that are flushed to disk together, later.

    A disk takes about as long for many files as for one. A stage's files count for nothing until its
    result.json names it done, so they need not be on disk before that.
    """

    def __init__(self) -> None:
        self._paths: set[Path] = set()

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Within it, `atomic` renames a file without flushing it, and this object remembers it."""
        token = _DEFERRED.set(self)
        try:
            yield
        finally:
            _DEFERRED.reset(token)

    def add(self, path: Path) -> None:
        """Remember a file."""
        self._paths.add(path)

    def sync(self) -> None:
        """Flush all files, and then the folders that hold their names. Raises OSError."""
        paths, self._paths = self._paths, set()
        if not paths:
            return
        with ThreadPoolExecutor(min(_SYNCING, len(paths))) as pool:
            list(pool.map(_sync_file, paths))
            list(pool.map(_sync_folder, {path.parent for path in paths}))


_DEFERRED: ContextVar[DeferredSync | None] = ContextVar("deferred", default=None)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the name `path` when it is complete and on disk; within
    `DeferredSync.collecting`, when it is complete.

    Its folder is made if that is missing, but none above: a study folder that somebody deleted must
    not come back in part.
    """
    deferred = _DEFERRED.get()
    path.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=_PART, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            if deferred is None:
                os.fsync(handle.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        if deferred is None:
            _sync_folder(path.parent)
        else:
            deferred.add(path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk. Some network file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Delete half-written files."""
    for path in [*folder.glob(f".*{_PART}"), *folder.glob(f"*/.*{_PART}")]:
        path.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    with atomic(path) as handle:
        handle.write(text.encode())


def read_json(path: Path) -> Any:
    """Read JSON, or None if there is no such file, it is refused as by `file_inside`, or it is no
    JSON.
    """
    try:
        return json.loads(file_inside(path.parent, path.name).read_text())
    except (OSError, ValueError, RecursionError):
        return None


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished stage, or None: a stage is done if and only if its result.json
    exists and is its own.
    """
    result = read_json(folder / "result.json")
    return result if isinstance(result, dict) and result.get("id") == folder.name else None


def weights_fault(folder: Path) -> str | None:
    """Why a child cannot start with the weights of this stage, as a sentence with the remedy; None
    if it can. Does not read them.
    """
    if read_result(folder) is None:
        return f"The parent stage {folder.name} is not done: launch the grid again to run it first."
    if not (folder / WEIGHTS).is_file():
        return f"The weights {folder / WEIGHTS} are missing: {train_anew(folder)}."
    return None


def train_anew(folder: Path) -> str:
    """The remedy for a stage whose files are unusable, as the end of a sentence."""
    return f"delete {folder / 'result.json'} and launch again to train {folder.name} anew"


def read_checked(path: Path, folder: Path, key: str) -> bytes:
    """Read a file of a finished stage and check its SHA-256 against the one that the stage's result
    holds under `key`.

    Raises:
        StageError: they cannot be read, or are others.
    """
    try:
        data = file_inside(folder, *path.relative_to(folder).parts, most_bytes=MOST_WEIGHTS_BYTES).read_bytes()
    except OSError as error:
        raise StageError(f"{path} cannot be read ({error.strerror}): {train_anew(folder)}.") from error
    if hashlib.sha256(data).hexdigest() != (read_result(folder) or {}).get(key):
        raise StageError(f"{path} is not what {folder.name} finished with: {train_anew(folder)}.")
    return data


def save_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write the stage's weights; returns their SHA-256."""
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic(folder / WEIGHTS) as handle:
        handle.write(data)
    return hashlib.sha256(data).hexdigest()


def load_parent_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Load the weights of a finished parent stage, after checking their SHA-256 against its result.

    Raises:
        StageError: the parent is not done, or its weights are missing or altered.
    """
    fault = weights_fault(folder)
    if fault is not None:
        raise StageError(fault)
    data = read_checked(folder / WEIGHTS, folder, "weights_sha256")
    try:
        return load(data)
    except SafetensorError as error:  # the checksum is in the folder itself, so both may be forged
        raise StageError(f"{folder / WEIGHTS} holds no weights ({str(error)[:150]}): {train_anew(folder)}.") from error


def refuse_links(folder: Path) -> None:
    """Check that a stage's folder holds files and folders alone before it is written into.

    Raises:
        StageError: something is a link, which would be written through, or a pipe.
    """
    for place in (folder, *(folder / name for name in ("checkpoint", "examples", "examples_train", "diagnostics"))):
        odd = place if place.is_symlink() else None
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            files = (one for one in entries if not (one.is_file(follow_symlinks=False) or one.is_dir(follow_symlinks=False)))
            odd = odd or next((Path(one.path) for one in files), None)
        if odd is not None:
            what = "a link, which may lead out of the study" if odd.is_symlink() else "no regular file"
            raise StageError(f"{str(odd)[-300:]} is {what}, so nothing is written there: delete it and launch again.")


@contextlib.contextmanager
def stage_lock(folder: Path, *, wait_s: float = 60.0) -> Iterator[None]:
    """Lock a stage for one process. Waits `wait_s` seconds for the processes of a killed launch to
    end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(folder)
    with open(folder / ".lock", "w") as handle:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StageError(f"Another process is still working on {folder}: wait for it or stop it, then launch again.") from None
                time.sleep(0.2)
        yield


class MetricsFile:
    """metrics.jsonl: one JSON object a line, by step. On resuming, lines after the checkpoint are
    dropped.
    """

    def __init__(self, path: Path, *, resume_step: int, begin_with: Path | None = None) -> None:
        """Open the file to go on after `resume_step`, with its own earlier lines, or with those of
        `begin_with`: the file of a trunk.
        """
        kept: list[dict[str, Any]] = []
        earlier = begin_with or path
        if resume_step > 0 and earlier.exists():
            for text in file_inside(earlier.parent, earlier.name).read_text(errors="replace").splitlines():
                try:
                    line = json.loads(text)
                    if line["step"] <= resume_step:
                        kept.append(line)
                except (ValueError, KeyError, TypeError):
                    break  # a line cut off by a kill: nothing after it counts
        with atomic(path) as handle:
            handle.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        self._handle = open(path, "a", buffering=1)  # noqa: SIM115 - held while the stage trains

    def write(self, values: dict[str, Any]) -> None:
        """Append one line."""
        self._handle.write(json.dumps(values, allow_nan=False) + "\n")

    def sync(self) -> None:
        """Flush the lines to disk before a checkpoint is written."""
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
