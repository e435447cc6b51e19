"""A table scored by accuracy is analysed as one scored by mIoU is, with the score's own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import (
    AnalysisError,
    correlate,
    findings,
    intermediate_effects,
    load_runs,
    main_effects,
    pretraining_effects,
    proxy_quality,
    summarise_cells,
)
from analysis.runs.columns import Column
from analysis.runs.outcomes import outcome_of


def study(seeds: int = 3) -> pd.DataFrame:
    """Scratch and two pre-training sizes, with and without a spatial stage, at two numbers of
    labels; a gain of 0.03 for each size.
    """
    random, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        for size in (0, 1000, 10_000):
            loss = None if size == 0 else 0.5 - 0.02 * np.log10(size) + 0.002 * random.standard_normal()
            for stage in ("none", "spatial"):
                for labels in (100, 400):
                    score = 0.4 + 0.05 * np.log2(labels / 100) + 0.03 * (size > 0) + 0.003 * random.standard_normal()
                    rows.append((f"r{len(rows)}", seed, f"p{size}-{seed}" if size else None, size, loss, stage, labels, "classification", score))
    names = ["run_id", "seed", "pretrain_id", "pretrain_images", "val_mim_loss", "intermediate", "finetune_images", "finetune_task", "accuracy"]
    return pd.DataFrame(rows, columns=names).assign(miou=np.nan)


def test_the_score_is_the_first_with_numbers_then_the_first_with_a_column() -> None:
    runs = study()
    assert outcome_of(runs) == outcome_of(runs.drop(columns="miou")) == "accuracy"
    assert outcome_of(runs.assign(miou=0.5)) == "miou"
    assert outcome_of(runs.assign(accuracy=np.nan)) == "miou"
    assert outcome_of(runs, "test_loss") == "test_loss"
    assert outcome_of(runs.drop(columns=["miou", "accuracy"])) == "miou"


def test_every_question_is_asked_of_the_score_that_there_is() -> None:
    runs = study()
    named = [pretraining_effects(runs, outcome="accuracy"), intermediate_effects(runs, outcome="accuracy")]
    for ours, theirs in zip((pretraining_effects(runs), intermediate_effects(runs)), named, strict=True):
        assert ours.outcome == "accuracy"
        pd.testing.assert_frame_equal(ours.table, theirs.table)
    assert "changes top-1 accuracy" in pretraining_effects(runs).sentence(0)
    assert correlate(runs).y == proxy_quality(runs).score == "accuracy"
    assert "top-1 accuracy" in correlate(runs).sentence
    assert summarise_cells(runs, by="finetune_images")["mean"].between(0.35, 0.6).all()
    found = findings(runs)
    assert found.outcome == "accuracy"
    assert any("Pre-training raises top-1 accuracy on average." in text.claim for text in found)


def test_of_two_tasks_the_rows_of_the_other_are_left_out_and_counted() -> None:
    runs = study()
    other = runs.assign(finetune_task="segmentation", miou=runs["accuracy"] / 2, accuracy=np.nan, run_id="s" + runs["run_id"])
    both = pd.concat([runs, other], ignore_index=True)
    assert findings(both).outcome == "miou"
    pd.testing.assert_frame_equal(pretraining_effects(both, outcome="accuracy").table, pretraining_effects(runs).table)
    assert pretraining_effects(both, outcome="accuracy").n_without_outcome == len(other[other["intermediate"] == "none"])


def test_a_table_of_ones_own_needs_labels_and_any_score(tmp_path: Path) -> None:
    study().drop(columns="miou").to_csv(tmp_path / "ours.csv", index=False)
    assert load_runs(tmp_path / "ours.csv")["accuracy"].notna().all()
    study().drop(columns=["miou", "accuracy"]).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(AnalysisError, match="has no column 'miou'"):
        load_runs(tmp_path / "none.csv")


def own_score(runs: pd.DataFrame, column: Column, values: pd.Series) -> pd.DataFrame:
    own = runs.drop(columns=["accuracy", "miou"]).assign(**{column.name: values})
    own.attrs["columns"] = {column.name: column.to_dict()}
    return own


def test_a_score_that_only_the_study_documents_is_analysed_like_any_other() -> None:
    runs = study()
    own = own_score(runs, Column("f_measure", "", "fraction", "score", "higher", 0.0, 1.0, "F measure"), runs["accuracy"])
    assert outcome_of(own) == correlate(own).y == findings(own).outcome == "f_measure"
    assert pretraining_effects(own).sentences() == [text.replace("top-1 accuracy", "F measure") for text in pretraining_effects(runs).sentences()]
    for ours, theirs in zip(findings(own), findings(runs), strict=True):
        assert (ours.verdict, ours.claim, ours.sentence) == (
            theirs.verdict,
            theirs.claim.replace("top-1 accuracy", "F measure"),
            theirs.sentence.replace("top-1 accuracy", "F measure"),
        )


def test_where_lower_scores_are_better_every_claim_is_turned_round() -> None:
    runs = study()
    error = own_score(runs, Column("error_rate", "", "fraction", "score", "lower", 0.0, 1.0, "error rate"), 1.0 - runs["accuracy"])
    ours, theirs = findings(error), findings(runs)
    assert [(one.identity, one.verdict) for one in ours] == [(one.identity, one.verdict) for one in theirs]
    np.testing.assert_allclose([one.p for one in ours], [one.p for one in theirs], rtol=1e-6)
    assert "Pre-training lowers error rate on average." in [one.claim for one in ours]
    choice, mirrored = proxy_quality(error), proxy_quality(runs)
    for name in ("accuracy", "regret", "pair_regret", "p"):
        np.testing.assert_allclose(choice.table[name], mirrored.table[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(choice.table["best"], 1.0 - mirrored.table["best"])
    assert "has the lower error rate" in choice.sentences[0]


def test_a_score_without_bounds_has_no_law_of_its_error_and_a_margin_of_its_own_size() -> None:
    runs = study()
    own = own_score(runs, Column("psnr", "", "dB", "score", "higher", 0.0, None, "PSNR"), 30.0 + 10.0 * runs["accuracy"])
    found = findings(own)
    shares = findings(runs.assign(accuracy=10.0 * runs["accuracy"]), outcome="accuracy")
    margins = [note.split(" are called")[0] for note in (found.notes[-1], shares.notes[-1])]
    assert margins[0] == margins[1]  # noise and range decide, not where the scale begins
    assert found["pretraining-helps-on-average"].verdict == "supported"
    assert "intermediate-hurts-on-average" in [one.identity for one in found] or "spatial-hurts-on-average" in [one.identity for one in found]


def test_a_loss_is_no_score_whatever_it_is_called() -> None:
    runs = own_score(study(), Column("silog", "", "", "loss", "lower", title="scale-invariant log error"), study()["accuracy"])
    with pytest.raises(AnalysisError, match="the outcome 'silog' is a loss, and the claims are about scores: name a score"):
        findings(runs, outcome="silog")
    score = own_score(study(), Column("silog_loss", "", "", "score", "lower", title="scale-invariant log error"), study()["accuracy"])
    assert findings(score).outcome == "silog_loss"


def test_main_effects_of_a_table_in_its_own_words_say_how_to_name_the_score() -> None:
    table = pd.DataFrame({"labels": [10, 20, 10, 20], "acc": [0.1, 0.2, 0.15, 0.25], "seed": [0, 0, 1, 1]})
    with pytest.raises(AnalysisError, match=r"has no score of a study \(it has labels, acc, seed\): name yours with outcome="):
        main_effects(table)
