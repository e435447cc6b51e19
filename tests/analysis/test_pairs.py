import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from analysis import AnalysisError, independent_groups, intermediate_effects, paired_effects, pretraining_effects
from analysis.significance.multiplicity import holm


def arms(runs: pd.DataFrame, amount: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    plain = runs[(runs["intermediate"] == "none") & (runs["finetune_images"] == labels)].sort_values("seed")
    return tuple(plain.loc[plain["pretrain_images"] == one, "miou"].to_numpy() for one in (amount, 0))


def test_independent_seeds_give_the_paired_t_test_of_scipy(study) -> None:
    runs = study(objectives=("none",))
    effects = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=20_000)
    assert effects.table["finetune_images"].tolist() == [60, 600]
    for _, row in effects.table.iterrows():
        reference = ttest_rel(*arms(runs, 20_000, row["finetune_images"]))
        interval = reference.confidence_interval(0.95)
        assert row["p"] == pytest.approx(reference.pvalue, rel=1e-9)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert (row["n_pairs"], row["n_groups"], row["note"]) == (5, 5, "")
        assert row["difference"] == pytest.approx(0.06, abs=0.004)
        assert row["treatment_mean"] - row["baseline_mean"] == pytest.approx(row["difference"])
    assert set(effects.matched_on).isdisjoint({"pretrain_source", "pretrain_length", "pretrain_images"})


def test_a_shared_pretraining_counts_once_and_the_row_says_so(study) -> None:
    runs = study(objectives=("none",), shared_pretraining=True)
    row = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=20_000).table.iloc[0]
    reference = ttest_rel(*arms(runs, 20_000, 60))
    assert (row["n_pairs"], row["n_groups"], row["n_seeds"]) == (5, 1, 5)
    assert row["note"] == "5 seeds, conditional on this one pre-training"
    assert row["p"] == pytest.approx(reference.pvalue, rel=1e-9)


def test_seeds_that_share_a_pretraining_in_pairs_count_as_one_group_each(study) -> None:
    runs = study(seeds=6, objectives=("none",), labels=(60,))
    runs["pretrain_id"] = [
        None if pd.isna(one) else f"{amount}-{seed // 2}"
        for one, amount, seed in zip(runs["pretrain_id"], runs["pretrain_images"], runs["seed"], strict=True)
    ]
    runs["trunk_id"] = runs["pretrain_id"]
    row = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=2_000).table.iloc[0]
    new, old = arms(runs, 2_000, 60)
    means = (new - old).reshape(3, 2).mean(axis=1)
    assert (row["n_pairs"], row["n_groups"]) == (6, 3)
    assert row["difference"] == pytest.approx(means.mean())
    assert row["p"] == pytest.approx(ttest_rel(means, np.zeros(3)).pvalue, rel=1e-9)


def test_all_pretraining_effects_are_one_holm_family_and_leave_out_intermediate_runs(study) -> None:
    effects = pretraining_effects(study())
    assert effects.treatments == (2_000, 20_000)
    assert len(effects.table) == 4
    assert len(effects.overall) == 2
    assert len(effects.pairs) == 20
    assert effects.table["p_holm"].tolist() == pytest.approx(holm(effects.table["p"].to_numpy()))
    assert (effects.table["p_holm"] > effects.table["p"]).any()
    assert effects.overall["difference"].tolist() == pytest.approx([0.03, 0.06], abs=0.004)
    assert effects.n_unmatched_treatment == effects.n_unmatched_baseline == effects.n_without_outcome == 0


def test_intermediate_effects_cover_every_amount_of_pretraining_and_of_labels(study) -> None:
    effects = intermediate_effects(study())
    assert effects.by == ("pretrain_images", "finetune_images")
    assert len(effects.table) == 6
    assert effects.table["difference"].to_numpy() == pytest.approx(np.full(6, 0.02), abs=0.004)
    assert set(effects.matched_on) >= {"pretrain_source", "pretrain_length", "pretrain_images"}
    assert effects.sentence(0).startswith("An intermediate classification stage changes mIoU without pre-training at 60 labels by +0.0")


