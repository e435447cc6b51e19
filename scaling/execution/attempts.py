"""How an attempt at a stage ended, and whether another attempt may succeed."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from trials.errors import InputError, StageError, error_summary

RETRIES = 2  # further attempts within one launch, unless the grid says otherwise
# Seconds before the second attempt and before every later one. One second is enough for a dying
# process to release its lock and memory; ten seconds help with a file server or a full disk.
BACKOFF_S = (1.0, 10.0)

# Temporary errors of a disk, a network file system or a busy machine. A missing file or missing
# permission is not temporary.
_NAMES = (
    *("EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EDQUOT", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO", "EMFILE", "ENETDOWN"),
    *("ENETRESET", "ENETUNREACH", "ENFILE", "ENOBUFS", "ENOLCK", "ENOMEM", "ENOSPC", "ENOTCONN", "EPIPE", "EREMOTEIO", "ESTALE", "ETIMEDOUT"),
)
_TEMPORARY = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one attempt at a stage."""

    done: bool
    """Its result is there."""
    reason: str = ""
    """Why it is not done, in one sentence."""
    type: str = ""
    """Name of the error's class; 'died' if its process ended without a message, 'interrupted' if it
    was asked to stop.
    """
    may_pass: bool = False
    """Whether the failure may be temporary, so that another attempt may succeed."""
    unexpected: bool = False
    """Whether the process should not run another stage."""


def failure(error: Exception) -> Outcome:
    """The outcome of an attempt that raised an error.

    The failure may be temporary if the error, or one of its causes, is a temporary OSError or a
    MemoryError. A loss that is not a number, a mistake in the grid, and a stage that does not fit
    into GPU memory fail every time.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    temporary = any(isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno in _TEMPORARY) for one in chain)
    return Outcome(
        done=False,
        reason=_sentence(error),
        type=type(chain[-1]).__name__,
        may_pass=temporary and not isinstance(error, InputError),
        unexpected=len(chain) > 1,
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError | StageError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({error.filename or 'while writing'}): mend that and launch again."
    return error_summary(error)


def backoff_s(attempts: int) -> float:
    """Seconds to wait after this many failed attempts."""
    return BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1]
