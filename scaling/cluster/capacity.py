"""The machines of a cluster that are alive, and whether a stage fits on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_ROUNDING = 1e-9  # so that three thirds of a GPU fit on one


class Shape(NamedTuple):
    """What a stage holds while it runs, in all its processes; or what a machine has."""

    cpus: float
    gpus: float
    processes: int = 1
    """Ray may put them on several machines."""


@dataclass(frozen=True)
class Cluster:
    """The machines that are alive now."""

    nodes: Mapping[str, Shape]
    """What each machine has in all, by Ray's id of it."""

    @property
    def total(self) -> Shape:
        """All machines together."""
        return Shape(sum(node.cpus for node in self.nodes.values()), sum(node.gpus for node in self.nodes.values()))

    def fits(self, shape: Shape) -> bool:
        """Whether a stage could run on an idle cluster; each of its processes needs one machine."""
        return sum(_processes(node, shape) for node in self.nodes.values()) >= shape.processes


def _processes(node: Shape, shape: Shape) -> float:
    """How many of the stage's processes an idle machine can run."""
    wants = ((node.cpus, shape.cpus / shape.processes), (node.gpus, shape.gpus / shape.processes))
    return min((math.floor(has / one + _ROUNDING) for has, one in wants if one > 0), default=math.inf)


def too_large(stages: int, shape: Shape) -> str:
    """The message about stages that no machine of the cluster is large enough for."""
    one = [f"{amount / shape.processes:g} {unit}" for amount, unit in ((shape.cpus, "cores"), (shape.gpus, "GPUs")) if amount]
    where = f"a machine with {' and '.join(one)}" if shape.processes == 1 else f"{shape.processes} processes of {' and '.join(one)} each"
    waiting = "1 stage waits" if stages == 1 else f"{stages:,} stages wait"
    return f"{waiting} for {where}, which the cluster no longer has: add a machine, or stop and launch with smaller resources."
