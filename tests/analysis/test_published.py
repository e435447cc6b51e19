"""The published tables, and every figure that was recomputed from them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis.published
from analysis import AnalysisError, correlate, load_published
from analysis.published import PUBLISHED
from analysis.published.load import read_printed

# SHA-256 of the tables as they were read from the papers and checked number by number
READ_FROM_PAPERS = {
    "data_scaling_runs": "e4d49ea418d0f942",
    "diminishing_returns": "5d469b70b0661c61",
    "patch_geometry": "d654f6707d7fdd92",
    "patch_similarity_by_distance": "42700c69df8c345b",
}


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return load_published("diminishing-returns").table


@pytest.fixture(scope="module")
def models() -> pd.DataFrame:
    return load_published("data-scaling").table


def miou(cells: pd.DataFrame, pretrain_images: int, intermediate: str) -> pd.Series:
    part = cells[(cells["pretrain_images"] == pretrain_images) & (cells["intermediate"] == intermediate)]
    return part.set_index("finetune_images")["miou"]


def test_the_tables_are_whole(cells: pd.DataFrame, models: pd.DataFrame) -> None:
    assert len(cells) == 42
    assert len(models) == 63
    assert cells[["pretrain_images", "intermediate", "finetune_images"]].drop_duplicates().shape[0] == 42
    assert cells["n_runs"].eq(3).all()
    assert models.groupby(["encoder", "pretrain_images"])["pretrain_steps"].nunique().eq(3).all()
    assert models.groupby(["encoder", "pretrain_images"]).ngroups == 21
    assert not models.drop(columns=["intermediate"]).isna().any().any()


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_shares_are_of_one_and_sources_are_named(name: str) -> None:
    paper = load_published(name)
    assert paper.table[paper.outcome].between(0.4, 0.9).all()
    assert paper.source
    assert paper.title
    assert paper.notes
    if paper.kind == "cells":
        assert paper.table[f"{paper.outcome}_spread"].between(0.0, 0.02).all()


@pytest.mark.parametrize("name", READ_FROM_PAPERS)
def test_what_ships_is_what_was_read_from_the_papers(name: str) -> None:
    text = Path(analysis.published.__file__).with_name(f"{name}.csv").read_bytes()
    assert hashlib.sha256(text).hexdigest()[:16] == READ_FROM_PAPERS[name]
    pd.testing.assert_frame_equal(read_printed(name), pd.read_csv(io.BytesIO(text), keep_default_na=False))


def test_17_of_18_cells_with_the_intermediate_stage_beat_scratch(cells: pd.DataFrame) -> None:
    scratch = miou(cells, 0, "none")
    ahead = [miou(cells, size, "classification") - scratch for size in (45_000, 100_000, 200_000)]
    assert int((pd.concat(ahead) > 0).sum()) == 17
    assert ahead[0].idxmin() == 6000


def test_the_closest_cell_of_the_intermediate_stage(cells: pd.DataFrame) -> None:
    row = cells.set_index(["pretrain_images", "intermediate", "finetune_images"])
    plain, staged = row.loc[(100_000, "none", 6000)], row.loc[(100_000, "classification", 6000)]
    assert 100 * (plain["miou"] - staged["miou"]) == pytest.approx(0.21)
    assert (100 * plain["miou_spread"], 100 * staged["miou_spread"]) == pytest.approx((0.14, 0.43))


def test_loss_and_accuracy_correlate_as_recomputed(models: pd.DataFrame) -> None:
    found = correlate(models, y="accuracy", within="pretrain_images")
    r = found.table[found.table["method"] == "pearson"].set_index("pretrain_images")["r"]
    pooled = found.table["r"].iloc[0]
    assert pooled == pytest.approx(-0.786, abs=5e-4)
    assert r.loc[128_117] == pytest.approx(0.55, abs=5e-3)
    assert r.loc[256_233] == pytest.approx(-0.12, abs=5e-3)
    assert found.signs_differ


def test_series_whose_loss_keeps_falling(models: pd.DataFrame) -> None:
    wide = models.pivot(index=["encoder", "pretrain_images"], columns="pretrain_steps", values="val_mim_loss")
    falling = (np.diff(wide.to_numpy(), axis=1) < 0).all(axis=1)
    assert falling.sum() == 12
    labelled = models.merge(pd.Series(falling, index=wide.index, name="falling").reset_index())
    r = {falls: part["val_mim_loss"].corr(part["accuracy"]) for falls, part in labelled.groupby("falling")}
    assert r[True] == pytest.approx(-0.956, abs=5e-4)
    assert r[False] == pytest.approx(-0.697, abs=6e-4)


def test_22k_and_1k_are_within_a_tenth_of_a_point_at_500k_steps(models: pd.DataFrame) -> None:
    longest = models[models["pretrain_steps"] == 500_000].pivot(index="encoder", columns="pretrain_images", values="accuracy")
    differences = (100 * (longest[14_197_122] - longest[1_281_167])).dropna()
    assert len(differences) == 4
    assert differences.abs().max() == pytest.approx(0.10, abs=1e-9)


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(AnalysisError, match="there is no published table 'data-scalling' \\(did you mean 'data-scaling'\\?\\): name one of"):
        load_published("data-scalling")
