"""Stochastic depth: off it changes no bit, on it drops branches at timm's rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import Killed, killed_in_step, run
from trials import build_encoder
from trials.models.stochastic_depth import StochasticDepth
from trials.models.swin import SwinV2
from trials.models.window_attention import WindowBlock


@pytest.mark.parametrize("name", ["swinv2-pico@64", "pico/8@32"])
def test_switched_off_the_forward_is_the_same_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(name).train()
    for parameter in encoder.parameters():  # SwinV2's branches start at 0
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.randn(6, 3, encoder.image_px, encoder.image_px)
    before = encoder(images, cls=False)
    assert not [name for name in encoder.state_dict() if "drop" in name]
    depth = StochasticDepth(encoder.branches(), 0.5)
    depth.draw(6, slice(0, 6), torch.Generator().manual_seed(1))
    assert not torch.equal(encoder(images, cls=False), before)
    assert torch.equal(encoder.eval()(images, cls=False), before)


def test_swins_block_is_torchvisions_to_the_bit() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("swinv2-pico@64")
    assert isinstance(encoder, SwinV2)
    block = next(module for module in encoder.modules() if isinstance(module, WindowBlock))
    torch.nn.init.normal_(block.norm1.weight)
    torch.nn.init.normal_(block.norm2.weight)
    tokens = torch.randn(2, 16, 16, 16)
    assert torch.equal(block(tokens), super(WindowBlock, block).forward(tokens))


def test_rates_rise_as_timms_do() -> None:
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, drop_path_rate=0.3)
    expected = [getattr(drop, "drop_prob", 0.0) for block in theirs.blocks for drop in (block.drop_path1, block.drop_path2)]
    assert StochasticDepth(build_encoder("tiny/16@32").branches(), 0.3).rates == pytest.approx(expected)


def test_branches_are_dropped_at_their_rate_and_scaled_so_that_the_mean_stays() -> None:
    encoder = build_encoder("pico/8@32")
    branches = encoder.branches()
    StochasticDepth(branches, 0.5).draw(4000, slice(0, 4000), torch.Generator().manual_seed(0))
    last = branches[-1][1](torch.ones(4000, 2))
    assert set(last[:, 0].tolist()) == {0.0, 2.0}
    assert float((last[:, 0] == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(branches[0][0](torch.ones(4000, 2)), torch.ones(4000, 2))
    # attention and feed-forward of a block have draws of their own
    assert not torch.equal(branches[-1][0](torch.ones(4000, 2)), last)


@pytest.mark.parametrize("capture", ["off", "on"])
def test_a_stage_resumes_to_the_bit(capture: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = make_spec("pretrain", steps=8, stochastic_depth=0.3, average=0.9, brightness=0.2)
    whole = run(spec, tmp_path / "whole", leaves_store, capture=capture)
    assert run(spec, tmp_path / "eager", leaves_store) == whole
    with pytest.raises(Killed), killed_in_step(5):
        run(spec, tmp_path, leaves_store, capture=capture)
    assert run(spec, tmp_path, leaves_store, capture=capture) == whole
