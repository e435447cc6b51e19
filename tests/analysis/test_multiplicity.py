import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from analysis import AnalysisError, pretraining_effects
from analysis.significance.multiplicity import adjust

P = st.lists(st.floats(0.0, 1.0) | st.just(float("nan")), min_size=1, max_size=12).map(np.array)


def test_both_corrections_by_hand() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03])
    assert adjust(p).tolist() == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)
    assert adjust(p, "bh").tolist() == pytest.approx([0.03, 0.04, np.nan, 0.04], nan_ok=True)


def test_the_example_of_benjamini_and_hochberg_1995_rejects_four_and_holm_three() -> None:
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert int((adjust(p, "bh") <= 0.05).sum()) == 4  # section 2.2 of J. R. Stat. Soc. B 57:289
    assert int((adjust(p, "holm") <= 0.05).sum()) == 3


@given(P)
@settings(deadline=None)
def test_order_is_kept_and_nothing_shrinks_and_missing_p_do_not_count(p: np.ndarray) -> None:
    there = ~np.isnan(p)
    for method in ("holm", "bh"):
        corrected = adjust(p, method)
        assert np.array_equal(np.isnan(corrected), ~there)
        assert (corrected[there] >= p[there] - 1e-15).all()
        assert (corrected[there] <= 1.0).all()
        order = np.argsort(p[there], kind="stable")
        assert (np.diff(corrected[there][order]) >= 0).all()
        assert adjust(p[there], method).tolist() == corrected[there].tolist()


def test_the_numbers_are_those_of_statsmodels_also_with_ties() -> None:
    random = np.random.default_rng(0)
    for p in (random.random(12), random.random(7) * 0.05, np.round(random.random(30), 1), np.array([0.03])):
        for method, name in (("holm", "holm"), ("bh", "fdr_bh")):
            assert adjust(p, method) == pytest.approx(multipletests(p, method=name)[1], abs=1e-14)


def test_why_holm_is_not_taken_from_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    monkeypatch.setattr("gc.collect", lambda *_: collected.append(1))
    corrected = multipletests([0.01, np.nan, 0.04], method="holm")[1]
    assert collected, "it collects garbage at every call"
    assert corrected[0] != adjust([0.01, np.nan, 0.04])[0], "a missing p counts in its family"


@given(P)
@settings(deadline=None)
def test_benjamini_hochberg_is_never_stricter_than_holm(p: np.ndarray) -> None:
    there = ~np.isnan(p)
    assert (adjust(p, "bh")[there] <= adjust(p, "holm")[there] + 1e-12).all()


def test_every_table_of_effects_has_both(study) -> None:
    effects = pretraining_effects(study(noise=0.02))
    for table in (effects.table, effects.overall):
        for column, method in (("p_holm", "holm"), ("p_bh", "fdr_bh")):
            assert table[column].to_numpy() == pytest.approx(multipletests(table["p"], method=method)[1], abs=1e-15)


def test_an_unknown_correction_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"method 'sidak' is not a correction of p-values: give 'holm' or 'bh'\."):
        adjust([0.1], "sidak")  # type: ignore[arg-type]
