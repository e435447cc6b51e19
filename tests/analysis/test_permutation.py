import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import AnalysisError, paired_effects
from analysis.significance.permutation import permutation_test, sign_flip_p

OPTIONS = {"factor": "pretrain_images", "baseline": 0, "treatment": 20_000}


def test_exact_p_is_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    for groups in (3, 6, 9):
        differences = 0.5 + random.standard_normal(groups)
        theirs = stats.permutation_test((differences, np.zeros(groups)), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
                                        vectorized=True, n_resamples=np.inf)  # fmt: skip
        assert sign_flip_p(differences, resamples=99, random=random) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_darwins_maize_as_fisher_worked_it() -> None:
    # The Design of Experiments, section 21: 1,726 of the 2^15 sign patterns are at least as
    # extreme, p = 0.05267
    eighths = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)
    p = sign_flip_p(eighths, resamples=40_000, random=np.random.default_rng(0))  # 15 groups are drawn, not enumerated
    assert p == pytest.approx(0.05267, abs=0.003)


def test_three_seeds_can_never_reach_5_percent_and_the_note_says_so(study) -> None:
    table = permutation_test(paired_effects(study(seeds=3, objectives=("none",)), **OPTIONS))
    assert table["p_permutation"].tolist() == [0.25, 0.25, 0.25]
    assert table["note"].tolist() == ["with 3 groups p cannot be below 0.25: 5% needs at least 6"] * 3
    assert table["finetune_images"].isna().tolist() == [False, False, True]


def test_runs_that_share_a_pretraining_are_flipped_together(study) -> None:
    runs = study(seeds=12, objectives=("none",), labels=(60,))
    shared = [None if pd.isna(one) else f"{one[:-1]}{seed // 2}" for one, seed in zip(runs["pretrain_id"], runs["seed"], strict=True)]
    table = permutation_test(paired_effects(runs.assign(pretrain_id=shared, trunk_id=shared), **OPTIONS))
    assert table["groups"].tolist() == [6, 6]
    assert table["p_permutation"].tolist() == [2 / 64] * 2
    alone = permutation_test(paired_effects(runs.assign(pretrain_id="one", trunk_id="one"), **OPTIONS))
    assert alone["note"].str.contains("conditional on this one pre-training").all()


def test_beyond_14_groups_patterns_are_drawn_by_seed_and_p_is_never_zero(study) -> None:
    effects = paired_effects(study(seeds=16, objectives=("none",)), **OPTIONS)
    table = permutation_test(effects, resamples=999)
    assert table["p_permutation"].tolist() == [1 / 1000] * 3
    assert not table["exact"].any()
    random = np.random.default_rng(3)
    differences = 0.4 + random.standard_normal(15)
    exact = np.mean([abs(np.dot(1.0 - 2.0 * ((k >> np.arange(15)) & 1), differences)) >= differences.sum() - 1e-12 for k in range(2**15)])
    assert sign_flip_p(differences, resamples=20_000, random=random) == pytest.approx(exact, abs=0.01)


def test_one_group_and_all_zero_differences_have_a_note(study) -> None:
    single = permutation_test(paired_effects(study(seeds=1, objectives=("none",)), **OPTIONS))
    assert single["p_permutation"].isna().all()
    assert set(single["note"]) == {"a single group of runs, whose sign alone says nothing"}
    zero = permutation_test(paired_effects(study(objectives=("none",)).assign(miou=0.5), **OPTIONS))
    assert set(zero["p_permutation"]) == {1.0}
    assert set(zero["note"]) == {"all 5 differences are zero"}
    with pytest.raises(AnalysisError, match="resamples = 5 is too few"):
        permutation_test(paired_effects(study(objectives=("none",)), **OPTIONS), resamples=5)
