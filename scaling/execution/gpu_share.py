"""`gpus: auto`: measures how many stages of a kind train fastest on one GPU at once.

The study folder keeps the measurements.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

from scaling.cluster.machine import Granted, Machine
from scaling.grid.settings import KINDS, Grid
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.cost.costs import stage_cost
from trials.cost.packing import Packing, best_packing, measure_packing
from trials.spec import StageSpec
from trials.stage_files import read_json, write_json

FILE = "packing.json"
Measure = Callable[..., Sequence[Packing]]


def packed(
    plan: Plan, study: Study, grid: Grid, machine: Machine, granted: dict[str, Granted], *, measure: Measure | None = None
) -> dict[str, Granted]:
    """What each kind of stage gets, with the GPU share that trains most images per second in all.

    Only kinds whose share the grid leaves open change. The heaviest stage of a kind is measured,
    since it decides what fits. Without `measure` only earlier measurements are used, as in --plan.
    """
    if machine.gpus == 0:
        return granted
    known = read_json(study.folder / FILE)
    remembered: dict[str, int] = known if isinstance(known, dict) else {}
    result = dict(granted)
    for kind in KINDS:
        specs = [stage.spec for stage in plan.stages.values() if stage.spec.kind == kind]
        if grid.resources[kind].gpus is not None or grid.resources[kind].workers > 1 or not specs:
            continue
        heaviest = max({spec.encoder: spec for spec in specs}.values(), key=lambda spec: stage_cost(spec).train_flops_per_image)
        key = _key(heaviest)
        if key not in remembered and measure is not None:
            most = machine.cpus // granted[kind].cpus
            candidates = [number for number in (1, 2, 3, 4, 6, 8, 12, 16) if number <= most]
            remembered[key] = best_packing(measure(heaviest, cpus=granted[kind].cpus, gpus=1.0, candidates=candidates))
            write_json(study.folder / FILE, remembered)
        stages = remembered.get(key, 1)
        share = int(10_000 / stages) / 10_000  # Ray counts in ten-thousandths
        side_by_side = min(machine.cpus // granted[kind].cpus, machine.gpus * stages)
        result[kind] = dataclasses.replace(granted[kind], gpus=share, side_by_side=side_by_side)
    return result


def measured_packing(spec: StageSpec, *, cpus: int, gpus: float, candidates: Sequence[int]) -> Sequence[Packing]:
    """Measure a stage on this machine's GPU, for `packed`."""
    return measure_packing(spec, cpus=cpus, gpus=gpus, candidates=candidates)


def _key(spec: StageSpec) -> str:
    return f"{spec.kind} {spec.objective} {spec.encoder} {spec.recipe.batch_images} {spec.recipe.precision} on {torch.cuda.get_device_name(0)}"
