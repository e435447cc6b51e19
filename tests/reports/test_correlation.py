"""The correlation of loss and score: left out where it says nothing, and told at equal length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis import correlate
from reports.evidence import gather
from reports.figures.losses import at_equal_length
from reports.registry import compose_section
from reports.report_data import read_study


def test_two_lengths_make_two_clusters_whose_r_is_told_apart_from_that_at_equal_length(write: Callable[..., Path], tmp_path: Path) -> None:
    """The loss and the score follow the length alone: over all runs r is near −1, and inside it is
    noise.
    """
    study = read_study(write(tmp_path / "lengths", lengths=("5 epochs", "20 epochs"), intermediates=("none",), examples=False))
    trained = study.runs["pretrain_images"] > 0
    is_long = study.runs["pretrain_length"] == "20 epochs"
    own = {
        name: 0.001 * float(np.random.default_rng(place).standard_normal()) for place, name in enumerate(study.runs["pretrain_id"].dropna().unique())
    }
    loss = 0.5 - 0.1 * is_long + study.runs["pretrain_id"].map(own)
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(study.runs))
    runs = study.runs.assign(val_mim_loss=loss.where(trained), miou=study.runs["miou"].mask(trained, 0.4 + 0.1 * is_long + noise))
    evidence = gather(replace(study, runs=runs))
    row = at_equal_length(evidence)
    assert row is not None
    wanted = correlate(runs, y="miou", within=("pretrain_length", "finetune_images")).within_groups.iloc[0]
    assert (row["r"], row["low"], row["high"]) == (wanted["r"], wanted["low"], wanted["high"])
    assert abs(float(row["r"])) < 0.5
    figure = compose_section("correlation", evidence).figures[0]
    r = f"{row['r']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})".replace("-", "−")
    assert figure.claim == f"Loss and mIoU: r = −1.00; at equal length {r}"
    assert figure.reading[0].startswith(f"At equal length of pre-training and equal labels r is {r}; each point is one run")


def test_a_correlation_without_an_interval_is_left_out_with_the_reason(write: Callable[..., Path], tmp_path: Path) -> None:
    study = read_study(write(tmp_path / "few", pretrain_sizes=(0, 2000), intermediates=("none",), finetune_sizes=(100,), examples=False))
    section = compose_section("correlation", gather(study))
    assert section.figures == ()
    assert section.tables == ()
    reason = "3 pre-trainings; an interval needs at least 5 independent ones."
    assert section.paragraphs == (f"The correlation of validation loss and mIoU has no interval and is not shown: {reason}",)


def test_with_one_length_there_is_no_second_correlation(full_study: Path) -> None:
    assert at_equal_length(gather(read_study(full_study))) is None
