import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from analysis import AnalysisError, paired_effects
from analysis.significance.equivalence import equivalence, tost
from analysis.significance.mixed import mixed_effect

OPTIONS = {"factor": "pretrain_images", "baseline": 0, "treatment": 20_000}


def arms(runs: pd.DataFrame, labels: int) -> tuple[np.ndarray, np.ndarray]:
    rows = runs[runs["finetune_images"] == labels].sort_values("seed")
    return tuple(rows.loc[rows["pretrain_images"] == one, "miou"].to_numpy() for one in (20_000, 0))


def test_paired_rows_agree_with_statsmodels_and_pingouin(study) -> None:
    runs = study(objectives=("none",), noise=0.02, seeds=6)
    table = equivalence(paired_effects(runs, **OPTIONS), margin=0.07)
    assert len(table) == 3
    for place, labels in enumerate((60, 600)):
        new, old = arms(runs, labels)
        p, (_, p_lower, _), (_, p_upper, _) = ttost_paired(new, old, -0.07, 0.07)
        row = table.iloc[place]
        assert (row["p_tost"], row["p_lower"], row["p_upper"]) == pytest.approx((p, p_lower, p_upper), abs=1e-10)
        theirs = pingouin.tost(new, old, bound=0.07, paired=True)
        assert row["p_tost"] == pytest.approx(float(theirs.filter(like="p").iloc[0, 0]), abs=1e-8)


@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(1, 200), st.floats(0.01, 3), st.floats(0.01, 0.2))
@settings(max_examples=50, deadline=None)
def test_the_verdict_follows_from_the_interval_and_from_p(estimate: float, error: float, df: float, margin: float, alpha: float) -> None:
    result = tost(estimate, error, df, margin=margin, alpha=alpha)
    if abs(result.p_tost - alpha) > 1e-9:
        assert (result.verdict == "equivalent") == (result.p_tost < alpha)
    assert (result.verdict == "equivalent") == (-margin < result.low and result.high < margin)
    assert (result.verdict == "differs") == (result.low > margin or result.high < -margin)
    mirrored = tost(-estimate, error, df, margin=margin, alpha=alpha)
    assert (mirrored.p_lower, mirrored.p_upper) == pytest.approx((result.p_upper, result.p_lower))


def test_mixed_models_and_summary_tables_are_taken_too(study) -> None:
    mixed = mixed_effect(paired_effects(study(objectives=("none",), noise=0.02), **OPTIONS))
    row = equivalence(mixed, margin=0.1).iloc[0]
    assert row["p_upper"] == pytest.approx(tost(mixed.estimate, mixed.standard_error, mixed.degrees_of_freedom, margin=0.1).p_upper)
    summary = pd.DataFrame({"label": ["a", "b", "c"], "difference": [0.0, 5.0, 0.0], "se": [0.1, 0.1, np.nan], "df": [np.inf, 4.0, 4.0]})
    table = equivalence(summary, margin=1.0)
    assert table["verdict"].tolist() == ["equivalent", "differs", "undecided"]
    assert table["label"].tolist() == ["a", "b", "c"]
    assert table["high"].iloc[0] == pytest.approx(0.1 * 1.6448536269514722)
    assert table["note"].tolist() == ["", "", "no spread is known"]


def test_rows_without_a_test_stay_undecided_and_say_why(study) -> None:
    table = equivalence(paired_effects(study(seeds=1, objectives=("none",)), **OPTIONS), margin=0.1)
    assert set(table["verdict"]) == {"undecided"}
    assert table["note"].iloc[0] == "a single pair, which has no spread"
    assert table["p_tost"].isna().all()


def test_a_margin_must_be_stated(study) -> None:
    with pytest.raises(AnalysisError, match="margin is 0: state the largest effect that would not matter, above zero"):
        tost(0.0, 1.0, 3.0, margin=0.0)
    with pytest.raises(AnalysisError, match=r"alpha is 0\.6: give a rate between 0 and 0\.5"):
        tost(0.0, 1.0, 3.0, margin=1.0, alpha=0.6)
    with pytest.raises(AnalysisError, match="the table of estimates has no column 'standard_error'"):
        equivalence(pd.DataFrame({"estimate": [1.0], "degrees_of_freedom": [3.0]}), margin=1.0)
