"""SwinV2 through whole stages: the second paper's form at one image side, its encoder at another,
and what is measured of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trials.test_swin import scattered
from trials import StageSpec, build_encoder, get_recipe, prepare_split, run_stage, stage_id
from trials.cost.throughput import measure_images_per_s
from trials.data.sources import split_name
from trials.data.store import describe_split
from trials.diagnostics.attention import encode, uniform_reach_of_layers, uniform_reach_px
from trials.diagnostics.encoder_of_stage import trained_encoder, untrained_encoder
from trials.diagnostics.study import diagnose
from trials.models.swin import SwinV2
from trials.models.window_attention import WindowAttention
from trials.spec import DataSpec
from trials.stage_files import write_json

OBJECTIVE = {"pretrain": "simmim", "intermediate": "classification", "finetune": "segmentation"}
IMAGES = 12


def make(store: Path, kind: str, encoder: str, recipe: str, parent: str | None = None, objective: str | None = None, **fields: Any) -> StageSpec:
    image_px = int(encoder.partition("@")[2])
    splits = {part: split_name("leaves", kind, part, seed=0) for part in ("train", "heldout")}
    for split in splits.values():
        prepare_split("leaves", store, store, split, image_px, images=IMAGES)
    prints = {part: describe_split("leaves", store, split).fingerprint for part, split in splits.items()}
    data = DataSpec(
        source="leaves",
        image_px=image_px,
        train_split=splits["train"],
        train_fingerprint=prints["train"],
        train_images=IMAGES,
        sampling="uniform",
        heldout_split=splits["heldout"],
        heldout_fingerprint=prints["heldout"],
        heldout_images=IMAGES,
    )
    return StageSpec(
        kind=kind,
        objective=objective or OBJECTIVE[kind],
        encoder=encoder,
        data=data,
        recipe=get_recipe(kind, recipe, {"batch_images": 4, "precision": "fp32"} | fields),
        steps=3,
        eval_points=1,
        seed=0,
        parent=parent,
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[StageSpec]]:
    """The store, the study folder, and its stages: pre-trained at 64 px, then at 96 px."""
    store, study = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("study")
    pretrain = make(store, "pretrain", "swinv2-pico@64", "simmim-swinv2", warmup_length="1 steps", learning_rate=1e-2)
    middle = make(store, "intermediate", "swinv2-pico@96", "compact", stage_id(pretrain))
    specs = [pretrain, middle, make(store, "finetune", "swinv2-pico@96", "compact", stage_id(middle))]
    for spec in specs:
        run_stage(spec, study / "stages" / stage_id(spec), store)
    write_json(study / "plan.json", {"stages": [{"id": stage_id(spec), "spec": spec.to_dict()} for spec in specs]})
    return store, study, specs


def test_an_encoder_of_64_px_is_trained_on_at_96_px(chain: tuple[Path, Path, list[StageSpec]]) -> None:
    _, study, (pretrain, middle, finetune) = chain
    for spec, name in ((pretrain, "val_mim_loss"), (middle, "val_accuracy"), (finetune, "miou")):
        assert json.loads((study / "stages" / stage_id(spec) / "result.json").read_text())["metrics"][name] >= 0
    small = trained_encoder(study / "stages" / stage_id(pretrain), pretrain, 64)
    large = trained_encoder(study / "stages" / stage_id(pretrain), pretrain, 96)
    assert (small.patches, large.patches) == (4, 9)
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), large.parameters(), strict=True))
    assert not torch.equal(small.norm.bias, untrained_encoder(pretrain, 64).norm.bias)


def test_examples_show_hidden_units_and_say_whose_contrast_a_reconstruction_has(chain: tuple[Path, Path, list[StageSpec]]) -> None:
    _, study, (pretrain, *_) = chain
    folder = study / "stages" / stage_id(pretrain) / "examples"
    index = json.loads((folder / "index.json").read_text())
    assert index["items"][0]["caption"] == (
        "held-out image 0; brightness and contrast of the reconstruction are those around each pixel of the image"
    )
    image, masked, rebuilt = np.split(np.asarray(Image.open(folder / "0.png")), 3, axis=1)
    hidden = (masked == 128).all(axis=2)
    assert hidden.mean() == 0.75  # 0.6 of 4 units of 32 px, rounded up
    assert (image[~hidden] == rebuilt[~hidden]).all()
    assert abs(image[hidden].mean() - rebuilt[hidden].mean()) < 15


def test_a_study_of_two_image_sides_is_measured(chain: tuple[Path, Path, list[StageSpec]]) -> None:
    store, study, (pretrain, middle, _) = chain
    assert diagnose(study, store, images=6) == []
    first, second = (json.loads((study / "stages" / stage_id(spec) / "diagnostics.json").read_text()) for spec in (pretrain, middle))
    assert (first["measures"]["patches"], second["measures"]["patches"]) == (4, 9)
    assert 0 < second["cka"]["parent"] <= 1  # at 96 px both
    assert first["random"]["measures"] != second["random"]["measures"]
    layers = second["attention_distance_px"]
    assert [len(layer["heads"]) for layer in layers] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert all(0 < layer["mean"] < 96 for layer in layers)
    assert second["probe"] is not None


def test_attention_that_weighs_alike_all_that_a_window_holds_reaches_as_far_as_is_said() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("swinv2-pico@64")
    assert isinstance(encoder, SwinV2)
    scattered(encoder)
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, WindowAttention):
                module.logit_scale.fill_(-60.0)
                module.cpb_mlp[2].weight.zero_()
    tokens, reach = encode(encoder, images, batch=2)
    torch.testing.assert_close(tokens, encoder(images).detach())
    assert [layer["mean"] for layer in reach] == pytest.approx([layer["uniform"] for layer in reach], rel=1e-5)
    uniform = uniform_reach_of_layers(encoder, images)
    windows = [4 * 4, 4 * 8, 4 * 16, 2 * 32]  # pixels, by stage
    assert uniform[1] < uniform[0]  # of a shifted window the parts are seen apart
    assert all(reach < side for reach, side in zip(uniform[::2], windows, strict=True))
    assert uniform[-1] == pytest.approx(uniform_reach_px(encoder))  # the last stage's window is the image


@pytest.mark.parametrize(
    ("kind", "encoder", "recipe", "objective"),
    [
        ("pretrain", "swinv2-pico@64", "simmim-swinv2", None),
        ("pretrain", "pico/8@32", "compact", None),
        ("intermediate", "pico/8@32", "compact", "spatial"),
        ("intermediate", "swinv2-pico@64", "compact", None),
        ("finetune", "swinv2-pico@64", "compact", None),
    ],
)
def test_every_kind_of_stage_has_a_speed(tmp_path: Path, kind: str, encoder: str, recipe: str, objective: str | None) -> None:
    spec = make(tmp_path, kind, encoder, recipe, objective=objective)
    state, warm = torch.random.get_rng_state(), []
    assert measure_images_per_s(spec, cpus=1, gpus=0, seconds=0.01) > 0
    assert measure_images_per_s(spec, cpus=1, gpus=0, seconds=0.01, on_warm=lambda: warm.append(1)) > 0
    assert warm == [1]
    assert torch.equal(torch.random.get_rng_state(), state)
