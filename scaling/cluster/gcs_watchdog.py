"""Ray's control store, watched: without it Ray blocks whoever asks it anything for a minute, and
then ends the process with a line of C++.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

LOOK_S = 5.0
ANSWER_S = 5.0
GONE_S = 40.0  # Ray itself waits for 60 s: on a network it may come back


class Lifeline:
    """A thread that knocks at the control store of Ray, every few seconds, until it leaves the
    `with`.

    Args:
        address: HOST:PORT of the control store now; empty while Ray is being started anew.
        gone: called once, from that thread, when nothing has answered for `gone_s` seconds. The
            main thread may be blocked inside Ray then, where neither an exception nor a signal
            reaches it.
    """

    def __init__(self, address: Callable[[], str], gone: Callable[[], None], *, look_s: float = LOOK_S, gone_s: float = GONE_S) -> None:
        self._address, self._gone, self._look_s, self._gone_s = address, gone, look_s, gone_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lifeline", daemon=True)

    def __enter__(self) -> Lifeline:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def _watch(self) -> None:
        answered_s = time.monotonic()
        while not self._over.wait(self._look_s):
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
