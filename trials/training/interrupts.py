"""Stopping on request: a stage writes a checkpoint at its next step and raises `Interrupted`."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from trials.errors import StageError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(StageError):
    """The stage was asked to stop. Its checkpoint is written, and running it again resumes from
    there.
    """


class Asked:
    """Records whether a signal has asked this process to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @property
    def exit_status(self) -> int:
        """The exit status for the signal: 143 for SIGTERM, 130 for Ctrl-C, 143 if another process
        of the group was asked.
        """
        return 128 + (self.signal or signal.SIGTERM)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextlib.contextmanager
def asked_by_signal() -> Iterator[Asked]:
    """A context in which the first SIGTERM or Ctrl-C is only recorded; a second one has its usual
    effect.
    """
    asked = Asked()
    before = {number: signal.signal(number, asked._notice) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
