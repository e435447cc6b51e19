"""Whether the folders that a launch works in are still there and still its own."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path

from scaling.study.lock import Owner, read_owner

AGAIN_S = 0.5  # a network file system may miss a file for a moment: what is gone is looked for once more
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class FolderLostError(RuntimeError):
    """A folder that the launch works in is gone, is another one, or cannot be written any more; the
    message is a sentence.
    """


class Presence:
    """Checks the folders of one launch, a few file operations a time.

    Args:
        folder: the study folder, which this process has locked.
        owner: who the lock file must name.
        stores: folders of the image stores that are read.
    """

    def __init__(self, folder: Path, owner: Owner, stores: Iterable[Path] = ()) -> None:
        self._folder, self._owner, self._stores = folder, owner, tuple(stores)
        self.lost = ""
        """Why the study folder must not be written any more; empty where it may."""

    def check(self) -> None:
        """Raises FolderLostError if anything is missing, twice within half a second."""
        if self._fault():
            time.sleep(AGAIN_S)
            fault = self._fault()
            if fault:
                raise FolderLostError(fault)

    def may_write(self) -> bool:
        """Whether the study folder is still the launch's own and can be written; else see `lost`."""
        self.lost = self._fault_of_study()
        return not self.lost

    def _fault(self) -> str:
        return self._fault_of_study() or self._fault_of_stores()

    def _fault_of_study(self) -> str:
        """Judged by plan and lock file, whose contents also an inode that changes does not change."""
        plan = self._folder / "plan.json"
        try:
            plan.lstat()
        except OSError as error:
            return self._gone() if error.errno in _GONE else ""
        if read_owner(self._folder / ".lock") != self._owner:
            return self._gone()
        if os.statvfs(self._folder).f_flag & os.ST_RDONLY or not os.access(self._folder, os.W_OK | os.X_OK):
            return f"the study folder {_shown(self._folder)} became read-only: allow writing there."
        return ""

    def _gone(self) -> str:
        return (
            f"the study folder {_shown(self._folder)} was deleted, moved or replaced while it was worked on: put it back to keep what it held, "
            "or name the place it was moved to with --out."
        )

    def _fault_of_stores(self) -> str:
        for store in self._stores:
            try:
                (store / "manifest.json").lstat()
            except OSError as error:
                if error.errno in _GONE:
                    return (
                        f"the image store {_shown(store)} was deleted or moved while stages read it: put it back, or the next launch makes it anew."
                    )
        return ""


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 150 else f"...{text[-150:]}"
