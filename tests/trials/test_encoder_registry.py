"""An encoder of one's own: registered here, in one place, and used by all that encoders are for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scaling.schema import grid_schema
from tests.trials.conftest import MakeSpec, changed
from trials import InputError, StageSpec, build_encoder, run_stage, stage_id
from trials.cost.costs import stage_cost
from trials.diagnostics.study import diagnose
from trials.models.encoder import Encoder
from trials.models.encoders import SIDE, EncoderName, Family, at_image_px, encoder_pattern, parse_encoder, register
from trials.models.heads import Classifier, check_pool
from trials.training.layer_decay import layers_of

STRIDE_PX = 4


class Convolutions(Encoder):
    """Squares of 4 px, embedded and mixed with their neighbours by 3 x 3 convolutions."""

    def __init__(self, width: int, depth: int, image_px: int) -> None:
        super().__init__()
        self.image_px, self.embed_px, self.stride_px = image_px, STRIDE_PX, STRIDE_PX
        self.dim = self.embed_dim = width
        self.layers = depth
        self.stem = nn.Conv2d(3, width, STRIDE_PX, STRIDE_PX)
        self.steps = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def _mix(self, grid: Tensor) -> Tensor:
        for step in self.steps:
            grid = grid + step(grid.relu())
        return self.norm(grid.flatten(2).transpose(1, 2))

    def forward(self, images: Tensor, *, cls: bool = False) -> Tensor:
        assert not cls
        return self._mix(self.stem(images))

    def encode_masked(self, images: Tensor, hidden: Tensor, mask_token: Tensor) -> Tensor:
        grid = self.stem(images)
        hidden = hidden.view(len(hidden), 1, *grid.shape[2:])
        return self._mix(torch.where(hidden, mask_token.to(grid.dtype)[:, None, None], grid))

    def layer_of(self, name: str) -> int:
        if name.startswith("stem."):
            return 0
        step = re.match(r"steps\.(\d+)\.", name)
        return int(step[1]) + 1 if step else self.layers + 1


class ConvolutionFamily(Family):
    """`toyconv-WIDTHxDEPTH@SIDE`: a name of another form than the project's own."""

    name = "toyconv"
    pattern = f"toyconv-[0-9]+x[0-9]+@{SIDE}"
    reads = "toyconv-WIDTHxDEPTH@image"
    sizes = ("toyconv-8x2",)

    def parse(self, name: str) -> EncoderName | None:
        match = re.fullmatch(rf"toyconv-(\d+)x(\d+)@({SIDE})", name)
        if match is None:
            return None
        image_px = int(match[3])
        if image_px % STRIDE_PX:
            raise InputError(f"Encoder {name!r}: {STRIDE_PX} px do not divide {image_px} px.")
        size = (int(match[1]), int(match[2]))
        return EncoderName(family=self, size=size, size_name=name.partition("@")[0], embed_px=STRIDE_PX, stride_px=STRIDE_PX, image_px=image_px)

    def spell(self, of: EncoderName, image_px: int) -> str:
        return f"{of.size_name}@{image_px}"

    def build(self, of: EncoderName, *, positions: str) -> Encoder:
        return Convolutions(*of.size, of.image_px)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family, registered for one test: other tests list what there is."""
    from trials.models.encoders import ENCODERS

    list(ENCODERS)
    monkeypatch.setattr(ENCODERS, "_things", dict(ENCODERS._things))
    register(ConvolutionFamily())


NAME = "toyconv-8x2@16"


def test_its_name_is_read_spelled_and_in_the_json_schema() -> None:
    assert parse_encoder(NAME).size == (8, 2)
    assert not parse_encoder(NAME).has_cls
    assert at_image_px(NAME, 32) == "toyconv-8x2@32"
    assert re.search(encoder_pattern(), NAME)
    assert NAME.partition("@")[0] not in json.dumps(grid_schema())
    assert "toyconv-" in json.dumps(grid_schema()["properties"]["encoder"])
    with pytest.raises(InputError, match="4 px do not divide 18 px"):
        build_encoder("toyconv-8x2@18")
    with pytest.raises(InputError, match=r"or toyconv-WIDTHxDEPTH@image; sizes: .*; toyconv-8x2"):
        build_encoder("toyconv-8")
    with pytest.raises(InputError, match="has none: set the recipe's pool to mean"):
        check_pool(NAME, "cls")


def test_its_layers_are_its_own() -> None:
    model = Classifier(build_encoder(NAME), classes=3, pool="mean")
    names = ["encoder.stem.weight", "encoder.steps.0.bias", "encoder.steps.1.weight", "encoder.norm.weight", "head.weight"]
    assert layers_of(model, names) == ([0, 1, 2, 3, 3], 3)


@pytest.fixture
def chain(make_spec: MakeSpec) -> list[StageSpec]:
    pretrain = changed(make_spec("pretrain", mask_unit_px=4), encoder=NAME)
    finetune = changed(make_spec("finetune", layer_decay=0.5, parent=stage_id(pretrain)), encoder=NAME)
    return [pretrain, finetune]


def test_it_is_pre_trained_fine_tuned_by_layers_and_diagnosed(chain: list[StageSpec], leaves_store: Path, tmp_path: Path) -> None:
    for spec in chain:
        folder = tmp_path / "stages" / stage_id(spec)
        folder.mkdir(parents=True)
        result = run_stage(spec, folder, leaves_store)
        assert all(value == value for value in result["metrics"].values())
    assert [stage_cost(spec).train_flops_per_image > 0 for spec in chain] == [True, True]
    plan = {"stages": [{"id": stage_id(spec), "spec": spec.to_dict()} for spec in chain]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert diagnose(tmp_path, leaves_store, images=6) == []
    found = json.loads((tmp_path / "stages" / stage_id(chain[0]) / "diagnostics.json").read_text())
    assert found["attention_distance_px"] == []  # it has no attention
    assert found["measures"]["patches"] == 16
    assert found["probe"] is not None


def test_a_family_is_registered_once() -> None:
    with pytest.raises(InputError, match="already an encoder family named 'toyconv'"):
        register(ConvolutionFamily())
