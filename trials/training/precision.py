"""Which device and number format a stage computes in, and why."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from trials.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A device, a number format, and the reason for the choice."""

    device: torch.device
    precision: str
    reason: str

    @property
    def device_name(self) -> str:
        """The GPU's name, or 'cpu'."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 autocast, or nothing in fp32."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def choose_float32_products(self) -> None:
        """Whether a GPU may round the factors of float32 products to TF32: not where float32 was
        asked for, and in bf16 stages, yes.

        Set anew by each stage, since processes train one stage after another.
        """
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.precision == "bf16" else "highest")
            torch.backends.cudnn.allow_tf32 = self.precision == "bf16"

    def synchronise(self) -> None:
        """Wait for the queued work, for correct timing."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def cpu_computes_bf16() -> bool:
    """Whether this CPU has bf16 dot products; without them bf16 is emulated and slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_compute(precision: str, *, gpus: float) -> Compute:
    """The device that was granted (`gpus` above 0 means a GPU) and the precision a recipe asks for."""
    if gpus > 0 and not torch.cuda.is_available():
        raise InputError("A GPU was asked for, but this machine has none: set resources to gpus: 0.")
    device = torch.device("cuda" if gpus > 0 else "cpu")
    if precision != "auto":
        return Compute(device=device, precision=precision, reason="the recipe asks for it")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Compute(device=device, precision="bf16", reason="this GPU computes in bf16")
        return Compute(device=device, precision="fp32", reason="this GPU has no bf16 arithmetic")
    if cpu_computes_bf16():
        return Compute(device=device, precision="bf16", reason="this CPU has bf16 dot products")
    return Compute(device=device, precision="fp32", reason="this CPU has no bf16 dot products")
