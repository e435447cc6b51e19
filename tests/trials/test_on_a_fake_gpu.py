"""Stages as a GPU would train them, on a machine without one: captured steps and evaluations, and all
that is moved to the GPU and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks.gpu.parity import parity
from benchmarks.gpu.results import Results
from benchmarks.gpu.sizes import Sizes
from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import Killed, folder_of, killed_in_step, run
from tests.trials.fake_gpu import GPU, FakeGpu, RefusedInCaptureError, fake_gpu
from trials import StageSpec, prepare_split
from trials.cost.stage_probe import probe_stage
from trials.data.resident import RESIDENT
from trials.data.sources import split_name
from trials.data.store import describe_split
from trials.objectives.classification import Classification
from trials.objectives.masked_image_modelling import MaskedImageModelling
from trials.stage_files import read_json
from trials.training.captured import WARM_UP_STEPS
from trials.training.step_queue import EVERY_STEPS, StepQueue

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available() or not torch.backends.cuda.is_built(), reason="a fake GPU needs torch's build for CUDA, and no real GPU"
)
STEPS = WARM_UP_STEPS + 4


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with fake_gpu() as mode:
        yield mode
        RESIDENT.clear()


def provenance(spec: StageSpec, root: Path) -> dict[str, Any]:
    return read_json(folder_of(spec, root) / "provenance.json") or {}


def on_gpu(spec: StageSpec, root: Path, store: Path, **options: Any) -> dict[str, Any]:
    return run(spec, root, store, cpus=1, gpus=1, compile="off", **{"checkpoint_s": 600} | options)["metrics"]


@pytest.fixture(scope="module")
def large_leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 64 px images, the smallest that SwinV2 takes; twelve in each split."""
    root = tmp_path_factory.mktemp("large")
    for kind in ("pretrain", "finetune"):
        for part in ("train", "heldout"):
            prepare_split("leaves", root, root, split_name("leaves", kind, part, seed=0), 64, images=12)
    return root


def swin_spec(spec: StageSpec, store: Path) -> StageSpec:
    prints = {
        f"{part}_fingerprint": describe_split("leaves", store, getattr(spec.data, f"{part}_split")).fingerprint for part in ("train", "heldout")
    }
    data = dataclasses.replace(spec.data, image_px=64, train_images=12, heldout_images=8, **prints)
    return dataclasses.replace(spec, encoder="swinv2-pico@64", data=data)


