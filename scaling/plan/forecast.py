"""Forecast how long a plan takes: from finished stages, a short measurement, or what is known of a
GPU model.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from scaling.cluster.machine import Granted, Machine
from scaling.plan.gpu_speed import GpuSpeed
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.cost.gpu_rates import GpuRate
from trials.cost.throughput import busy_cores, measure_images_per_s
from trials.spec import StageSpec
from trials.stage_files import read_json

STAGE_OVERHEAD_S = 1.0  # scheduling, loading, evaluation and writing of a small stage, about
START_IMPORTS = 4.0  # starting Ray and its workers, in units of the time that the launch took to import
PROBES = 3  # windows in which a rate is measured, so that its range is known
PROBE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Range:
    """A forecast with its range: rates from the slowest to the fastest tenth of finished stages, from
    the slowest to the fastest measurement, or as far as those of a GPU model are taken to be right.
    """

    low: float
    middle: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, middle=self.middle + other.middle, high=self.high + other.high)

    def times(self, factor: float) -> Range:
        """All three multiplied."""
        return Range(low=self.low * factor, middle=self.middle * factor, high=self.high * factor)


NOTHING = Range(low=0.0, middle=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The seconds of each stage that is left to run, and of all of them."""

    stage_s: dict[str, float]
    wall_s: float
    wall_range_s: Range
    gpu_hours: Range
    cpu_hours: Range
    measured_from: str
    stage_range_s: dict[str, Range] = field(default_factory=dict)
    scaled: bool = False
    """Whether rates are those of a GPU model, whose error all stages share: the first stages that run
    then show most of it.
    """
    start_s: float = 0.0
    """Seconds from the start of Ray to the first trained image, about."""

    @property
    def whole_s(self) -> float:
        """Seconds from now until the last stage is done, about."""
        return self.start_s + self.wall_s if self.stage_s else 0.0

    @property
    def whole_range_s(self) -> Range:
        """The same with its range; the start may take half or twice as long."""
        start = Range(low=self.start_s / 2, middle=self.start_s, high=2 * self.start_s)
        return start + self.wall_range_s if self.stage_s else NOTHING


def forecast(
    plan: Plan,
    study: Study,
    granted: dict[str, Granted],
    *,
    rank: Callable[[str], float] | None = None,
    imported_s: float = 0.0,
    gpu_speed: GpuSpeed | None = None,
) -> Forecast:
    """Forecast the stages that are not done.

    The rate of a kind of stage is that of finished stages of this study. If there are none, it is
    that of the GPU model for a machine that is not this one, and here for stages whose steps are
    captured in CUDA graphs. All others are measured for about a second on random pixels, with the
    cores busy that will be. The schedule is simulated: a stage starts as soon as its parents are done
    and resources are free.

    Args:
        gpu_speed: what is known of the machine's GPU model; None if nothing is.
        imported_s: seconds that the launch took to import what it needs. Ray and its workers
            import as much, so the time to the first trained image is taken as four times that.
    """
    speeds = _Speeds(_known_rates(plan, study, gpu_speed.gpu.device if gpu_speed and gpu_speed.elsewhere else None), granted, gpu_speed)
    ranges: dict[str, Range] = {}
    for name in plan.wanted({name for name in plan.stages if study.is_done(name)}):
        stage = plan.stages[name]
        rate, passes, overhead_s = speeds.rate(stage.spec), stage.own_image_passes, speeds.overhead_s(stage.spec)
        ranges[name] = Range(low=passes / rate.high, middle=passes / rate.middle, high=passes / rate.low) + Range(
            low=overhead_s / 2, middle=overhead_s, high=2 * overhead_s
        )
    shapes = {name: granted[_kind(plan.stages[name].spec)] for name in ranges}
    wall = Range(
        low=play(plan, {name: each.low for name, each in ranges.items()}, shapes, rank=rank),
        middle=play(plan, {name: each.middle for name, each in ranges.items()}, shapes, rank=rank),
        high=play(plan, {name: each.high for name, each in ranges.items()}, shapes, rank=rank),
    )
    gpu = cpu = NOTHING
    for name, each in ranges.items():
        gpu, cpu = gpu + each.times(shapes[name].all_gpus / 3600), cpu + each.times(shapes[name].all_cpus / 3600)
    return Forecast(
        stage_s={name: each.middle for name, each in ranges.items()},
        wall_s=wall.middle,
        wall_range_s=wall,
        gpu_hours=gpu,
        cpu_hours=cpu,
        measured_from=speeds.sources(),
        stage_range_s=ranges,
        scaled=speeds.scaled,
        start_s=START_IMPORTS * imported_s,
    )


