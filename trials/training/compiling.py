"""Compile a stage's model where it pays. A model that cannot be compiled trains without."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import nn

from trials.errors import InputError

CompileMode = Literal["auto", "off", "default", "reduce-overhead"]

# Compiling takes a minute or so: it must come back within the stage.
MIN_STEPS = 3000


def choose_mode(mode: CompileMode, *, device: torch.device, steps: int) -> tuple[CompileMode, str]:
    """Decide what `auto` means here, and the reason for it.

    Raises:
        InputError: there is no such mode.
    """
    if mode not in get_args(CompileMode):
        raise InputError(f"compile must be one of {', '.join(get_args(CompileMode))}, not {mode!r}.")
    if mode != "auto":
        return mode, "it was asked for"
    if device.type != "cuda":
        # measured for ViNy, batch 32, one core: 1.06 to 1.16 times as fast in float32 and 1.20 to
        # 1.26 times in bf16, after minutes of compiling
        return "off", "on a CPU it gains little and would change the last digits"
    if steps < MIN_STEPS:
        return "off", f"fewer than {MIN_STEPS:,} steps are left, too few to win back the time that compiling takes"
    return "default", "the stage is long enough to win back the time that compiling takes"


class Compiled:
    """A model whose forward is compiled for training, and left as it is for evaluation.

    Held-out batches have other shapes, each of which would be compiled again, and their losses are
    better compared if all stages measure them alike.
    """

    def __init__(self, model: nn.Module, mode: CompileMode, reason: str) -> None:
        self._model = model
        self.mode, self.reason = mode, reason
        self._forward = None
        if mode != "off":
            self._forward = torch.compile(model.forward, mode=mode, dynamic=False)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """A context in which the model's forward is the compiled one."""
        if self._forward is None:
            yield
            return
        if self.mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        self._model.forward = self._forward
        try:
            yield
        finally:
            del self._model.forward

    @property
    def on(self) -> bool:
        """Whether training uses a compiled forward."""
        return self._forward is not None

    def give_up(self, error: Exception) -> None:
        """Stop using the compiled forward, for this reason."""
        text = str(error).strip().splitlines()
        self._forward, self.mode = None, "off"
        self.reason = f"compiling failed: {type(error).__name__}: {text[0] if text else 'no message'}"
