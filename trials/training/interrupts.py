"""Being asked to stop: a stage then writes a checkpoint at its next step, and says so by an error
of its own.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from trials.errors import StageError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(StageError):
    """The stage was asked to stop; its checkpoint is written, and running it again goes on from
    there.
    """


class Asked:
    """Whether a signal has asked this process to stop; calling it says so."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @property
    def exit_status(self) -> int:
        """As a shell gives it for that signal: 143 for SIGTERM, 130 for Ctrl-C; 143 too where
        another process of a group was asked.
        """
        return 128 + (self.signal or signal.SIGTERM)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextlib.contextmanager
def asked_by_signal() -> Iterator[Asked]:
    """SIGTERM and Ctrl-C are noted and no more; a second one of a kind acts as it would have."""
    asked = Asked()
    before = {number: signal.signal(number, asked._notice) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
