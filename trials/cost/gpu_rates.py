"""How fast a GPU model trains a stage, without that GPU: a measured speed where there is one, else
scaled from those by FLOPs and memory traffic.

The time of a step is a roofline (Williams, Waterman and Patterson 2009) with a term for starting
kernels:

    busy = images * (flops / (a * peak) + traffic / (b * bandwidth))
    step = busy + c * kernels             captured in a CUDA graph
    step = max(busy, d * kernels)         eager: the CPU starts kernels while the GPU works

b, c and d were fitted to the step probe on one H200 (`measured_rates.csv`); a is an assumption, since
ViNy hardly depends on it. FLOPs, traffic and kernels are counted on a model without weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trials.cost.costs import StepWork, step_work
from trials.cost.gpu_sharing import CONTEXT_BYTES, CROWDED, StageLoad
from trials.cost.gpus import Gpu, measured_rates
from trials.spec import StageSpec

StepMode = Literal["eager", "captured", "compiled", "compiled, not captured"]

PRODUCTS_SHARE = 0.5
"""a: share of the data sheet's FLOP/s that matrix products reach. Assumed, not measured."""
BANDWIDTH_SHARE = 0.61
"""b: share of the data sheet's bandwidth, with all kernels in bf16 and none fused."""
FUSED_SHARE = 0.41
"""Share of the traffic that is left where kernels are compiled."""
REPLAYED_S = 2.5e-6
"""c: seconds a kernel within a replayed CUDA graph."""
EAGER_S = 52e-6
"""d: seconds of the CPU to start a kernel from Python, for one process on an idle machine."""
REPLAY_START_S = 2e-4
"""Seconds of the CPU to replay a captured step. The target that it was built to, not a measurement."""
OPTIMISER_BYTES = 34
"""Bytes that AdamW and the bf16 copy of the weights move for each parameter in a step."""
KEPT_SHARE = 0.14
"""Share of what a forward pass writes that is held at the peak of a step, with ViNy on the H200."""
DECODE_S = 1.7e-3
"""Seconds of one CPU core to decode and resize a photograph of 500 x 375 px, as
`python -m benchmarks.paper_cost` measured it.
"""

MEASURED_FACTOR = 1.25
"""A speed that was measured on one machine is taken to hold on another of the same GPU within this
factor.
"""
SAME_GPU_FACTOR = 2.0
"""What a scaled speed is taken to be right within, on a GPU that was measured. The model is within it
of every measured speed, most of which it was fitted to.
"""
OTHER_GPU_FACTOR = 2.5
"""The same on a GPU on which nothing was measured. An assumption."""


@dataclass(frozen=True, kw_only=True)
class GpuRate:
    """The speed of one stage on a GPU model, and what is known of it."""

    images_per_s: float
    """Of one stage, while its neighbours train too."""
    factor: float
    """It is taken to be right within this factor, upwards and downwards."""
    measured: bool
    """Whether this very kind of stage was measured on this GPU."""


def resolved_precision(precision: str, gpu: Gpu) -> str:
    """What `auto` means on a GPU model."""
    if precision != "auto":
        return precision
    return "fp32" if gpu.bf16_flops_per_s is None else "bf16"


def gpu_rate(
    spec: StageSpec, gpu: Gpu, *, step: StepMode, processes: int = 1, side_by_side: int = 1, crowding: float = 0.0, cpus: int = 1
) -> GpuRate:
    """Images per second of one stage on a GPU model.

    Args:
        processes: over how many GPUs, one each, the stage's batch is spread. The exchange of
            gradients is not counted.
        side_by_side: stages that share the GPU.
        crowding: busy processes for each CPU core of the machine, 0 (one alone) to 1.
        cpus: cores of each process, which decode images that are not stored as pixels.
    """
    precision = resolved_precision(spec.recipe.precision, gpu)
    batch = max(1, spec.recipe.batch_images // processes)
    if processes == 1 and spec.data.storage == "pixels":
        for row in measured_rates():
            same = (row.gpu, row.kind, row.objective, row.encoder, row.precision, row.batch_images, row.step, row.side_by_side)
            kind = "pretrain" if spec.kind == "trunk" else spec.kind
            if same == (gpu.name, kind, spec.objective, spec.encoder, precision, batch, step, side_by_side):
                return GpuRate(images_per_s=row.images_per_s, factor=MEASURED_FACTOR, measured=True)
    step_s = _step_s(spec, gpu, precision, batch, step, crowding)
    busy_s = _busy_s(step_work(spec), gpu, precision, batch, compiled=step.startswith("compiled"))
    rate = batch / max(step_s, side_by_side * busy_s)
    if spec.data.storage != "pixels":
        rate = min(rate, cpus / DECODE_S)
    measured_gpu = any(row.gpu == gpu.name for row in measured_rates()) and precision == "bf16"
    return GpuRate(images_per_s=processes * rate, factor=SAME_GPU_FACTOR if measured_gpu else OTHER_GPU_FACTOR, measured=False)


def _busy_s(work: StepWork, gpu: Gpu, precision: str, images: int, *, compiled: bool) -> float:
    width = 0.5 if precision == "bf16" else 1.0
    peak = (gpu.bf16_flops_per_s if precision == "bf16" else None) or gpu.fp32_flops_per_s
    traffic = images * work.bytes_per_image * width * (FUSED_SHARE if compiled else 1.0) + OPTIMISER_BYTES * work.parameters
    return images * work.flops_per_image / (PRODUCTS_SHARE * peak) + traffic / (BANDWIDTH_SHARE * gpu.bytes_per_s)


def _step_s(spec: StageSpec, gpu: Gpu, precision: str, images: int, step: StepMode, crowding: float) -> float:
    work = step_work(spec)
    busy_s = _busy_s(work, gpu, precision, images, compiled=step.startswith("compiled"))
    if step in ("captured", "compiled"):
        return busy_s + REPLAYED_S * work.operations
    return max(busy_s, EAGER_S * (1 + CROWDED * crowding) * work.operations)


def gpu_memory_bytes(spec: StageSpec, gpu: Gpu, *, processes: int = 1, micro_batches: int = 1) -> tuple[float, float]:
    """Memory of one process of a stage on its GPU, without the images: the least and the most, since
    what is kept for the backward pass was measured for one encoder alone.
    """
    work, width = step_work(spec), 0.5 if resolved_precision(spec.recipe.precision, gpu) == "bf16" else 1.0
    images = max(1, spec.recipe.batch_images // processes // micro_batches)
    state, kept = 16.0 * work.parameters, 2 * width * KEPT_SHARE * work.outputs_bytes_per_image * images
    return state + kept / 2, state + kept * 2


def modelled_load(spec: StageSpec, gpu: Gpu, *, step: StepMode) -> StageLoad:
    """The load of a stage on a GPU model, from what was measured or its data sheet."""
    precision, images, work = resolved_precision(spec.recipe.precision, gpu), spec.recipe.batch_images, step_work(spec)
    rate = gpu_rate(spec, gpu, step=step).images_per_s
    captured = step in ("captured", "compiled")
    return StageLoad(
        images=images,
        step_s=images / rate,
        occupied_s=min(_busy_s(work, gpu, precision, images, compiled=step.startswith("compiled")), images / rate),
        start_s=REPLAY_START_S if captured else EAGER_S * work.operations,
        memory_bytes=gpu_memory_bytes(spec, gpu)[1] + CONTEXT_BYTES,
        measured=False,
    )
