import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

from analysis import AnalysisError, PairedEffects, intermediate_effects, paired_effects
from analysis.significance.mixed import mixed_effect
from analysis.significance.reml import fit_reml


def noisy(study, *, seed: int = 0, seeds: int = 3, cell: float = 0.0, of_seed: float = 0.0, noise: float = 0.006, **options) -> PairedEffects:
    """The effect of the intermediate stage, with what its stages, seeds and cells add."""
    runs = study(seeds=seeds, amounts=(0, 2_000, 20_000), labels=(60, 200, 600), noise=noise, random_seed=seed, **options)
    random = np.random.default_rng(seed)
    treated = runs["intermediate"] != "none"
    runs["intermediate_id"] = [f"i-{amount}-{one}" for amount, one in zip(runs["pretrain_images"], runs["seed"], strict=True)]
    runs.loc[~treated, "intermediate_id"] = None
    for names, sd in ((["pretrain_images", "seed"], 0.005), (["pretrain_images", "finetune_images"], cell), (["seed"], of_seed)):
        group = runs.groupby(names).ngroup().to_numpy()
        runs["miou"] += treated * sd * random.standard_normal(group.max() + 1)[group]
    return intermediate_effects(runs)


def crossed(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(rows), columns), np.tile(np.arange(columns), rows)


def statsmodels_of(y: np.ndarray, fixed: np.ndarray, levels: list[np.ndarray]) -> MixedLM:
    matrices = [(one[:, None] == np.arange(one.max() + 1)).astype(float) for one in levels]
    names = [str(place) for place in range(len(levels))]
    parts = VCSpec(names, [[[str(k) for k in range(one.shape[1])]] for one in matrices], [[one] for one in matrices])
    return MixedLM(y, fixed, groups=np.ones(len(y)), exog_vc=parts)


@pytest.mark.parametrize("seed", range(4))
def test_the_likelihood_is_that_of_statsmodels_and_our_optimum_is_no_worse(seed: int) -> None:
    random = np.random.default_rng(seed)
    cell, of_seed = crossed(8, 5)
    there = random.random(40) < 0.85  # unbalanced
    cell, of_seed = cell[there], of_seed[there]
    y = 0.5 + random.standard_normal(8)[cell] + random.standard_normal(5)[of_seed] + random.standard_normal(len(cell))
    fixed = np.column_stack([np.ones(len(y)), random.standard_normal(len(y))])
    ours = fit_reml(y, fixed, [cell, of_seed])
    model = statsmodels_of(y, fixed, [cell, of_seed])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so itself where it did not converge
        theirs = model.fit(reml=True)
    ratio = ours.variances[:-1] / ours.variances[-1]
    at_ours = MixedLMParams.from_components(fe_params=ours.coefficients, cov_re=np.zeros((0, 0)), vcomp=ratio)
    assert model.loglike(at_ours, profile_fe=False) == pytest.approx(ours.log_likelihood, abs=1e-8)
    assert ours.log_likelihood >= theirs.llf - 1e-8
    if theirs.llf > ours.log_likelihood - 1e-6:
        assert ours.coefficients == pytest.approx(theirs.fe_params, abs=1e-4)
        assert ours.standard_error(np.array([1.0, 0.0])) == pytest.approx(theirs.bse_fe[0], rel=0.01)


def test_a_balanced_one_way_layout_has_the_answer_of_anova() -> None:
    random = np.random.default_rng(1)
    group, _ = crossed(6, 4)
    y = 2.0 * random.standard_normal(6)[group] + random.standard_normal(24)
    means = y.reshape(6, 4).mean(axis=1)
    between, within = 4 * means.var(ddof=1), y.reshape(6, 4).var(axis=1, ddof=1).mean()
    fit = fit_reml(y, np.ones((24, 1)), [group])
    one = np.ones(1)
    assert fit.variances == pytest.approx([(between - within) / 4, within], rel=1e-8)
    assert fit.standard_error(one) == pytest.approx(np.sqrt(between / 24), rel=1e-8)
    assert fit.degrees_of_freedom(one) == pytest.approx(5.0, rel=1e-8)


