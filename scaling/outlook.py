"""What a plan will take, for `--plan`: time, disk, images to decode, and what may not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaling.cluster.machine import Machine
from scaling.execution.gpu_share import packed
from scaling.formatting import duration, size
from scaling.launch_context import LaunchContext
from scaling.plan.budget import Budget, budget, free_bytes
from scaling.plan.forecast import Forecast, forecast
from scaling.plan.gpu_speed import GpuSpeed, gpu_speed_here
from scaling.preparation import MissingStore, check_fits, missing_stores
from trials.cost.gpu_rates import DECODE_S
from trials.data.published_counts import describe_or_assume, published_count
from trials.data.sources import get_source
from trials.data.store import describe_split
from trials.errors import InputError

DECODE_FACTOR = 4.0
"""Decoding is taken to be right within this factor: sizes of files and the speed of disks differ."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a plan will take."""

    forecast: Forecast
    budget: Budget
    notes: list[str]
    """Further lines for the summary."""


def preview(context: LaunchContext) -> Outlook:
    """Forecast a plan on the machine of the context, which may be one that was only described.

    Raises:
        InputError: the images or the results do not fit on the machine's disk.
    """
    plan, study, grid, described = context.plan, context.study, context.grid, context.described
    describe = describe_or_assume if context.assume_data else describe_split
    missing = missing_stores(plan, context.data, context.store, grid.execution.broken_images, describe)
    granted, speed = context.granted, gpu_speed_here(grid, context.machine)
    if described is not None:
        speed = GpuSpeed(gpu=described.gpu, machine=described.machine, grid=grid, memory_bytes=described.memory_bytes)
        granted = speed.shared(plan, granted)
        free = described.disk_bytes
    else:
        if Machine.here().gpus:
            granted = packed(plan, study, grid, context.machine, granted)
        free = free_bytes(context.store)
    if free is not None and not (context.assume_data and described is None):
        check_fits(missing, free, str(context.store) if described is None else described.machine.name)
    found = budget(plan, study.folder, granted, grid.execution.keep)
    if described is not None:
        found = replace(found, free_bytes=free)
        needed = found.kept_bytes + sum(one.bytes for one in missing)
        if free is not None and needed > free:
            raise InputError(
                f"{described.machine.name} has {size(free)} of disk, and the plan takes {size(needed)}: {size(needed - found.kept_bytes)} of decoded "
                f"images and {size(found.kept_bytes)} of results: name a larger disk, ask for fewer images, or let more go with keep: results."
            )
    notes = _notes(context, missing, free)
    if described is not None and speed is not None:
        notes += speed.too_large(plan, granted)
    return Outlook(forecast=forecast(plan, study, granted, gpu_speed=speed), budget=found, notes=notes)


def _notes(context: LaunchContext, missing: Sequence[MissingStore], free: float | None) -> list[str]:
    notes: list[str] = []
    described = context.described
    images, taken = sum(one.images for one in missing), sum(one.bytes for one in missing)
    if images:
        core_s = sum(one.images * DECODE_S for one in missing if not get_source(one.source).generated)
        cores = context.machine.cpus
        middle, low, high = (duration(core_s / cores * factor) for factor in (1, 1 / DECODE_FACTOR, DECODE_FACTOR))
        took = f"; about {middle} on {cores} cores ({low} to {high}), not counted above"
        fits = f", and {size(free)} are free: they do not fit" if free is not None and taken > free else ""
        notes.append(f"images: {images:,} to decode once, about {size(taken)}{fits}{took if core_s else ''}")
    if described is not None and described.memory_bytes is not None and taken > described.memory_bytes:
        notes.append(
            f"memory: the decoded images take {size(taken)}, more than the {size(described.memory_bytes)} of memory, so they are read from the disk "
            "again and again, which no forecast counts"
        )
    if context.assume_data:
        notes += _assumed(context)
    return notes


def _assumed(context: LaunchContext) -> list[str]:
    """Say which data sets were planned from published counts."""
    found = {}
    for stage in context.plan.stages.values():
        data = stage.spec.data
        if data.train_fingerprint.startswith("assumed ") or data.heldout_fingerprint.startswith("assumed "):
            count = published_count(data.source)
            if count is not None:
                found[data.source] = f"{data.source} {count.train_images:,} and {count.heldout_images:,} held out ({count.source})"
    if not found:
        return ["data: all data sets are there, and none was assumed"]
    return [f"data assumed: {'; '.join(found.values())}. With the data there, stages have other ids"]
