"""Measure how fast several stages train on one device together, for benchmarks: `gpus: auto` decides
by a model (`trials.cost.gpu_sharing`), which takes seconds where this takes minutes.

Small models leave most of a GPU idle, so several side by side train more images a second in all,
until memory or arithmetic runs out. Each candidate number of processes trains for a few seconds on
random pixels, all together, and the smallest number within a few per cent of the best total is
chosen: fewer stages at once end sooner.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trials.cost.gpu_sharing import CLOSE
from trials.cost.throughput import measure_images_per_s
from trials.registry import load_plugin, loaded_plugins
from trials.spec import StageSpec

PROBE_S = 3.0
CANDIDATES = (1, 2, 3, 4, 6, 8, 12, 16)
WAIT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The measured speed and memory of several stages on one device."""

    stages: int
    images_per_s: float
    """Images per second of all of them together; 0 if they did not fit."""
    peak_memory_bytes: int
    """Peak memory of the largest process on the device; 0 on a CPU."""


def measure_packing(spec: StageSpec, *, cpus: int, gpus: float, candidates: Sequence[int] = CANDIDATES, seconds: float = PROBE_S) -> list[Packing]:
    """Measure several numbers of such stages at once. Stops at the first number that does not fit
    or is clearly slower than a smaller one.

    Args:
        cpus: threads of each. gpus: above 0 to share the first GPU.
    """
    measured: list[Packing] = []
    for stages in candidates:
        found = _together(spec, stages=stages, cpus=cpus, gpus=gpus, seconds=seconds)
        measured.append(found)
        if found.images_per_s < (1 - 2 * CLOSE) * max(one.images_per_s for one in measured):
            break
    return measured


def best_packing(measured: Sequence[Packing]) -> int:
    """The smallest number of stages whose total is within `CLOSE` of the best; 1 if nothing was
    measured.
    """
    best = max((one.images_per_s for one in measured), default=0.0)
    good = [one.stages for one in measured if one.images_per_s >= (1 - CLOSE) * best > 0]
    return min(good, default=1)


def _together(spec: StageSpec, *, stages: int, cpus: int, gpus: float, seconds: float) -> Packing:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "spec.json"
        path.write_text(json.dumps(spec.to_dict()))
        command = [sys.executable, "-m", "trials.cost.packing", str(path), "--cpus", str(cpus), "--gpus", str(gpus), "--seconds", str(seconds)]
        command += [word for plugin in loaded_plugins() for word in ("--plugin", plugin)]
        started = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(stages)
        ]
        try:
            warm = [bool(one.stdout and one.stdout.readline().strip() == "warm") for one in started]
            if not all(warm):
                return Packing(stages=stages, images_per_s=0.0, peak_memory_bytes=0)
            for one in started:  # all at once, so that each is measured beside all the others
                assert one.stdin is not None
                one.stdin.write("go\n")
                one.stdin.flush()
            said = [one.communicate(timeout=WAIT_S)[0] for one in started]
        finally:
            for one in started:
                one.kill()
                one.communicate()
    if any(one.returncode != 0 for one in started):
        return Packing(stages=stages, images_per_s=0.0, peak_memory_bytes=0)
    values = [json.loads(text.splitlines()[-1]) for text in said]
    return Packing(
        stages=stages,
        images_per_s=sum(value["images_per_s"] for value in values),
        peak_memory_bytes=max(value["peak_memory_bytes"] for value in values),
    )


def main(arguments: list[str] | None = None) -> int:
    """One of the measured processes: prints `warm`, waits for a line, trains, prints its
    measurement.
    """
    parser = argparse.ArgumentParser(prog="python -m trials.cost.packing", description="Measure one stage's training speed on random pixels.")
    parser.add_argument("spec", type=Path, help="a spec.json")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=PROBE_S)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    options = parser.parse_args(arguments)
    for plugin in options.plugin:
        load_plugin(plugin)
    spec = StageSpec.from_dict(json.loads(options.spec.read_text()))

    def warm() -> None:
        print("warm", flush=True)
        sys.stdin.readline()

    rate = measure_images_per_s(spec, cpus=options.cpus, gpus=options.gpus, seconds=options.seconds, on_warm=warm)
    peak = torch.cuda.max_memory_allocated() if options.gpus > 0 else 0
    print(json.dumps({"images_per_s": rate, "peak_memory_bytes": peak}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
