"""How many stages of a kind should share one GPU: a model with four numbers of one stage.

    total(n) = n * images / max(step, starting * (1 + CROWDED * (n - 1) / cores), n * occupied)

A step takes `step` seconds alone, of which the CPU starts kernels for `starting`. A replayed CUDA
graph of a small model leaves gaps between its kernels, which other processes fill: only `occupied`
seconds of a step are taken from them. That part grows with the batch, and the gaps do not, so it is
the slope of the step's time over the images. On one H200 (`measured_rates.csv`, eager kernels in a
graph) 64 images took 4.59 ms and 256 took 11.6 ms: 2.3 ms occupied at 64 images, so at most 27,300
images a second in all; 8 processes reached 28,148.

`StageLoad.corrected` moves the model to what finished stages show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

CLOSE = 0.05
"""A total within this share of the best one is as good."""
CROWDED = 2.4
"""By how much starting kernels from Python takes longer where there is a busy process for each core:
14 on 16 cores took 3.1 times as long.
"""
CONTEXT_BYTES = 6e8
"""GPU memory of a process before it computes anything, about: CUDA's context and its libraries."""
MEMORY_SHARE = 0.9
MOST = 32
"""Stages that share a GPU at most."""
COMPILED_OCCUPIED, COMPILED_GAPS = 0.50, 0.77
"""What compiled kernels left of the occupied part of a step and of the rest, in the step probe on one
H200: 64 images took 2.89 ms and 256 took 6.37 ms.
"""
SAME_SHAPE = 1.1
"""One number for all kinds of stage is taken where it costs no more than this much of the time: a
worker then goes on to the next stage whatever its kind, where it would be closed and another
started.
"""
SMALL_STEP_S = 0.02
"""Steps shorter than this are also measured at four times their batch, longer ones at a quarter."""
SLOWED = 1.15
"""Stages side by side that take this much longer than alone wait for the GPU."""


@dataclass(frozen=True, kw_only=True)
class StageLoad:
    """What one stage asks of the GPU that it shares."""

    images: int
    """Of a batch."""
    step_s: float
    """Seconds of a step of a stage that is alone."""
    occupied_s: float
    """Seconds of a step in which no other process can use the GPU."""
    start_s: float
    """Seconds in which the CPU starts a step's kernels."""
    memory_bytes: float
    """GPU memory of its process, without its images."""
    measured: bool = True
    """Whether it was measured here, rather than taken from what is known of the GPU model."""

    def step_of(self, stages: int, *, cores: float) -> float:
        """Seconds of a step while so many stages share the GPU.

        Args:
            cores: of the CPU, for each GPU.
        """
        starting = self.start_s * (1 + CROWDED * min(1.0, (stages - 1) / cores))
        return max(self.step_s, starting, stages * self.occupied_s)

    def images_per_s(self, stages: int, *, cores: float) -> float:
        """Of all of them together."""
        return stages * self.images / self.step_of(stages, cores=cores)

    def fitting(self, memory_bytes: float, images_bytes: float = 0.0) -> int:
        """Stages that fit the GPU's memory, at least one.

        Args:
            memory_bytes: of the GPU. images_bytes: that each stage keeps there.
        """
        return max(1, int(MEMORY_SHARE * memory_bytes // max(1.0, self.memory_bytes + images_bytes)))

    def corrected(self, stages: int, step_s: float, *, cores: float) -> StageLoad:
        """The load that explains the measured seconds of a step of one of so many stages.

        Slower than the model says a stage is without its neighbours: they wait for the GPU, and the
        occupied part is what makes them wait so long. As fast as alone although the model had the
        GPU full: the occupied part is taken to be half of what it can be at most, so that twice as
        many are tried next. A single stage shows nothing of sharing; two are tried where its steps
        are short, since only large products fill a GPU whole.
        """
        alone = max(self.step_s, self.start_s * (1 + CROWDED * min(1.0, (stages - 1) / cores)))
        if step_s > SLOWED * alone:
            return replace(self, occupied_s=step_s / stages)
        unhindered = min(self.step_s, step_s)
        occupied = self.occupied_s
        if stages * occupied > unhindered / SLOWED and (stages > 1 or step_s < SMALL_STEP_S):
            occupied = unhindered / (2 * stages)
        return replace(self, step_s=unhindered, start_s=min(self.start_s, unhindered), occupied_s=min(occupied, unhindered))


@dataclass(frozen=True, kw_only=True)
class Sharer:
    """One of several kinds of stage for which the number of stages per GPU is chosen."""

    load: StageLoad
    most: int
    """Stages that fit one GPU, by memory and cores."""
    images: float
    """Image passes that are left to train."""
    cores: float

    def seconds(self, stages: int) -> float:
        """Of one GPU for all that is left."""
        return self.images / self.load.images_per_s(stages, cores=self.cores)

    @property
    def best(self) -> int:
        """The smallest number of stages whose total is within `CLOSE` of the best: fewer at once end
        sooner.
        """
        rates = {number: self.load.images_per_s(number, cores=self.cores) for number in range(1, self.most + 1)}
        return min(number for number, rate in rates.items() if rate >= (1 - CLOSE) * max(rates.values()))


def choose_numbers(sharers: Mapping[str, Sharer]) -> dict[str, int]:
    """How many stages of each kind share a GPU: one number for all kinds where that costs little,
    else each its best.
    """
    each = {kind: one.best for kind, one in sharers.items()}
    if len(set(each.values())) < 2:
        return each
    apart_s = sum(one.seconds(each[kind]) for kind, one in sharers.items())
    together = {number: _seconds_together(list(sharers.values()), number) for number in range(1, min(one.most for one in sharers.values()) + 1)}
    number = min(together, key=lambda one: (together[one], one))
    return dict.fromkeys(each, number) if together[number] <= SAME_SHAPE * apart_s else each


def _seconds_together(sharers: Sequence[Sharer], number: int) -> float:
    return sum(one.seconds(number) for one in sharers)


def compiled_load(load: StageLoad) -> StageLoad:
    """What a load becomes where the stage's kernels are compiled, which a probe does not wait for."""
    occupied = COMPILED_OCCUPIED * load.occupied_s
    step_s = occupied + COMPILED_GAPS * max(0.0, load.step_s - load.occupied_s)
    return replace(load, occupied_s=occupied, step_s=max(step_s, load.start_s))