def test_between_two_pretrainings_the_length_must_match_though_steps_differ(study) -> None:
    runs = study(objectives=("none",))
    longer = runs[runs["pretrain_images"] > 0].assign(pretrain_length="40 epochs", miou=lambda table: table["miou"] + 0.1)
    both = pd.concat([runs, longer], ignore_index=True)
    effects = paired_effects(both, factor="pretrain_images", baseline=2_000, treatment=20_000)
    assert "pretrain_length" in effects.matched_on
    assert "pretrain_steps" not in effects.matched_on
    assert effects.by == ("finetune_images", "pretrain_length")
    assert effects.table["difference"].to_numpy() == pytest.approx(np.full(4, 0.03), abs=0.004)
    against_none = paired_effects(both, factor="pretrain_images", baseline=0, treatment=20_000)
    assert against_none.by == ("finetune_images", "pretrain_length")
    assert against_none.table["n_pairs"].tolist() == [5, 5, 5, 5]


def test_encoders_are_never_mixed(study) -> None:
    one = study(objectives=("none",))
    both = pd.concat([one, one.assign(encoder="small/4@32")], ignore_index=True)
    effects = pretraining_effects(both)
    assert effects.by == ("finetune_images", "encoder")
    assert len(effects.table) == 8
    assert set(effects.table["n_groups"]) == {5}
    assert "at 60 labels with encoder small/4@32 by" in effects.sentence(0)


def test_what_finds_no_partner_is_counted(study) -> None:
    runs = study(objectives=("none",), labels=(60,))
    runs.loc[0, "miou"] = np.nan  # the scratch run of seed 0
    runs = runs.drop(index=5)  # the 20,000 run of seed 1
    effects = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=20_000)
    assert (effects.n_unmatched_treatment, effects.n_unmatched_baseline, effects.n_without_outcome) == (1, 1, 1)
    assert effects.matching().endswith(
        "left out: 1 treatment runs without a baseline run, 1 baseline runs without a treatment run, 1 runs without miou"
    )


def test_a_sentence_gives_effect_interval_p_and_the_number_of_seeds(study) -> None:
    effects = pretraining_effects(study(noise=0.02))
    row = effects.table.iloc[-1]
    assert effects.sentences()[-1] == (
        f"Pre-training on 20,000 images changes mIoU at 600 labels by {row['difference']:+.3f} (95% interval {row['low']:+.3f} to "
        f"{row['high']:+.3f}, p = {row['p_holm']:.3f} after Holm, 5 independent seeds)"
    )
    assert "at 600 labels" not in effects.sentence(effects.overall.iloc[0])


def test_a_single_pair_and_equal_differences_have_no_interval_and_say_why(study) -> None:
    single = pretraining_effects(study(seeds=1, objectives=("none",)))
    assert single.table["low"].isna().all()
    assert single.table["p_holm"].isna().all()
    assert set(single.table["note"]) == {"a single pair, which has no spread"}
    assert single.overall["note"].tolist() == ["all pairs are of one seed, so there is no spread over seeds"] * 2
    assert single.sentence(0).endswith("(no interval: a single pair, which has no spread)")
    runs = study(objectives=("none",), labels=(60,)).assign(miou=lambda table: table["pretrain_images"] / 1e5)
    equal = pretraining_effects(runs)
    assert equal.table["note"].tolist() == ["all 5 differences are the same, so their spread says nothing"] * 2


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist() == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)


def test_groups_are_joined_by_pretraining_trunk_intermediate_and_seed() -> None:
    runs = pd.DataFrame(
        {
            "pretrain_id": ["p1", "p1", None, None, "p2", "p3", None],
            "trunk_id": ["p1", "p1", None, None, "p2", "p2", None],
            "intermediate_id": [None, None, None, "i1", None, None, "i1"],
            "seed": [0, 1, 1, 2, 3, 4, 5],
        },
        index=list("abcdefg"),
    )
    assert independent_groups(runs).to_dict() == dict(zip("abcdefg", [0, 0, 0, 1, 2, 2, 1], strict=True))
    assert independent_groups(runs[["pretrain_id"]]).tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert independent_groups(runs.iloc[:0]).tolist() == []


