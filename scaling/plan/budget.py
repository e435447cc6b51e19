"""The FLOPs and the disk space of a plan, on any machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scaling.cluster.machine import Granted
from scaling.formatting import size
from scaling.plan.plan import Plan
from scaling.study.retention import KINDS_DELETED
from trials.cost.costs import StageCost, stage_cost
from trials.errors import InputError
from trials.spec import StageSpec

RAY_BYTES = 100_000_000  # logs and sockets of Ray's processes, which fail without a word where there is no room for them
MOST_SOCKET_BYTES = 107
"""Of the path of a Unix socket on Linux."""
SMALL_FILES_BYTES = 200_000  # a stage's log, metrics, provenance and examples, about


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The FLOPs and the disk space of all stages of a plan, done or not."""

    stage_flops: dict[str, float]
    """Floating-point operations of each stage's own steps; a multiply-add is two. Held-out
    measurements are not counted.
    """
    kept_bytes: int
    """Bytes on disk when all is done, under the grid's `keep`."""
    peak_bytes: int
    """Most bytes on disk at any time: all weights, and a training state for each stage that runs at
    the same time.
    """
    free_bytes: float | None
    """Free bytes on the study folder's disk; None where unknown, as for a described machine."""
    keep: str


def budget(plan: Plan, folder: Path, granted: dict[str, Granted], keep: str) -> Budget:
    """Count the FLOPs and the disk space of a plan.

    Args:
        folder: the study folder, which need not exist. keep: as in
            `scaling.grid.settings.ExecutionSettings`.
    """
    costs: dict[tuple[object, ...], StageCost] = {}

    def cost(spec: StageSpec) -> StageCost:
        key = (spec.kind, spec.objective, spec.encoder, id(spec.recipe))
        if key not in costs:
            costs[key] = stage_cost(spec)
        return costs[key]

    kept = peak = running = 0
    flops = {}
    for name, stage in plan.stages.items():
        spec = stage.spec
        own = cost(spec)
        flops[name] = own.train_flops_per_image * stage.own_image_passes
        held = SMALL_FILES_BYTES + (own.state_bytes if spec.kind == "trunk" else own.weights_bytes)
        peak += held
        kept += SMALL_FILES_BYTES if spec.kind in KINDS_DELETED[keep] else held
        running = max(running, own.state_bytes)
    peak += running * max((grant.side_by_side for grant in granted.values()), default=1)
    return Budget(stage_flops=flops, kept_bytes=kept, peak_bytes=peak, free_bytes=free_bytes(folder), keep=keep)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, or of the nearest parent that exists."""
    return shutil.disk_usage(next(place for place in (folder, *folder.resolve().parents) if place.exists())).free


def check_disk(found: Budget, folder: Path, wanted: Iterable[str]) -> None:
    """Raise InputError if the results cannot fit on the disk. Called before anything starts."""
    if found.free_bytes is not None and any(True for _ in wanted) and found.kept_bytes > found.free_bytes + _used(folder):
        raise InputError(
            f"The study will keep {size(found.kept_bytes)}, but the disk of {folder} has {size(found.free_bytes)} free: make room, choose another "
            "folder with --out, or let more go with keep: results."
        )


def check_ray_disk() -> None:
    """Raise InputError if the disk has no space for Ray's own files on this machine, or if the path
    of their folder is too long for sockets.
    """
    folder = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    longest = MOST_SOCKET_BYTES - len(f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/dash_MetricsHead")
    if len(os.fsencode(folder)) > longest:
        raise InputError(
            f"Ray's sockets lie in {str(folder)[:120]}, whose path of {len(os.fsencode(folder))} bytes is too long for them (at most "
            f"{longest}): name a folder with a shorter path in RAY_TMPDIR."
        )
    free = free_bytes(folder)
    if free < RAY_BYTES:
        raise InputError(
            f"Ray writes its logs to {folder}, where {size(free)} are free, and needs {size(RAY_BYTES)}: make room, or name a folder on another "
            "disk in RAY_TMPDIR (a short path, since sockets lie in it)."
        )


def _used(folder: Path) -> int:
    """Bytes of the checkpoints that are there already."""
    return sum(path.stat().st_size for path in folder.glob("stages/*/checkpoint/*") if path.is_file())
