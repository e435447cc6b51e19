"""Finds the processes of one launch by their parents, so that no other process is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def descendants(pid: int) -> list[int]:
    """All processes that a process started, directly or not."""
    parents = _parents()
    family = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in family} - family
        if not more:
            return sorted(family - {pid})
        family |= more


def title(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def is_worker(pid: int) -> bool:
    """Whether it is a worker that trains stages; Ray's own agents are called ray::... too."""
    return title(pid).startswith("ray::") and "Trainable" in title(pid)


def workers(pid: int) -> list[int]:
    """The workers below a process."""
    return [one for one in descendants(pid) if is_worker(one)]


def raylets(pid: int) -> list[int]:
    """Ray's node managers below a process."""
    return [one for one in descendants(pid) if title(one).split(" ")[0].endswith("/raylet/raylet")]


def gcs_servers(pid: int) -> list[int]:
    """Ray's global control stores (GCS) below a process."""
    return [one for one in descendants(pid) if title(one).split(" ")[0].endswith("/gcs/gcs_server")]


def listening(pids: list[int]) -> list[tuple[str, int, int]]:
    """Address, port and process of every TCP socket on which these processes wait for connections."""
    owners: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in (Path("/proc") / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    owners[os.readlink(entry)] = pid
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            owner = owners.get(f"socket:[{inode}]")
            if state == "0A" and owner is not None:  # LISTEN
                address, _, port = local.partition(":")
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                found.append((socket.inet_ntop(family, b"".join(words)), int(port, 16), owner))
    return found


def kill(pid: int) -> bool:
    """kill -9; returns whether the process existed."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def kill_family(pid: int) -> None:
    """kill -9 a process and all that it started."""
    family = [pid, *descendants(pid)]
    for one in family:
        kill(one)
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and any(title(one) for one in family):
        time.sleep(0.05)
