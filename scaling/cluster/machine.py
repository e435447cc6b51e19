"""The resources of this machine or a cluster, and how many of them each kind of stage gets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from scaling.grid.settings import KINDS, Grid, Resources
from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of a cluster; a process of a stage runs on one."""

    cpus: int
    gpus: float

    def capacity(self, cpus: int, gpus: float) -> int:
        """How many processes of this size fit at once."""
        return min(self.cpus // cpus, int(self.gpus / gpus + 1e-9)) if gpus > 0 else self.cpus // cpus


@dataclass(frozen=True, kw_only=True)
class Machine:
    """CPU cores and GPUs that a launch may use."""

    cpus: int
    gpus: int
    name: str = "this machine"
    """For messages."""
    nodes: tuple[Node, ...] = ()
    """The machines of a cluster; none for a single machine."""

    def __str__(self) -> str:
        nodes = f" on {len(self.nodes)} nodes" if self.nodes else ""
        return f"{self.name}: {self.cpus} CPU cores and {self.gpus or 'no'} GPU{nodes}"

    @classmethod
    def here(cls) -> Machine:
        """This machine; cores as this process may use them."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cpus=cpus, gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0)

    @classmethod
    def of(cls, shapes: Iterable[Granted]) -> Machine:
        """The smallest machine that runs as many stages of each shape at once as it says."""
        found = list(shapes)
        return cls(
            cpus=max(one.all_cpus * one.side_by_side for one in found), gpus=round(max(one.all_gpus * one.side_by_side for one in found) + 1e-9)
        )

    def grant(self, grid: Grid) -> dict[str, Granted]:
        """What each kind of stage gets.

        Raises:
            InputError: a stage asks for more than the machine has, or one of its processes for more
                than any machine of the cluster has, for which Ray would wait for ever.
        """
        return {kind: self._grant(grid, kind, grid.resources[kind]) for kind in KINDS}

    def _grant(self, grid: Grid, kind: str, asked: Resources) -> Granted:
        def where(key: str) -> str:
            own = f"resources.{kind}.{key}"
            return grid.where.get(own, grid.where.get(f"resources.{key}", "resources"))

        gpus = float(min(1, self.gpus)) if asked.gpus is None else asked.gpus
        cpus_held, gpus_held = asked.cpus * asked.workers, gpus * asked.workers
        if gpus_held > self.gpus + 1e-9:
            has = "none" if self.gpus == 0 else str(self.gpus)
            raise InputError(
                f"{where('workers' if gpus <= self.gpus else 'gpus')}: {kind} asks for {gpus_held:g} GPU, but {self.name} has {has}: "
                "lower workers or gpus, or set gpus to 'auto' or 0."
            )
        if cpus_held > self.cpus:
            raise InputError(f"{where('cpus')}: {kind} asks for {cpus_held} CPU cores, but {self.name} has {self.cpus}: lower cpus or workers.")
        if asked.workers > 1 and 0 < gpus < 1:
            raise InputError(
                f"{where('gpus')}: each of the {asked.workers} workers of {kind} asks for {gpus:g} GPU, but two that share one cannot exchange "
                "gradients over nccl: set gpus to 1, or workers to 1."
            )
        capacities = [node.capacity(asked.cpus, gpus) for node in self.nodes or (Node(cpus=self.cpus, gpus=self.gpus),)]
        side_by_side = sum(capacities) if asked.workers == 1 else sum(capacities) // asked.workers
        if side_by_side == 0:
            with_gpu = f" and {gpus:g} GPU" if gpus > 0 else ""
            largest = ", ".join(f"{node.cpus} cores{f' and {node.gpus:g} GPU' if node.gpus else ''}" for node in self._largest())
            raise InputError(
                f"{where('cpus')}: a process of {kind} asks for {asked.cpus} CPU cores{with_gpu} on one node"
                f"{f', {asked.workers} times over' if asked.workers > 1 else ''}, which no node of {self.name} has (they have {largest}): "
                "lower cpus, gpus or workers."
            )
        return Granted(cpus=asked.cpus, gpus=gpus, workers=asked.workers, side_by_side=side_by_side)

    def _largest(self) -> list[Node]:
        """The largest kinds of nodes, at most three."""
        return sorted(set(self.nodes), key=lambda node: (node.gpus, node.cpus), reverse=True)[:3]


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What one stage holds, and how many such stages run at once."""

    cpus: int
    """Of each of its processes."""
    gpus: float
    """Of each of its processes."""
    workers: int = 1
    side_by_side: int

    @property
    def all_cpus(self) -> int:
        """Cores of all its processes."""
        return self.cpus * self.workers

    @property
    def all_gpus(self) -> float:
        """GPUs of all its processes."""
        return self.gpus * self.workers
