"""The linter of prose, and every sentence that analysis writes put through it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from analysis import (
    best_split,
    choose_law,
    combine_additive,
    compute_optimal_exponent,
    correlate,
    diminishing_returns,
    exchange_rate,
    findings,
    fit,
    fit_surface,
    load_published,
    main_effects,
    proxy_quality,
    speed_up,
    suggest_runs,
)
from analysis.claims.finding import Estimate, Findings
from analysis.claims.rules import format_estimate
from analysis.formatting import with_interval
from benchmarks.statistics.grids import simulate_grid
from benchmarks.statistics.worlds import PROXY_WORLDS, simulate_world
from tests.prose import complaints


@pytest.mark.parametrize(
    ("text", "slip"),
    [
        ("It raises top-1 top-1 accuracy.", "doubled word"),
        ("It changes the the score.", "doubled word"),
        ("Pre-training changes mIoU by +0.011 mIoU on average.", "doubled unit"),
        ("It changes top-1 accuracy by -0.011 top-1 accuracy.", "doubled unit"),
        ("A share of 5% % is lost.", "doubled unit"),
        ("After 100000 images it stops.", "number without separators"),
        ("From 1281167 on it stops.", "number without separators"),
        ("72 runs are too few for 1 terms.", "plural of one"),
        ("It rests on 1 independent pre-trainings.", "plural of one"),
        ("It has an interval (, ).", "empty parentheses"),
        ("It has none ().", "empty parentheses"),
        ("The interval of pair_regret is known.", "Python name"),
        ("The next size changes mIoU by +nan.", "Python name"),
        ("The level is None.", "Python name"),
        ("It is np.float64(0.5).", "Python name"),
        ("Give curvature=False.", "Python name"),
        ("It changes mIoU by -0.000.", "minus zero"),
        ("It lies between −0 and +0.003.", "minus zero"),
        ("It  stops.", "double space"),
        ("It stops , and starts.", "space before punctuation"),
        ("It stops..", "doubled punctuation"),
        ("It stops;.", "doubled punctuation"),
    ],
)
def test_each_slip_is_found_and_named(text: str, slip: str) -> None:
    assert [one.partition(":")[0] for one in complaints(text)] == [slip]


@pytest.mark.parametrize(
    "text",
    [
        "Pre-training raises top-1 accuracy by 0.042 (95% interval 0.040 to 0.044, p < 0.001, 72 pairs in 24 cells, 3 seeds).",
        "From 100,000 to 1,281,167 images mIoU changes by +0.011; 1 of 3 cells is above zero, 1 seed.",
        "The table has no column 'pretrain_steps': add it, or give `curvature=False`.",
        "Xie et al. 2022 (arXiv:2206.04664) had had one series; 1 series has one length.",
        "None of the 1,000 runs, of encoder nano/8@64 and stage pretrain-13c942bb897e, ... failed at 1e-05.",
        "By r = -0.79 the loss (SD 0.00097) says that that length decides; see finetune-00012345.",
        "Model size, SwinV2-Small to SwinV2-giant: +0.019.\n\n  A new line may be set in.",
        "It takes 3.14159 doublings, or 12 345 steps; top-1 scores are 1 class apart. Level 1 is low.",
    ],
)
def test_good_prose_has_no_complaint(text: str) -> None:
    assert complaints(text) == []


def test_a_number_that_rounds_to_zero_has_no_minus() -> None:
    assert with_interval(0.0, -0.00004, 0.31, level=0.95) == "0.00 (95% interval 0.00 to 0.31)"
    estimate = Estimate(what="effect", value=-0.0001, low=-0.0004, high=0.011, level=0.95, unit="mIoU")
    assert format_estimate(estimate, 0.4) == "+0.000 mIoU (95% interval +0.000 to +0.011, p = 0.40)"


def of_findings(found: Findings) -> Iterator[str]:
    for one in found:
        yield from (one.headline, one.sentence, one.claim, one.n, one.reading, one.test, *(check.sentence for check in one.checks))
        yield from (str(text) for name in ("label", "note", "n") if name in one.rows.columns for text in one.rows[name])
    for question, reason in found.unanswered:
        yield from (question, reason)
    yield from found.notes


def assert_clean(texts: Iterator[str] | list[str]) -> None:
    slips = {slip for text in texts for slip in complaints(str(text))}
    assert not slips, "\n".join(sorted(slips))


@pytest.mark.parametrize("name", ["diminishing-returns", "data-scaling"])
def test_findings_on_published_tables_read_well(name: str) -> None:
    assert_clean(of_findings(findings(load_published(name))))


def grids() -> Iterator[tuple[str, pd.DataFrame]]:
    random = np.random.default_rng(0)
    yield "a full grid", simulate_grid(random, pretraining_gain=0.06, intermediate_effect=-0.02, loss_slope=-1.0)
    yield "one seed", simulate_grid(random, seeds=1, pretraining_gain=0.06)
    yield "two sizes, two numbers of labels", simulate_grid(random, sizes=(0, 100_000), labels=(250, 500), intermediates=("none",))
    worlds = ("length only", "overfitting: longer training on 500 images raises the loss and lowers the score")
    for name in worlds:
        yield name, simulate_world(random, PROXY_WORLDS[name], seeds=3)
    yield "lost runs", simulate_world(random, PROXY_WORLDS["model only"], seeds=3, missing=0.2)
    few = simulate_world(random, PROXY_WORLDS["null"], seeds=2)
    yield "one data size", few[few["pretrain_images"].isin([0, 500])].reset_index(drop=True)


@pytest.mark.parametrize("name", dict(grids()))
def test_findings_and_main_effects_of_simulated_grids_read_well(name: str) -> None:
    runs = dict(grids())[name]
    assert_clean(of_findings(findings(runs)))
    effects = main_effects(runs)
    assert_clean([effects.headline(), *effects.sentences(), *effects.cautions()])


def test_correlations_read_well() -> None:
    runs = simulate_world(np.random.default_rng(1), PROXY_WORLDS["length only"], seeds=3)
    # these functions name columns as the caller does, so words stand for them here
    named = runs.dropna(subset=["val_mim_loss"]).rename(columns={"val_mim_loss": "loss", "miou": "score", "pretrain_steps": "steps"})
    named = named.rename(columns={"finetune_images": "labels"}).reset_index(drop=True)
    assert_clean([correlate(named, x="loss", y="score", within="labels").sentence])
    assert_clean(list(proxy_quality(named, loss="loss", score="score", within="labels", proxies={"longest training": "steps"}).sentences))


def test_fits_choices_and_decisions_read_well() -> None:
    random = np.random.default_rng(2)
    x = np.geomspace(100.0, 1_280_000.0, 12)
    noise = 1.0 + 0.01 * random.standard_normal((2, 12))
    one, other = (fit(x, (1.0 + size * x**-0.3) * noise[arm]) for arm, size in enumerate((8.0, 4.0)))
    flat = [fit(x, 0.6 + 0.02 * random.standard_normal(12) + 1e-4 * np.log(x), loss="squared") for _ in range(2)]
    grid = np.array([(n, d) for n in np.geomspace(1e7, 1e10, 5) for d in np.geomspace(1e9, 1e12, 5)])
    y = (1.69 + 406.4 * grid[:, 0] ** -0.34 + 410.7 * grid[:, 1] ** -0.28) * (1.0 + 0.01 * random.standard_normal(25))
    surface = fit_surface(grid, y, loss="log_squared", seed=0, bootstrap=50)
    chosen = choose_law(x, np.array(one.y))
    added = combine_additive({"N": one, "D": other}, {"N": x[5], "D": x[6]})
    texts = [
        *(decision.summary() for decision in (diminishing_returns(one, price=1e-5), diminishing_returns(other, noise_sd=0.01))),
        exchange_rate(other, one, 5000.0).summary(),
        exchange_rate(*flat, 5000.0, better="higher").sentence(),
        speed_up(other, one, at_y=1.4).summary(),
        speed_up(other, one, at_x=200_000.0).sentence(),
        best_split(surface, 1e20, {"product": 6.0}).summary(),
        best_split(added, 1e9, {"product": 6.0}).summary(),
        compute_optimal_exponent(surface).summary(),
        suggest_runs(one, x, ("predict", 1e7), x / 1e4, runs=3, gpu_hours=1000.0).summary(),
        *(line for line in chosen.summary().splitlines() if not line.startswith(" ")),
        one.status_detail,
        one.interval_method,
        surface.interval_method,
    ]
    assert_clean(texts)
