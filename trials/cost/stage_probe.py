"""Measures what stages ask of a GPU, in one process and within a time limit, on random pixels.

    python -m trials.cost.stage_probe SPECS.json --cpus 1 --gpus 1

Steps are taken as a stage takes them, captured in a CUDA graph where they can be. A step is measured
at two batch sizes, since the part of it that other processes cannot use is the one that grows with
the batch (`trials.cost.gpu_sharing`). Nothing is compiled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from trials.cost.gpu_sharing import CONTEXT_BYTES, SMALL_STEP_S, StageLoad
from trials.cost.throughput import random_pictures
from trials.data.augmentation import Crops, draw_crops, largest_crop, normalise
from trials.errors import first_cause
from trials.objectives.objective import OBJECTIVES, build_fresh, example_loss
from trials.registry import load_plugin, loaded_plugins
from trials.spec import StageSpec
from trials.training.captured import WARM_UP_STEPS, CapturedStep, CaptureMode, choose_capture
from trials.training.optimiser import build_optimiser
from trials.training.precision import Compute, choose_compute
from trials.training.rates import Rates
from trials.training.recording import free_memory
from trials.training.seeding import generator
from trials.training.step_inputs import StepInputs
from trials.training.updates import has_short_batches
from trials.training.weight_copies import WeightCopies

LIMIT_S = 30.0
"""Of a probe of all kinds of stage, the start of its process included; what is not measured by then
is taken from the model of the GPU. The first use of an H200 on a cold machine took 9 s.
"""
SECONDS = 0.3
QUEUED_STEPS = 4
CYCLES_PER_S = 2e9
"""Of a GPU's clock, about."""


def probe_stages(
    specs: Sequence[StageSpec], *, cpus: int, gpus: float, capture: CaptureMode = "auto", limit_s: float = LIMIT_S, seconds: float = SECONDS
) -> list[StageLoad | str]:
    """Measure stages one after another in one process of its own.

    Returns:
        For each stage its load, or a sentence that says why there is none.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "specs.json"
        path.write_text(json.dumps([spec.to_dict() for spec in specs]))
        command = [sys.executable, "-m", "trials.cost.stage_probe", str(path), "--cpus", str(cpus), "--gpus", str(gpus)]
        command += ["--capture", capture, "--seconds", str(seconds)]
        command += [word for plugin in loaded_plugins() for word in ("--plugin", plugin)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, errors = process.communicate(timeout=limit_s)
            missing = (errors.strip().splitlines() or ["it ended without a message"])[-1][:200]
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            missing = f"it was not done within {limit_s:g} s"
    found: list[StageLoad | str] = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError, TypeError):  # a line that was cut off, or that a plug-in printed
            values = json.loads(line)
            found.append(values["reason"] if "reason" in values else StageLoad(**values))
    return (found + [missing] * len(specs))[: len(specs)]


class _ProbedStep:
    """A training step of a stage on random pixels, captured where a stage's would be."""

    def __init__(self, spec: StageSpec, compute: Compute, capture: CaptureMode) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = build_fresh(spec).to(compute.device)
        self._spec, self._compute = spec, compute
        self._copies = WeightCopies(self.model) if compute.precision == "bf16" else None
        self._optimiser = build_optimiser(self.model, spec.recipe)
        self._parameters = list(self.model.parameters())
        self._pictures = random_pictures(spec, compute)
        self._largest = largest_crop(self._pictures.sizes, spec.recipe)
        self._rates = Rates(self._optimiser)
        against = OBJECTIVES.find(spec.objective).reason_not_captured(spec.recipe)
        if has_short_batches(spec.recipe):
            against = against or "the last batch of each pass is shorter"
        self.reason_not_captured = choose_capture(
            capture, device=compute.device, processes=1, micro_batches=1, resident=self._pictures.resident, reason_against=against
        )
        self._rates.hold(compute.device)
        self._rates.set(spec.recipe.learning_rate)

    @contextlib.contextmanager
    def of(self, images: int) -> Iterator[Callable[[int], Tensor]]:
        """Takes the step of a number, with batches of so many images, warmed up."""
        inputs = StepInputs(seed=0, device=self._compute.device)

        def positions(steps: range) -> Tensor:
            return torch.stack([torch.randint(len(self._pictures), (images,), generator=generator(0, "probe", step)) for step in steps])

        def crops(steps: range) -> Tensor:
            sizes, draws = self._pictures.sizes[positions(steps).flatten()], [generator(0, "probe-crops", step) for step in steps]
            return draw_crops(sizes, self._spec.recipe, *draws).values.view(len(steps), images, -1)

        def body(step: int) -> Tensor:
            self._optimiser.zero_grad(set_to_none=True)
            cut = Crops(inputs.tensor("crops", crops, step), self._largest)
            batch = normalise(self._pictures.images(inputs.tensor("positions", positions, step), cut))
            with self._copies.in_place() if self._copies else contextlib.nullcontext(), self._compute.autocast():
                loss = example_loss(self.model, self._spec, batch)
            loss.backward()
            if self._copies:
                self._copies.hand_gradients()
            if self._spec.recipe.clip_norm > 0:
                nn.utils.clip_grad_norm_(self._parameters, self._spec.recipe.clip_norm)
            self._optimiser.step()
            return loss.detach()

        take: Callable[[int], Tensor] = body
        captured: CapturedStep | None = None
        if not self.reason_not_captured:
            take = captured = CapturedStep(body, body, inputs, device=self._compute.device)
        try:
            for step in range(WARM_UP_STEPS + 2):
                try:
                    take(step)
                except Exception as error:
                    if captured is None or not captured.recording:
                        raise
                    captured.abandon()
                    take, captured, self.reason_not_captured = body, None, f"capturing failed: {first_cause(error)}"
            self._compute.synchronise()
            yield take
        finally:
            if captured is not None:
                captured.abandon()
            self._optimiser.zero_grad(set_to_none=True)


