"""How an attempt at a stage ended, and whether another may end better."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from trials.errors import InputError, StageError

RETRIES = 2  # further attempts within one launch, unless the grid says otherwise
# Seconds before the second attempt and before every later one. A moment is enough for what a dying
# process still holds (its lock, its memory); ten seconds are for a file server or a full disk, and
# short beside any stage that is worth retrying.
BACKOFF_S = (1.0, 10.0)

# What a disk, a network file system or a crowded machine says now and not a minute later. A missing
# file or a refusal stays one.
_NAMES = (
    *("EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EDQUOT", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO", "EMFILE", "ENETDOWN"),
    *("ENETRESET", "ENETUNREACH", "ENFILE", "ENOBUFS", "ENOLCK", "ENOMEM", "ENOSPC", "ENOTCONN", "EPIPE", "EREMOTEIO", "ESTALE", "ETIMEDOUT"),
)
_PASSING = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one attempt at a stage."""

    done: bool
    """Its result is there."""
    reason: str = ""
    """If it is not done: why, in one sentence."""
    type: str = ""
    """Name of the error's class; 'died' if its process ended without a word, 'interrupted' if it
    was told to stop.
    """
    may_pass: bool = False
    """Whether the same attempt, made again, may succeed."""
    unexpected: bool = False
    """Whether the process that ran it had better not run another stage."""


def failure(error: Exception) -> Outcome:
    """The outcome of an attempt that raised.

    It may pass if the error, or one that it came from, is an OSError of the passing kind, or the
    machine's memory was short. A loss that is no number, a mistake in the grid, and a GPU whose
    memory the stage does not fit in, come again.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    passing = any(isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno in _PASSING) for one in chain)
    return Outcome(
        done=False,
        reason=_sentence(error),
        type=type(chain[-1]).__name__,
        may_pass=passing and not isinstance(error, InputError),
        unexpected=len(chain) > 1,
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError | StageError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({error.filename or 'while writing'}): mend that and launch again."
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]


def backoff_s(attempts: int) -> float:
    """Seconds to wait after so many attempts that failed."""
    return BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1]
