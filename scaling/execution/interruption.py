"""Ctrl-C and SIGTERM: the first lets running stages write a checkpoint, the second stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Running stages have this long to reach their next step and write a checkpoint; after that they are
# cut off, and resume from their last one. Slurm and Kubernetes kill 30 s after SIGTERM, and the
# tables are still to be written.
STOP_S = 10.0
STOPPING = "stopping: running stages write a checkpoint; press Ctrl-C again to stop at once"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the launch was asked to stop, and since when."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self.insisted = False
        """Whether it was asked twice."""

    @property
    def asked(self) -> bool:
        """Whether it was asked to stop."""
        return self._since_s is not None

    @property
    def overdue(self) -> bool:
        """Whether running stages have had the time to stop."""
        return self._since_s is not None and time.monotonic() - self._since_s > STOP_S

    def ask(self) -> None:
        """Ask the launch to stop."""
        self._since_s = self._since_s or time.monotonic()

    def listen(self) -> None:
        """Handle the signals from now on.

        Call it again after Ray has started, which sets a SIGTERM handler that aborts the process.
        """
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in _SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.insisted = True
            raise KeyboardInterrupt
        self.ask()
        with contextlib.suppress(OSError):  # not print: the signal may have come in the middle of one
            os.write(2, f"\n{STOPPING}\n".encode())


@contextlib.contextmanager
def _handled(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers only there
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does."""
    with _handled(signal.default_int_handler):
        yield


@contextlib.contextmanager
def graceful() -> Iterator[Interruption]:
    """Yields an interruption that the first signal sets; the second raises KeyboardInterrupt."""
    interruption = Interruption()
    with _handled(interruption._on_signal):
        yield interruption