def probe_stage(spec: StageSpec, *, cpus: int, gpus: float, capture: CaptureMode = "auto", seconds: float = SECONDS) -> StageLoad:
    """Measure a stage in this process."""
    torch.set_num_threads(cpus)
    compute = choose_compute(spec.recipe.precision, gpus=gpus)
    compute.choose_float32_products()
    on_gpu = compute.device.type == "cuda"
    if on_gpu:
        free_memory(compute.device)  # what the stage before reserved is not of this one
        torch.cuda.reset_peak_memory_stats()
    probed, images = _ProbedStep(spec, compute, capture), spec.recipe.batch_images
    with probed.of(images) as take:
        step_s, start_s, gpu_s = _wall_s(take, compute, seconds), _start_s(take, compute), _gpu_s(take, compute)
        memory = torch.cuda.max_memory_reserved() + CONTEXT_BYTES if on_gpu else 0.0
    occupied = gpu_s = min(gpu_s, step_s)
    other = 4 * images if gpu_s < SMALL_STEP_S else max(2, images // 4)
    if other != images:
        with contextlib.suppress(torch.OutOfMemoryError), probed.of(other) as take:
            slope = (_gpu_s(take, compute) - gpu_s) / (other - images)
            occupied = min(max(images * slope, 0.1 * gpu_s), gpu_s)
    return StageLoad(images=images, step_s=step_s, occupied_s=occupied, start_s=min(start_s, step_s), memory_bytes=memory)


def _wall_s(take: Callable[[int], Tensor], compute: Compute, seconds: float) -> float:
    """Seconds a step, one after another, as training takes them."""
    compute.synchronise()
    steps, started = 0, time.perf_counter()
    while steps < 2 or time.perf_counter() - started < seconds:
        take(steps)
        steps += 1
        if steps % QUEUED_STEPS == 0:
            compute.synchronise()
    compute.synchronise()
    return (time.perf_counter() - started) / steps


def _start_s(take: Callable[[int], Tensor], compute: Compute) -> float:
    """Seconds that the CPU takes to start a step, without waiting for the GPU. The inputs of these
    steps are made before: a stage makes them for a block of steps at once.
    """
    take(0)
    compute.synchronise()
    started = time.perf_counter()
    for step in range(1, 3):
        take(step)
    taken = (time.perf_counter() - started) / 2
    compute.synchronise()
    return taken


def _gpu_s(take: Callable[[int], Tensor], compute: Compute) -> float:
    """Seconds a step of the GPU's own time: between two events, while the GPU is kept waiting until
    the CPU has started what lies between them. On a CPU, seconds a step.
    """
    if compute.device.type != "cuda":
        return _wall_s(take, compute, 0.0)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    compute.synchronise()
    with contextlib.suppress(AttributeError):  # not a documented function
        torch.cuda._sleep(int(CYCLES_PER_S * min(0.2, 1.5 * QUEUED_STEPS * _start_s(take, compute))))
    before.record()
    for step in range(QUEUED_STEPS):
        take(step)
    after.record()
    compute.synchronise()
    return float(before.elapsed_time(after)) / 1e3 / QUEUED_STEPS


def main(arguments: list[str] | None = None) -> int:
    """The measuring process: one line of JSON for each stage."""
    parser = argparse.ArgumentParser(prog="python -m trials.cost.stage_probe", description="Measure what stages ask of a GPU.")
    parser.add_argument("specs", type=Path, help="a JSON list of specs")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--capture", default="auto")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    options = parser.parse_args(arguments)
    for plugin in options.plugin:
        load_plugin(plugin)
    for values in json.loads(options.specs.read_text()):
        spec = replace(StageSpec.from_dict(values), parent=None, trunk=None)
        try:
            load = probe_stage(spec, cpus=options.cpus, gpus=options.gpus, capture=options.capture, seconds=options.seconds)
            print(json.dumps(asdict(load)), flush=True)
        except Exception as error:  # the next kind of stage may be measured all the same
            lines = str(error).strip().splitlines()
            print(json.dumps({"reason": f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
