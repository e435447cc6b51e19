"""Rates are measured on random pixels of the sizes that a store of the stage would hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trials.conftest import MakeSpec
from trials.cost.throughput import random_pictures
from trials.data.store import FILE_SHORT_PX
from trials.training.precision import choose_compute


@pytest.mark.parametrize(("store_px", "short_px"), [(0, 16), (20, 20), (8192, FILE_SHORT_PX)])
def test_random_pictures_have_the_size_of_the_store_but_never_more_than_files(make_spec: MakeSpec, store_px: int, short_px: int) -> None:
    """A recipe that keeps all pixels (store_px 8192) is not measured on images of 89 megapixels."""
    spec = make_spec("finetune")
    pictures = random_pictures(replace(spec, data=replace(spec.data, store_px=store_px)), choose_compute("fp32", gpus=0.0))
    assert set(map(tuple, pictures.sizes.tolist())) == {(short_px, round(short_px * 4 / 3)), (round(short_px * 4 / 3), short_px)}
