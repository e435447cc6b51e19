"""Watches Ray's global control store (GCS).

If the GCS is lost, every call to Ray blocks for a minute, and then Ray aborts the process.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

POLL_S = 5.0
ANSWER_S = 5.0
GONE_S = 40.0  # Ray itself waits for 60 s; on a network the GCS may come back


class GcsWatchdog:
    """A thread that polls the GCS every few seconds, from `with` to its end.

    Args:
        address: returns HOST:PORT of the GCS; empty while Ray is restarted.
        gone: called once, from that thread, if the GCS has not answered for `gone_s` seconds. The
            main thread may then be blocked inside Ray, where no exception or signal reaches it.
    """

    def __init__(self, address: Callable[[], str], gone: Callable[[], None], *, poll_s: float = POLL_S, gone_s: float = GONE_S) -> None:
        self._address, self._gone, self._poll_s, self._gone_s = address, gone, poll_s, gone_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="GCS watchdog", daemon=True)

    def __enter__(self) -> GcsWatchdog:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def _watch(self) -> None:
        answered_s = time.monotonic()
        while not self._over.wait(self._poll_s):
            if _answers(self._address()):
                answered_s = time.monotonic()
            if time.monotonic() - answered_s > self._gone_s:
                if not self._over.is_set():
                    self._gone()
                return


def _answers(address: str) -> bool:
    if not address:
        return True
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        return True
    return False
