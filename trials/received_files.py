"""Checks files of a folder that somebody else may have made, before they are read: a name or a link
found in it must not lead to the reader's other files. `analysis.runs.received_files` is its twin.
"""

from __future__ import annotations

import errno
import re
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 256 << 20
"""For a JSON or text file, of which those of a study have far less."""
_STAGE_ID = re.compile(r"(trunk|pretrain|intermediate|finetune)-[0-9a-f]{12}")
_LONGEST_NAME = 255


class PlanError(ValueError):
    """The stages of a plan are not as a launch writes them."""


class RefusedFileError(OSError):
    """A file is refused and not read; the message says which and why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EPERM, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


def is_stage_id(name: object) -> bool:
    """Whether it is `<kind>-<12 hex digits>`, as every stage id."""
    return isinstance(name, str) and _STAGE_ID.fullmatch(name) is not None


def is_plain_name(name: object) -> bool:
    """Whether a file or folder of that name can only be inside the folder that it is looked for in."""
    return isinstance(name, str) and name not in ("", ".", "..") and len(name) <= _LONGEST_NAME and not any(c in name for c in "/\\\0")


def file_inside(folder: Path, *names: str, most_bytes: int = MOST_BYTES) -> Path:
    """The path of a regular file in a folder, or in folders within it, that is safe to read.

    The folder itself may be a link. Nothing is opened.

    Args:
        names: the folders within it, then the file; each a plain name.
        most_bytes: the largest size that is read.

    Raises:
        RefusedFileError: a name is no plain one, something below the folder is a link, or the file is
            no regular one or too large.
        OSError: there is no such file.
    """
    path = folder
    for name in names:
        if not is_plain_name(name):
            raise RefusedFileError(f"{str(folder)[:200]} names the file {name[:60]!r}, which is no plain name, so it is not read.")
        path = path / name
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise RefusedFileError(f"{_shown(path)} is a link, which may lead out of the study, so it is not read: put the file itself there.")
    if not stat.S_ISREG(status.st_mode):
        raise RefusedFileError(f"{_shown(path)} is no regular file, so it is not read.")
    if status.st_size > most_bytes:
        raise RefusedFileError(f"{_shown(path)} has {status.st_size:,} bytes, more than the {most_bytes:,} that are read of such a file.")
    return path


def check_stage_ids(plan: dict[str, Any]) -> None:
    """Check the ids of a plan's stages, and that the stages each one needs come before it.

    Raises:
        PlanError: one is no stage id, or comes too early.
        KeyError, TypeError: the stages lack an id or are no list.
    """
    earlier: set[str] = set()
    for stage in plan["stages"]:
        spec = stage.get("spec") or {}
        for need in (stage.get("parent"), stage.get("trunk"), spec.get("parent"), spec.get("trunk")):
            if need is not None and need not in earlier:
                raise PlanError(f"a stage needs {str(need)[:60]!r}, which is no earlier stage of the plan")
        if not is_stage_id(stage["id"]):
            raise PlanError(f"{str(stage['id'])[:60]!r} is no stage id")
        earlier.add(stage["id"])


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"...{text[-300:]}"
