"""A JSON Schema of the grid, so that an editor completes and checks the YAML as it is typed.

    # print it
    python -m scaling.schema
    # exit status 1 if grids/grid.schema.json is not what this prints
    python -m scaling.schema --check

A grid that begins with `# yaml-language-server: $schema=grid.schema.json` is checked by any editor
with a YAML language server. The schema knows names, types and choices; what depends on data or on
several keys at once is checked by a launch, with its line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scaling.grid.arms import REPLACEABLE
from scaling.grid.axes import AXES
from scaling.grid.settings import CAPTURE, COMPILE, KEEPS, KINDS, NO_STAGE, ORDERS
from trials.data.sources import SOURCES
from trials.data.subsets import SAMPLINGS
from trials.models.encoders import encoder_pattern
from trials.objectives.objective import objectives_for
from trials.recipes.checks import field_schema, recipe_fields
from trials.recipes.lengths import LENGTH_PATTERN
from trials.recipes.named import RECIPES

PLACE = Path(__file__).resolve().parents[1] / "grids" / "grid.schema.json"


def grid_schema() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    images = {"type": "integer", "minimum": 0, "maximum": 10**12}
    stage = {kind: _stage(kind, images) for kind in KINDS}
    keys = {
        "study": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "description": "names the study and its folder runs/<study>"},
        "encoder": _axis(_encoder(), "size/patch@image side in pixels, such as viny/16@128; timm:NAME@SIDE; {name: ..., pretrained: FILE}"),
        **{kind: {"$ref": f"#/$defs/{kind}"} for kind in KINDS},
        "zip": {
            "description": "axes that advance together instead of being crossed",
            "anyOf": [_group(), {"type": "array", "items": _group(), "minItems": 1}],
        },
        "exclude": {"description": "combinations that are left out", "anyOf": [_entry(), {"type": "array", "items": _entry(), "minItems": 1}]},
    }
    shared = {
        "arms": {
            "description": "named arms: the grid with some settings replaced; the study is their union",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: keys[name] for name in REPLACEABLE},
            },
        },
        "seeds": {
            "description": "runs of every cell; or seeds of each kind of stage, shared by runs where there are fewer, and the first seed",
            "anyOf": [
                _count(),
                _object(
                    {kind: _count() for kind in KINDS} | {"first": {"type": "integer", "minimum": 0, "description": "seed of the first run (0)"}}
                ),
            ],
        },
        "resources": _object(
            {
                **_held(),
                **{kind: _object(_held()) for kind in KINDS},
                "retries": {"type": "integer", "minimum": 0, "description": "how often a stage whose process died is tried again within a launch"},
                "micro_batches": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "parts that a batch is computed in, one by one, to save memory",
                },
                "compile": {"enum": [*COMPILE, False], "description": "torch.compile"},
                "capture": {"enum": [*CAPTURE, False, True], "description": "whole training steps in CUDA graphs"},
            },
            "what one stage holds while it runs",
        ),
        "plugins": _axis({"type": "string"}, "Python files beside the grid that add objectives, encoders or sources, such as my_module"),
        "order": {"enum": list(ORDERS), "description": "which ready stage comes first"},
        "keep": {"enum": list(KEEPS), "description": "'weights' lets trunk states go once nothing in the plan needs them, 'results' weights as well"},
        "broken_images": {"enum": ["refuse", "skip"], "description": "what to do with images that cannot be decoded"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A grid of scaling-law-laboratory",
        "type": "object",
        "additionalProperties": False,
        "required": ["study", "encoder", "pretrain", "finetune"],
        "properties": keys | shared,
        "$defs": stage,
    }


def _stage(kind: str, images: dict[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "source": _axis(
            {"type": "string", "anyOf": [{"enum": list(SOURCES)}, {"pattern": f"^({'|'.join(SOURCES)}):.+$"}]},
            "data set; imagenet:FOLDER names its folder below --data",
        ),
        "images": _axis(images if kind == "pretrain" else images | {"minimum": 1}, "training images; in pre-training 0 is from scratch"),
        "length": _axis({"type": "string", "pattern": LENGTH_PATTERN}, "'100 epochs', '125k steps' or '4M images' (image passes)"),
        "recipe": _axis({"anyOf": [{"enum": list(RECIPES[kind])}, _recipe(kind)]}, "named recipe, or {name: ..., field: value, label: ...}"),
        "sampling": _axis({"enum": list(SAMPLINGS)}, "how training subsets are drawn")
        if kind == "pretrain"
        else {"enum": list(SAMPLINGS), "description": "how training subsets are drawn"},
    }
    if kind == "finetune":
        keys |= {"task": _axis({"enum": list(objectives_for("finetune"))}, "what is learnt"), "test_images": {"type": "integer", "minimum": 1}}
    else:
        keys |= {"heldout_images": {"type": "integer", "minimum": 1}, "eval_points": {"type": "integer", "minimum": 1}}
    if kind == "intermediate":
        keys["objective"] = _axis({"enum": [NO_STAGE, *objectives_for("intermediate")]}, "'none' is no intermediate stage")
    if kind == "pretrain":
        keys["objective"] = _axis({"enum": [NO_STAGE, *objectives_for("pretrain")]}, "how a pre-training learns from images; 'none' is from scratch")
    if kind != "pretrain":
        keys["image_px"] = {"type": "integer", "minimum": 8, "maximum": 4096, "description": "side of the images, where it is not the encoder's"}
    return _object(keys)


def _recipe(kind: str) -> dict[str, Any]:
    fields = {name: field_schema(of, about) for name, (of, about) in recipe_fields(kind).items()}
    return _object({"name": {"enum": list(RECIPES[kind])}, "label": {"type": "string", "pattern": "^[A-Za-z0-9_.+=-]{1,60}$"}, **fields})


def _encoder() -> dict[str, Any]:
    name = {"type": "string", "pattern": encoder_pattern()}
    started = _object({"name": name, "pretrained": {"type": "string", "description": "safetensors file, from the grid's folder"}})
    return {"anyOf": [name, started | {"required": ["name", "pretrained"]}]}


def _axis(one: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": f"{description}; one value or a list", "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _object(properties: dict[str, Any], description: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return made | ({"description": description} if description else {})


def _count() -> dict[str, Any]:
    return {"type": "integer", "minimum": 1}


def _held() -> dict[str, Any]:
    return {
        "cpus": _count() | {"description": "cores of each process of a stage"},
        "gpus": {"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0, "maximum": 1}], "description": "share of a GPU of each process"},
        "workers": _count() | {"description": "processes that a stage is spread over, data parallel"},
    }


def _group() -> dict[str, Any]:
    return {"type": "array", "items": {"enum": list(AXES)}, "minItems": 2}


def _entry() -> dict[str, Any]:
    value = {"type": ["string", "integer"]}
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]} for name in AXES},
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    text = json.dumps(grid_schema(), indent=1) + "\n"
    if given == ["--check"]:
        return 0 if PLACE.exists() and PLACE.read_text() == text else 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
