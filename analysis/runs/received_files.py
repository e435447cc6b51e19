"""Checks files of a folder that somebody else may have made, before they are read: a name or a link
found in it must not lead to the reader's other files. `trials.received_files` is its twin.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from analysis.errors import AnalysisError

MOST_BYTES = 256 << 20
"""For a JSON or text file, of which those of a study have far less."""
MOST_TABLE_BYTES = 1 << 30
_STAGE_ID = re.compile(r"(trunk|pretrain|intermediate|finetune)-[0-9a-f]{12}")
_LONGEST_NAME = 255


class FileRefusedError(AnalysisError):
    """The file is not read; the message says which and why."""


def is_stage_id(name: object) -> bool:
    """Whether it is `<kind>-<12 hex digits>`, as every stage id."""
    return isinstance(name, str) and _STAGE_ID.fullmatch(name) is not None


def is_plain_name(name: object) -> bool:
    """Whether a file or folder of that name can only be inside the folder that it is looked for in."""
    return isinstance(name, str) and name not in ("", ".", "..") and len(name) <= _LONGEST_NAME and not any(c in name for c in "/\\\0")


def file_inside(folder: Path, *names: str, most_bytes: int = MOST_BYTES) -> Path | None:
    """The path of a regular file in a folder, or in folders within it, that is safe to read; None
    if there is none.

    The folder itself may be a link. Nothing is opened.

    Args:
        names: the folders within it, then the file; each a plain name.
        most_bytes: the largest size that is read.

    Raises:
        FileRefusedError: a name is no plain one, something below the folder is a link, or the file
            is no regular one or too large.
    """
    path = folder
    for name in names:
        if not is_plain_name(name):
            raise FileRefusedError(f"{str(folder)[:200]} names the file {name[:60]!r}, which is no plain name, so it is not read.")
        path = path / name
        try:
            status = path.lstat()
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode):
            raise FileRefusedError(f"{_shown(path)} is a link, which may lead out of the study, so it is not read: put the file itself there.")
    if not stat.S_ISREG(status.st_mode):
        raise FileRefusedError(f"{_shown(path)} is no regular file, so it is not read.")
    if status.st_size > most_bytes:
        raise FileRefusedError(f"{_shown(path)} has {status.st_size:,} bytes, more than the {most_bytes:,} that are read of such a file.")
    return path


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"...{text[-300:]}"
