"""Compile a stage's model where it pays. A model that cannot be compiled trains without.

An encoder's blocks are compiled one by one. Blocks alike in shape share what was compiled, so a
deep encoder costs no more than one block, and Inductor's cache on disk serves the next stage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import nn

from trials.errors import InputError, error_summary

CompileMode = Literal["auto", "off", "default", "reduce-overhead"]

# Measured on one H200 with torch 2.11 (ViNy, bf16, whole step captured): compiled kernels saved 26
# microseconds an image at batch 64, 20 at 256 and 21 at 1,024, of 2.17 GFLOP each, after a setup of
# 31 to 38 s for the whole model.
SAVED_S_PER_FLOP = 20e-6 / 2.17e9
SETUP_S = 35.0
MOST_SHAPES = 1000
"""Shapes of blocks that one process compiles; torch stops after 8 of its own accord, and trains on
without a word to the caller. A worker may train a ladder of sizes one stage after another.
"""


def choose_mode(mode: CompileMode, *, device: torch.device, flops: float) -> tuple[CompileMode, str]:
    """Decide what `auto` means here, and the reason for it.

    Args:
        flops: of the whole stage's training. It does not depend on where an attempt starts, so
            that a stage which is resumed is compiled as before.

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
    saved_s = flops * SAVED_S_PER_FLOP
    if saved_s < SETUP_S:
        return "off", f"it would save about {saved_s:.1f} s of the stage, less than the {SETUP_S:.0f} s that compiling may take"
    return "default", f"it would save about {saved_s:,.0f} s of the stage, more than the {SETUP_S:.0f} s that compiling may take"


def compiled_modules(model: nn.Module) -> list[nn.Module]:
    """What is compiled of a model: its encoder's repeated blocks, or all of it where it has none."""
    encoder = getattr(model, "encoder", None)
    blocks: list[nn.Module] = encoder.repeated_blocks() if encoder is not None and hasattr(encoder, "repeated_blocks") else []
    return blocks or [model]


def _allow_many_shapes() -> None:
    """Compile as many shapes as come, and raise an error beyond `MOST_SHAPES`, so that the stage says
    that it is not compiled.
    """
    from torch._dynamo import config

    config.recompile_limit = config.accumulated_recompile_limit = MOST_SHAPES
    config.fail_on_recompile_limit_hit = True


class Compiled:
    """A model that is compiled for training and runs uncompiled in evaluation.

    Held-out batches have other shapes, each of which would be compiled again, and their losses are
    better compared if all stages measure them alike.
    """

    def __init__(self, model: nn.Module, mode: CompileMode, reason: str) -> None:
        self.mode, self.reason = mode, reason
        self._forwards: list[tuple[nn.Module, Callable[..., Any]]] = []
        if mode != "off":
            _allow_many_shapes()
            # CUDA graphs of torch.compile hold one forward and backward pass: that of the whole model
            modules = [model] if mode == "reduce-overhead" else compiled_modules(model)
            self._forwards = [(one, torch.compile(one.forward, mode=mode, dynamic=False)) for one in modules]

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """A context in which what is compiled takes the place of the model's own forward."""
        if self.mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        for module, forward in self._forwards:
            module.forward = forward
        try:
            yield
        finally:
            for module, _ in self._forwards:
                del module.forward

    @property
    def on(self) -> bool:
        """Whether training uses a compiled forward."""
        return bool(self._forwards)

    def give_up(self, error: Exception) -> None:
        """Stop using what is compiled, for this reason."""
        self._forwards, self.mode = [], "off"
        self.reason = f"compiling failed: {error_summary(error)}"
