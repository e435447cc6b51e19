"""A machine that is not this one, as `--machine 8xH100,cpus=128,memory=1TB` describes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scaling.cluster.machine import Machine
from trials.cost.gpus import Gpu, find_gpu
from trials.errors import InputError, nearest

CORES_A_GPU = 16
"""Where --machine names none: as many as the machine had on which speeds were measured."""
MOST_GPUS = 100_000
LEAST_BYTES = 4e9
PROCESS_BYTES = 4e9
"""Memory of one process that trains on a GPU, about: CUDA, PyTorch and what it has read."""
_UNITS = {"GB": 1e9, "TB": 1e12, "PB": 1e15, "GIB": 2.0**30, "TIB": 2.0**40, "PIB": 2.0**50}
_FORM = "write it as 8xH100 or 8xH100,cpus=128,memory=1TB,disk=10TB."


@dataclass(frozen=True, kw_only=True)
class DescribedMachine:
    """What was said of a machine that is planned for."""

    gpu: Gpu
    machine: Machine
    cpus_given: bool
    memory_bytes: float | None = None
    disk_bytes: float | None = None

    def __str__(self) -> str:
        """One line, such as `8xH100: 128 CPU cores and 8 GPUs of 80 GB`."""
        assumed = "" if self.cpus_given else f" ({CORES_A_GPU} a GPU, since --machine names none)"
        number = self.machine.gpus
        noun, memory = "GPU" if number == 1 else "GPUs", f"{self.gpu.memory_bytes / 1e9:.0f} GB"
        return f"{self.machine.name}: {self.machine.cpus} CPU cores{assumed} and {number} {noun} of {memory}"


def read_machine(text: str) -> DescribedMachine:
    """Read `COUNTxGPU`, with `cpus=N`, `memory=SIZE` and `disk=SIZE` after commas where known.

    Raises:
        InputError: it names no known GPU, none of them, or a size that is none.
    """
    first, *rest = (part.strip() for part in text[:200].split(","))
    found = re.fullmatch(r"(?:([0-9]{1,12})\s*[xX×]\s*)?([A-Za-z][A-Za-z0-9 _-]*)", first)
    if found is None:
        raise InputError(f"--machine {text[:60]!r} names no number of GPUs and no model: {_FORM}")
    gpu, count = find_gpu(found[2]), int(found[1] or 1)
    if not 1 <= count <= MOST_GPUS:
        least = "needs at least 1 GPU, since without one nothing of its speed is known" if count == 0 else f"can have at most {MOST_GPUS:,} GPUs"
        raise InputError(f"--machine {text[:60]!r}: a machine to plan for {least}; {_FORM}")
    given: dict[str, float] = {}
    for part in rest:
        key, _, value = (each.strip() for each in part.partition("="))
        if key not in ("cpus", "memory", "disk"):
            raise InputError(f"--machine has no part {part[:40]!r}: {nearest(key[:40], ('cpus', 'memory', 'disk'))} {_FORM}")
        if key in given:
            raise InputError(f"--machine names {key} twice: {_FORM}")
        given[key] = _cores(value) if key == "cpus" else _size(key, value)
    cpus = int(given.get("cpus", CORES_A_GPU * count))
    return DescribedMachine(
        gpu=gpu,
        machine=Machine(cpus=cpus, gpus=count, name=f"{count}x{gpu.name}"),
        cpus_given="cpus" in given,
        memory_bytes=given.get("memory"),
        disk_bytes=given.get("disk"),
    )


def _cores(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", value) or int(value) == 0:
        raise InputError(f"--machine: cpus must be a number of CPU cores from 1 to 9,999,999, such as cpus=128, not {value[:40]!r}.")
    return int(value)


def _size(key: str, value: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)", value)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise InputError(f"--machine: {key} must be a size with its unit, such as {key}=512GB or {key}=1.5TB, not {value[:40]!r}.")
    number = float(found[1]) * unit
    if number < LEAST_BYTES:
        raise InputError(f"--machine: {key}={value[:40]} is too little to train with: name at least {LEAST_BYTES / 1e9:.0f} GB.")
    return number
