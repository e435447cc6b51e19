import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, PairedEffects, paired_effects
from analysis.significance.checks import checks


def effects_of(differences: list[float]) -> PairedEffects:
    n = len(differences)
    table = pd.DataFrame({"arm": ["old"] * n + ["new"] * n, "seed": [*range(n)] * 2, "top1": [0.0] * n + differences})
    return paired_effects(table, factor="arm", baseline="old", treatment="new", outcome="top1", by=())


def passed(differences: list[float]) -> dict[str, bool | None]:
    return {one.name: one.passed for one in checks(effects_of(differences), 0)}


def test_a_regular_effect_passes_all_and_three_seeds_cannot_show_normality() -> None:
    regular = [1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.05, 1.15, 0.95]
    assert passed(regular) == {"normality": True, "influence": True, "balance": True, "agreement": True}
    assert passed([1.0, 1.01, 0.99]) == {"normality": None, "influence": True, "balance": True, "agreement": True}


def test_one_group_that_carries_the_effect_is_found() -> None:
    found = {one.name: one for one in checks(effects_of([9.0, 0.1, -0.1, 0.2, -0.2, 0.1, -0.3, -0.2]), 0)}
    assert found["influence"].sentence == "leaving out one group turns the sign (1 of 8 groups do so)"
    assert found["normality"].passed is False
    across = checks(effects_of([1.0, 1.1, 0.2]), 0)[1]
    assert across.passed is True or "across 0.05" in across.sentence


def test_tests_that_disagree_are_named() -> None:
    # one large difference widens t, and flipping signs does not mind it
    found = checks(effects_of([0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 9.0, 0.2]), 0)[3]
    assert found.passed is False
    assert found.sentence.startswith("the tests disagree at 0.05: paired t p = 0.29, permutation p = 0.008, mixed model p = 0.29")


def test_unequal_groups_are_said_and_overall_rows_are_taken(study) -> None:
    runs = study(objectives=("none",), noise=0.01).drop(index=[4])
    effects = paired_effects(runs, factor="pretrain_images", baseline=0, treatment=20_000)
    found = {one.name: one for one in checks(effects, effects.overall.iloc[0])}
    assert found["balance"].sentence == "groups have 1 to 2 pairs and count alike: their means are not over the same cells"


def test_a_row_without_a_test_has_no_verdict(study) -> None:
    effects = paired_effects(study(seeds=1, objectives=("none",)), factor="pretrain_images", baseline=0, treatment=20_000)
    found = checks(effects, 0)
    assert {one.passed for one in found} == {None}
    assert found[0].sentence == "no test was possible: a single pair, which has no spread"
    with pytest.raises(AnalysisError, match="row 9 is beyond the table of effects, which has 2"):
        checks(effects, 9)
    assert np.isnan(effects.table["p"]).all()
