"""bf16 steps with one copy of the weights and with tokens that stay in bf16, beside autocast's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.trials.conftest import MakeSpec
from tests.trials.cut_off import folder_of, lines, run
from trials.models import vit
from trials.models.vit import VIT_SIZES, Attention, TokenNorm, attention
from trials.stage_files import WEIGHTS
from trials.training.weight_copies import WeightCopies

STEPS = 12


@pytest.fixture
def autocast_bf16() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


def weights_of(spec: Any, root: Path) -> dict[str, Tensor]:
    return load_file(folder_of(spec, root) / WEIGHTS)


@pytest.mark.parametrize("capture", ["off", "on"])
def test_copies_train_as_autocast_does_to_the_bit(
    capture: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("pretrain", precision="bf16", clip_norm=1.0)
    used: list[int] = []
    hand = WeightCopies.hand_gradients

    def counted(self: WeightCopies) -> None:
        used.append(len(self))
        hand(self)

    monkeypatch.setattr(WeightCopies, "hand_gradients", counted)
    run(spec, tmp_path / "copies", leaves_store, capture=capture)
    assert len(used) == spec.steps
    assert used[0] == 4 * (7 + 4), "weights and biases of four layers and two norms of four blocks; qkv has no bias"
    monkeypatch.setattr(WeightCopies, "__len__", lambda self: 0)
    run(spec, tmp_path / "autocast", leaves_store, capture=capture)
    assert len(used) == spec.steps
    ours, theirs = (weights_of(spec, tmp_path / name) for name in ("copies", "autocast"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert all(values.dtype == torch.float32 for values in ours.values())


def test_where_copies_fail_the_stage_goes_on_and_says_why(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such kernel")

    spec = make_spec("pretrain", steps=2, precision="bf16")
    with monkeypatch.context() as patched:
        patched.setattr(torch, "_foreach_copy_", refuse)
        run(spec, tmp_path, leaves_store)
    assert "goes on without bf16 copies of its weights: RuntimeError: no such kernel" in (folder_of(spec, tmp_path) / "log.txt").read_text()


def test_queries_keys_and_values_are_those_of_the_packed_product_to_the_bit() -> None:
    """Values and gradients are what they were when the product was permuted first."""
    torch.manual_seed(0)
    layer, tokens = Attention(VIT_SIZES["pico"]), torch.randn(2, 9, 64)

    def before(values: Tensor) -> Tensor:
        packed = layer.qkv(layer.norm(values)).view(2, 9, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = packed.unbind(0)
        return layer.project(attention(query, key, value).transpose(1, 2).reshape(2, 9, -1))

    found = []
    for forward in (before, layer):
        layer.zero_grad()
        given = tokens.clone().requires_grad_()
        out = forward(given)
        out.square().sum().backward()
        found.append([out.detach(), given.grad, *(one.grad for one in layer.parameters())])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_bf16_tokens_are_normalised_with_float32_sums(autocast_bf16: None) -> None:
    torch.manual_seed(0)
    norm = TokenNorm(64)
    nn.init.normal_(norm.weight)
    tokens = (torch.randn(4, 9, 64) + 30).to(torch.bfloat16)
    found = norm(tokens)
    expected = nn.functional.layer_norm(tokens.double(), (64,), norm.weight.double(), norm.bias.double())
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.double(), expected, rtol=2**-7, atol=2**-7)
    assert norm(tokens.float()).dtype == torch.float32


def test_losses_with_bf16_tokens_are_those_with_float32_tokens_within_one_percent(
    make_spec: MakeSpec, leaves_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("pretrain", steps=STEPS, precision="bf16")
    run(spec, tmp_path / "bf16", leaves_store)
    monkeypatch.setattr(vit, "in_autocast_form", lambda tokens: tokens)
    run(spec, tmp_path / "fp32", leaves_store)
    losses = [[line["train_mim_loss"] for line in lines(spec, tmp_path / name) if "train_mim_loss" in line] for name in ("bf16", "fp32")]
    assert len(losses[0]) == STEPS
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_frozen_weights_are_not_copied_and_get_no_gradient() -> None:
    torch.manual_seed(0)
    first, second = vit.FeedForward(VIT_SIZES["pico"]), vit.FeedForward(VIT_SIZES["pico"])
    first.requires_grad_(False)
    model = nn.Sequential(first, second)
    copies = WeightCopies(model)
    assert len(copies) == 4  # two layers of the second, each with a bias
    with copies.in_place(), torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(2, 9, 64)).float().square().sum()
    loss.backward()
    copies.hand_gradients()
    assert all(one.grad is None for one in first.parameters())
    assert all(one.grad is not None and one.grad.dtype == torch.float32 for one in second.parameters())
