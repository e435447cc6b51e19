"""A plan says of the images of each split how they are kept, what disk they take, and whether they are
there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import load_grid, make_plan
from scaling.formatting import size
from scaling.preparation import NUMBERS_BYTES, bytes_per_image, store_lines
from trials import InputError, prepare_split

GRIDS = Path(__file__).resolve().parents[2] / "grids"


def test_a_plan_says_what_becomes_of_the_images(tmp_path: Path) -> None:
    plan = make_plan(load_grid(GRIDS / "quickstart.yaml", ["seeds=1", "pretrain.heldout_images=16", "finetune.recipe.storage=jpeg"]), tmp_path)
    prepare_split("leaves", tmp_path, tmp_path / "store", "pretrain-heldout", 37, images=16)
    lines = store_lines(plan, tmp_path, tmp_path / "store", "refuse")
    pixels = size((37**2 * (3 + 1) + NUMBERS_BYTES) * 1000)
    jpeg = size((round(37**2 * (0.6 + 1)) + NUMBERS_BYTES) * 200)
    assert lines[:2] == [
        f"images: 1,000 of leaves pretrain-train-0, short side 37 px, drawn once, pixels kept: to be made, about {pixels} of disk",
        "images: 16 of leaves pretrain-heldout, short side 37 px, drawn once, pixels kept: is there",
    ]
    kept = "drawn once, kept as JPEG and decoded again as they are read"
    assert lines[-1] == f"images: 200 of leaves finetune-heldout, short side 37 px, {kept}: to be made, about {jpeg} of disk"
    assert len(lines) == 6


def test_whole_classes_of_generated_images_need_more_of_them(tmp_path: Path) -> None:
    plan = make_plan(load_grid(GRIDS / "quickstart.yaml", ["seeds=1", "pretrain.sampling=classes"]), tmp_path)
    assert store_lines(plan, tmp_path, tmp_path / "store", "refuse")[0].startswith("images: 4,000 of leaves pretrain-train-0,")


def test_images_that_stay_in_their_files_take_no_disk_and_generated_ones_have_none(tmp_path: Path) -> None:
    assert bytes_per_image("imagenet", 219, "files") == NUMBERS_BYTES
    assert bytes_per_image("folder:mine", 32, "files", masks=False) == NUMBERS_BYTES  # class folders have no masks
    assert bytes_per_image("folder:mine", 32, "files", masks=True) > 1000
    assert bytes_per_image("imagenet", 219, "jpeg") == round(219**2 * 4 / 3 * 0.6) + NUMBERS_BYTES
    grid = load_grid(GRIDS / "quickstart.yaml", ["seeds=1", "pretrain.recipe.storage=files"])
    with pytest.raises(
        InputError, match=r"line \d+: .*leaves makes its images, so there are no files to read them from: set storage to pixels or jpeg"
    ):
        make_plan(grid, tmp_path)
