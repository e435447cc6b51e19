"""SwinV2: the published counts, and numerical equality with torchvision's model where torchvision
pads nothing.
"""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

from trials import InputError, build_encoder, count_parameters
from trials.models.encoders import adapt_weights, at_image_px, encoder_image_px, parse_encoder
from trials.models.heads import Classifier, check_pool
from trials.models.segmentation_heads.patch_linear import PatchLinear
from trials.models.swin import SwinV2
from trials.models.swin_sizes import SwinSize
from trials.models.window_attention import WindowAttention, biased_attention, coordinates, from_windows, shift_mask, to_windows


def scattered(encoder: SwinV2) -> SwinV2:
    """With weights far from their start, at which every block is the identity."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return encoder.eval()


@pytest.mark.parametrize(
    ("size", "millions", "gflops"), [("s", 48.96, 9.4), ("b", 86.89, 16.3), ("l", 195.20, 35.8), ("h", 655.21, 117.6), ("g", 1060.98, 189.3)]
)
def test_sizes_have_the_published_parameters_and_multiply_adds(size: str, millions: float, gflops: float) -> None:
    with torch.device("meta"):
        encoder = build_encoder(f"swinv2-{size}@224")
        with FlopCounterMode(display=False) as counter:
            encoder(torch.empty(1, 3, 224, 224))
        layers = [module for module in encoder.modules() if isinstance(module, WindowAttention)]
    # the paper counts what an image costs, not the position biases, which are computed once a batch
    once = sum((2 * layer.window - 1) ** 2 * 512 * (2 + layer.num_heads) for layer in layers)
    assert round(count_parameters(encoder) / 1e6, 2) == millions
    assert round((counter.get_total_flops() / 2 - once) / 1e9, 1) == gflops


@pytest.mark.parametrize(("image_px", "windows"), [(192, [12, 12, 12, 6]), (224, [14, 14, 14, 7]), (256, [16, 16, 16, 8]), (64, [4, 4, 4, 2])])
def test_windows_are_a_sixteenth_of_the_image_and_at_most_the_feature_map(image_px: int, windows: list[int]) -> None:
    with torch.device("meta"):
        encoder = build_encoder(f"swinv2-pico@{image_px}")
    layers = [module for module in encoder.modules() if isinstance(module, WindowAttention)]
    assert [layer.window for layer in layers[::2]] == windows
    assert [layer.shift for layer in layers] == [0, windows[0] // 2, 0, windows[1] // 2, 0, 0, 0, 0]  # one window is not shifted
    assert encoder.patches == (image_px // 32) ** 2


@pytest.mark.parametrize(("image_px", "window"), [(384, 24), (512, 16), (640, 20)])
def test_windows_of_large_images_are_a_thirty_second_of_them(image_px: int, window: int) -> None:
    """20 at the 640 px of ADE20K (Xie et al., arXiv 2206.04664)."""
    with torch.device("meta"):
        encoder = build_encoder(f"swinv2-pico@{image_px}")
    assert [module.window for module in encoder.modules() if isinstance(module, WindowAttention)][::2] == [window] * 3 + [min(window, image_px // 32)]


def test_encoder_equals_torchvision_where_its_windows_fit() -> None:
    """Three stages at 192 px: the last one is a single window of 12, so torchvision neither pads
    nor measures offsets otherwise.
    """
    torch.manual_seed(0)
    ours = scattered(SwinV2(SwinSize(channels=8, depths=(2, 2, 2), head_dim=4), image_px=192))
    theirs = SwinTransformer(
        [4, 4],
        8,
        [2, 2, 2],
        [2, 4, 8],
        [12, 12],
        stochastic_depth_prob=0.0,
        num_classes=1,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    ).eval()
    theirs.head = torch.nn.Identity()
    own = ours.state_dict()
    copied = {name: value for name, value in own.items() if not name.endswith(("query_bias", "value_bias"))}
    for name in own:
        if name.endswith("query_bias"):
            value = own[name.replace("query_bias", "value_bias")]
            copied[name.replace("query_bias", "qkv.bias")] = torch.cat([own[name], torch.full_like(value, 7.0), value])  # a key's bias does nothing
    missing = theirs.load_state_dict(copied, strict=False)
    assert not missing.unexpected_keys
    assert all("relative_" in name for name in missing.missing_keys)
    images = torch.randn(2, 3, 192, 192)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).mean(dim=1), theirs(images), atol=1e-5, rtol=1e-5)


def test_weights_of_192_px_serve_at_224_px_with_the_same_bias_at_the_same_offset() -> None:
    torch.manual_seed(0)
    small, large = scattered(build_encoder("swinv2-pico")), build_encoder("swinv2-pico@224")
    large.load_state_dict(adapt_weights(large, small.state_dict()))
    first, second = ([m for m in e.modules() if isinstance(m, WindowAttention)] for e in (small, large))
    for one, other in zip(first[::2], second[::2], strict=True):  # not shifted
        there = torch.arange(one.window)
        inside = (there[:, None] * other.window + there).flatten()
        torch.testing.assert_close(other.bias()[..., inside[:, None], inside], one.bias())
    # Microsoft's with PRETRAINED_WINDOW_SIZES [12, 12, 12, 6]: 13 places off is 13 / 11 of the
    # largest offset seen
    assert float(second[0].relative_coords_table.max()) == pytest.approx(math.log2(8 * 13 / 11 + 1) / 3)
    assert float(second[-1].relative_coords_table.max()) == pytest.approx(math.log2(8 * 6 / 5 + 1) / 3)
    assert float(coordinates(12, 12).max()) == pytest.approx(math.log2(9) / 3)


def test_a_vits_positions_are_resampled_for_another_side_and_left_alone_for_the_same() -> None:
    torch.manual_seed(0)
    small, large = build_encoder("pico/8@32"), build_encoder("pico/8@64")
    weights = small.state_dict()
    assert adapt_weights(small, weights) is weights
    adapted = adapt_weights(large, weights)
    large.load_state_dict(adapted)
    assert torch.equal(large.positions[0], small.positions[0])  # the CLS token's
    smooth = torch.linspace(-1, 1, 4)[:, None].expand(4, 4).reshape(16, 1).expand(16, 64)  # rises from row to row
    rows = adapt_weights(large, weights | {"positions": torch.cat([weights["positions"][:1], smooth])})["positions"][1:].view(8, 8, 64)
    torch.testing.assert_close(rows[2:6, 0, 0], torch.linspace(-1, 1, 4)[1] + torch.tensor([-0.5, 0.5, 1.5, 2.5]) / 3, atol=0.06, rtol=0)
    torch.testing.assert_close(rows, rows[:, :1, :1].expand(8, 8, 64))


def test_the_fused_kernel_gives_the_same_numbers_and_gradients() -> None:
    torch.manual_seed(0)
    for windows in (1, 4):
        inputs = [torch.randn(2, 4, 3, 9, 8, dtype=torch.float64) for _ in range(3)] + [torch.randn(windows, 3, 9, 9, dtype=torch.float64)]
        results = []
        for fused in (False, True):
            leaves = [x.clone().requires_grad_() for x in inputs]
            mixed = biased_attention(*leaves, fused=fused)
            mixed.square().sum().backward()
            results.append([mixed.detach(), *(leaf.grad for leaf in leaves)])
        torch.testing.assert_close(results[0], results[1])


def test_evaluation_takes_the_kernel_of_training() -> None:
    """With a bias that is trained torch has no use for cuDNN's kernel; without gradients it would take
    that one first on an H100.
    """
    allowed: list[bool] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def watched(*arguments: Any, **names: Any) -> Any:
        allowed.append(torch.backends.cuda.cudnn_sdp_enabled())
        return kernel(*arguments, **names)

    query, bias = torch.randn(2, 4, 3, 9, 8), torch.randn(1, 3, 9, 9)
    with mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", watched):
        trained = biased_attention(query, query, query, bias, fused=True)
        with torch.no_grad():
            evaluated = biased_attention(query, query, query, bias, fused=True)
    assert allowed == [True, False]
    torch.testing.assert_close(trained, evaluated)


def test_windows_and_back_and_a_shift_keeps_strangers_apart() -> None:
    grid = torch.randn(2, 8, 8, 3)
    assert torch.equal(from_windows(to_windows(grid, 4), 4, 8), grid)
    assert torch.equal(to_windows(grid, 4)[1, 1], grid[1, :4, 4:].reshape(16, 3))
    # after a roll by 2, places of the last window come from both ends of the image; only those that
    # were neighbours see each other
    origin = (torch.arange(8) + 2) % 8
    place = torch.stack(torch.meshgrid(origin, origin, indexing="ij"), dim=-1)[None].float()
    windows = to_windows(place, 4)[0]
    near = (windows[:, :, None] - windows[:, None, :]).abs().amax(dim=-1) < 4
    assert torch.equal(shift_mask(8, 4, 2) == 0, near)


def test_every_block_starts_as_the_identity_so_the_mask_token_alone_decides_at_first() -> None:
    encoder = build_encoder("swinv2-pico@64").eval()
    tokens = encoder.features[0](torch.randn(1, 3, 64, 64))
    assert torch.equal(encoder.features[1](tokens), tokens)


def test_heads_read_both_families_and_a_cls_token_only_where_there_is_one() -> None:
    images = torch.randn(2, 3, 64, 64)
    for name in ("swinv2-pico@64", "pico/16@64"):
        encoder = build_encoder(name)
        assert Classifier(encoder, classes=5, pool="mean")(images).shape == (2, 5)
        assert PatchLinear(encoder, classes=3)(images).shape == (2, 3, 64, 64)
    check_pool("pico/16@64", "cls")
    with pytest.raises(InputError, match="pool: cls needs a CLS token, and swinv2-b has none: set the recipe's pool to mean"):
        check_pool("swinv2-b", "cls")


def test_a_segmentation_head_predicts_the_pixels_that_its_token_stands_for() -> None:
    model = PatchLinear(build_encoder("swinv2-pico@64"), classes=3)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(32 * 32 * 3))
    logits = model(torch.randn(1, 3, 64, 64))
    assert logits[0, :, 0, 1].tolist() == [3, 4, 5]
    assert torch.equal(logits[..., :32, :32], logits[..., 32:, 32:])


def test_names_say_the_side_or_mean_192_px_and_have_one_spelling() -> None:
    assert encoder_image_px("swinv2-g") == 192
    assert encoder_image_px("swinv2-b@224") == 224
    assert at_image_px("swinv2-b", 224) == "swinv2-b@224"
    assert at_image_px("swinv2-b@224", 192) == parse_encoder("swinv2-b@192").canonical == "swinv2-b"
    assert at_image_px("viny/16@128", 224) == "viny/16@224"
    with pytest.raises(InputError, match="a patch of 16 px does not divide an image of 100 px"):
        at_image_px("viny/16@128", 100)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "swinv2-x",
            r"there is no size 'swinv2-x'; did you mean 'swinv2-.'\? Sizes: pico, .*; swinv2-pico, .*swinv2-g; timm:NAME; torchvision:NAME\.",
        ),
        ("swinv2-b@100", "the image's side must be a multiple of 32 px for SwinV2, at least 64, not 100"),
        ("swinv2-b@32", "at least 64, not 32"),
        (
            "swin",
            r"must read size/patch@image, such as 'viny/16@128', or swinv2-size or .*sizes: pico, .*swinv2-g; timm:NAME; torchvision:NAME\.",
        ),
        ("swinv2-b@0224", "must read"),
    ],
)
def test_a_wrong_swin_name_says_what_exists(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build_encoder(name)
