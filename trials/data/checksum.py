"""Whether a store still holds what was written: its pixels and labels against their SHA-256, once
for each state of its files.

SHA-256 reads about 2 GB/s on one core, so a store of 12 GB costs some 6 s. The result is kept in
the store (`verified.json`), under the path, the sizes, the inodes and the times of the files, with a
digest of blocks spread over each file. Later processes look at those and read the blocks (at most 4
MB a file) instead of all. What changes other bytes but no time (a failing disk) is found by `python
-m trials.prepare --verify`. Whoever may write into the store may also write its manifest: the
checksum protects from damage and not from its maker.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trials.data.manifest import FILE, Manifest, read_image_sizes, read_starts
from trials.errors import InputError
from trials.received_files import file_inside

VERIFIED = "verified.json"
LABELS_SUM = "labels.sha256"
"""As `sha256sum` writes and checks it."""
_CHUNK_BYTES = 8 << 20
_SETTLED_S = 0.1
"""A file changed within one tick of the file system's clock keeps its time, so a younger state is
not remembered.
"""
_BLOCKS, _BLOCK_BYTES = 64, 1 << 16
"""How many blocks of each file a process reads again before it believes the record, and their
size.
"""
_known: set[str] = set()


def write_labels_sum(folder: Path) -> None:
    """Beside labels.npy, once it is written."""
    (folder / LABELS_SUM).write_text(f"{_sha256(folder / 'labels.npy')}  labels.npy\n")


def check_regular(folder: Path) -> None:
    """Check that a store holds files alone, or links to files: a pipe would be waited on for ever.

    Raises:
        OSError: something else is there.
    """
    odd = next((path for path in folder.iterdir() if path.exists() and not path.is_file()), None)
    if odd is not None:
        raise OSError(errno.EINVAL, f"{odd.name} is no file")


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
        record = state | {"sample": _sample(folder, state)}
        newest = max(max(times[2:]) for times in state["files"].values()) / 1e9
        if _state(folder, manifest) == state and started - newest > _SETTLED_S:
            _known.add(json.dumps(state))
            with contextlib.suppress(OSError):  # a store that is read only is read once by each process
                part = folder / f".{VERIFIED}.part"
                part.write_text(json.dumps(record) + "\n")
                part.replace(folder / VERIFIED)


def _state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    files = {}
    for name in sorted([*manifest.sizes(), "labels.npy", LABELS_SUM, FILE]):
        with contextlib.suppress(FileNotFoundError):
            found = (folder / name).stat()
            # the inode and the time of change as well, which no copy can keep
            files[name] = [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    return {"folder": str(folder.resolve()), "sha256": manifest.sha256, "files": files}


def _is_known(folder: Path, state: dict[str, Any]) -> bool:
    if json.dumps(state) in _known:
        return True
    try:
        record = json.loads(file_inside(folder, VERIFIED).read_text())
        if not isinstance(record, dict) or {name: record.get(name) for name in state} != state:
            return False
        if record.get("sample") != _sample(folder, state):
            return False
    except (OSError, ValueError, RecursionError):
        return False
    _known.add(json.dumps(state))
    return True


def _sample(folder: Path, state: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of blocks spread evenly over each file, first and last bytes included; of the whole
    file where it is small.
    """
    found = {}
    for name, (size, *_) in state["files"].items():
        digest = hashlib.sha256()
        with open(folder / name, "rb") as handle:
            for block in range(_BLOCKS):
                handle.seek(max(block * _BLOCK_BYTES, block * (size - _BLOCK_BYTES) // (_BLOCKS - 1)))
                digest.update(handle.read(_BLOCK_BYTES))
        found[name] = digest.hexdigest()
    return found


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
    """Of each image followed by its mask, in order, then of the arrays that say where each lies, as
    the manifest has it; in bounded memory.
    """
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(open(folder / manifest.image_file, "rb"))
        if not manifest.has_masks:
            _digest_rest(digest, images)
        else:
            masks = stack.enter_context(open(folder / "masks.u8", "rb"))
            for image_bytes, mask_bytes in _lengths(folder, manifest):
                _digest_bytes(digest, images, image_bytes)
                _digest_bytes(digest, masks, mask_bytes)
            _digest_rest(digest, images)  # nothing, where the arrays are those that were written
            _digest_rest(digest, masks)
    for name in manifest.arrays:
        digest.update(np.load(folder / name, allow_pickle=False).tobytes())
    return digest.hexdigest()


def _lengths(folder: Path, manifest: Manifest) -> Iterator[tuple[int, int]]:
    """Bytes of each image and of its mask."""
    sizes, starts = read_image_sizes(folder, manifest), read_starts(folder, manifest) if manifest.storage == "jpeg" else None
    areas = np.empty(0, dtype=np.int64) if sizes is None else sizes.prod(axis=1)
    lengths = (0 if manifest.storage == "files" else 3) * areas if starts is None else np.diff(starts)
    yield from zip(lengths.tolist(), areas.tolist(), strict=True)


def _digest_bytes(digest: Any, handle: BinaryIO, count: int) -> None:
    while count > 0 and (chunk := handle.read(min(count, _CHUNK_BYTES))):
        digest.update(chunk)
        count -= len(chunk)


def _digest_rest(digest: Any, handle: BinaryIO) -> None:
    while chunk := handle.read(_CHUNK_BYTES):
        digest.update(chunk)


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
