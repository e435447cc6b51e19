"""GPU models: their data sheets, and which training speeds were measured on them.

`gpus.csv` holds data-sheet numbers (dense products, no sparsity; bf16 empty where a GPU has none),
`measured_rates.csv` the speeds that were measured, each with its date and source:

| source | what |
|---|---|
| step probe | one ViNy SimMIM step on one H200 with 16 CPU cores, torch 2.11, all ways to run it |
| study of 163 stages | medians of a study by `scaling.launch`, 14 stages at once on that machine |
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trials.errors import InputError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU model."""

    name: str
    device: str
    """As torch names it."""
    memory_bytes: float
    bytes_per_s: float
    """Memory bandwidth."""
    bf16_flops_per_s: float | None
    """Of dense matrix products with float32 sums; None without bf16 arithmetic."""
    fp32_flops_per_s: float
    """Outside tensor cores."""
    source: str


@dataclass(frozen=True, kw_only=True)
class MeasuredRate:
    """The speed of one stage of a kind, as measured."""

    gpu: str
    kind: str
    objective: str
    encoder: str
    precision: str
    batch_images: int
    step: str
    """How steps ran: 'eager', 'captured' in a CUDA graph, or 'compiled' and captured."""
    side_by_side: int
    """Stages that shared the GPU."""
    cores: int
    """CPU cores of the machine."""
    images_per_s: float
    """Of each of those stages."""
    source: str
    date: str


@lru_cache(maxsize=1)
def gpus() -> dict[str, Gpu]:
    """Every GPU model of the table, by name."""
    with open(HERE / "gpus.csv", newline="", encoding="utf-8") as handle:
        return {
            row["gpu"]: Gpu(
                name=row["gpu"],
                device=row["device"],
                memory_bytes=1e9 * float(row["memory_gb"]),
                bytes_per_s=1e12 * float(row["memory_tb_per_s"]),
                bf16_flops_per_s=1e12 * float(row["bf16_tflops"]) if row["bf16_tflops"] else None,
                fp32_flops_per_s=1e12 * float(row["fp32_tflops"]),
                source=row["source"],
            )
            for row in csv.DictReader(handle)
        }


@lru_cache(maxsize=1)
def measured_rates() -> tuple[MeasuredRate, ...]:
    """Every measured speed of the table."""
    with open(HERE / "measured_rates.csv", newline="", encoding="utf-8") as handle:
        return tuple(
            MeasuredRate(
                gpu=row["gpu"],
                kind=row["kind"],
                objective=row["objective"],
                encoder=row["encoder"],
                precision=row["precision"],
                batch_images=int(row["batch_images"]),
                step=row["step"],
                side_by_side=int(row["side_by_side"]),
                cores=int(row["cores"]),
                images_per_s=float(row["images_per_s"]),
                source=row["source"],
                date=row["date"],
            )
            for row in csv.DictReader(handle)
        )


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|[^a-z0-9]", "", name.lower())


def find_gpu(name: str) -> Gpu:
    """The GPU model of that name; spaces, hyphens and case do not count: 'rtx 4090', 'A100-80GB'.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    wanted = _plain(name)
    for gpu in gpus().values():
        if wanted in (_plain(gpu.name), _plain(gpu.device), f"{_plain(gpu.name)}{gpu.memory_bytes / 1e9:.0f}gb", f"rtx{_plain(gpu.name)}"):
            return gpu
    known = {_plain(one): one for one in gpus()}
    near = [known[one] for one in difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)]
    hint = f"the nearest are {', '.join(near)}; " if near else ""
    raise InputError(f"There is no GPU {name[:40]!r} in the table of GPUs: {hint}known: {', '.join(gpus())}.")


def gpu_of_device(device: str) -> Gpu | None:
    """The GPU model that torch gives this name; None if it is not in the table."""
    return next((gpu for gpu in gpus().values() if gpu.device == device), None)
