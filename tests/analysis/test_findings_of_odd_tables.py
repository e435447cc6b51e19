"""What `findings` makes of seeds that share pre-trainings, and of tables as people have them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings
from benchmarks.statistics.grids import simulate_grid
from tests.analysis.test_findings import QUIET, study

# What sharing does


def shared(random_seed: int, *, seeds: int, pretrainings: int, **effects: float) -> pd.DataFrame:
    """A grid whose seeds share pre-trainings, as `seeds: {pretrain: 2, finetune: 6}` makes it."""
    random = np.random.default_rng(random_seed)
    runs = simulate_grid(random, seeds=seeds, labels=(250, 1000), noise=QUIET, intermediates=("none",), **effects)
    own = runs["pretrain_id"].notna()
    for size in runs.loc[own, "pretrain_images"].unique():
        for one in range(pretrainings):
            mine = own & (runs["pretrain_images"] == size) & (runs["seed"] % pretrainings == one)
            runs.loc[mine, "miou"] += 0.01 * random.standard_normal()
            runs.loc[mine, ["pretrain_id", "trunk_id"]] = f"pretrain-{size}-{one}"
    return runs


def test_seeds_that_share_pretrainings_are_not_independent() -> None:
    found = findings(shared(0, seeds=6, pretrainings=2, pretraining_gain=0.03))
    for name in ("pretraining-helps-on-average", "returns-shrink-pretrain", "last-doubling-pretrain"):
        assert "2 independent groups of 6 seeds" in found[name].sentence, name


def test_a_single_pretraining_a_size_is_said_to_be_a_condition() -> None:
    found = findings(shared(0, seeds=6, pretrainings=1, pretraining_gain=0.03).assign(pretrain_steps=1000, pretrain_length="1k steps"), claims="all")
    for name in ("pretraining-helps-on-average", "returns-shrink-pretrain", "last-doubling-pretrain", "gain-shrinks-with-labels"):
        assert "6 seeds, conditional on the pre-trainings that they share" in found[name].sentence, name
        assert found[name].headline.endswith("conditional on these pre-trainings"), name
        assert found[name].claim.endswith(", conditional on these pre-trainings."), name
    assert "conditional on the pre-trainings that the seeds share" in found["more-data-always-helps"].sentence


def test_pretrainings_of_each_seed_are_no_condition() -> None:
    found = findings(simulate_grid(np.random.default_rng(0), seeds=6, labels=(250, 1000), noise=QUIET, intermediates=("none",)), claims="all")
    assert not any("conditional on" in f"{one.headline} {one.claim}" for one in found)


def test_two_shared_pretrainings_a_size_decide_nothing_by_chance() -> None:
    decided = 0
    for random_seed in range(8):
        found = findings(shared(random_seed, seeds=6, pretrainings=2), margin=1e-9, claims="all")
        decided += sum(
            one.verdict != "open" for one in found if one.topic in ("Pre-training", "More pre-training data") or "pretrain" in one.identity
        )
    assert decided <= 1


# Tables as people have them


def as_text(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(pretrain_images=runs["pretrain_images"].map(lambda size: f"{size} images"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_text, "column 'pretrain_images'.*'0 images' is not a number"),
        (lambda t: t.assign(seed=t["seed"].astype("Int64").where(t["seed"] > 0)), "row 0 of the table of the study has no seed"),
        (lambda t: pd.concat([t, t.head(1)]), "rows 0 and .* are equal in all settings"),
        (lambda t: pd.concat([t, t[["miou"]]], axis=1), "has two columns 'miou'"),
        (lambda t: t.assign(miou_spread=0.01), "has the spreads 'miou_spread' and no column 'n_runs'"),
        (lambda t: t.assign(miou_spread=-0.01, n_runs=3), "column 'miou_spread', row 0: -0.01 is a spread below zero"),
        (lambda t: t.assign(miou_spread=0.01, n_runs=2.5), "column 'n_runs', row 0: 2.5 is not a whole number of runs"),
    ],
)
def test_what_cannot_be_is_named_before_any_question_is_asked(change: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        findings(change(study(seeds=2)))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[["miou", "seed"]],
        lambda t: t.drop(columns="finetune_images").groupby(["pretrain_images", "seed", "intermediate"], as_index=False).first(),
        lambda t: t.assign(seed=[f"s{seed}" if seed else 0 for seed in t["seed"]]),
        lambda t: t.assign(seed=np.nan, run_id=None),
        lambda t: t.astype({"pretrain_id": "category", "intermediate": "category", "encoder": "category"}),
        lambda t: t.assign(intermediate=t["intermediate"].where(t["intermediate"] != "none")),
        lambda t: t.assign(intermediate=t["intermediate"] != "none"),
        lambda t: t.assign(finetune_recipe=np.nan),
        lambda t: t.set_index("run_id"),
        lambda t: t.drop(columns=["pretrain_id", "trunk_id", "intermediate_id", "seed", "cell_id"]),
    ],
)
def test_odd_tables_are_answered_or_refused_never_a_traceback(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = change(study(seeds=2))
    try:
        found = findings(table, claims="all")
    except AnalysisError:
        return
    assert "nan" not in " ".join(one.sentence for one in found).lower()
    assert not any("+nan" in reason for _, reason in found.unanswered)


def test_scores_in_percent_give_the_same_verdicts() -> None:
    runs = study()
    shares, percent = (findings(one, claims="all") for one in (runs, runs.assign(miou=100 * runs["miou"])))
    assert {one.identity: one.verdict for one in shares} == {one.identity: one.verdict for one in percent}
    margins = [float(one.notes[-1].split()[2]) for one in (shares, percent)]
    assert margins[1] == pytest.approx(100 * margins[0])


def test_two_objectives_are_two_claims() -> None:
    runs = simulate_grid(np.random.default_rng(0), seeds=4, labels=(250, 1000), intermediates=("none", "classification", "spatial"), noise=QUIET)
    runs.loc[runs["intermediate"] == "classification", "miou"] -= 0.03
    runs.loc[runs["intermediate"] == "spatial", "miou"] += 0.03
    found = findings(runs)
    assert found["classification-hurts-on-average"].verdict == "supported"
    assert found["spatial-hurts-on-average"].verdict == "refuted"


def test_two_lengths_of_fine_tuning_at_one_label_count_are_two_series() -> None:
    """A doubling of labels is compared within a length, and not between two runs of equal labels."""
    random = np.random.default_rng(0)
    short = simulate_grid(random, seeds=4, labels=(250, 500, 1000), noise=QUIET, intermediates=("none",)).assign(finetune_steps=100)
    long = short.assign(finetune_steps=400, miou=short["miou"] + 0.02 + 0.001 * random.standard_normal(len(short)))
    found = findings(pd.concat([short, long], ignore_index=True))
    once = findings(short)
    assert found["returns-shrink-finetune"].estimate is not None
    assert once["returns-shrink-finetune"].estimate is not None
    assert found["returns-shrink-finetune"].estimate.value == pytest.approx(once["returns-shrink-finetune"].estimate.value, abs=0.002)
    assert len(found["returns-shrink-finetune"].rows) == 2 * len(once["returns-shrink-finetune"].rows)


def test_a_table_without_a_known_score_is_told_its_own_columns_alone() -> None:
    with pytest.raises(AnalysisError) as caught:
        findings(pd.DataFrame({"n_labels": [50, 100], "f1": [0.4, 0.5]}))
    assert "(there are: n_labels, f1): name yours with outcome= (--outcome)." in str(caught.value)


def test_a_table_in_its_own_words_is_told_which_columns_claims_are_about() -> None:
    """Not that its rows are equal in settings that it does not have."""
    table = pd.DataFrame({"n_labels": [50, 100, 50, 100], "model": ["a", "a", "b", "b"], "seed": 0, "f1": [0.4, 0.5, 0.4, 0.6]})
    with pytest.raises(AnalysisError) as caught:
        findings(table, outcome="f1")
    assert "has no column that a claim is about, such as finetune_images or encoder (there are: n_labels, model, seed, f1)" in str(caught.value)
    assert "pretrain_images" not in str(caught.value)
