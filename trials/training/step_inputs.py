"""What differs from one training step to the next: the positions of its images and its random draws.

A step that is captured in a CUDA graph runs again without any Python, so whatever changes must lie
in a tensor that stays where it is, or come from a generator that the graph knows. `StepInputs` is
the one place that holds them. Until `hold` is called they are made anew for each step, as eager
steps take them; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trials.training.seeding import BLOCK_STEPS, derive_seed


class NotCapturableError(RuntimeError):
    """A step takes its inputs in a way that a captured step cannot repeat."""


class StepInputs:
    """The inputs of a stage's steps, each a pure function of the seed, its purpose and the step.

    Args:
        seed: of the stage.
        device: where the stage computes.
    """

    def __init__(self, *, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._generators: dict[str, torch.Generator] = {}
        self._held: dict[str, _Held] = {}
        self._holding = False
        self._recording: set[str] | None = None

    def generator(self, purpose: str, step: int) -> torch.Generator:
        """The generator of one use at one step, at the start of its stream.

        Raises:
            NotCapturableError: asked twice for one purpose while a step is recorded: a replay
                cannot go back to the start of a stream.
        """
        found = self._generators.get(purpose)
        if self._recording is not None:
            if found is None or purpose in self._recording:
                raise NotCapturableError(f"random draws for '{purpose}' are {'taken twice' if found else 'first taken'} while the step is captured")
            self._recording.add(purpose)
            return found
        if found is None:
            found = self._generators[purpose] = torch.Generator(device=self._device)
        found.manual_seed(derive_seed(self._seed, purpose, step))
        return found

    def tensor(self, name: str, of: Callable[[range], Tensor], step: int) -> Tensor:
        """A tensor that depends on the step. Once inputs are held, it is on the device and stays where
        it is, and `prepare` fills it.

        Args:
            name: of this input; one name has one function and one shape.
            of: what it is at several steps: (steps, ...) on the CPU.
        """
        if not self._holding:
            return of(range(step, step + 1))[0]
        if name not in self._held:
            if self._recording is not None:
                raise NotCapturableError(f"the input '{name}' is first read while the step is captured")
            self._held[name] = _Held(of, step, self._device)
        return self._held[name].now

    def hold(self) -> None:
        """Start holding inputs in place; `prepare` must then be called before each step."""
        self._holding = True

    def release(self) -> None:
        """Stop holding inputs: from now on they are made for each step. Generators are made anew,
        since those of a recording that failed may refuse to draw outside it.
        """
        self._holding, self._recording = False, None
        self._held.clear()
        self._generators.clear()

    def prepare(self, step: int) -> None:
        """Set the held inputs, and every generator that has been used, to those of `step`."""
        for held in self._held.values():
            held.show(step)
        for purpose, found in self._generators.items():
            found.manual_seed(derive_seed(self._seed, purpose, step))

    def start_recording(self) -> None:
        """From now on each generator is given once, as `prepare` left it."""
        self._recording = set()

    def stop_recording(self) -> None:
        """Generators are seeded when they are asked for again."""
        self._recording = None

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """All random generators that have been used."""
        return tuple(self._generators.values())


class _Held:
    """One input, made for a block of steps at once."""

    def __init__(self, of: Callable[[range], Tensor], step: int, device: torch.device) -> None:
        self._of, self._device = of, device
        self._make(step)
        self.now = self._block[0].clone()
        """The input of the step that was shown last; it stays where it is."""

    def _make(self, first: int) -> None:
        self._first, self._block = first, _to(self._of(range(first, first + BLOCK_STEPS)), self._device)

    def show(self, step: int) -> None:
        """Set `now` to the input of that step."""
        if not 0 <= step - self._first < len(self._block):
            self._make(step)
        self.now.copy_(self._block[step - self._first])


def _to(values: Tensor, device: torch.device) -> Tensor:
    """On the device; from pinned memory, since a copy from any other waits for the GPU."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values
