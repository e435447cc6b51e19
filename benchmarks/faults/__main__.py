"""Injects faults into running studies, and counts what was lost.

    python -m benchmarks.faults --injections 2 --only worker driver     about 3 minutes on 2 cores
    python -m benchmarks.faults                                         50 kills of each kind, ...
    python -m benchmarks.faults --others 1 --only home --set seeds=1    smaller studies

Each fault has its own studies, of 22 stages of 1 to 3 seconds, on a real Ray. Each study must end
with exactly the table of a study without faults, and no finished stage may run twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.faults.clocks import jumping_clock, jumping_machine
from benchmarks.faults.damage import full_disk, truncated_checkpoints, truncated_result, two_launches
from benchmarks.faults.folders import lost_folder
from benchmarks.faults.kills import kills, node_kills
from benchmarks.faults.memory import memory_monitor, out_of_memory
from benchmarks.faults.signals import stopped_workers, terminated_launches
from benchmarks.faults.study import HEADER, SIZE, FaultReport, uninterrupted
from benchmarks.faults.surroundings import beside_another_ray, full_temporary_folder, virtual_memory_limit, without_home
from benchmarks.faults.writes import kills_in_writes

Fault = Callable[[int, int, Path, Path, bytes], FaultReport]
FAULTS: dict[str, Fault] = {
    "worker": partial(kills, "worker"),
    "driver": partial(kills, "driver"),
    "raylet": partial(kills, "raylet"),
    "gcs": partial(kills, "gcs"),
    "node": node_kills,
    "write": kills_in_writes,
    "disk": partial(full_disk, "study"),
    "ray-disk": partial(full_disk, "Ray"),
    "checkpoint": truncated_checkpoints,
    "result": truncated_result,
    "clock": jumping_clock,
    "clock-machine": jumping_machine,
    "two": two_launches,
    "deleted": partial(lost_folder, "deleted"),
    "moved": partial(lost_folder, "moved"),
    "read-only": partial(lost_folder, "read-only"),
    "store": partial(lost_folder, "store deleted"),
    "stopped": stopped_workers,
    "terminated": terminated_launches,
    "another-ray": beside_another_ray,
    "home": without_home,
    "tmp": full_temporary_folder,
    "ulimit": virtual_memory_limit,
    "memory": out_of_memory,
    "memory-monitor": memory_monitor,
}
KILLS = ("worker", "driver", "raylet", "node", "write")  # not gcs: Ray takes a minute to notice that it is gone


def main() -> int:
    """Print one table; the exit status is 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="Inject faults into running studies, and count what was lost.")
    parser.add_argument("--injections", type=int, default=50, help="kills of each kind")
    parser.add_argument("--others", type=int, help="injections of every other fault (default: a fifth of the kills)")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--data", type=Path, help="a folder for the image store, kept (default: a temporary one)")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="smaller studies, such as seeds=1")
    options = parser.parse_args()
    others = options.others or max(1, options.injections // 5)
    print(f"seed {options.seed}; {options.injections} kills of each kind, {others} of every other fault\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        data = options.data or scratch / "data"
        SIZE.settings = tuple(options.settings)
        reference = uninterrupted(data, scratch)
        print(HEADER, flush=True)
        reports = []
        for name in options.only:
            started = time.monotonic()
            try:
                report = FAULTS[name](options.injections if name in KILLS else others, options.seed, data, scratch, reference)
            except AssertionError as error:  # the rows after it are still worth having
                report = FaultReport(fault=name, tables_equal=False, notes=[f"not finished: {error}"])
            report.seconds = time.monotonic() - started
            reports.append(report)
            print(report.row(), flush=True)
    return int(any(report.lost or report.twice or not report.tables_equal for report in reports))


if __name__ == "__main__":
    raise SystemExit(main())
