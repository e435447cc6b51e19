"""Capture a whole training step in a CUDA graph and replay it.

A small model's step is a few hundred kernels of microseconds each, and Python takes longer to start
them than the GPU to run them: at batch 64 an H200 was busy for 4 of the 30 ms of a ViNy step. One
replay starts them all at once.

What a step reads from outside lies in `StepInputs` and in the learning rates' tensor, so a replay
with other inputs is another step. Draws are the same as those of eager steps, so resuming needs no
more than the step's number. On a CPU there is nothing to capture: the step that would be recorded
is run again by Python with the step number it was recorded with, which holds the same promise to
the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from trials.errors import InputError
from trials.training.recording import recorded, recording_stream
from trials.training.step_inputs import StepInputs

CaptureMode = Literal["auto", "off", "on"]
WARM_UP_STEPS = 3  # eager steps before the capture, as torch's documentation asks for


def choose_capture(mode: CaptureMode, *, device: torch.device, processes: int, micro_batches: int, resident: bool, reason_against: str) -> str:
    """Why the steps of a stage are not captured; empty if they are.

    Args:
        mode: 'auto' captures on a GPU, 'on' everywhere it is possible, 'off' nowhere.
        resident: whether all training images are in the device's memory.
        reason_against: what the objective and the compile mode have against it, empty if nothing.

    Raises:
        InputError: there is no such mode.
    """
    if mode not in get_args(CaptureMode):
        raise InputError(f"capture must be one of {', '.join(get_args(CaptureMode))}, not {mode!r}.")
    if mode == "off":
        return "it was not asked for"
    if device.type != "cuda" and mode == "auto":
        return "there is no GPU"
    if processes > 1:
        return "several processes share the stage"
    if micro_batches > 1:
        return "batches are taken in parts"
    if not resident:
        return "the images do not fit into the GPU's memory"
    return reason_against


class CapturedStep:
    """Runs steps eagerly at first, then records one and replays it.

    Args:
        eager: makes the update of a step, for the first steps.
        body: the same without a choice in between, to be recorded: gradients, clipping, AdamW; it
            reads the step through `inputs` alone and returns the loss.
    """

    def __init__(
        self,
        eager: Callable[[int], Tensor],
        body: Callable[[int], Tensor],
        inputs: StepInputs,
        *,
        device: torch.device,
    ) -> None:
        self._eager, self._body, self._inputs, self._device = eager, body, inputs, device
        self._stream = recording_stream(device) if device.type == "cuda" else None
        self._steps = 0
        self.recording = False
        """Whether a step is being recorded; then nothing of it has been computed."""
        self._replay: Callable[[], Tensor] | None = None
        inputs.hold()

    def __call__(self, step: int) -> Tensor:
        """The update of `step`; its loss, on the device, which the next call overwrites.

        Raises:
            Exception: what went wrong. While `recording` is true nothing of this step was computed:
                call `abandon` and take the step eagerly.
        """
        self._inputs.prepare(step)
        if self._replay is None and self._steps < WARM_UP_STEPS:
            self._steps += 1
            return self._aside(step)
        if self._replay is None:
            self.recording = True
            loss, self._replay = self._record(step)
            self.recording = False
            if loss is not None:
                return loss
            self._inputs.prepare(step)
        return self._replay()

    def abandon(self) -> None:
        """Give up the recorded step and its memory."""
        self._replay = None
        self._inputs.release()

    def _aside(self, step: int) -> Tensor:
        """An eager step on the stream that the capture will use."""
        if self._stream is None:
            return self._eager(step)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            loss = self._eager(step)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return loss

    def _record(self, step: int) -> tuple[Tensor | None, Callable[[], Tensor]]:
        """The loss, where recording computes it as well, and what repeats the step."""
        if self._stream is None:
            return self._run_recorded(step), lambda: self._run_recorded(step)
        graph = torch.cuda.CUDAGraph()
        for one in self._inputs.generators:
            graph.register_generator_state(one)
        with recorded(graph, self._device):
            loss = self._run_recorded(step)

        def replay() -> Tensor:
            graph.replay()
            return loss

        return None, replay

    def _run_recorded(self, step: int) -> Tensor:
        self._inputs.start_recording()
        try:
            return self._body(step)
        finally:
            self._inputs.stop_recording()
