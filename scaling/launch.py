"""Run a study: train every stage that a grid needs, each once; write the tables and the report.

    python -m scaling.launch grids/quickstart.yaml           under 4 minutes on 2 cores, no download
    python -m scaling.launch grids/quickstart.yaml --plan    show what would run, and run nothing

The same command resumes a study. Exit status: 0 complete, 1 some stages failed or were blocked,
2 the grid or the machine is wrong and nothing was started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

from scaling.execution.interruption import sigterm_is_ctrl_c
from scaling.exit_status import INTERRUPTED, WRONG
from scaling.leaving import leave
from scaling.tracking.names import TRACKERS

LEAST_ADDRESS_SPACE = 16 << 30
"""Bytes of virtual memory that one process must be allowed: PyTorch and Ray reserve far more than
they use, and fail in odd ways where they cannot.
"""
LEAST_OPEN_FILES = 256
"""Files that one process must be allowed to open: with 128 a launch of one stage ran, with 64 Ray's
control store ended without a word.
"""

# torch takes seconds to import, and the first line on the screen does not wait for it: whatever
# imports torch is imported inside `main`.


def main(arguments: list[str] | None = None, **stage_options: Any) -> int:
    """Run the command line and return the exit status.

    Args:
        stage_options: further arguments of `trials.stage.run_stage` for every stage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m scaling.launch",
        description="Train every stage that a grid needs, each once; write the tables and the report.",
        epilog="The same command resumes a study.",
    )
    parser.add_argument("grid", type=Path, help="the study, in YAML; see grids/")
    parser.add_argument("--plan", action="store_true", help="show every stage with its state, reason and cost, and run nothing")
    parser.add_argument(
        "--machine", metavar="8xH100", help="with --plan: plan for that machine; also 8xH100,cpus=128,memory=1TB,disk=10TB (docs/launching.md)"
    )
    parser.add_argument("--assume-data", action="store_true", help="with --plan: plan data sets that are absent from their published counts")
    parser.add_argument("--out", help="study folder (default: runs/<study>), or a store: s3://..., gs://... (docs/cluster.md)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with the data sets and their stores (default: data)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="override a key of the grid, such as seeds=5"
    )
    parser.add_argument(
        "--address", help="run on the Ray cluster that this machine is part of: auto, or HOST:PORT (default: RAY_ADDRESS, else a Ray of its own)"
    )
    parser.add_argument(
        "--track", action="append", default=[], choices=TRACKERS, help="send every stage there too: " + ", ".join(TRACKERS) + " (docs/watching.md)"
    )
    parser.add_argument("--no-report", action="store_true", help="do not build the report; `python -m reports.build` does")
    options = parser.parse_args(arguments)
    for name in ("machine", "assume_data"):
        if getattr(options, name) not in (None, False) and not options.plan:
            given = f"--{name.replace('_', '-')}"
            print(f"{given} is for plans: give --plan as well, since a launch trains on the machine and the data that there are.", file=sys.stderr)
            return WRONG
    if options.machine is not None and options.address:
        print("--machine describes a machine that is not there, and --address names a cluster that is: give one of the two.", file=sys.stderr)
        return WRONG
    print(f"reading {options.grid} ...", flush=True)
    if too_low := _limit_too_low():
        print(too_low, file=sys.stderr)
        return WRONG
    _allow_open_files()
    with sigterm_is_ctrl_c():
        started = time.monotonic()
        try:
            from scaling.run_study import run_study
        except KeyboardInterrupt:
            return INTERRUPTED
        return run_study(options, stage_options, imported_s=time.monotonic() - started)


def _limit_too_low() -> str:
    """A limit of this shell that PyTorch or Ray cannot run with, in a sentence; empty if none."""
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY and space < LEAST_ADDRESS_SPACE:
        return (
            f"ulimit -v allows {space / 2**30:.1f} GiB of virtual memory, and PyTorch and Ray reserve more than {LEAST_ADDRESS_SPACE >> 30} GiB: "
            "lift it with ulimit -v unlimited, and limit real memory by a cgroup or the batch system instead."
        )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < LEAST_OPEN_FILES:
        return (
            f"ulimit -n allows {most} open files, and Ray needs at least {LEAST_OPEN_FILES}: "
            "raise it (ulimit -n 1024), or ask whoever runs this machine to."
        )
    return ""


def _allow_open_files() -> None:
    """Raise this process's own limit of open files where it is lower than Ray needs."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < LEAST_OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_OPEN_FILES if most == resource.RLIM_INFINITY else most, most))


if __name__ == "__main__":
    leave(main())
