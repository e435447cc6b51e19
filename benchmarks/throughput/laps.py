"""Where the time of a step goes: a clock that is read between the parts of it, each time after the
device has caught up.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from trials.data.pictures import Pictures
from trials.models.simmim import SimMIM
from trials.objectives.objective import Batches

PARTS = ("data", "to the device", "augmentation", "forward", "backward", "optimiser", "else")


class Laps:
    """Seconds by part of a step, while it is on; calling it says that a part has just ended."""

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self._synchronise, self.on = synchronise, False
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = 0.0

    def start(self) -> None:
        self.on, self.seconds = True, defaultdict(float)
        self._synchronise()
        self._last = time.perf_counter()

    def stop(self) -> None:
        self.on = False

    def __call__(self, part: str) -> None:
        if self.on:
            self._synchronise()
            now = time.perf_counter()
            self.seconds[part] += now - self._last
            self._last = now


@contextlib.contextmanager
def laps_of_ours(laps: Laps) -> Iterator[None]:
    """Within, our own training loop calls the clock: after the images are taken from the store,
    after they are cropped, around model and optimiser.

    The loop is not changed for that: four of its public methods are wrapped from outside, and let
    go of afterwards.
    """
    with contextlib.ExitStack() as wrapped:
        for kind, method, before, after in (
            (Pictures, "images", "else", "data"),
            (Batches, "take", "else", "augmentation"),
            (SimMIM, "__call__", "else", "forward"),
        ):
            wrapped.enter_context(_wrapped(kind, method, functools.partial(laps, before), functools.partial(laps, after)))
        for handle in (
            register_optimizer_step_pre_hook(lambda *_: laps("backward")),
            register_optimizer_step_post_hook(lambda *_: laps("optimiser")),
        ):
            wrapped.callback(handle.remove)
        yield


@contextlib.contextmanager
def _wrapped(kind: type, method: str, before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    own = method in vars(kind)
    original = getattr(kind, method)

    @functools.wraps(original)
    def around(*args: Any, **named: Any) -> Any:
        before()
        result = original(*args, **named)
        after()
        return result

    setattr(kind, method, around)
    try:
        yield
    finally:
        if own:
            setattr(kind, method, original)
        else:
            delattr(kind, method)


def synchroniser(device: str) -> Callable[[], None]:
    """Wait for queued work, where a device has a queue."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None
