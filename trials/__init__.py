"""One stage at a time: data, models, recipes, training and metrics. Imports no Ray, so a stage runs
with no cluster.

The names below are loaded when first asked for, so that decoding images does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trials.data.sources import SOURCES
    from trials.data.store import ImageStore, open_store
    from trials.errors import InputError, StageError
    from trials.models.encoders import VIT_SIZES, ViT, build_encoder, count_parameters
    from trials.models.simmim import SimMIM
    from trials.prepare import prepare_split
    from trials.recipes.lengths import Length, parse_length
    from trials.recipes.named import RECIPES, get_recipe
    from trials.spec import StageSpec, stage_id
    from trials.stage import run_stage
    from trials.training.interrupts import Interrupted

_HOME = {
    "VIT_SIZES": "encoders",
    "ViT": "encoders",
    "build_encoder": "encoders",
    "count_parameters": "encoders",
    "InputError": "errors",
    "StageError": "errors",
    "Interrupted": "interrupts",
    "Length": "lengths",
    "parse_length": "lengths",
    "prepare_split": "prepare",
    "RECIPES": "recipes",
    "get_recipe": "recipes",
    "SimMIM": "simmim",
    "SOURCES": "sources",
    "StageSpec": "spec",
    "stage_id": "spec",
    "run_stage": "stage",
    "ImageStore": "store",
    "open_store": "store",
}

__all__ = [
    "RECIPES",
    "SOURCES",
    "VIT_SIZES",
    "ImageStore",
    "InputError",
    "Interrupted",
    "Length",
    "SimMIM",
    "StageError",
    "StageSpec",
    "ViT",
    "build_encoder",
    "count_parameters",
    "get_recipe",
    "open_store",
    "parse_length",
    "prepare_split",
    "run_stage",
    "stage_id",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"trials.{_HOME[name]}"), name)
    raise AttributeError(f"module 'trials' has no attribute {name!r}")
