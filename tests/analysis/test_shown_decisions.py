"""Decisions and correlations show themselves: a chart that composes, a short print, names of the
table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, Fits, correlate, diminishing_returns, exchange_rate, fit, suggest_runs
from analysis.decisions.decision import Decision, with_names
from analysis.plots.labels import apart
from analysis.shown import MOST_LINES


@pytest.fixture(scope="module")
def fits() -> Fits:
    random = np.random.default_rng(4)
    rows = [
        (n, backbone, seed, 0.9 - 1.5 * n**-0.35 + gain + random.normal(0, 0.004))
        for backbone, gain in (("resnet", 0.0), ("vit", 0.03))
        for n in (100, 200, 400, 800, 1600)
        for seed in range(3)
    ]
    table = pd.DataFrame(rows, columns=["n_labels", "backbone", "seed", "acc"])
    return fit(table, x="n_labels", y="acc", by="backbone", cluster="seed")


@pytest.fixture(scope="module")
def decisions(fits: Fits) -> list[Decision]:
    return [
        diminishing_returns(fits["resnet"]),
        fits.exchange_rate("vit", "resnet", 400),
        fits.speed_up("vit", "resnet", at_y=0.75),
        suggest_runs(fits["resnet"], [1600, 3200], ("predict", 6400), 1.0, runs=2),
    ]


def test_every_decision_has_a_chart_that_composes_a_short_print_and_a_notebook_form(decisions: list[Decision]) -> None:
    whole = decisions[0].plot() | decisions[1].plot()
    assert len(whole.to_dict()["hconcat"]) == 2
    for one in decisions:
        assert one.plot().to_dict()["layer"]
        assert len(str(one).splitlines()) <= MOST_LINES
        assert "<svg" in one._repr_html_()
        assert len(one.shown_table())


def test_sentences_have_the_names_of_the_table(decisions: list[Decision]) -> None:
    returns, exchange, speed, _ = (one.sentence() for one in decisions)
    assert "another doubling of n_labels gains less than the noise of one run" in returns
    assert exchange.startswith("n_labels = 400 with 'vit' gives acc = 0.7")
    assert "does with 'resnet': worth" in exchange
    assert speed.startswith("acc = 0.750 takes n_labels = ")
    assert " with 'vit' and " in speed


def test_names_replace_x_and_y_alone() -> None:
    assert with_names("From x = 3 on, y = E + A x^-b; 'x' and 2x stay, dy/dx too.", "n", "acc").startswith("From n = 3 on, acc = E")
    assert with_names("a doubling of x gains 0.1 of y", "x", "y") == "a doubling of x gains 0.1 of y"
    assert with_names("of x and y", "finetune_images", "miou") == "of labels and mIoU"


def test_a_wrong_call_is_told_what_the_call_looks_like(fits: Fits) -> None:
    with pytest.raises(AnalysisError, match=r"fit holds the fits of several groups: take one, such as fits\['resnet'\]"):
        diminishing_returns(fits)  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match=r"with_fit is a DataFrame; this needs what analysis.fit returns, such as fit\("):
        exchange_rate(pd.DataFrame(), fits["vit"], 400)  # type: ignore[arg-type]


def test_a_correlation_shows_itself() -> None:
    random = np.random.default_rng(1)
    loss = random.normal(0.5, 0.05, 24)
    table = pd.DataFrame({"loss": loss, "score": -loss + random.normal(0, 0.02, 24), "labels": [100, 200] * 12})
    table = table.assign(pretrain_id=[f"p{place // 2}" for place in range(24)], seed=0)
    found = correlate(table, x="loss", y="score", within="labels")
    assert str(found).startswith(found.sentence[:40])
    assert len(str(found).splitlines()) <= MOST_LINES
    assert repr(found) == "<Correlation of loss with score, 24 runs>"
    assert found.plot().to_dict()["layer"][0]["encoding"]["color"]["field"] == "group"
    assert found.shown_table()["group"].iloc[0] == "all"
    assert "<svg" in found._repr_html_()


def test_labels_are_moved_apart_as_little_as_may_be() -> None:
    assert np.diff(apart([10.0, 10.0, 10.0], gap=10.0, low=0.0, high=100.0)) == pytest.approx([10.0, 10.0], abs=1e-3)
    assert apart([20.0, 60.0], gap=10.0, low=0.0, high=100.0) == [20.0, 60.0]