MIXED = {"cutmix": 1.0, "mixup": 0.8, "rand_augment": 9.0, "erasing": 0.25, "label_smoothing": 0.1, "layer_decay": 0.7}
JITTERED = {"brightness": 0.4, "saturation": 0.4, "hue": 0.1, "stochastic_depth": 0.1, "average": 0.99}
RELEASED = {"contrast": 0.5, "transforms": "frozen", "resize": "nearest", "pixel_loss": "ucl-code"}
FORMS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "simmim": ("pretrain", "simmim", "pico/4@16", {"clip_norm": 1.0}),
    "simmim of viny": ("pretrain", "simmim", "viny/8@16", {"target": "window-normalised", "decoder": "two-layer"}),
    "simmim by a transformer": ("pretrain", "simmim", "pico/4@16", {"decoder": "transformer", **JITTERED}),
    "simmim of swin": ("pretrain", "simmim", "swin", {}),
    "mae": ("pretrain", "mae", "pico/4@16", {"mae_target": "pixels"}),
    "labels": ("pretrain", "supervised", "pico/4@16", {}),
    "classification": ("intermediate", "classification", "pico/4@16", {}),
    "classification of mixed images": ("intermediate", "classification", "pico/4@16", MIXED),
    "spatial": ("intermediate", "spatial", "pico/4@16", {}),
    "segmentation": ("finetune", "segmentation", "pico/4@16", {}),
    "segmentation as released": ("finetune", "segmentation", "pico/4@16", RELEASED),
    "segmentation by UPerNet": ("finetune", "segmentation", "pico/4@16", {"head": "upernet", "head_channels": 8, "head_dropout": 0.1}),
    "segmentation of swin": ("finetune", "segmentation", "swin", {"head": "linear"}),
    "fine-tuned classification": ("finetune", "classification", "pico/4@16", {"pool": "cls"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_stage_is_captured_from_its_warm_up_to_its_result(
    form: str, gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, large_leaves: Path, tmp_path: Path
) -> None:
    kind, objective, encoder, changes = FORMS[form]
    store = large_leaves if encoder == "swin" else leaves_store
    spec = dataclasses.replace(make_spec(kind, steps=STEPS, precision="bf16", **changes), objective=objective)
    spec = swin_spec(spec, store) if encoder == "swin" else dataclasses.replace(spec, encoder=encoder)
    assert on_gpu(spec, tmp_path, store)
    about = provenance(spec, tmp_path)
    assert (about["captured"], about["reason_not_captured"], about["device"]) == (True, "", "a fake GPU")
    assert "was not captured" not in (folder_of(spec, tmp_path) / "log.txt").read_text()
    evaluations = {"pretrain": 2, "intermediate": 1, "finetune": 0}[kind] if objective not in ("supervised", "spatial") else None
    if evaluations is not None:
        assert len(gpu.captured) == 1 + evaluations


def test_what_a_captured_step_reads_stays_in_memory(gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """Looked at as the stage ends, when all of it has run and nothing is released yet."""
    freed: list[int] = []
    finish = MaskedImageModelling.finish

    def looking(self: MaskedImageModelling, folder: Path) -> Any:
        freed.append(gpu.freed())
        return finish(self, folder)

    with mock.patch.object(MaskedImageModelling, "finish", looking):
        on_gpu(make_spec("pretrain", steps=STEPS, precision="bf16", **JITTERED), tmp_path, leaves_store)
    assert freed == [0]


def test_memory_that_is_freed_after_a_capture_is_counted(gpu: FakeGpu) -> None:
    kept, lost = torch.zeros(3, device=GPU), torch.zeros(3, device=GPU)
    gpu.begin_capture()
    _ = kept + lost
    gpu.end_capture()
    assert gpu.freed() == 0
    del lost
    assert gpu.freed() == 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (lambda loss: loss * float(loss.detach()), "makes the host wait"),
        (lambda loss: loss + loss.detach().reshape(1)[loss.detach().reshape(1) > 0].sum(), "by a mask|makes the host wait"),
        (lambda loss: loss + torch.ones(3).sum(), "makes a tensor on the CPU"),
        (lambda loss: loss + torch.tensor([1.0, 2.0], device=GPU).sum(), "on the CPU"),
        (lambda loss: loss + loss.detach().reshape(1).cpu().to(GPU).sum(), "from one device to another"),
        (lambda loss: loss + torch.rand(1, device=GPU).sum(), "draws from torch's own generator"),
    ],
    ids=["number", "mask", "tensor on the CPU", "tensor from Python", "copy", "draw"],
)
def test_a_step_that_no_graph_can_hold_is_taken_eagerly_and_says_why(
    what: Any, reason: str, gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    loss, stream = MaskedImageModelling.loss, gpu.stream
    spec = dataclasses.replace(make_spec("pretrain", steps=STEPS), eval_points=1)
    with mock.patch.object(MaskedImageModelling, "loss", lambda self, step, part=(0, 1): what(loss(self, step, part))):
        on_gpu(spec, tmp_path, leaves_store)
    assert not provenance(spec, tmp_path)["captured"]
    said = provenance(spec, tmp_path)["reason_not_captured"]
    with pytest.raises(AssertionError, match=f"capturing failed: RefusedInCaptureError: .*({reason}).* .then RuntimeError: CUDA error"):
        raise AssertionError(said)
    assert gpu.stream is stream  # and not that of the capture
    assert len(gpu.captured) == 1  # evaluations are not tried


def test_an_evaluation_that_waits_for_the_device_is_not_captured(gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    logits = Classification._logits
    spec = make_spec("intermediate", steps=STEPS)
    with mock.patch.object(Classification, "_logits", lambda self, parts: logits(self, parts) * float(logits(self, parts)[0, 0])):
        on_gpu(spec, tmp_path, leaves_store)
    assert "the evaluation of heldout images was not captured: RefusedInCaptureError" in (folder_of(spec, tmp_path) / "log.txt").read_text()
    assert provenance(spec, tmp_path)["captured"]


def test_all_stages_of_a_process_are_captured_on_one_stream(gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """torch keeps a workspace for each stream on which a matrix product ever ran."""
    streams: list[Any] = []
    capture = torch.cuda.graph

    def watched(graph: Any, stream: Any) -> Any:
        streams.append(stream)
        return capture(graph, stream=stream)

    with mock.patch.object(torch.cuda, "graph", watched):
        for seed in range(2):
            on_gpu(dataclasses.replace(make_spec("pretrain", steps=STEPS), seed=seed), tmp_path, leaves_store)
    assert len(streams) == 6
    assert all(one is streams[0] for one in streams)


def test_the_cpu_is_never_more_than_two_marks_ahead(gpu: FakeGpu) -> None:
    queue = StepQueue(GPU)
    ahead = []
    for _ in range(5 * EVERY_STEPS):
        queue()
        ahead.append(gpu.events.count("record") - gpu.events.count("wait"))
    assert max(ahead) == 1
    assert gpu.events.count("record") == 5
    StepQueue(torch.device("cpu"))()


def test_a_data_set_is_not_pinned_whole(gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """torch keeps pinned memory, rounded up to a power of two, for as long as the process lives."""
    with mock.patch("trials.data.pictures.MOST_PINNED_BYTES", 1):
        on_gpu(make_spec("pretrain", steps=1), tmp_path, leaves_store)
    assert "pin" not in gpu.events
    RESIDENT.clear()
    on_gpu(dataclasses.replace(make_spec("pretrain", steps=1), seed=1), tmp_path, leaves_store)
    assert "pin" in gpu.events


def test_tensors_on_two_devices_are_refused(gpu: FakeGpu) -> None:
    with pytest.raises(RuntimeError, match="devices"):
        torch.zeros(3, device=GPU) + torch.zeros(3)
    gpu.begin_capture()
    with pytest.raises(RefusedInCaptureError):
        torch.zeros(3, device=GPU).cpu()


@pytest.mark.parametrize("step", [2, WARM_UP_STEPS + 2])
def test_a_stage_that_was_killed_goes_on_with_its_state_on_the_gpu(
    step: int, gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    spec = make_spec("pretrain", steps=STEPS + WARM_UP_STEPS + 2, average=0.9, precision="bf16")
    with pytest.raises(Killed), killed_in_step(step):
        on_gpu(spec, tmp_path, leaves_store, checkpoint_s=0)
    on_gpu(spec, tmp_path, leaves_store)
    about = provenance(spec, tmp_path)
    assert (about["attempts"], about["captured"]) == (2, True)


def test_a_stage_begins_with_the_weights_of_its_parent(gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    parent = make_spec("pretrain", steps=STEPS)
    on_gpu(parent, tmp_path, leaves_store)
    child = make_spec("finetune", steps=STEPS, parent=folder_of(parent, tmp_path).name)
    assert on_gpu(child, tmp_path, leaves_store)["test_images"] == 16


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
@pytest.mark.parametrize("way", ["too large", "in parts"])
def test_what_is_not_captured_trains_eagerly(way: str, kind: str, gpu: FakeGpu, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec(kind, steps=STEPS, precision="bf16")
    if way == "too large":
        with mock.patch.object(torch.cuda, "mem_get_info", return_value=(100, 100)):
            on_gpu(spec, tmp_path, leaves_store)
        assert provenance(spec, tmp_path)["reason_not_captured"] == "the images do not fit into the GPU's memory"
    else:
        on_gpu(spec, tmp_path, leaves_store, micro_batches=2)
        assert provenance(spec, tmp_path)["reason_not_captured"] == "batches are taken in parts"


def test_the_probe_of_gpus_auto_measures_captured_steps(gpu: FakeGpu, make_spec: MakeSpec) -> None:
    load = probe_stage(make_spec("pretrain"), cpus=1, gpus=1, seconds=0.01)
    assert load.images == 8
    assert load.memory_bytes > 0
    assert len(gpu.captured) == 2  # of two batch sizes
    assert gpu.events[:2] == ["empty cache", "reset peak"]  # memory that a stage before reserved does not count


def test_the_benchmark_for_gpus_takes_its_way_on_a_gpu(gpu: FakeGpu, tmp_path: Path) -> None:
    """Its first part, which starts no process; the numbers mean nothing."""
    sizes = dataclasses.replace(Sizes.tiny(tmp_path), device="cuda")
    results = Results(tmp_path / "out", lambda text: None)
    parity(sizes, results, lambda: 60.0)
    assert results.values["parity_captured_is_captured"]
    assert results.values["parity_evaluated_is_captured"]
    assert "replay_cpu_ms" in results.values
