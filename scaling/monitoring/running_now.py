"""Writes running.json: what runs now, for `scaling.status` of a study in a remote store."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from scaling.monitoring.watcher import NotPickled
from scaling.plan.plan import Plan
from scaling.study.remote_study import RUNNING, Mirror

EVERY_S = 10.0


class RunningNow(NotPickled):
    """A watcher that writes the newest values of all running stages to the mirror and to the store.

    Args:
        every_s: seconds between two writes.
    """

    def __init__(self, plan: Plan, mirror: Mirror, *, every_s: float = EVERY_S) -> None:
        self._plan, self._mirror, self._every_s = plan, mirror, every_s
        self._lock = threading.Lock()
        self._stages: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, int] = {}
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._keep_writing, name="running", daemon=True)

    def __enter__(self) -> RunningNow:
        self._writer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._writer.join()
        with contextlib.suppress(OSError):
            (self._mirror.folder / RUNNING).unlink(missing_ok=True)
            self._mirror.remote.delete(RUNNING)

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Keep the newest values in memory until the next write."""
        passes = {"image_passes": values["step"] * self._plan.stages[name].spec.recipe.batch_images} if "step" in values else {}
        with self._lock:
            self._stages[name] = self._stages.get(name, {}) | values | passes

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """It no longer runs."""
        with self._lock:
            self._stages.pop(name, None)

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """It does not run until its next attempt."""
        with self._lock:
            self._stages.pop(name, None)
            self._attempts[name] = self._attempts.get(name, 1) + 1

    def write(self) -> None:
        """Write what runs now. Raises OSError."""
        with self._lock:
            stages = {name: {"attempts": self._attempts.get(name, 1), "latest": latest} for name, latest in self._stages.items()}
        data = json.dumps(stages).encode()
        _write(self._mirror.folder / RUNNING, data)
        self._mirror.remote.write(RUNNING, data)

    def _keep_writing(self) -> None:
        while not self._over.wait(self._every_s):
            with contextlib.suppress(OSError):  # the next one may succeed; results do not depend on it
                self.write()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
