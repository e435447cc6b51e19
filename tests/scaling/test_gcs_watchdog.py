"""The watchdog reports a lost GCS once; a short interruption is not a loss."""

from __future__ import annotations

import socket
import threading
import time

from scaling.cluster.gcs_watchdog import GcsWatchdog


def waited_for(event: threading.Event) -> bool:
    return event.wait(20.0)


def test_a_control_store_that_is_gone_is_calls_of_once() -> None:
    calls: list[float] = []
    gone = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{server.getsockname()[1]}"

    def tell() -> None:
        calls.append(time.monotonic())
        gone.set()

    with GcsWatchdog(lambda: place, tell, poll_s=0.02, gone_s=0.3):
        time.sleep(0.6)
        assert not calls
        server.close()
        closed_s = time.monotonic()
        assert waited_for(gone)
        time.sleep(0.1)
    assert len(calls) == 1
    assert calls[0] - closed_s > 0.2


def test_one_that_comes_back_and_one_that_is_being_started_anew_are_waited_for() -> None:
    gone = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    place = [f"127.0.0.1:{port}"]
    with GcsWatchdog(lambda: place[0], gone.set, poll_s=0.02, gone_s=5.0):
        server.close()
        time.sleep(0.1)
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            time.sleep(0.1)
            place[0] = ""
        time.sleep(0.2)
        assert not gone.is_set()
    with GcsWatchdog(lambda: "", gone.set, poll_s=0.02, gone_s=0.1):
        assert not gone.wait(0.5)
