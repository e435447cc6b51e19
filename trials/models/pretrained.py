"""Weights that an encoder starts from, as a part of its name: `+FILE#SHA`.

A grid names a safetensors file; what decides a stage's numbers is what the file holds. So a stage's
id has the first 12 hex digits of its SHA-256 and not its place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trials.errors import InputError

PRETRAINED = r"(?:\+[^#\n]+(?:#[0-9a-f]{12})?)?"
"""Regular expression of that part of a name; empty where a new encoder is drawn."""
DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of weights."""

    path: Path
    digest: str
    """The first 12 hex digits of its SHA-256."""


def checked_weights(name: str, part: str) -> Weights | None:
    """The weights that a part of an encoder's name says; None where it says none.

    Raises:
        InputError: there is no such safetensors file, or it holds other weights than the name says.
    """
    if not part:
        return None
    place, _, digest = part.removeprefix("+").partition("#")
    path = Path(place)
    if path.suffix != ".safetensors" or not path.is_file():
        raise InputError(f"Encoder {name!r}: pretrained must be a .safetensors file, and there is none at {str(path)!r}.")
    state = path.stat()
    found = _digest(path, state.st_mtime_ns, state.st_size)
    if digest and digest != found:
        raise InputError(f"Encoder {name!r}: {str(path)!r} is not the file that the stage was planned with: its SHA-256 begins {found}.")
    return Weights(path=path, digest=found)


@lru_cache(maxsize=16)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:DIGITS]


def spell_weights(weights: Weights | None) -> str:
    """The part of an encoder's canonical name that gives its pretrained weights."""
    return "" if weights is None else f"+{weights.path}#{weights.digest}"
