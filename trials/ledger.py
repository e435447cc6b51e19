"""Files of a stage's folder: written so that a kill at any moment leaves them whole, checked before they are trusted."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from trials.errors import StageError

WEIGHTS = "checkpoint/weights.safetensors"
STATE = "checkpoint/state.pt"


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the name `path` when it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has none."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    with atomic(path) as handle:
        handle.write(text.encode())


def read_json(path: Path) -> Any:
    """Read JSON, or None if there is no such file or it is no JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished stage, or None: a stage is done if and only if its result.json exists and is its own."""
    result = read_json(folder / "result.json")
    return result if isinstance(result, dict) and result.get("id") == folder.name else None


def save_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write the stage's weights; returns their SHA-256."""
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic(folder / WEIGHTS) as handle:
        handle.write(data)
    return hashlib.sha256(data).hexdigest()


def load_parent_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of a finished parent stage, after checking that they are the very file its result names.

    Raises:
        StageError: the parent is not done, or its weights are missing or altered.
    """
    result = read_result(folder)
    path = folder / WEIGHTS
    if result is None:
        raise StageError(f"The parent stage {folder.name} is not done: launch the grid again to run it first.")
    again = f"delete {folder / 'result.json'} and launch again to train that stage anew"
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != result["weights_sha256"]:
            raise StageError(f"The weights {path} are not those that {folder.name} finished with: {again}.")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StageError(f"The weights {path} cannot be read ({error}): {again}.") from error


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write what a stopped stage needs to go on."""
    with atomic(folder / STATE) as handle:
        torch.save(state, handle)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest training state, or None if there is none that can be read: then the stage starts over."""
    try:
        return torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file raises anything from EOFError to UnpicklingError
        print(f"{folder / STATE} cannot be read ({error}): starting this stage over", flush=True)
        return None


@contextlib.contextmanager
def stage_lock(folder: Path, *, wait_s: float = 60.0) -> Iterator[None]:
    """Only one process works on a stage; what is left of a killed launch has `wait_s` to end."""
    folder.mkdir(parents=True, exist_ok=True)
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
    """metrics.jsonl: one JSON object a line, by step. On resuming, lines after the checkpoint are dropped."""

    def __init__(self, path: Path, *, resume_step: int) -> None:
        kept: list[str] = []
        if resume_step > 0 and path.exists():
            for line in path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= resume_step:
                        kept.append(line + "\n")
                except (ValueError, KeyError):
                    break  # a line cut off by a kill: nothing after it counts
        with atomic(path) as handle:
            handle.write("".join(kept).encode())
        self._handle = open(path, "a", buffering=1)  # noqa: SIM115 - held while the stage trains

    def write(self, values: dict[str, Any]) -> None:
        self._handle.write(json.dumps(values, allow_nan=False) + "\n")

    def close(self) -> None:
        self._handle.close()
