"""The process in which hostile inputs are attempted: it may grow, hang or die, and its parent tells.

Reads `attack seed` from stdin, one a line, and answers each with one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.case import SENTENCES, Attack, Refused, fault_of

MB = 1 << 20
ROOT = str(Path(__file__).resolve().parents[2])


class TooSlow(BaseException):
    """The processor time of an attempt is used up; no `except Exception` may swallow it."""


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def _status_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


@contextmanager
def _limited(attack: Attack) -> Iterator[None]:
    """Limits of processor time and memory for one attempt."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_status_kb("VmData") * 1024 + (attack.limit_mb + 200) * MB, hard))  # some is reserved and not used
    signal.setitimer(signal.ITIMER_PROF, attack.limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def attempt(attack: Attack, seed: int) -> dict[str, Any]:
    """Attempt one hostile input.

    Returns:
        outcome: 'accepted', 'refused', or what went wrong; detail; seconds of processor time; mb of
        memory that it added at its peak.
    """
    scratch = Path(tempfile.mkdtemp(prefix="attack-"))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before_kb, began_s = _status_kb("VmRSS"), time.process_time()
    outcome, detail = "accepted", ""
    try:
        with _limited(attack):
            attack.attempt(random.Random(f"{attack.name} {seed}"), scratch)
    except TooSlow:
        outcome, detail = "too slow", _where()
    except MemoryError as error:
        outcome, detail = "too large", _where(error)
    except (*SENTENCES, Refused) as error:
        fault = fault_of(str(error), scratch)
        outcome, detail = (fault or "refused"), str(error)[:300] if fault else ""
        if isinstance(error, Refused) and "SCALING_TRACEBACK=1" in str(error):
            outcome, detail = "refused unforeseen", str(error)[:300]
    except BaseException as error:
        outcome, detail = "traceback", f"{type(error).__name__}: {str(error)[:120]} at {_where(error)} {getattr(error, '__notes__', '')}"
    finally:
        seconds = time.process_time() - began_s
        peak_kb = _status_kb("VmHWM")
        shutil.rmtree(scratch, ignore_errors=True)
    mb = max(0.0, (peak_kb - before_kb) / 1024)
    if outcome in ("accepted", "refused") and mb > attack.limit_mb:
        outcome = "too large"
    return {"outcome": outcome, "detail": detail, "seconds": seconds, "mb": mb}


def _where(error: BaseException | None = None) -> str:
    """The last line of this project in a traceback."""
    frames = traceback.extract_tb(error.__traceback__ if error else sys.exc_info()[2])
    own = [frame for frame in frames if frame.filename.startswith(ROOT) and ".venv" not in frame.filename]
    return f"{os.path.relpath(own[-1].filename, ROOT)}:{own[-1].lineno}" if own else "?"


def main() -> None:
    """Answer attempts until stdin ends."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _on_alarm)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what is printed by an attempt must not mix with the answers
    attacks = {attack.name: attack for attack in ATTACKS}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        seed, _, name = line.strip().partition(" ")
        print(json.dumps(attempt(attacks[name], int(seed))), file=answers, flush=True)


if __name__ == "__main__":
    main()
