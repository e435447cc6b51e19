"""Everything that only a GPU can show, in order of value, within the minutes it is given.

    # on a machine with a GPU, with or without Ray and a network
    python -m benchmarks.gpu --minutes 8 --out DIR
    # all of it with tiny sizes on a CPU, to show that it runs
    python -m benchmarks.gpu --dry-run --out DIR

DIR/report.md and DIR/results.json are written after each measurement, so being cut off loses
nothing. A part that fails is named with its reason, and the next begins. The last lines are 15
numbers with their targets.

The parts: parity (captured steps beside eager ones and beside fp32 on the CPU, and a stop at a
random step), steps (ViNy at three batch sizes, eager, captured, compiled and captured), overhead (a
short fine-tuning), together (several processes at once), packing (`gpus: auto` beside the best
fixed number), large (ViT-B, SwinV2-B and ViT-S beside the measured ceiling), loops (the usual loop
and transformers'), compiling (what it adds to a stage's first steps), study (60 short stages
through scaling.launch, where Ray is installed). Where a command may not last so long, `--only`
splits them: give the same DIR, and what was measured before stays.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.results import Results
from benchmarks.gpu.sizes import Sizes

RESERVE_S = 15.0
"""Seconds kept for the summary."""


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What only a GPU can show, within some minutes.")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long it may take")
    parser.add_argument("--out", type=Path, required=True, help="folder of report.md and results.json")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="these parts alone")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on a CPU, to show that everything runs")
    options = parser.parse_args(arguments)
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use; --dry-run shows on a CPU that everything runs")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs the parts; 0 if none failed."""
    options = read_options(arguments)
    started = time.monotonic()
    results = Results(options.out, lambda text: print(text, flush=True), go_on=options.only is not None)
    device = "cpu" if options.dry_run else "cuda"
    where = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU, tiny sizes: the numbers mean nothing"
    results.say(f"{where}, torch {torch.__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        sizes = Sizes.tiny(Path(scratch)) if options.dry_run else Sizes.whole(Path(scratch))

        def left_s() -> float:
            return 60 * options.minutes - (time.monotonic() - started) - RESERVE_S

        for name in options.only or PARTS:
            results.say(f"\n## {name}")
            if left_s() <= 0:
                results.say("skipped: the minutes are over")
                continue
            with _kernels_in(Path(scratch) / "kernels"):
                failed += not _run(PARTS[name], sizes, results, left_s)
            results.say(f"({time.monotonic() - started:.0f} s since the start)")
    results.sum_up()
    return int(failed > 0)


@contextmanager
def _kernels_in(folder: Path) -> Iterator[None]:
    """Processes that are started within it compile into that folder, unless the environment names
    another: what one part compiles, the next need not.
    """
    places = {"TORCHINDUCTOR_CACHE_DIR": str(folder), "TRITON_CACHE_DIR": str(folder / "triton")}
    added = {name: place for name, place in places.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _run(part: Callable[[Sizes, Results, Callable[[], float]], None], sizes: Sizes, results: Results, left_s: Callable[[], float]) -> bool:
    try:
        part(sizes, results, left_s)
        return True
    except Exception as error:
        lines = str(error).strip().splitlines()
        results.say(f"failed: {type(error).__name__}: {lines[0] if lines else 'no message'}")
        traceback.print_exc()
        return False


if __name__ == "__main__":
    sys.exit(main())
