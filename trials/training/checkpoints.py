"""Training states: what a stopped stage needs to resume, and what the branches of a trunk start
from.

A state is one safetensors file, so it holds numbers and no code. The name of a checkpoint carries
the SHA-256 of its stage's id and its bytes, so one rename puts both in place, and a truncated or
altered file, or one of another stage, is recognised before it is read. The previous one is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trials.errors import StageError
from trials.received_files import RefusedFileError, file_inside
from trials.stage_files import MOST_WEIGHTS_BYTES, STATE, atomic, read_checked, read_result, train_anew

FOLDER = "checkpoint"
_NAME = re.compile(r"state-(\d+)-([0-9a-f]{16})\.safetensors")
_MODEL, _OPTIMISER, _AVERAGE, _RUN = "model.", "optimiser.", "average.", "run."


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that decides how a stage continues. Schedules and random draws depend on the step
    only.
    """

    step: int
    """Updates done."""
    model: dict[str, Tensor]
    optimiser: dict[int, dict[str, Tensor]]
    """The optimiser's state by the parameter's position in it."""
    losses: Tensor
    """Losses of every update so far, (step,) float32."""
    line_step: int
    """Step of the last line in metrics.jsonl."""
    train_s: float
    """Seconds of training so far, over all attempts."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """The average of the weights; empty where none is kept."""

    def restore(self, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Load this state into model and optimiser. The optimiser's settings stay as they are."""
        model.load_state_dict(self.model)
        optimiser.load_state_dict({"state": self.optimiser, "param_groups": optimiser.state_dict()["param_groups"]})


def encode_state(state: TrainingState) -> bytes:
    """The bytes of a state as safetensors. Equal states give equal bytes."""
    tensors = {_MODEL + name: tensor for name, tensor in state.model.items()}
    for place, values in state.optimiser.items():
        tensors |= {f"{_OPTIMISER}{place}.{name}": value for name, value in values.items()}
    tensors |= {_AVERAGE + name: tensor for name, tensor in state.average.items()}
    tensors[f"{_RUN}losses"] = state.losses
    tensors[f"{_RUN}steps"] = torch.tensor([state.step, state.line_step])
    tensors[f"{_RUN}train_s"] = torch.tensor(state.train_s, dtype=torch.float64)
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def decode_state(data: bytes) -> TrainingState:
    """The inverse of `encode_state`.

    Raises:
        SafetensorError, KeyError, ValueError: the bytes are no training state.
    """
    tensors = load(data)
    optimiser: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMISER):
            place, _, value = name.removeprefix(_OPTIMISER).partition(".")
            optimiser[int(place)][value] = tensor
    step, line_step = tensors[f"{_RUN}steps"].tolist()
    return TrainingState(
        step=step,
        model={name.removeprefix(_MODEL): tensor for name, tensor in tensors.items() if name.startswith(_MODEL)},
        optimiser=dict(optimiser),
        losses=tensors[f"{_RUN}losses"],
        line_step=line_step,
        train_s=float(tensors[f"{_RUN}train_s"]),
        average={name.removeprefix(_AVERAGE): tensor for name, tensor in tensors.items() if name.startswith(_AVERAGE)},
    )


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of an unfinished stage, newest first."""
    named = (path for path in (folder / FOLDER).glob("state-*") if _NAME.fullmatch(path.name))
    return sorted(named, key=lambda path: -int(path.name.split("-")[1]))


def _checkpoint_path(folder: Path, *, step: int, data: bytes) -> Path:
    """Its name holds the step, and 16 hex digits of the SHA-256 of the stage's id and the bytes."""
    digest = hashlib.sha256(folder.name.encode() + b"\n" + data).hexdigest()
    return folder / FOLDER / f"state-{step}-{digest[:16]}.safetensors"


def save_checkpoint(folder: Path, state: TrainingState) -> Path:
    """Write a checkpoint and keep the previous one."""
    for path in list_checkpoints(folder)[1:]:
        path.unlink(missing_ok=True)
    data = encode_state(state)
    path = _checkpoint_path(folder, step=state.step, data=data)
    with atomic(path) as handle:
        handle.write(data)
    return path


def load_checkpoint(folder: Path, log: Callable[[str], None], *, steps: int) -> TrainingState | None:
    """Load the newest intact checkpoint of the stage in `folder`, which has so many `steps`, or
    return None. Damaged ones, and those of other stages, are deleted, with a line in the log.
    """
    for path in list_checkpoints(folder):
        try:
            data = file_inside(folder, FOLDER, path.name, most_bytes=MOST_WEIGHTS_BYTES).read_bytes()
            step = int(path.name.split("-")[1])
            if path != _checkpoint_path(folder, step=step, data=data):
                raise ValueError("its checksum is not that of its name and stage")
            state = decode_state(data)
            _check_steps(state, step, steps)
            return state
        except (SafetensorError, KeyError, ValueError, TypeError, IndexError, RefusedFileError) as error:
            log(f"{path.name} is damaged ({error}): going on from an earlier checkpoint if there is one")
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return None


def _check_steps(state: TrainingState, step: int, steps: int) -> None:
    """Raises ValueError unless the state is of this step, in range, and has a loss of every step."""
    if state.step != step:
        raise ValueError(f"it is of step {state.step}, and its name says {step}")
    if not 0 <= state.line_step <= step <= steps:
        raise ValueError(f"it is of step {step} with a line of step {state.line_step}, and the stage has {steps} steps")
    if state.losses.shape != (step,):
        raise ValueError(f"it has losses of shape {tuple(state.losses.shape)} at step {step}")


def drop_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a finished stage, and the state.pt of earlier versions. What a kill
    left half-written goes when the stage starts again (`trials.stage_files.sweep`).
    """
    for path in [*list_checkpoints(folder), folder / FOLDER / "state.pt"]:
        with contextlib.suppress(OSError):
            path.unlink()


def trunk_state_path(folder: Path) -> Path:
    """Path of the state that a finished trunk leaves to its branches."""
    return folder / STATE


def save_trunk_state(folder: Path, state: TrainingState) -> str:
    """Write the state that a trunk leaves to its branches; returns its SHA-256."""
    data = encode_state(state)
    with atomic(trunk_state_path(folder)) as handle:
        handle.write(data)
    return hashlib.sha256(data).hexdigest()


def trunk_fault(folder: Path) -> str | None:
    """Why a branch cannot continue from this trunk, as a sentence with the remedy; None if it can.
    Does not read the state.
    """
    if read_result(folder) is None:
        return f"The trunk {folder.name} is not done: launch the grid again to run it first."
    if not trunk_state_path(folder).is_file():
        return f"The trunk {folder.name} no longer has its training state {trunk_state_path(folder)}: {train_anew(folder)}."
    return None


def load_trunk_state(folder: Path) -> TrainingState:
    """Load the state that a finished trunk ended in, and check it against the trunk's result.

    Raises:
        StageError: the trunk is not done, or its state is missing or altered.
    """
    fault = trunk_fault(folder)
    if fault is not None:
        raise StageError(fault)
    data = read_checked(trunk_state_path(folder), folder, "state_sha256")
    try:
        state = decode_state(data)
        _check_steps(state, state.step, int((read_result(folder) or {})["steps"]))
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise StageError(f"{trunk_state_path(folder)} is no training state ({error}): {train_anew(folder)}.") from error
    return state