def test_a_balanced_crossed_layout_has_the_mean_squares_and_satterthwaite_by_hand() -> None:
    random = np.random.default_rng(0)
    row, column = crossed(7, 5)
    y = 2.0 * random.standard_normal(7)[row] + 2.0 * random.standard_normal(5)[column] + random.standard_normal(35)
    table = y.reshape(7, 5)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    squares = np.array([5 * table.mean(axis=1).var(ddof=1), 7 * table.mean(axis=0).var(ddof=1), np.sum(rest**2) / 24])
    spread = squares[0] + squares[1] - squares[2]
    fit = fit_reml(y, np.ones((35, 1)), [row, column])
    assert fit.variances == pytest.approx([(squares[0] - squares[2]) / 5, (squares[1] - squares[2]) / 7, squares[2]], rel=1e-7)
    assert fit.standard_error(np.ones(1)) == pytest.approx(np.sqrt(spread / 35), rel=1e-7)
    assert fit.degrees_of_freedom(np.ones(1)) == pytest.approx(spread**2 / np.sum(squares**2 / [6, 4, 24]), rel=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_a_balanced_grid_with_fixed_cells_gives_the_paired_t_over_seeds_even_where_a_variance_is_zero(study, seed: int) -> None:
    effects = noisy(study, seed=seed)
    row, mixed = effects.overall.iloc[0], mixed_effect(effects, cells="fixed")
    assert mixed.degrees_of_freedom == pytest.approx(2.0, rel=1e-6)
    assert (mixed.estimate, mixed.low, mixed.high, mixed.p) == pytest.approx((row["difference"], row["low"], row["high"], row["p"]), rel=1e-5)


def test_some_of_those_grids_have_a_seed_variance_of_zero(study) -> None:
    fits = [mixed_effect(noisy(study, seed=seed), cells="fixed") for seed in range(4)]
    assert {fit.components[0].sd == 0.0 for fit in fits} == {True, False}


def test_components_are_named_and_counted_and_identical_ones_joined(study) -> None:
    mixed = mixed_effect(noisy(study, cell=0.02))
    assert [(one.name.split(" and ")[0], one.levels) for one in mixed.components] == [
        ("seed", 3),
        ("intermediate stage", 9),
        ("cell", 9),
        ("single pair", 27),
    ]
    assert mixed.components[2].sd == pytest.approx(0.02, rel=0.6)
    plain = study(seeds=4, objectives=("none",), noise=0.01)
    mixed = mixed_effect(paired_effects(plain, factor="pretrain_images", baseline=0, treatment=2_000))
    assert [one.name for one in mixed.components] == ["seed and pre-training", "cell", "single pair"]


def test_cells_at_random_are_less_sure_than_these_cells_where_cells_vary(study) -> None:
    effects = noisy(study, seeds=6, cell=0.03)
    random, fixed = mixed_effect(effects), mixed_effect(effects, cells="fixed")
    assert random.standard_error > 1.5 * fixed.standard_error
    assert random.estimate == pytest.approx(fixed.estimate, abs=1e-9)


def test_assuming_that_seeds_cancel_gains_degrees_of_freedom_and_is_said(study) -> None:
    apart = mixed_effect(noisy(study), seeds="cancel", cells="fixed")
    assert apart.degrees_of_freedom == pytest.approx(6.0, rel=1e-6)  # (3 seeds - 1) x 3 pre-training sizes
    assert "assumes that seeds cancel; the 3 seeds do not show otherwise" in apart.sentence()
    against = mixed_effect(noisy(study, of_seed=0.08), seeds="cancel")
    assert "which the 3 seeds speak against (p < 0.001): use seeds='random'" in against.note


def test_one_shared_pretraining_makes_the_result_conditional_and_missing_runs_do_not_stop_it(study) -> None:
    runs = study(seeds=5, objectives=("none",), shared_pretraining=True, noise=0.01)
    mixed = mixed_effect(paired_effects(runs, factor="pretrain_images", baseline=0, treatment=2_000))
    assert mixed.note == "conditional on this one pre-training"
    lost = noisy(study, seeds=4)
    part = lost.restricted(lost.overall.iloc[0])
    object.__setattr__(part, "pairs", part.pairs.drop(index=part.pairs.index[[0, 5, 13]]))
    assert mixed_effect(part).n_pairs == 33
    assert np.isfinite(mixed_effect(part, cells="fixed").p)


def test_what_cannot_be_concluded_is_said(study) -> None:
    runs = study(seeds=1, labels=(60,), amounts=(0,))
    assert mixed_effect(intermediate_effects(runs)).sentence().endswith("(no interval: a single pair, which has no spread)")
    one_seed = intermediate_effects(study(seeds=1))
    assert "each cell has a single pair" in mixed_effect(one_seed, cells="fixed").note
    assert "conditional on this one seed" in mixed_effect(one_seed).note
    assert "cell cannot be separated from" in mixed_effect(one_seed).note
    equal = study(labels=(60,)).assign(miou=lambda table: 0.3 + 0.125 * (table["intermediate"] != "none"))
    assert mixed_effect(intermediate_effects(equal)).note == "all 15 differences are the same, so their spread says nothing"


def test_wrong_options_are_refused_in_a_sentence(study) -> None:
    runs = study(objectives=("none",))
    effects = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=2_000)
    with pytest.raises(AnalysisError, match=r"no pair has treatment 7: there are 2,000\."):
        mixed_effect(effects, treatment=7)
    with pytest.raises(AnalysisError, match=r"cells = 'some' is unknown: give 'random' or 'fixed'\."):
        mixed_effect(effects, cells="some")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="level"):
        mixed_effect(effects, level=2.0)
    both = intermediate_effects(study(objectives=("none", "a", "b")))
    with pytest.raises(AnalysisError, match=r"these effects have 2 treatments \(a, b\): name one in treatment=\."):
        mixed_effect(both)


def test_the_sentence_gives_estimate_interval_p_and_degrees_of_freedom(study) -> None:
    mixed = mixed_effect(noisy(study, seeds=5))
    t = mixed.estimate / mixed.standard_error
    assert mixed.p == pytest.approx(2 * stats.t.sf(abs(t), mixed.degrees_of_freedom), rel=1e-9)
    assert mixed.sentence().startswith(
        f"An intermediate classification stage changes mIoU by {mixed.estimate:+.3f} on average over cells like these 9"
    )
    assert f"mixed model of 45 pairs, {mixed.degrees_of_freedom:.1f} degrees of freedom" in mixed.sentence()