class _Speeds:
    """The rates of a plan's kinds of stage, each found once."""

    def __init__(self, known: dict[tuple[str, ...], list[float]], granted: dict[str, Granted], gpu_speed: GpuSpeed | None) -> None:
        self._known, self._granted, self._gpu_speed = known, granted, gpu_speed
        self._rates: dict[tuple[str, ...], Range] = {}
        self._modelled: list[GpuRate] = []
        self._probed = 0

    def rate(self, spec: StageSpec) -> Range:
        """Images per second of one such stage."""
        key = (*rate_key(spec), self._mode(spec))
        if key not in self._rates:
            self._rates[key] = self._find(spec)
        return self._rates[key]

    def overhead_s(self, spec: StageSpec) -> float:
        """Seconds of a stage besides its steps."""
        own_s = self._gpu_speed.overhead_s(spec, self._grant(spec)) if self._modelled_by(spec) and self._gpu_speed else 0.0
        return STAGE_OVERHEAD_S + own_s

    @property
    def scaled(self) -> bool:
        """Whether any rate is that of the GPU model."""
        return bool(self._modelled)

    def sources(self) -> str:
        """Where the rates come from."""
        found = []
        if self._modelled and self._gpu_speed:
            found.append(self._gpu_speed.sources(self._modelled))
        if self._probed:
            found.append("rates measured just now on random pixels")
        return "; ".join(found) or "rates of this study's finished stages"

    def _grant(self, spec: StageSpec) -> Granted:
        return self._granted[_kind(spec)]

    def _mode(self, spec: StageSpec) -> str:
        return self._gpu_speed.step(spec, self._grant(spec)) if self._gpu_speed and self._grant(spec).gpus > 0 else ""

    def _modelled_by(self, spec: StageSpec) -> bool:
        """Whether the GPU model says how fast a stage is, rather than a measurement."""
        return self._gpu_speed is not None and (self._gpu_speed.elsewhere or self._mode(spec) in ("captured", "compiled"))

    def _find(self, spec: StageSpec) -> Range:
        key = rate_key(spec)
        if key in self._known:
            return _spread(self._known[key])
        if self._gpu_speed is not None and self._modelled_by(spec):
            found = self._gpu_speed.rate(spec, self._grant(spec))
            self._modelled.append(found)
            return Range(low=found.images_per_s / found.factor, middle=found.images_per_s, high=found.images_per_s * found.factor)
        self._probed += 1
        return _probe(spec, self._grant(spec))


def play(plan: Plan, stage_s: dict[str, float], shapes: dict[str, Granted], *, rank: Callable[[str], float] | None = None) -> float:
    """Simulate the schedule and return the seconds until all stages are done. A stage starts as
    soon as its parents are done and resources are free.
    """
    if not stage_s:
        return 0.0
    machine = Machine.of(shapes.values())
    place = {name: position for position, name in enumerate(reversed(plan.stages))}
    unmet = {name: sum(need in stage_s for need in plan.stages[name].spec.needs) for name in stage_s}
    ready = [((rank(name) if rank else 0.0), place[name], name) for name, count in unmet.items() if count == 0]
    heapq.heapify(ready)
    ending: list[tuple[float, str]] = []
    cpus, gpus, clock = float(machine.cpus), float(machine.gpus), 0.0
    while ready or ending:
        while ready and cpus >= shapes[ready[0][2]].all_cpus and gpus >= shapes[ready[0][2]].all_gpus - 1e-9:
            name = heapq.heappop(ready)[2]
            cpus, gpus = cpus - shapes[name].all_cpus, gpus - shapes[name].all_gpus
            heapq.heappush(ending, (clock + stage_s[name], name))
        clock, name = heapq.heappop(ending)
        cpus, gpus = cpus + shapes[name].all_cpus, gpus + shapes[name].all_gpus
        for child in plan.children[name]:
            if child in unmet:
                unmet[child] -= 1
                if unmet[child] == 0:
                    heapq.heappush(ready, ((rank(child) if rank else 0.0), place[child], child))
    return clock


def ranks(plan: Plan, order: str, stage_s: dict[str, float]) -> Callable[[str], float] | None:
    """The rank of a stage in the order that a grid asks for, smaller first; None for 'deepest',
    which is the order without ranks.

    'longest' starts what the longest chain hangs on, which keeps machines full to the end;
    'cheapest' gives many results soon.
    """
    if order == "deepest":
        return None
    if order == "cheapest":
        return lambda name: stage_s.get(name, 0.0)
    chain: dict[str, float] = {}
    for name in reversed(plan.stages):
        chain[name] = stage_s.get(name, 0.0) + max((chain[child] for child in plan.children[name]), default=0.0)
    return lambda name: -chain[name]


def _kind(spec: StageSpec) -> str:
    """The kind whose resources a stage has: a trunk has those of pre-training."""
    return "pretrain" if spec.kind == "trunk" else spec.kind


def rate_key(spec: StageSpec) -> tuple[str, ...]:
    """What the speed of a stage depends on: stages with equal keys train equally fast."""
    recipe = spec.recipe
    form = (getattr(recipe, "decoder", ""), getattr(recipe, "target", ""))
    return (spec.objective, spec.encoder, str(recipe.batch_images), recipe.precision, *form)


def _probe(spec: StageSpec, grant: Granted) -> Range:
    others = 0 if grant.gpus else (grant.side_by_side - 1) * grant.all_cpus
    with busy_cores(others):
        measured = sorted(measure_images_per_s(spec, cpus=grant.cpus, gpus=grant.gpus, seconds=PROBE_S) for _ in range(PROBES))
    return Range(low=measured[0], middle=measured[PROBES // 2], high=measured[-1])


def _known_rates(plan: Plan, study: Study, device: str | None) -> dict[tuple[str, ...], list[float]]:
    """Rates of finished stages, by what a stage's speed depends on; where `device` is named, of those
    that trained on it.
    """
    found: dict[tuple[str, ...], list[float]] = {}
    for name, stage in plan.stages.items():
        if study.is_done(name):
            provenance = read_json(study.stage_folder(name) / "provenance.json") or {}
            rate = provenance.get("images_per_s")
            if rate and device in (None, provenance.get("device")):
                found.setdefault(rate_key(stage.spec), []).append(rate)
    return found


def _spread(rates: list[float]) -> Range:
    """The slowest tenth, the median and the fastest tenth. With few stages the range is widened,
    because the next may be slower than all before it.
    """
    rates = sorted(rates)
    low, high = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
    widen = 1 + 1 / (2 * len(rates))
    return Range(low=low / widen, middle=rates[len(rates) // 2], high=high * widen)
