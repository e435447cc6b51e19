"""Attempts hostile inputs for some minutes, and prints what became of them.

    python -m benchmarks.attack --minutes 30
    python -m benchmarks.attack --minutes 2 --only "shipped grids, changed" --seed 1

Each family of inputs gets an equal share of the time, in a process of its own. An input is accepted,
or refused in one sentence of at most 500 characters; everything else is a fault: a traceback, a
message of several lines, more processor time or memory than the family's limits, no answer. The seed
of each fault is printed, with which it can be attempted again (`--again SEED`). "Unforeseen" are
refusals by a command's outermost check alone, which names the error's class.

Exit status: 0 if there was no fault.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.case import Attack

SILENT_S = 300.0
FINE = ("accepted", "refused", "refused unforeseen")
HEADER = "| hostile | inputs | accepted | refused | unforeseen | faults | slowest, s | most memory, MB | limits |\n" + "|---" * 9 + "|"


class Attempts:
    """One process that attempts inputs; it is started again when it dies or does not answer."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def attempt(self, attack: Attack, seed: int) -> dict[str, Any]:
        """Attempt one input; as `benchmarks.attack.worker.attempt`."""
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        print(seed, attack.name, file=self._process.stdin, flush=True)
        answer = self._answer()
        if answer is None:
            died = self._process.poll()
            self.close()
            return {"outcome": "no answer" if died is None else "died", "detail": f"status {died}", "seconds": 0.0, "mb": 0.0}
        found: dict[str, Any] = json.loads(answer)
        if found["outcome"] in ("too large", "too slow"):
            self.close()  # what it left behind must not count for the next
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        self._process = None

    def start(self) -> None:
        """Start the process, unless it runs already."""
        if self._process is not None and self._process.poll() is None:
            return
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attack.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self._answer() is not None, "the process of attempts does not start: run python -m benchmarks.attack.worker"

    def _answer(self) -> str | None:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], SILENT_S)
        return self._process.stdout.readline() or None if readable else None


@dataclass(kw_only=True)
class Tally:
    """What became of the inputs of one family."""

    attack: Attack
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    mb: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, seed: int, found: dict[str, Any]) -> None:
        """Count one attempt."""
        self.outcomes[found["outcome"]] += 1
        self.seconds, self.mb = max(self.seconds, found["seconds"]), max(self.mb, found["mb"])
        if found["outcome"] not in FINE:
            self.faults.append(f"{self.attack.name}, seed {seed}: {found['outcome']}: {found['detail']}")

    def row(self) -> str:
        """The line of the table."""
        counted = [self.outcomes[name] for name in FINE]
        limits = f"{self.attack.limit_s:g} s, {self.attack.limit_mb:,} MB"
        cells = [self.attack.name, self.outcomes.total(), *counted, len(self.faults), f"{self.seconds:.1f}", f"{self.mb:,.0f}", limits]
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main(arguments: list[str] | None = None) -> int:
    """Print one table and the faults; the exit status is 0 if there is none."""
    names = [attack.name for attack in ATTACKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description="Attempt hostile inputs, and say what became of them.")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all families together (default 30)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="FAMILY", help="; ".join(names))
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the next has the next one")
    parser.add_argument("--again", type=int, metavar="SEED", help="attempt one input of each family again")
    options = parser.parse_args(arguments)
    chosen = [attack for attack in ATTACKS if attack.name in options.only]
    print(f"seeds from {options.seed}; {options.minutes:g} minutes\n\n{HEADER}", flush=True)
    faults: list[str] = []
    for attack in chosen:
        attempts, tally = Attempts(), Tally(attack=attack)
        attempts.start()  # importing everything takes seconds, which do not count
        try:
            if options.again is not None:
                tally.add(options.again, attempts.attempt(attack, options.again))
            seed, until_s = options.seed, time.monotonic() + 60 * options.minutes / len(chosen)
            while options.again is None and time.monotonic() < until_s:
                tally.add(seed, attempts.attempt(attack, seed))
                seed += 1
        finally:
            attempts.close()
        print(tally.row(), flush=True)
        faults += tally.faults
    print("\n".join(["", *faults]))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