def test_what_cannot_be_paired_is_refused_in_a_sentence(study) -> None:
    runs = study(objectives=("none",), labels=(60,))
    options = {"factor": "pretrain_images", "baseline": 0, "treatment": 20_000}
    with pytest.raises(AnalysisError, match=r"two runs with pretrain_images = 0 are equal in all settings \(seed 0, encoder tiny/4@32"):
        paired_effects(pd.concat([runs, runs], ignore_index=True), **options)
    with pytest.raises(AnalysisError, match=r"no run has 'pretrain_images' = 7: its values are 0, 2,000, 20,000\."):
        paired_effects(runs, factor="pretrain_images", baseline=0, treatment=7)
    with pytest.raises(AnalysisError, match=r"has no column 'pretrain_image' \(did you mean 'pretrain_images'\?\)"):
        paired_effects(runs, factor="pretrain_image", baseline=0, treatment=7)
    with pytest.raises(AnalysisError, match="no run with pretrain_images = 20,000 has 'miou' yet: finish one, or name another outcome"):
        paired_effects(runs.assign(miou=runs["miou"].where(runs["pretrain_images"] != 20_000)), **options)
    apart = runs.assign(finetune_recipe=np.where(runs["pretrain_images"] == 0, "slow", "fast"))
    with pytest.raises(AnalysisError, match=r"they never agree in 'finetune_recipe' \(fast against slow\)\. Run the missing treatment"):
        paired_effects(apart, **options)
    with pytest.raises(AnalysisError, match="cannot be paired: the factor must be a setting other than the seed"):
        paired_effects(runs, factor="seed", baseline=0, treatment=1)
    with pytest.raises(AnalysisError, match="no run has an intermediate stage"):
        intermediate_effects(runs)
    with pytest.raises(AnalysisError, match="no run without an intermediate stage was pre-trained"):
        pretraining_effects(runs[runs["pretrain_images"] == 0])
    with pytest.raises(AnalysisError, match="column 'miou', row 0: 'good' is not a number"):
        paired_effects(runs.assign(miou="good"), **options)


def test_any_column_may_be_the_factor_of_ones_own_table() -> None:
    table = pd.DataFrame({"optimiser": ["a", "a", "a", "b", "b", "b"], "seed": [0, 1, 2] * 2, "top1": [1.0, 2, 3, 1.5, 2.7, 3.2]})
    effects = paired_effects(table, factor="optimiser", baseline="a", treatment="b", outcome="top1", by=())
    assert effects.table["p"].iloc[0] == pytest.approx(ttest_rel([1.5, 2.7, 3.2], [1.0, 2, 3]).pvalue)
    assert effects.sentences()[0].startswith("optimiser b rather than a changes top1 by +0.467")


@pytest.mark.parametrize("name", ["treatment", "group", "unit", "difference", "note"])
def test_a_column_named_as_one_of_the_result_changes_nothing(name: str) -> None:
    random = np.random.default_rng(0)
    rows = [(kind, n, seed, random.normal(0.1 * (kind == "new"), 0.01)) for kind in ("old", "new") for n in (10, 20) for seed in range(4)]
    runs = pd.DataFrame(rows, columns=["kind", "n", "seed", "score"])
    expected = paired_effects(runs, factor="kind", baseline="old", treatment="new", outcome="score", by=("n",), match=("n", "seed"))
    named = runs.rename(columns={"kind": name})
    found = paired_effects(named, factor=name, baseline="old", treatment="new", outcome="score", by=("n",), match=("n", "seed"))
    pd.testing.assert_frame_equal(found.table.drop(columns="factor"), expected.table.drop(columns="factor"))
    pd.testing.assert_frame_equal(found.pairs, expected.pairs)
    beside = paired_effects(
        runs.assign(**{name: "text"}), factor="kind", baseline="old", treatment="new", outcome="score", by=("n",), match=("n", "seed")
    )
    pd.testing.assert_frame_equal(beside.pairs, expected.pairs)
    with pytest.raises(AnalysisError, match=f"by names the column '{name}', and the result makes a column of that name: rename it in the table."):
        paired_effects(
            runs.rename(columns={"n": name}), factor="kind", baseline="old", treatment="new", outcome="score", by=(name,), match=(name, "seed")
        )
