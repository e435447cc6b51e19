"""The token that Ray asks for: whoever has it can run code as the user who launched, so its file is
made or kept readable by that user alone.

Ray looks for it in RAY_AUTH_TOKEN, then in the file that RAY_AUTH_TOKEN_PATH names, then in
~/.ray/auth_token. Left to itself, it writes that last file as 0644 in a folder of 0755.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from trials.errors import InputError

FOLDER, FILE = ".ray", "auth_token"
_REMEDY = "name a file that you own and nobody else can read in RAY_AUTH_TOKEN_PATH, or put the token into RAY_AUTH_TOKEN"


def protect_token(*, create: bool) -> str:
    """Make Ray's token file readable by its owner alone; returns a sentence for the user if others
    could read it until now, else ''. Must come before Ray starts.

    Args:
        create: write a new random token where there is none, as for a Ray of the launch's own.

    Raises:
        InputError: the token cannot be kept from other users.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return ""  # there is no token, or it is in no file
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        return _protect_named(Path(named)) if named else _protect_default(create)
    except OSError as error:
        place = named or f"~/{FOLDER}/{FILE}"
        raise InputError(f"Ray's token {place} cannot be kept private ({error.strerror}): {_REMEDY}.") from None


def _protect_named(path: Path) -> str:
    """The file that the user has chosen, also through a link, as clusters mount their secrets."""
    with _opened(str(path)) as file:
        status = os.fstat(file)
        is_shared_secret = status.st_uid == 0 and not status.st_mode & stat.S_IRWXO
        return "" if is_shared_secret else _make_private(file, str(path))


def _protect_default(create: bool) -> str:
    """~/.ray/auth_token and its folder, neither of which may be a link."""
    os.environ.setdefault("HOME", str(Path.home()))  # Ray's C++ part knows no other way to the home folder
    place = Path.home() / FOLDER
    if not os.path.lexists(place):
        if not create:
            return ""
        with contextlib.suppress(FileExistsError):  # another launch was first
            place.mkdir(mode=0o700)
            place.chmod(0o700)  # whatever the umask
    _refuse_link(place)
    with _opened(str(place), os.O_NOFOLLOW | os.O_DIRECTORY) as folder:
        was_open = bool(_make_private(folder, str(place), mode=0o700))
        if not os.path.lexists(place / FILE):
            if create:
                _create(folder)
            return ""
        _refuse_link(place / FILE)
        with _opened(FILE, os.O_NOFOLLOW, folder) as file:
            notice = _make_private(file, str(place / FILE))
            return notice if was_open else ""


@contextlib.contextmanager
def _opened(name: str, flags: int = 0, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=within)  # a pipe must not block
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link, so Ray's token could lie where others read or replace it: put a real one there, or {_REMEDY}.")


def _make_private(descriptor: int, shown: str, *, mode: int = 0o600) -> str:
    """Take every right from group and others; returns a sentence if they had some."""
    status = os.fstat(descriptor)
    if not (stat.S_ISREG(status.st_mode) or (mode == 0o700 and stat.S_ISDIR(status.st_mode))):
        raise InputError(f"{shown} should hold Ray's token and is no regular file: remove it, or {_REMEDY}.")
    if status.st_uid != os.geteuid():
        raise InputError(f"{shown} holds Ray's token and belongs to another user, who could run code as you: {_REMEDY}.")
    if stat.S_IMODE(status.st_mode) == mode:
        return ""
    os.fchmod(descriptor, mode)
    if not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    return (
        f"other users could read {shown}, the token of Ray, until now: if you do not trust them all, delete it while nothing runs; "
        "the next launch makes a new one"
    )


def _create(folder: int) -> None:
    """Write a new token; another launch that does the same sees all of it or nothing."""
    part = f".{FILE}-{secrets.token_hex(8)}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w") as handle:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            handle.write(secrets.token_hex(32))  # as long as Ray's own
        with contextlib.suppress(FileExistsError):  # another launch was first
            os.link(part, FILE, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.unlink(part, dir_fd=folder)
