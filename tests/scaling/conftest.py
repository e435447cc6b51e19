"""A grid small enough to train in a test, and a folder of generated images for it."""

from __future__ import annotations

from pathlib import Path

import pytest

GRID = """\
study: small
encoder: pico/8@16
pretrain:
  source: leaves
  images: [0, 24]
  length: 3 steps
  heldout_images: 16
  recipe: {name: compact, batch_images: 8, precision: fp32}
intermediate:
  objective: [none, classification]
  source: leaves
  images: 16
  length: 2 steps
  heldout_images: 16
  recipe: {name: compact, batch_images: 8, precision: fp32}
finetune:
  source: leaves
  task: segmentation
  images: [8, 16]
  length: 2 steps
  test_images: 16
  recipe: {name: compact, batch_images: 8, precision: fp32}
seeds: 2
resources: {cpus: 1, gpus: 0}
"""


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    """grid.yaml of the small study."""
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder of the small study; its stores are made by the first launch that needs them."""
    return tmp_path_factory.mktemp("data")
