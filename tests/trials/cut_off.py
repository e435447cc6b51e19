"""Stages that are killed on purpose, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from trials import StageSpec, run_stage, stage_id
from trials import stage_files as ledger
from trials.training.updates import Updates


def folder_of(spec: StageSpec, root: Path) -> Path:
    return root / "stages" / stage_id(spec)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of the stage gets to clean up on purpose."""


@contextlib.contextmanager
def killed_in_step(step: int) -> Iterator[None]:
    """The process ends as it begins that step (0-based)."""
    update = Updates.__call__

    def dying(self: Updates, at: int, rate: float) -> torch.Tensor:
        if at == step:
            raise Killed
        return update(self, at, rate)

    with mock.patch.object(Updates, "__call__", dying):
        yield


@contextlib.contextmanager
def killed_while_writing(prefix: str) -> Iterator[None]:
    """The process ends when a file whose name begins so is half written: its other half is missing,
    and its name is still that of a part.
    """
    replace = os.replace

    def dying(part: str, path: Path) -> None:
        if not path.name.startswith(prefix):
            return replace(part, path)
        os.truncate(part, os.path.getsize(part) // 2)
        raise Killed

    with mock.patch.object(ledger.os, "replace", dying), mock.patch.object(ledger.os, "unlink"):
        yield


def run(spec: StageSpec, root: Path, store: Path, **options: Any) -> dict[str, Any]:
    """The result of a stage that checkpoints at every step."""
    return run_stage(spec, folder_of(spec, root), store, **({"checkpoint_s": 0} | options))


def lines(spec: StageSpec, root: Path) -> list[dict[str, Any]]:
    """metrics.jsonl but for the speed."""
    text = (folder_of(spec, root) / "metrics.jsonl").read_text()
    return [{k: v for k, v in json.loads(line).items() if k != "images_per_s"} for line in text.splitlines()]
