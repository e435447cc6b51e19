"""The speed of a plan's stages on a GPU model, and how many of them share a GPU there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from scaling.cluster.described_machine import PROCESS_BYTES
from scaling.cluster.machine import Granted, Machine
from scaling.grid.settings import KINDS, Grid
from scaling.plan.plan import Plan
from scaling.preparation import bytes_per_image
from trials.cost.costs import stage_cost
from trials.cost.gpu_rates import GpuRate, StepMode, gpu_memory_bytes, gpu_rate
from trials.cost.gpus import Gpu, gpu_of_device, measured_rates
from trials.cost.packing import CANDIDATES, Packing, best_packing
from trials.errors import InputError
from trials.objectives.objective import OBJECTIVES
from trials.spec import StageSpec
from trials.training.captured import choose_capture
from trials.training.compiling import SETUP_S, choose_mode
from trials.training.updates import has_short_batches

CAPTURE_S = 2.0
"""Seconds to capture a step, as the step probe on one H200 took 1.8 to 2.1."""
RESIDENT_SHARE = 0.4
"""Share of the GPU's memory that images may take, as in `trials.data.pictures`."""
MEMORY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class GpuSpeed:
    """A grid's stages on a machine whose GPU model is known."""

    gpu: Gpu
    machine: Machine
    grid: Grid
    elsewhere: bool = True
    """Whether the machine is not this one, so that nothing can be measured."""
    memory_bytes: float | None = None
    """Main memory of the machine, where it is known."""

    def step(self, spec: StageSpec, grant: Granted) -> StepMode:
        """How the steps of a stage would run there."""
        mode, _ = choose_mode(
            self.grid.execution.compile,  # type: ignore[arg-type]
            device=torch.device("cuda"),
            flops=spec.image_passes * stage_cost(spec).train_flops_per_image,
        )
        against = OBJECTIVES[spec.objective].reason_not_captured(spec.recipe)
        if has_short_batches(spec.recipe):
            against = "the last batch of each pass is shorter"
        images_bytes = spec.data.train_images * bytes_per_image(spec.data.source, spec.data.stored_px, "pixels")
        not_captured = choose_capture(
            self.grid.execution.capture,  # type: ignore[arg-type]
            device=torch.device("cuda"),
            processes=grant.workers,
            micro_batches=self.grid.execution.micro_batches,
            resident=images_bytes < RESIDENT_SHARE * self.gpu.memory_bytes,
            reason_against=against,
        )
        if mode == "off":
            return "eager" if not_captured else "captured"
        return "compiled, not captured" if not_captured else "compiled"

    def rate(self, spec: StageSpec, grant: Granted) -> GpuRate:
        """Images per second of one stage while as many train as fit.

        Raises:
            InputError: the grid has it train on a CPU, of which nothing is known.
        """
        if grant.gpus == 0:
            raise InputError(
                f"{self.grid.where.get('resources.gpus', 'resources')}: the grid trains on CPU cores (gpus: 0), whose speed on {self.machine.name} "
                "is not known: add --set resources.gpus=auto to plan for its GPUs."
            )
        there = max(1, min(round(1 / grant.gpus), -(-grant.side_by_side // self.machine.gpus)))
        crowding = min(1.0, max(0, grant.side_by_side * grant.workers - 1) / self.machine.cpus)
        return gpu_rate(spec, self.gpu, step=self.step(spec, grant), processes=grant.workers, side_by_side=there, crowding=crowding, cpus=grant.cpus)

    def overhead_s(self, spec: StageSpec, grant: Granted) -> float:
        """Seconds that a stage spends on capturing its step and compiling its model."""
        step = self.step(spec, grant)
        return (CAPTURE_S if step in ("captured", "compiled") else 0.0) + (SETUP_S if step.startswith("compiled") else 0.0)

    def shared(self, plan: Plan, granted: dict[str, Granted]) -> dict[str, Granted]:
        """What each kind of stage gets, with the share of a GPU that trains most images per second in
        all, where the grid leaves it open.
        """
        result = dict(granted)
        for kind in KINDS:
            specs = {stage.spec.encoder: stage.spec for stage in plan.stages.values() if stage.spec.kind == kind}
            if self.grid.resources[kind].gpus is not None or granted[kind].workers > 1 or not specs:
                continue
            heaviest = max(specs.values(), key=lambda spec: stage_cost(spec).train_flops_per_image)
            tried = [self._together(heaviest, granted[kind], number) for number in CANDIDATES if number <= self._most(heaviest, granted[kind])]
            number = best_packing([Packing(stages=one.side_by_side, images_per_s=rate, peak_memory_bytes=0) for one, rate in tried])
            share = int(10_000 / number) / 10_000  # Ray counts in ten-thousandths
            result[kind] = dataclasses.replace(
                granted[kind], gpus=share, side_by_side=min(self.machine.cpus // granted[kind].cpus, self.machine.gpus * number)
            )
        return result

    def _together(self, spec: StageSpec, grant: Granted, number: int) -> tuple[Granted, float]:
        """`number` stages on one GPU, and their images per second in all."""
        crowding = min(1.0, (number * self.machine.gpus - 1) / self.machine.cpus)
        rate = gpu_rate(spec, self.gpu, step=self.step(spec, grant), side_by_side=number, crowding=crowding, cpus=grant.cpus)
        return dataclasses.replace(grant, side_by_side=number), number * rate.images_per_s

    def _most(self, spec: StageSpec, grant: Granted) -> int:
        """Stages that fit on one GPU, by cores, main memory and the GPU's memory; at least one."""
        _, needed = gpu_memory_bytes(spec, self.gpu, micro_batches=self.grid.execution.micro_batches)
        fit = [self.machine.cpus // grant.cpus // self.machine.gpus, int(MEMORY_SHARE * self.gpu.memory_bytes // needed)]
        if self.memory_bytes is not None:
            fit.append(int(self.memory_bytes // PROCESS_BYTES) // self.machine.gpus)
        return max(1, min(fit))

    def too_large(self, plan: Plan, granted: dict[str, Granted]) -> list[str]:
        """A sentence for each encoder whose stages may not fit the GPU's memory."""
        found = {}
        for stage in plan.stages.values():
            spec = stage.spec
            grant = granted["pretrain" if spec.kind == "trunk" else spec.kind]
            low, high = gpu_memory_bytes(spec, self.gpu, processes=grant.workers, micro_batches=self.grid.execution.micro_batches)
            if high > MEMORY_SHARE * self.gpu.memory_bytes:
                kind = "pre-training" if spec.kind in ("trunk", "pretrain") else spec.kind
                verb = "may need" if low <= MEMORY_SHARE * self.gpu.memory_bytes else "needs"
                found[spec.encoder, kind] = (
                    f"GPU memory: {kind} of {spec.encoder} {verb} {low / 1e9:.0f} to {high / 1e9:.0f} GB on each GPU, of "
                    f"{self.gpu.memory_bytes / 1e9:.0f}: a launch then takes batches in parts by itself (micro_batches), if one image fits"
                )
        return list(found.values())

    def sources(self, rates: Iterable[GpuRate]) -> str:
        """Says on which GPU the training rates were measured, and from what they were scaled."""
        all_rates = list(rates)
        scaled = [one for one in all_rates if not one.measured]
        known = {(row.gpu, row.date) for row in measured_rates()}
        where = " and ".join(f"one {gpu} on {date}" for gpu, date in sorted(known))
        if not scaled:
            return f"rates measured on {where}"
        factor = max(one.factor for one in scaled)
        nothing = "" if any(self.gpu.name == gpu for gpu, _ in known) else f"; nothing was measured on {self.gpu.name}"
        return (
            f"rates scaled by FLOPs and memory traffic from those measured on {where}, with the data sheet of {self.gpu.name}{nothing}; "
            f"taken to be right within a factor of {factor:g}, which no test has shown; a launch corrects them as its stages finish"
        )


def gpu_speed_here(grid: Grid, machine: Machine) -> GpuSpeed | None:
    """The same for this machine; None without a GPU of the table."""
    if not machine.gpus or machine.nodes or not torch.cuda.is_available():
        return None
    gpu = gpu_of_device(torch.cuda.get_device_name(0))
    return None if gpu is None else GpuSpeed(gpu=gpu, machine=machine, grid=grid, elsewhere=False)
