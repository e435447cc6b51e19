"""Reads and writes whole files in a remote store, with retries: S3, GCS, or what fsspec opens."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pyarrow import ArrowException
from pyarrow import fs as arrow

from scaling.cluster.address import without_secrets
from trials.errors import InputError
from trials.received_files import is_plain_name

ATTEMPTS = 6
FIRST_WAIT_S = 0.5  # doubled at each attempt, 15 s in all: enough for a store that throttles requests
_WHOLE = ("s3", "gcs", "abfs")  # an object appears when its upload is complete; elsewhere a file is renamed into place
_PART = ".part-"

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the store."""

    path: str
    """Below the root, with slashes."""
    size: int


class Remote:
    """The files below one address.

    Args:
        uri: as in s3://bucket/runs/NAME.
        filesystem: instead of the one that the address names, for tests.
        sleep: waits for some seconds.

    Raises:
        InputError: no installed library opens such an address.
    """

    def __init__(self, uri: str, *, filesystem: Any = None, sleep: Callable[[float], None] = time.sleep) -> None:
        uri = uri.rstrip("/")
        self.name = without_secrets(uri)
        """The address, for messages."""
        self._sleep = sleep
        if filesystem is not None:
            self._fs, self._root = filesystem, uri.partition("://")[2]
        else:
            self._fs, self._root = _open(uri)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None if it does not exist. Raises OSError."""

        def read() -> bytes | None:
            if self._fs.get_file_info(self._at(path)).type != arrow.FileType.File:
                return None
            with self._fs.open_input_stream(self._at(path)) as stream:
                return bytes(stream.read())

        return self._retry(read, f"{self.name}/{path}")

    def modified_s(self, path: str) -> float | None:
        """When a file was written by the store's clock, in seconds since the epoch; None if it does
        not exist. Raises OSError.
        """
        info = self._retry(lambda: self._fs.get_file_info(self._at(path)), f"{self.name}/{path}")
        return float(info.mtime_ns) / 1e9 if info.type == arrow.FileType.File and info.mtime_ns is not None else None

    def write(self, path: str, data: bytes) -> None:
        """Write a file; until it is complete, readers see the old one. Raises OSError."""
        place = self._at(path)

        def write() -> None:
            whole = self._fs.type_name in _WHOLE
            target = place if whole else f"{place}{_PART}{os.urandom(4).hex()}"
            if not whole:
                self._fs.create_dir(place.rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(target) as stream:
                stream.write(data)
            if not whole:
                self._fs.move(target, place)

        self._retry(write, f"{self.name}/{path}")

    def delete(self, path: str) -> None:
        """Delete a file if it exists. Raises OSError."""

        def delete() -> None:
            if self._fs.get_file_info(self._at(path)).type == arrow.FileType.File:
                self._fs.delete_file(self._at(path))

        self._retry(delete, f"{self.name}/{path}")

    def list(self, path: str = "") -> list[Entry]:
        """All complete files below a folder, in no order. Raises OSError.

        Files whose names are not plain, such as `stages/../x`, are left out: a copy of one would be
        written outside the folder that it is copied to.
        """
        selector = arrow.FileSelector(self._at(path), recursive=True, allow_not_found=True)
        found = self._retry(lambda: self._fs.get_file_info(selector), f"{self.name}/{path}")
        length = len(self._root.rstrip("/")) + 1
        files = [info for info in found if info.type == arrow.FileType.File and _PART not in info.path]
        entries = [Entry(path=info.path[length:], size=info.size or 0) for info in files]
        return [entry for entry in entries if all(is_plain_name(name) for name in entry.path.split("/"))]

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}".rstrip("/")

    def _retry(self, call: Callable[[], Value], what: str) -> Value:
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except (FileNotFoundError, PermissionError) as error:
                raise type(error)(error.errno or errno.EACCES, _first_line(error), what) from error
            except (OSError, ArrowException) as error:
                if attempt + 1 == ATTEMPTS:
                    # a temporary error: the stage is retried later
                    raise OSError(errno.EIO, f"the store does not answer after {ATTEMPTS} attempts ({_first_line(error)})", what) from error
                self._sleep(FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.0))
        raise AssertionError


def _open(uri: str) -> tuple[Any, str]:
    shown = without_secrets(uri)
    try:
        found: tuple[Any, str] = arrow.FileSystem.from_uri(uri)
        return found
    except (ArrowException, ValueError, OSError) as error:
        reason = _first_line(error).replace(uri, shown)
    try:
        import fsspec  # type: ignore[import-untyped]

        filesystem, root = fsspec.core.url_to_fs(uri)
        return arrow.PyFileSystem(arrow.FSSpecHandler(filesystem)), root
    except (ImportError, ValueError, OSError) as error:
        raise InputError(
            f"{shown} cannot be opened (pyarrow: {reason}; fsspec: {_first_line(error).replace(uri, shown)}): use s3://, gs:// or abfs://, "
            "or install the fsspec package for it on every node."
        ) from None


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(getattr(error, "strerror", None) or error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].strip()[:200].removesuffix(".")
