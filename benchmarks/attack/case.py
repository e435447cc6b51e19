"""One attack: what it does to an input, and the limits within which the answer must come."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from analysis import AnalysisError
from reports.errors import ReportError
from trials.errors import InputError, StageError

LONGEST_SENTENCE = 500
"""Characters of a message, paths of the scratch folder not counted."""
SENTENCES: tuple[type[Exception], ...] = (AnalysisError, ReportError, InputError, StageError)
"""Errors whose message is a sentence for the user."""


class Attempt(Protocol):
    """Attempts one hostile input; raises one of `SENTENCES` where it is refused."""

    def __call__(self, rng: random.Random, scratch: Path) -> str:
        """Returns what was tried, for the report; `scratch` is an empty folder."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A family of hostile inputs to one reader."""

    name: str
    attempt: Attempt
    limit_s: float = 10.0
    """Processor time of one attempt."""
    limit_mb: int = 500
    """Memory that one attempt may add."""


class Refused(Exception):
    """A command line refused its input: exit status 1 or 2 and what stands on stderr."""


def call(main: Callable[[list[str]], int], arguments: list[str]) -> None:
    """Call a command line. Raises Refused with what it prints on stderr where it does not end with 0
    (1 without a word says that not all is done).
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    if status not in (0, 1, 2):
        raise AssertionError(f"exit status {status}")
    if status == 2 or (status == 1 and err.getvalue()):
        raise Refused(err.getvalue())


def fault_of(message: str, scratch: Path) -> str:
    """What is wrong with a refusal as a sentence; '' if nothing."""
    shown = message.strip().replace(str(scratch), "")
    if not shown:
        return "no message"
    if "\n" in shown or "Traceback" in shown:
        return "several lines"
    return "too long" if len(shown) > LONGEST_SENTENCE else ""
