"""Checkpoints of a study that lies in a remote store."""

from __future__ import annotations

import contextlib

from scaling.study.remote_study import Mirror
from scaling.study.retention import SET_ASIDE
from trials.stage_files import STATE, WEIGHTS


class RemoteShelf:
    """What retention asks of the store that a mirror belongs to; see
    `scaling.study.retention.Shelf`. Raises OSError: the store cannot be read.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        paths = {entry.path for entry in mirror.remote.list("stages")}
        self._weights = {path.split("/")[1] for path in paths if path.endswith(f"/{WEIGHTS}")}
        holding = self._weights | {path.split("/")[1] for path in paths if path.endswith(f"/{STATE}")}
        self._empty = {path.split("/")[1] for path in paths if path.endswith("/result.json")} - holding

    def has_weights(self, name: str) -> bool:
        """Whether they were there when the launch began: what it trains itself has them."""
        return name in self._weights

    def drop(self, name: str, *, with_result: bool) -> None:
        """Delete in the background, since whoever schedules waits for the answer; what cannot be
        deleted now is deleted by the next launch.
        """
        if name not in self._empty:
            self._mirror.in_background(self._drop, name, ("result.json", WEIGHTS, STATE) if with_result else (WEIGHTS, STATE))

    def _drop(self, name: str, parts: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            for part in parts:
                self._mirror.remote.delete(f"stages/{name}/{part}")

    def set_aside(self, name: str) -> None:
        """In the store and in its mirror; the result goes last."""
        result = self._mirror.remote.read(f"stages/{name}/result.json")
        if result is not None:
            self._mirror.remote.write(f"stages/{name}/{SET_ASIDE}", result)
            self._mirror.remote.delete(f"stages/{name}/result.json")
            folder = self._mirror.folder / "stages" / name
            (folder / "result.json").replace(folder / SET_ASIDE)
