"""`gpus: auto`: how many stages of each kind share a GPU.

One short probe measures what a stage of each kind asks of the GPU (`trials.cost.stage_probe`); where
it fails, what is known of the GPU model stands in, and else each stage has a GPU of its own. The
launch corrects the numbers as its stages finish (`scaling.execution.live_share`). `packing.json` in
the study folder keeps what is known, for `--plan` and the next launch.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from scaling.cluster.described_machine import PROCESS_BYTES
from scaling.cluster.machine import Granted, Machine
from scaling.grid.settings import KINDS, Grid
from scaling.plan.gpu_speed import RESIDENT_SHARE, GpuSpeed, gpu_speed_here
from scaling.plan.plan import Plan
from scaling.preparation import bytes_per_image
from scaling.study.folder import Study
from trials.cost.costs import stage_cost
from trials.cost.gpu_rates import modelled_load
from trials.cost.gpu_sharing import MOST, Sharer, StageLoad, choose_numbers, compiled_load
from trials.spec import StageSpec
from trials.stage_files import read_json, write_json
from trials.training.compiling import choose_mode

FILE = "packing.json"
Probe = Callable[..., Sequence[StageLoad | str]]
ShowMessage = Callable[[str], None]


def packed(
    plan: Plan,
    study: Study,
    grid: Grid,
    machine: Machine,
    granted: dict[str, Granted],
    *,
    probe: Probe | None = None,
    show_message: ShowMessage = lambda sentence: None,
) -> dict[str, Granted]:
    """What each kind of stage gets, with the GPU share that trains most images per second in all.

    Only kinds whose share the grid leaves open change. The heaviest stage of a kind is probed, since
    it decides what fits. Without `probe` only what is known already is used, as in --plan.
    """
    sharing = GpuSharing.of(plan, study, grid, machine, granted)
    if sharing is None:
        return granted
    sharing.learn(probe, show_message)
    return sharing.granted()


@dataclass(kw_only=True)
class _SharingKind:
    """One kind of stage whose share the grid leaves open."""

    heaviest: StageSpec
    grant: Granted
    key: str
    images_bytes: float
    """Bytes of images that the GPU keeps for each stage."""
    compiled: bool
    load: StageLoad | None = None


class GpuSharing:
    """The kinds of stage of a plan that share this machine's GPUs, and how many of each at once.

    Args:
        gpu_memory_bytes: of one GPU. memory_bytes: main memory of the machine.
        speed: what is known of the GPU model; None if nothing is.
    """

    def __init__(
        self,
        plan: Plan,
        study: Study,
        grid: Grid,
        machine: Machine,
        granted: dict[str, Granted],
        *,
        device: str,
        gpu_memory_bytes: float,
        memory_bytes: float,
        speed: GpuSpeed | None,
    ) -> None:
        self._plan, self._study, self._grid, self._machine, self._granted = plan, study, grid, machine, granted
        self._gpu_memory_bytes, self._memory_bytes, self._speed = gpu_memory_bytes, memory_bytes, speed
        self._cores = machine.cpus / machine.gpus
        self.kinds: dict[str, _SharingKind] = {}
        self._left = plan.wanted({name for name in plan.stages if study.is_done(name)})
        for kind in KINDS:
            specs = [plan.stages[name].spec for name in self._left if plan.stages[name].spec.kind == kind]
            if grid.resources[kind].gpus is not None or grid.resources[kind].workers > 1 or not specs:
                continue
            heaviest = max({spec.encoder: spec for spec in specs}.values(), key=lambda spec: stage_cost(spec).train_flops_per_image)
            self.kinds[kind] = self._kind(heaviest, granted[kind], device)
        known = read_json(study.folder / FILE)
        self._remembered: dict[str, Any] = known if isinstance(known, dict) else {}
        for one in self.kinds.values():
            one.load = _read_load(self._remembered.get(one.key))

    @classmethod
    def of(cls, plan: Plan, study: Study, grid: Grid, machine: Machine, granted: dict[str, Granted]) -> GpuSharing | None:
        """Of this machine; None without a GPU."""
        if machine.gpus == 0:
            return None
        return cls(
            plan,
            study,
            grid,
            machine,
            granted,
            device=torch.cuda.get_device_name(0),
            gpu_memory_bytes=float(torch.cuda.get_device_properties(0).total_memory),
            memory_bytes=float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
            speed=gpu_speed_here(grid, machine),
        )

    def _kind(self, spec: StageSpec, grant: Granted, device: str) -> _SharingKind:
        images_bytes = float(spec.data.train_images * bytes_per_image(spec.data.source, spec.data.stored_px, "pixels"))
        mode, _ = choose_mode(
            self._grid.execution.compile,  # type: ignore[arg-type]
            device=torch.device("cuda"),
            flops=spec.image_passes * stage_cost(spec).train_flops_per_image,
        )
        return _SharingKind(
            heaviest=spec,
            grant=grant,
            key=f"{spec.kind} {spec.objective} {spec.encoder} {spec.recipe.batch_images} {spec.recipe.precision} {mode} on {device}",
            images_bytes=images_bytes if images_bytes < RESIDENT_SHARE * self._gpu_memory_bytes else 0.0,
            compiled=mode != "off",
        )

    def learn(self, probe: Probe | None, show_message: ShowMessage = lambda sentence: None) -> None:
        """Find the load of every kind that is not known yet: by the probe, or from the GPU model."""
        unknown = [one for one in self.kinds.values() if one.load is None]
        if unknown and probe is not None:
            cpus = min(one.grant.cpus for one in unknown)
            try:
                found = probe([one.heaviest for one in unknown], cpus=cpus, gpus=1.0, capture=self._grid.execution.capture)
            except OSError as error:  # no process could be started
                found = [str(error)] * len(unknown)
            for one, load in zip(unknown, found, strict=True):
                if isinstance(load, StageLoad):
                    self.keep(one, compiled_load(load) if one.compiled else load)
                else:
                    show_message(f"gpus: auto: a {one.heaviest.kind} stage could not be measured ({load.rstrip('.')}); {self._stand_in()}")
        for one in unknown:
            if one.load is None and self._speed is not None:
                one.load = modelled_load(one.heaviest, self._speed.gpu, step=self._speed.step(one.heaviest, one.grant))
        if unknown and probe is not None:
            for kind, number in self.numbers().items():
                show_message(f"gpus: auto: {self._reason(kind, number)}")

    def _stand_in(self) -> str:
        return "each has a GPU of its own" if self._speed is None else f"what is known of {self._speed.gpu.name} stands in"

    def keep(self, one: _SharingKind, load: StageLoad) -> None:
        """Use this load from now on, also in later launches of the study."""
        one.load = load
        self._remembered[one.key] = asdict(load)
        write_json(self._study.folder / FILE, self._remembered)

    def numbers(self) -> dict[str, int]:
        """How many stages of each kind share a GPU."""
        result = {kind: 1 for kind, one in self.kinds.items() if one.load is None}
        sharers: dict[str, Sharer] = {}
        for kind, one in self.kinds.items():
            if one.load is None:
                continue
            by_cores = int(self._cores // one.grant.cpus)
            by_memory = one.load.fitting(self._gpu_memory_bytes, one.images_bytes)
            by_main_memory = int(self._memory_bytes // PROCESS_BYTES) // self._machine.gpus
            most = max(1, min(MOST, by_cores, by_memory, by_main_memory))
            sharers[kind] = Sharer(load=one.load, most=most, images=self._images_left(kind), cores=self._cores / one.grant.cpus)
        if len({one.grant.cpus for one in self.kinds.values()}) == 1:
            result |= choose_numbers(sharers)
        else:  # workers of other numbers of cores cannot take each other's stages
            result |= {kind: one.best for kind, one in sharers.items()}
        return result

    def _images_left(self, kind: str) -> float:
        """Image passes that were left at the start of the launch."""
        stages = [self._plan.stages[name] for name in self._left]
        return float(max(1, sum(one.own_image_passes for one in stages if one.spec.kind in (kind, "trunk" if kind == "pretrain" else kind))))

    def _reason(self, kind: str, number: int) -> str:
        load = self.kinds[kind].load
        if load is None:
            return f"{sharing_text(kind, 1)}, since nothing is known of this GPU"
        rate = load.images_per_s(number, cores=self._cores)
        source = "measured" if load.measured else "from the model of this GPU"
        return (
            f"{sharing_text(kind, number)}; a step takes {1e3 * load.step_s:.3g} ms alone and the GPU has "
            f"no time for others in {load.occupied_s / load.step_s:.0%} of it ({source}: {rate:,.0f} images/s in all)"
        )

    def granted(self) -> dict[str, Granted]:
        """What each kind of stage gets."""
        result = dict(self._granted)
        for kind, number in self.numbers().items():
            result[kind] = self.grant_of(kind, number)
        return result

    def grant_of(self, kind: str, number: int) -> Granted:
        """What a stage of a kind gets where so many share a GPU."""
        grant = self.kinds[kind].grant
        share = int(10_000 / number) / 10_000  # Ray counts in ten-thousandths
        return dataclasses.replace(grant, gpus=share, side_by_side=min(self._machine.cpus // grant.cpus, self._machine.gpus * number))

    def corrected(self, kind: str, stages: int, step_s: float) -> None:
        """Correct the load of a kind by the median seconds of a step, measured while so many stages
        shared each GPU.
        """
        one = self.kinds[kind]
        if one.load is not None:
            self.keep(one, one.load.corrected(stages, step_s, cores=self._cores))

    def gain(self, kind: str, before: int, after: int) -> float:
        """By which share all stages of a kind train more images a second with another number."""
        load = self.kinds[kind].load
        if load is None:
            return 0.0
        return load.images_per_s(after, cores=self._cores) / load.images_per_s(before, cores=self._cores) - 1


def sharing_text(kind: str, number: int) -> str:
    """'4 pretrain stages share a GPU', or that each has its own."""
    return f"each {kind} stage has a GPU of its own" if number == 1 else f"{number} {kind} stages share a GPU"


def _read_load(values: Any) -> StageLoad | None:
    """A load from packing.json; None if it holds none, as in studies of earlier versions."""
    try:
        return StageLoad(**values)
    except TypeError:
        return None
