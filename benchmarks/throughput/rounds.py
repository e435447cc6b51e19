"""Contenders side by side: each a process that stands still while another is on, their rounds
interleaved (a b c d a b c d ...).

A contender that is off is stopped with all that loads images for it (SIGSTOP), so nothing of it is
computed, or fetched ahead, in another's round.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.throughput.contender import Job, as_argument

LOG_LINES = 40


class GaveUp(Exception):
    """A contender ended; its last words.

    Attributes:
        log: the last lines of what it printed.
    """

    log = ""


@dataclass(kw_only=True)
class Contender:
    """One process and what was measured of it."""

    name: str
    """As in the tables."""
    job: Job
    files: Path
    about: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    tried: dict[int, float] = field(default_factory=dict)
    """Images a second by number of loading processes."""
    rates: list[float] = field(default_factory=list)
    """Images a second, by round."""
    shares: list[float] = field(default_factory=list)
    """Share of the ceiling of the same turn, by round."""
    parts: dict[str, float] = field(default_factory=dict)
    """Share of a step, by part."""
    peak_bytes: int = 0
    process: subprocess.Popen[str] | None = None
    log: Path | None = None
    """What it printed."""
    limit_s: float | None = None
    """It is ended if it does not answer for so long."""

    def start(self, log: Path) -> None:
        """Start the process; `await_ready` waits until it is ready for its first step."""
        command = [sys.executable, "-m", "benchmarks.throughput.contender", as_argument(self.job, self.files)]
        environment = os.environ | {"OMP_NUM_THREADS": str(self.job.threads), "TMPDIR": str(log.parent)}  # it is killed, and cleans up nothing
        self.log = log
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                process_group=0,  # what loads images for it stands still with it
            )

    def await_ready(self) -> None:
        """Wait until it is ready for its first step, and stop it there."""
        self.about = self._answer()
        self._signal(signal.SIGSTOP)

    def ask(self, command: str) -> dict[str, Any]:
        """Let it go on for one command."""
        self._signal(signal.SIGCONT)
        self._write(command)
        try:
            return self._answer()
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._signal(signal.SIGSTOP)

    def round(self, seconds: float) -> float:
        """Images a second of one round."""
        answer = self.ask(f"round {seconds}")
        return answer["images"] / answer["seconds"]

    def score(self, seconds: float, ceiling: float) -> None:
        """Keep the speed of one round, and its share of the ceiling."""
        rate = self.round(seconds)
        self.rates.append(rate)
        self.shares.append(rate * self.about["flops"] / ceiling)

    def take_apart(self, seconds: float) -> None:
        """Keep the most memory that was held, and then where the time of a step goes."""
        self.peak_bytes = self.ask("memory")["bytes"]
        parts = self.ask(f"parts {seconds}")["parts"]
        total = sum(parts.values())
        self.parts = {name: value / total for name, value in parts.items()}

    def choose_workers(self, candidates: Sequence[int], seconds: float) -> None:
        """Try each number of loading processes and keep the best; not for ours, which has none."""
        if self.job.library == "ours":
            return
        for number in candidates:
            self.ask(f"workers {number}")
            self.round(seconds)  # until what was fetched ahead is used up
            self.tried[number] = self.round(seconds)
        self.workers = max(self.tried, key=lambda number: self.tried[number])
        self.ask(f"workers {self.workers}")

    def stop(self) -> None:
        """End it, with what loads images for it; nothing of it is to be kept."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._signal(signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.wait()
        self.process = None

    def _signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, which)

    def _write(self, line: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its last words come in place of the answer
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        late = threading.Event()
        with self._ended_when_late(late):
            for line in self.process.stdout:
                if line.startswith("@ "):
                    return json.loads(line[2:])
        assert self.log is not None
        said = [line for line in self.log.read_text().splitlines() if line.strip()]
        words = GaveUp(said[-1] if said else f"it ended with status {self.process.wait()}")
        if late.is_set():
            words = GaveUp(f"it did not answer for {self.limit_s:.0f} s" + (f"; its last line: {said[-1]}" if said else ""))
        words.log = "\n".join(said[-LOG_LINES:])
        raise words

    @contextlib.contextmanager
    def _ended_when_late(self, late: threading.Event) -> Iterator[None]:
        def end() -> None:
            late.set()
            with contextlib.suppress(ProcessLookupError):
                self._signal(signal.SIGKILL)

        timer = None if self.limit_s is None else threading.Timer(self.limit_s, end)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()


@contextlib.contextmanager
def running(
    contenders: list[Contender], *, at_once: bool = False, on_gave_up: Callable[[Contender, GaveUp], None] | None = None
) -> Iterator[list[Contender]]:
    """Those that start, one after another or all at once; the others are named with their last words,
    or handed to `on_gave_up`. All are ended on leaving.
    """
    with tempfile.TemporaryDirectory() as scratch, _ended_by_signal():
        able = []
        try:
            logs = {id(one): Path(scratch) / f"{number}.log" for number, one in enumerate(contenders)}
            if at_once:
                for one in contenders:
                    one.start(logs[id(one)])
            for one in contenders:
                try:
                    if not at_once:
                        one.start(logs[id(one)])
                    one.await_ready()
                    able.append(one)
                except GaveUp as words:
                    if on_gave_up is None:
                        _say_gave_up(one, words)
                    else:
                        one.stop()
                        on_gave_up(one, words)
            yield able
        finally:
            for one in contenders:
                one.stop()


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that no contender is left standing still."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def compete(
    contenders: list[Contender], *, rounds: int, seconds: float, candidates: Sequence[int], ceiling: Callable[[str], float]
) -> dict[str, float]:
    """Choose each rival's loading processes, warm all up, then take turns; the parts of a step come
    last, one contender after another.

    A contender that gives up, such as one that the memory is too small for, is named and taken out
    of the list.

    Args:
        ceiling: measures the operations a second that matrix products reach in a precision; part of
            every turn.

    Returns:
        The median ceiling of each precision.
    """

    def each(what: Callable[[Contender], object]) -> None:
        for one in list(contenders):
            try:
                what(one)
            except GaveUp as words:
                _say_gave_up(one, words)
                contenders.remove(one)

    ceilings: dict[str, list[float]] = {one.about["precision"]: [] for one in contenders}
    each(lambda one: one.choose_workers(candidates, seconds / 2))
    each(lambda one: one.round(seconds / 2))
    for turn in range(rounds):
        print(f"turn {turn + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
        for precision, measured in ceilings.items():
            measured.append(ceiling(precision))
        each(lambda one: one.score(seconds, ceilings[one.about["precision"]][-1]))
    each(lambda one: one.take_apart(seconds))
    return {precision: statistics.median(measured) for precision, measured in ceilings.items()}


def _say_gave_up(one: Contender, words: GaveUp) -> None:
    one.stop()
    print(f"\n{one.name}: gave up: {words}", flush=True)


def ratios(first: Contender, second: Contender) -> tuple[float, float, float]:
    """How many times as fast the first is: median, least and most of the pairs of one turn."""
    pairs = [a / b for a, b in zip(first.rates, second.rates, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)
