"""The benchmark of training speed runs, its rivals train the same task, and its clocks leave
nothing behind. No time is asserted.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from benchmarks.throughput import laps as laps_module
from benchmarks.throughput import loops
from benchmarks.throughput.__main__ import main
from benchmarks.throughput.contender import Job
from benchmarks.throughput.images import our_stage, prepare
from benchmarks.throughput.laps import Laps, laps_of_ours
from benchmarks.throughput.loops import Loop, build_rival
from benchmarks.throughput.models import WORKLOADS
from benchmarks.throughput.rounds import Contender, running
from trials.cost.costs import stage_cost
from trials.data.pictures import Pictures
from trials.models.simmim import SimMIM
from trials.objectives.objective import Batches

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.mark.slow
def test_it_runs_and_says_who_is_missing(capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loops.LIBRARIES, "lightly", dataclasses.replace(loops.LIBRARIES["lightly"], needs="not_there"))
    quick = ["--quick", "--device", "cpu", "--threads", "1", "--seconds", "0.05", "--workers", "0", "1", "--data", str(root)]
    main([*quick, "--rivals", "usual", "lightly"])
    said = capsys.readouterr().out
    assert "(d) lightly: skipped: not_there is not installed (uv sync --group benchmark)" in said
    assert said.count("\n| (a) ours |") == said.count("\n| (b) the usual loop |") == 2
    assert "gave up" not in said
    assert "python -m benchmarks.throughput --device cuda --all" in said


@pytest.mark.slow
def test_who_gives_up_is_named_with_its_last_words(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    job = Job(library="usual", precision="fp32", workload="pico", device="cpu", threads=1, batch_images=4, images=8, root=str(root))
    with running([Contender(name="(x)", job=job, files=root / "nowhere")]) as able:
        assert able == []
    assert re.search(r"\(x\): gave up: FileNotFoundError: .*nowhere", capsys.readouterr().out)


@pytest.mark.parametrize("model", ["pico", "swinv2-pico"])
@pytest.mark.parametrize("library", ["usual", "transformers", "lightly"])
def test_a_rival_trains_and_masks_as_much_as_ours(root: Path, model: str, library: str) -> None:
    if not loops.LIBRARIES[library].installed:
        pytest.skip(f"{library} is not installed")
    if model.startswith("swin") and not loops.LIBRARIES[library].has_swin:
        pytest.skip(f"{library} has no SwinV2")
    workload = WORKLOADS[model]
    files = prepare(workload, root, images=8)
    torch.manual_seed(0)
    rival = build_rival(library, workload, files, CPU)
    before = [one.detach().clone() for one in rival.model.parameters()]
    loop = Loop(rival, batch_images=4, device=CPU, bf16=False, laps=Laps(lambda: None))
    loop.set_workers(0)
    loop.step()
    loop.set_workers(0)
    assert any(not torch.equal(old, new) for old, new in zip(before, rival.model.parameters(), strict=True))
    # a decoder reads masked tokens alone in two of the four; the encoders are alike
    ours = stage_cost(our_stage(workload, root, images=8, batch_images=4, precision="fp32", steps=1))
    assert sum(one.numel() for one in rival.model.parameters()) == pytest.approx(ours.parameters, rel=0.35)


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize(("library", "extra"), [("usual", 258), ("transformers", -2 * 768 - 2 * 128)])
def test_the_rivals_vinys_are_of_its_size(root: Path, library: str, extra: int) -> None:
    """vit-pytorch's keeps a head of two classes; transformers' has no LayerNorm on either side of
    the patch embedding.
    """
    files = prepare(WORKLOADS["pico"], root, images=8)
    with torch.device("meta"):
        rival = build_rival(library, WORKLOADS["viny"], files, torch.device("meta"))
    assert sum(one.numel() for one in rival.model.parameters()) == 4_942_080 + extra


def test_clocks_are_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (Pictures.images, Batches.take, vars(SimMIM).get("__call__"))
    laps = Laps(lambda: None)
    moments = iter(range(100))
    monkeypatch.setattr(laps_module.time, "perf_counter", lambda: next(moments))
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    optimiser = torch.optim.AdamW([weight])
    with laps_of_ours(laps):
        laps.start()
        optimiser.step()
    optimiser.step()
    assert laps.seconds == {"backward": 1, "optimiser": 1}
    assert (Pictures.images, Batches.take, vars(SimMIM).get("__call__")) == before


@pytest.mark.parametrize(("model", "share"), [("viny", 32 / 64), ("vit-s", 30 / 49), ("swinv2-b", 22 / 36)])
def test_what_is_masked_is_what_the_papers_mask(model: str, share: float) -> None:
    assert WORKLOADS[model].mask_share == pytest.approx(share, abs=1e-12)
