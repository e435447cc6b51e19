"""Hurt a study in every way, and count what was lost.

    python -m benchmarks.faults --injections 2 --only worker driver     about 3 minutes on 2 cores
    python -m benchmarks.faults                                         50 kills of each kind, ...

A study of 22 stages of 1 to 3 seconds under real Ray; each fault on studies of its own, each of
which must end with the very table of the study that was never hurt, with no finished stage trained
again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.faults.damage import damaged_checkpoint, full_disk, halved_result, jumping_clock, two_launches
from benchmarks.faults.kills import kills, node_kills
from benchmarks.faults.study import HEADER, Account, uninterrupted
from benchmarks.faults.writes import kills_in_writes

Fault = Callable[[int, int, Path, Path, bytes], Account]
FAULTS: dict[str, Fault] = {
    "worker": partial(kills, "worker"),
    "driver": partial(kills, "driver"),
    "raylet": partial(kills, "raylet"),
    "gcs": partial(kills, "gcs"),
    "node": node_kills,
    "write": kills_in_writes,
    "disk": partial(full_disk, "study"),
    "ray-disk": partial(full_disk, "Ray"),
    "checkpoint": damaged_checkpoint,
    "result": halved_result,
    "clock": jumping_clock,
    "two": two_launches,
}
KILLS = ("worker", "driver", "raylet", "node", "write")  # Ray notices only after a minute that its control store is gone


def main() -> int:
    """Print one table; the exit status is 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="What is lost when things go wrong?")
    parser.add_argument("--injections", type=int, default=50, help="kills of each kind")
    parser.add_argument("--others", type=int, help="injections of every other fault (default: a fifth of the kills)")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--data", type=Path, help="a folder for the image store, kept (default: a temporary one)")
    options = parser.parse_args()
    others = options.others or max(1, options.injections // 5)
    print(f"seed {options.seed}; {options.injections} kills of each kind, {others} of every other fault\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        data = options.data or scratch / "data"
        reference = uninterrupted(data, scratch)
        print(HEADER, flush=True)
        accounts = []
        for name in options.only:
            started = time.monotonic()
            account = FAULTS[name](options.injections if name in KILLS else others, options.seed, data, scratch, reference)
            account.seconds = time.monotonic() - started
            accounts.append(account)
            print(account.row(), flush=True)
    return int(any(account.lost or account.twice or not account.tables_equal for account in accounts))


if __name__ == "__main__":
    raise SystemExit(main())
