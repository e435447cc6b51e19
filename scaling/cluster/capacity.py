"""The machines that are alive, as Ray counts them, and whether a stage fits on them at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scaling.execution.ready_queue import Shape

_ALMOST = 1e-9  # a third of a GPU, three times


@dataclass(frozen=True)
class Cluster:
    """What there is to run on now."""

    nodes: Mapping[str, Shape]
    """By Ray's id of a machine, what it has in all."""

    @property
    def total(self) -> Shape:
        """Of all machines together."""
        return Shape(sum(node.cpus for node in self.nodes.values()), sum(node.gpus for node in self.nodes.values()))

    def fits(self, shape: Shape) -> bool:
        """Whether it could run if nothing else did: each of its processes on one machine."""
        return sum(_processes(node, shape) for node in self.nodes.values()) >= shape.workers


def _processes(node: Shape, shape: Shape) -> float:
    """How many of the stage's processes a machine has room for."""
    wants = ((node.cpus, shape.cpus / shape.workers), (node.gpus, shape.gpus / shape.workers))
    return min((math.floor(has / one + _ALMOST) for has, one in wants if one > 0), default=math.inf)


def too_large(stages: int, shape: Shape) -> str:
    """The sentence for stages that wait for a machine that is not there."""
    one = [f"{amount / shape.workers:g} {unit}" for amount, unit in ((shape.cpus, "cores"), (shape.gpus, "GPUs")) if amount]
    where = f"a machine with {' and '.join(one)}" if shape.workers == 1 else f"{shape.workers} processes of {' and '.join(one)} each"
    whose = "1 stage waits" if stages == 1 else f"{stages:,} stages wait"
    return f"{whose} for {where}, for which the cluster has no room any more: give it a machine, or stop and launch with smaller resources."
