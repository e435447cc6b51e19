"""How a stage is executed. Nothing here is part of its id or, on the same device, changes its
numbers by more than rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trials.errors import InputError
from trials.training.captured import CaptureMode
from trials.training.compiling import CompileMode

CHECKPOINT_S = 20.0  # seconds of work that a kill can cost

Progress = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The resources of a stage and its callbacks."""

    cpus: int = 1
    """Threads to compute with, in each process."""
    gpus: float = 0.0
    """Above 0 to compute on a GPU."""
    checkpoint_s: float = CHECKPOINT_S
    """Seconds between checkpoints."""
    micro_batches: int = 1
    """Parts of a process's share of a batch that are computed one after another, to need less
    memory.
    """
    compile: CompileMode = "auto"
    """Whether torch.compile is used: see `trials.training.compiling`."""
    capture: CaptureMode = "auto"
    """Whether the whole step is captured in a CUDA graph: see `trials.training.captured`."""
    on_progress: Callable[[Progress], None] = lambda progress: None
    """Called about once a second, in the first process, with step, steps, images_per_s and the
    newest losses.
    """
    stop: Callable[[], bool] = lambda: False
    """Asked before every step; once true, the stage writes a checkpoint and raises `Interrupted`."""

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise InputError(f"micro_batches must be at least 1, not {self.micro_batches}.")
        if self.micro_batches > 1 and self.compile == "reduce-overhead":
            raise InputError("compile: reduce-overhead keeps gradients in its graph's memory, where parts of a batch cannot add up: use default.")
