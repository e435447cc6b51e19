"""Whether a store still holds what was written: its pixels and labels against their SHA-256, once
for each state of its files.

SHA-256 reads about 2 GB/s on one core, so a store of 12 GB costs some 6 s. The result is kept in
the store (`verified.json`), under the path, the sizes and the times of the files, so that later
stages look at the times alone. What changes bytes but no time (a failing disk) is found by `python
-m trials.prepare --verify`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trials.data.manifest import FILE, Manifest
from trials.errors import InputError

VERIFIED = "verified.json"
LABELS_SUM = "labels.sha256"
"""As `sha256sum` writes and checks it."""
_CHUNK_BYTES = 8 << 20
_SETTLED_S = 0.1
"""A file changed within one tick of the file system's clock keeps its time, so a younger state is
not remembered.
"""
_known: set[str] = set()


def write_labels_sum(folder: Path) -> None:
    """Beside labels.npy, once it is written."""
    (folder / LABELS_SUM).write_text(f"{_sha256(folder / 'labels.npy')}  labels.npy\n")


def verify(folder: Path, manifest: Manifest, again: str, *, anew: bool = False) -> None:
    """Compare a store with its checksums, unless that was done for these very files.

    Args:
        again: what to do to have the store anew, for the message. anew: compare in any case.

    Raises:
        InputError: it holds other bytes than were written.
    """
    state = _state(folder, manifest)
    if not anew and _is_known(folder, state):
        return
    with _alone(folder):  # of many stages that start at once, one reads and the others wait
        state = _state(folder, manifest)
        if not anew and _is_known(folder, state):
            return
        started = time.time()
        _compare(folder, manifest, again)
        newest = max(max(times[1:]) for times in state["files"].values()) / 1e9
        if _state(folder, manifest) == state and started - newest > _SETTLED_S:
            _known.add(json.dumps(state))
            with contextlib.suppress(OSError):  # a store that is read only is read once by each process
                part = folder / f".{VERIFIED}.part"
                part.write_text(json.dumps(state) + "\n")
                part.replace(folder / VERIFIED)


def _state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    files = {}
    for name in sorted([*manifest.sizes(), "labels.npy", LABELS_SUM, FILE]):
        with contextlib.suppress(FileNotFoundError):
            found = (folder / name).stat()
            # the time of change as well, which no copy can keep
            files[name] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    return {"folder": str(folder.resolve()), "sha256": manifest.sha256, "files": files}


def _is_known(folder: Path, state: dict[str, Any]) -> bool:
    if json.dumps(state) in _known:
        return True
    try:
        return bool(json.loads((folder / VERIFIED).read_text()) == state)
    except (OSError, ValueError, RecursionError):
        return False


def _compare(folder: Path, manifest: Manifest, again: str) -> None:
    remedy = f"delete that folder and {again}; what was trained on it since may be wrong"
    if pixels_sha256(folder, manifest) != manifest.sha256:
        raise InputError(f"The image store {folder} is damaged, its pixels are not those that were written (another SHA-256): {remedy}.")
    try:
        labels_sum = (folder / LABELS_SUM).read_text().split()[:1]
    except FileNotFoundError:
        return  # of a store made before there was one; the manifest's counts of each class hold
    except (OSError, ValueError):
        labels_sum = []
    if labels_sum != [_sha256(folder / "labels.npy")]:
        raise InputError(f"The image store {folder} is damaged, its labels are not those that were written (another SHA-256): {remedy}.")


def pixels_sha256(folder: Path, manifest: Manifest) -> str:
    """Of each image followed by its mask, in order, as the manifest has it; in bounded memory."""
    digest = hashlib.sha256()
    image_bytes, mask_bytes = 3 * manifest.image_px**2, manifest.image_px**2
    at_once = max(1, _CHUNK_BYTES // image_bytes)
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(open(folder / "images.u8", "rb"))
        masks = stack.enter_context(open(folder / "masks.u8", "rb")) if manifest.has_masks else None
        while chunk := images.read(at_once * image_bytes):
            if masks is None:
                digest.update(chunk)
                continue
            own = memoryview(masks.read(at_once * mask_bytes))
            view = memoryview(chunk)
            for i in range(-(-len(chunk) // image_bytes)):
                digest.update(view[i * image_bytes : (i + 1) * image_bytes])
                digest.update(own[i * mask_bytes : (i + 1) * mask_bytes])
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no lock where nothing can be written
            handle = stack.enter_context(open(folder.parent / f".{folder.name}-verify.lock", "w"))
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
