"""Encoders: the published parameter counts, and numerical equality with an independent
implementation.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from vit_pytorch import ViT as ReferenceViT

from trials import InputError, SimMIM, ViT, build_encoder, count_parameters
from trials.models.encoder import patchify, unpatchify
from trials.models.encoders import ENCODERS, encoder_pattern, parse_encoder
from trials.models.heads import Classifier
from trials.models.segmentation_heads.patch_linear import PatchLinear
from trials.models.swin_sizes import SWIN_SIZES
from trials.models.vit import VIT_SIZES, attention


def reference_vit(encoder: ViT, image_px: int, patch_px: int, classes: int) -> ReferenceViT:
    """vit_pytorch's ViT with our weights copied over."""
    size = encoder.size
    reference = ReferenceViT(
        image_size=image_px,
        patch_size=patch_px,
        num_classes=classes,
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        dim_head=size.head_dim,
        mlp_dim=size.mlp_dim,
    )
    copied = {
        "pos_embedding": encoder.positions,
        "cls_token": encoder.cls_token[None],
        "transformer.norm.weight": encoder.norm.weight,
        "transformer.norm.bias": encoder.norm.bias,
    }
    for i, name in ((0, 1), (1, 2), (2, 3)):
        for part in ("weight", "bias"):
            copied[f"to_patch_embedding.{name}.{part}"] = getattr(encoder.embed[i], part)
    names = {
        "0.norm": "attention.norm",
        "0.to_qkv": "attention.qkv",
        "0.to_out.0": "attention.project",
        "1.net.0": "feed_forward.norm",
        "1.net.1": "feed_forward.expand",
        "1.net.4": "feed_forward.contract",
    }
    own = dict(encoder.named_parameters())
    for layer in range(size.depth):
        for theirs, ours in names.items():
            for part in ("weight", "bias"):
                if f"blocks.{layer}.{ours}.{part}" in own:
                    copied[f"transformer.layers.{layer}.{theirs}.{part}"] = own[f"blocks.{layer}.{ours}.{part}"]
    missing = reference.load_state_dict({k: v.detach().clone() for k, v in copied.items()}, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"mlp_head.weight", "mlp_head.bias"}
    return reference.eval()


def test_viny_has_the_published_parameter_counts() -> None:
    viny = build_encoder("viny/16@128")
    assert count_parameters(viny) == 4_842_880
    assert count_parameters(Classifier(viny, classes=2, pool="cls")) == 4_843_138
    assert count_parameters(SimMIM(viny)) == 4_942_080
    assert count_parameters(PatchLinear(viny, classes=3)) == 4_941_952


@pytest.mark.parametrize("name", ["viny/16@128", "viny/8@32"])
def test_encoder_equals_vit_pytorch(name: str) -> None:
    torch.manual_seed(1)
    encoder = build_encoder(name).eval()
    model = Classifier(encoder, classes=5, pool="cls")
    reference = reference_vit(encoder, encoder.image_px, encoder.patch_px, classes=5)
    reference.mlp_head.load_state_dict(model.head.state_dict())
    images = torch.randn(3, 3, encoder.image_px, encoder.image_px)
    torch.testing.assert_close(model(images), reference(images), atol=1e-5, rtol=1e-5)


def test_brightness_reaches_the_encoder_unless_patches_are_normalised() -> None:
    images = torch.rand(1, 3, 32, 32)
    for name, sees in (("micro/8@32", True), ("viny/8@32", False)):
        encoder = build_encoder(name).eval()
        same = torch.allclose(encoder(images), encoder(2 * images + 3), atol=1e-3)
        assert same != sees, name


def test_patchify_and_unpatchify_are_inverse() -> None:
    images = torch.randn(2, 3, 24, 24)
    assert torch.equal(unpatchify(patchify(images, 8), 8), images)
    # row, column, channel within a patch: the second value of the first patch is green at the top
    # left pixel
    assert patchify(images, 8)[0, 0, 1] == images[0, 1, 0, 0]


def test_attention_written_out_for_bf16_equals_the_fused_kernel() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 16, 8).unbind(0)
    fused = nn.functional.scaled_dot_product_attention(query, key, value)
    written = attention(query.bfloat16(), key.bfloat16(), value.bfloat16()).float()
    torch.testing.assert_close(written, fused, atol=0.03, rtol=0.05)


def test_torchvisions_models_are_imported_for_swin_alone() -> None:
    """They take as long to import as torch, and every stage and plan imports the encoders."""
    code = (
        "import sys, trials.training.run; from trials.models.encoders import build_encoder; "
        "build_encoder('pico/8@32'); print('torchvision' in sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert loaded.stdout.strip() == "False"


@pytest.mark.parametrize(("sizes", "name"), [(VIT_SIZES, "{}/16@128"), (SWIN_SIZES, "swinv2-{}")], ids=["vit", "swinv2"])
def test_sizes_grow_down_the_table(sizes: dict[str, object], name: str) -> None:
    with torch.device("meta"):
        counts = [count_parameters(build_encoder(name.format(size))) for size in sizes]
    assert counts == sorted(counts)


@given(
    name=st.one_of(
        st.from_regex(f"{ENCODERS['vit'].pattern}|{ENCODERS['swinv2'].pattern}", fullmatch=True),
        st.from_regex(r"[a-z/@-]{0,8}[0-9]{0,2}@?[0-9]{0,5}", fullmatch=True),
        st.text(max_size=12),
    )
)
def test_any_name_is_read_or_answered_with_a_sentence_and_the_pattern_holds_all_that_are_read(name: str) -> None:
    sentence, of = "", None
    try:
        of = parse_encoder(name)
    except InputError as error:
        sentence = str(error)
    if of is None:
        assert sentence.endswith(".")
        assert "\n" not in sentence
    else:
        assert re.search(encoder_pattern(), name)
        assert parse_encoder(of.canonical) == of


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vinny/16@128", "there is no size 'vinny'; did you mean 'viny'?"),
        ("viny", "must read size/patch@image"),
        ("viny/16@100", "a patch of 16 px does not divide an image of 100 px"),
        ("viny/16@16", "at least 2 x 2 patches"),
    ],
)
def test_a_wrong_name_says_what_exists(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")):
        build_encoder(name)
