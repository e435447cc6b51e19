"""A batch taken in parts, or through a compiled model, trains as the whole one does."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounter

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, lines, run
from trials import InputError
from trials.models.encoders import build_encoder
from trials.models.simmim import SimMIM
from trials.objectives.masked_image_modelling import MaskedImageModelling
from trials.stage_files import WEIGHTS
from trials.training.compiling import Compiled, choose_mode, compiled_modules
from trials.training.execution import Execution
from trials.training.updates import part_images


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_micro_batches_of_unequal_size_train_as_the_whole_batch(kind: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """8 images in 3 parts: 3, 3 and 2."""
    spec = make_spec(kind)
    run(spec, tmp_path / "whole", leaves_store)
    run(spec, tmp_path / "parts", leaves_store, micro_batches=3)
    loss = "train_mim_loss" if kind == "pretrain" else "train_loss"
    whole, parts = ([line[loss] for line in lines(spec, tmp_path / name) if loss in line] for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, abs=1e-5)
    weights = [load_file(folder_of(spec, tmp_path / name) / WEIGHTS) for name in ("whole", "parts")]
    for name in weights[0]:
        torch.testing.assert_close(weights[1][name], weights[0][name], atol=1e-4, rtol=0)
    assert json.loads((folder_of(spec, tmp_path / "parts") / "provenance.json").read_text())["micro_batches"] == 3


@given(images=st.integers(1, 200), count=st.integers(1, 200))
def test_parts_are_those_of_tensor_split(images: int, count: int) -> None:
    assert [part_images(images, index, count) for index in range(count)] == [len(part) for part in torch.arange(images).tensor_split(count)]


def test_a_gpu_that_runs_out_of_memory_is_given_smaller_parts_from_there_on(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain")
    loss = MaskedImageModelling.loss

    def greedy(self: MaskedImageModelling, step: int, part: tuple[int, int] = (0, 1)) -> torch.Tensor:
        if step >= 2 and part[1] < 4:
            raise torch.cuda.OutOfMemoryError
        return loss(self, step, part)

    whole = run(spec, tmp_path / "whole", leaves_store)
    with mock.patch.object(MaskedImageModelling, "loss", greedy):
        result = run(spec, tmp_path, leaves_store)
    assert result["metrics"] == pytest.approx(whole["metrics"], abs=1e-5)
    log = (folder_of(spec, tmp_path) / "log.txt").read_text()
    assert "step 2: the GPU ran out of memory, so batches are taken in 2 parts from here on" in log
    assert "in 4 parts from here on" in log
    assert json.loads((folder_of(spec, tmp_path) / "provenance.json").read_text())["micro_batches"] == 4


def test_a_stage_that_cannot_be_compiled_goes_on_without(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain")
    whole = run(spec, tmp_path / "whole", leaves_store)

    def compile_(forward: Any, **options: Any) -> Any:
        def failing(*arguments: Any, **names: Any) -> Any:
            raise RuntimeError("no compiler here\nand more")

        return failing

    with mock.patch.object(torch, "compile", compile_):
        assert run(spec, tmp_path, leaves_store, compile="default") == whole
        in_bf16 = make_spec("pretrain", precision="bf16")
        run(in_bf16, tmp_path, leaves_store, compile="default")
    log = (folder_of(in_bf16, tmp_path) / "log.txt").read_text()
    assert "goes on without torch.compile: compiling failed" in log
    assert "without bf16 copies" not in log
    provenance = json.loads((folder_of(spec, tmp_path) / "provenance.json").read_text())
    assert (provenance["compile"], provenance["compile_reason"]) == ("off", "compiling failed: RuntimeError: no compiler here")
    assert "goes on without torch.compile: compiling failed" in (folder_of(spec, tmp_path) / "log.txt").read_text()


def test_evaluation_is_never_compiled(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain")
    called: list[bool] = []

    def compile_(forward: Any, **options: Any) -> Any:
        def counting(*arguments: Any, **names: Any) -> Any:
            called.append(torch.is_grad_enabled())
            return forward(*arguments, **names)

        return counting

    whole = run(spec, tmp_path / "whole", leaves_store)
    with mock.patch.object(torch, "compile", compile_):
        assert run(spec, tmp_path, leaves_store, compile="default") == whole
    assert called == [True] * spec.steps * len(build_encoder(spec.encoder).repeated_blocks())


def test_auto_compiles_long_stages_on_a_gpu_alone() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    image = 2.17e9  # of ViNy
    assert choose_mode("auto", device=cpu, flops=1e18)[0] == "off"
    # a fine-tuning of 250 steps at batch 32, and the first paper's shortest pre-training
    assert choose_mode("auto", device=cuda, flops=250 * 32 * image) == (
        "off",
        "it would save about 0.2 s of the stage, less than the 35 s that compiling may take",
    )
    assert choose_mode("auto", device=cuda, flops=4_500_000 * image)[0] == "default"
    assert choose_mode("reduce-overhead", device=cpu, flops=0)[0] == "reduce-overhead"
    with pytest.raises(InputError, match="compile must be one of auto, off, default, reduce-overhead, not 'fast'"):
        choose_mode("fast", device=cpu, flops=0)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo looks at its inputs
@pytest.mark.parametrize(("name", "shapes"), [("pico/8@32", 1), ("swinv2-pico@64", 4)])
def test_blocks_alike_are_compiled_once(name: str, shapes: int) -> None:
    """A ViT has one shape of block; a SwinV2 one or two a stage, as windows are shifted or not."""
    torch._dynamo.reset()
    counter = CompileCounter()
    model = SimMIM(build_encoder(name))
    encoder, images = model.encoder, torch.zeros(1, 3, model.encoder.image_px, model.encoder.image_px)
    assert len(compiled_modules(model)) == encoder.layers
    before = encoder(images)
    with mock.patch.object(torch, "compile", partial(torch.compile, backend=counter)):
        compiled = Compiled(model, "default", "")
    with compiled.training():
        torch.testing.assert_close(encoder(images), before)
    assert shapes <= counter.frame_count <= 2 * shapes
    torch._dynamo.reset()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="micro_batches must be at least 1, not 0"):
        Execution(micro_batches=0)
    with pytest.raises(InputError, match="reduce-overhead keeps gradients in its graph's memory"):
        dataclasses.replace(Execution(micro_batches=2), compile="reduce-overhead")


def test_a_process_compiles_as_many_shapes_as_come() -> None:
    """A worker may train a ladder of encoders; torch stops after 8 shapes, without an error."""
    counter = CompileCounter()
    compile_ = torch.compile

    def counted(forward: Any, mode: str, dynamic: bool) -> Any:
        return compile_(forward, backend=counter, dynamic=dynamic)

    class Model(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values * 2

    torch._dynamo.reset()
    limits = torch._dynamo.config.patch(recompile_limit=8, accumulated_recompile_limit=256, fail_on_recompile_limit_hit=False)
    with limits, mock.patch.object(torch, "compile", counted):
        for length in range(1, 13):
            model = Model()
            with Compiled(model, "default", "").training():
                model(torch.ones(length))
    torch._dynamo.reset()
    assert counter.frame_count == 12
