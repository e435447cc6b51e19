"""How many stages share a GPU: the model on what an H200 showed, its corrections, and the probe."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from tests.trials.conftest import MakeSpec
from trials.cost import stage_probe
from trials.cost.gpu_sharing import CROWDED, Sharer, StageLoad, choose_numbers, compiled_load
from trials.cost.stage_probe import probe_stage, probe_stages
from trials.training.precision import Compute
from trials.training.step_clock import UNTIMED_STEPS, StepClock

# benchmarks/README and trials/cost/measured_rates.csv: eager kernels in one CUDA graph, one H200 with
# 16 cores, 64 and 256 images
STEP_64_S, STEP_256_S = 64 / 13_953, 256 / 22_049
VINY = StageLoad(images=64, step_s=STEP_64_S, occupied_s=64 * (STEP_256_S - STEP_64_S) / 192, start_s=3e-4, memory_bytes=2e9)


@pytest.mark.parametrize(("stages", "measured"), [(1, 13_953), (4, 25_600), (8, 28_148), (14, 27_084)])
def test_the_model_gives_what_processes_reached_together_on_an_h200(stages: int, measured: float) -> None:
    assert VINY.images_per_s(stages, cores=16) == pytest.approx(measured, rel=0.1)


def test_the_smallest_number_close_to_the_best_is_chosen() -> None:
    sharer = Sharer(load=VINY, most=14, images=1e6, cores=16)
    assert sharer.best == 2
    assert VINY.images_per_s(2, cores=16) >= 0.95 * VINY.images_per_s(14, cores=16)
    assert Sharer(load=VINY, most=1, images=1e6, cores=16).best == 1


def test_a_step_that_the_cpu_starts_slowly_wants_many_stages() -> None:
    eager = dataclasses.replace(VINY, step_s=30e-3, start_s=30e-3)
    sharer = Sharer(load=eager, most=14, images=1e6, cores=16)
    assert sharer.best > 10
    assert eager.images_per_s(14, cores=16) < 14 * eager.images_per_s(1, cores=16)  # processes slow one another down


def test_memory_and_images_limit_the_number() -> None:
    assert VINY.fitting(141e9) == 63
    assert VINY.fitting(141e9, images_bytes=10e9) == 10
    assert VINY.fitting(1e9) == 1


def test_compiled_kernels_leave_what_they_left_on_an_h200() -> None:
    compiled = compiled_load(VINY)
    assert compiled.images_per_s(1, cores=16) == pytest.approx(22_141, rel=0.05)


def test_stages_that_wait_for_the_gpu_correct_the_load_downwards() -> None:
    hopeful = dataclasses.replace(VINY, occupied_s=0.2e-3)
    assert Sharer(load=hopeful, most=16, images=1.0, cores=16).best == 16
    measured_s = 16 * 2.3e-3
    corrected = hopeful.corrected(16, measured_s, cores=16)
    assert corrected.step_of(16, cores=16) == pytest.approx(measured_s)
    assert Sharer(load=corrected, most=16, images=1.0, cores=16).best == 2


def test_stages_that_do_not_hinder_one_another_have_more_tried() -> None:
    wary = dataclasses.replace(VINY, occupied_s=VINY.step_s / 2)
    assert Sharer(load=wary, most=16, images=1.0, cores=16).best == 2
    corrected = wary.corrected(2, VINY.step_s, cores=16)
    assert Sharer(load=corrected, most=16, images=1.0, cores=16).best == 4


def test_corrections_end_at_the_number_that_is_best() -> None:
    """Simulated: the truth is what the H200 does, the first guess is off by four both ways."""
    for factor in (0.25, 4.0):
        load, number = dataclasses.replace(VINY, occupied_s=min(factor * VINY.occupied_s, VINY.step_s)), 0
        for _ in range(4):
            number = Sharer(load=load, most=14, images=1.0, cores=16).best
            load = load.corrected(number, VINY.step_of(number, cores=16), cores=16)
        assert VINY.images_per_s(number, cores=16) >= 0.9 * VINY.images_per_s(14, cores=16), factor


def test_kinds_share_one_number_where_that_costs_little() -> None:
    small = dataclasses.replace(VINY, occupied_s=VINY.step_s / 4)
    kinds = {kind: Sharer(load=load, most=14, images=1e6, cores=16) for kind, load in (("pretrain", VINY), ("finetune", small))}
    assert kinds["pretrain"].best != kinds["finetune"].best
    assert choose_numbers(kinds) == {"pretrain": 4, "finetune": 4}
    large = dataclasses.replace(VINY, memory_bytes=60e9)
    apart = {"pretrain": Sharer(load=large, most=1, images=1e6, cores=16), "finetune": kinds["finetune"]}
    assert choose_numbers(apart) == {"pretrain": 1, "finetune": 4}  # it would take three times as long one by one
    assert choose_numbers({}) == {}


@pytest.mark.slow
def test_a_stage_is_probed_and_what_fails_is_said(make_spec: MakeSpec) -> None:
    spec = make_spec("pretrain")
    broken = dataclasses.replace(spec, objective="no-such-objective")
    load, reason = probe_stages([spec, broken], cpus=1, gpus=0.0, capture="on", limit_s=120.0, seconds=0.05)
    assert isinstance(load, StageLoad)
    assert load.images == spec.recipe.batch_images
    assert 0 < load.occupied_s <= load.step_s
    assert 0 < load.start_s <= load.step_s
    assert isinstance(reason, str)
    assert "no-such-objective" in reason


def test_a_probe_that_takes_too_long_is_ended_and_named(make_spec: MakeSpec) -> None:
    (reason,) = probe_stages([make_spec("pretrain")], cpus=1, gpus=0.0, limit_s=0.01)
    assert reason == "it was not done within 0.01 s"


def test_a_step_that_cannot_be_captured_is_probed_as_it_is(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, step: int) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("trials.training.captured.CapturedStep._record", refuse)
    probed: list[stage_probe._ProbedStep] = []
    made = stage_probe._ProbedStep

    def keep(*arguments: object) -> stage_probe._ProbedStep:
        probed.append(made(*arguments))  # type: ignore[arg-type]
        return probed[-1]

    monkeypatch.setattr(stage_probe, "_ProbedStep", keep)
    load = probe_stage(make_spec("pretrain"), cpus=1, gpus=0.0, capture="on", seconds=0.01)
    assert load.step_s > 0
    assert "operation not permitted" in probed[0].reason_not_captured


def test_the_time_to_start_a_step_is_without_that_of_making_its_block_of_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def take(step: int) -> torch.Tensor:
        now[0] += 0.5 if step == 0 else 0.001
        return torch.zeros(())

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    compute = Compute(device=torch.device("cpu"), precision="fp32", reason="")
    assert stage_probe._start_s(take, compute) == pytest.approx(0.001)


def test_steps_are_timed_without_what_lies_between_them() -> None:
    moments = iter([0.0, 100.0, 200.0, 201.0, 300.0, 302.0, 400.0, 404.0])
    clock = StepClock(lambda: next(moments))
    assert clock.step_ms is None
    for first in (0, UNTIMED_STEPS, UNTIMED_STEPS + 10, UNTIMED_STEPS + 20):
        clock.start(first)
        clock.stop(first + 10)
    assert clock.step_ms == 200.0  # 1, 2 and 4 s for ten steps; the first hundred seconds do not count


def test_starting_kernels_gets_no_slower_with_more_processes_than_cores() -> None:
    """They take turns on the cores: the slowdown is that of a full machine."""
    eager = dataclasses.replace(VINY, step_s=30e-3, start_s=30e-3, occupied_s=1e-5)
    full = 30e-3 * (1 + CROWDED)
    assert [eager.step_of(stages, cores=4) for stages in (1, 3, 5, 9, 32)] == pytest.approx([30e-3, 30e-3 * (1 + CROWDED / 2), full, full, full])
