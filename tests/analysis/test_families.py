"""Corrections by family, claims about every cell, and claims that are out of reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import findings, load_published
from analysis.claims.listing import formatted
from analysis.claims.pretraining import QUESTIONS as PRETRAINING
from analysis.claims.rules import for_every_cell, unreachable_with
from analysis.claims.varied import QUESTIONS as VARIED
from analysis.significance.multiplicity import adjust
from analysis.significance.power import power_of
from analysis.student import t_p_value, t_quantile
from benchmarks.statistics.worlds import PRIMARY, World, is_wrong, simulate_world


def rows_of(scores: np.ndarray) -> pd.DataFrame:
    """Rows of paired differences, shape (cells, seeds)."""
    seeds = scores.shape[1]
    mean, error = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(seeds)
    half = t_quantile(0.95, seeds - 1.0) * error
    p = np.array([t_p_value(float(one), seeds - 1.0) for one in mean / error])
    return pd.DataFrame({"estimate": mean, "low": mean - half, "high": mean + half, "p": p, "p_holm": adjust(p)})


@pytest.mark.parametrize("name", ["diminishing-returns", "data-scaling"])
def test_each_family_is_corrected_by_itself(name: str) -> None:
    found = findings(load_published(name))
    for family, method in (("primary", "holm"), ("secondary", "bh")):
        mine = [one for one in found if one.family == family and one.requires not in {other.identity for other in found if other.verdict == "open"}]
        assert len(mine) >= 2
        np.testing.assert_allclose([one.p_adjusted for one in mine], adjust([one.p for one in mine], method=method))  # type: ignore[arg-type]


def test_a_main_effect_of_more_than_two_seed_sds_is_found_with_three_seeds() -> None:
    verdicts = []
    for seed in range(16):
        runs = simulate_world(np.random.default_rng([4, seed]), World(pretraining=0.022), seeds=3)
        verdicts.append(findings(runs, questions=(*PRETRAINING, *VARIED))["pretraining-helps-on-average"].verdict)
    assert verdicts.count("supported") >= 10
    assert "refuted" not in verdicts


def test_a_claim_about_every_cell_is_wrong_in_at_most_five_percent_where_one_cell_has_no_effect() -> None:
    random = np.random.default_rng(0)
    tables = [rows_of(np.array([[0.0], [5.0], [5.0]]) + random.standard_normal((3, 4))) for _ in range(600)]
    wrong = sum(for_every_cell(rows, +1)[0] == "supported" for rows in tables)
    assert wrong / 600 <= 0.05  # one cell's two-sided test at 5%, in one direction: 2.5%


def test_a_claim_that_so_few_seeds_cannot_show_says_how_many_it_takes() -> None:
    random = np.random.default_rng(1)
    rows = rows_of(1.5 + random.standard_normal((12, 3)))
    said = unreachable_with(rows, [3] * 12, +1, 0.95)
    assert said.startswith("cannot be shown with 3 seeds: it takes about ")
    needed = int(said.split()[-1])
    sd = float(np.sqrt(np.mean([((row["high"] - row["estimate"]) / t_quantile(0.95, 2.0)) ** 2 * 3 for _, row in rows.iterrows()])))
    effect = float(rows["estimate"].mean())
    assert power_of(effect, sd=sd, seeds=needed) ** 12 >= 0.8 > power_of(effect, sd=sd, seeds=needed - 1) ** 12
    assert unreachable_with(rows, [3] * 12, -1, 0.95) == ""  # the effect is in the other direction
    assert unreachable_with(rows_of(9.0 + random.standard_normal((3, 8))), [8] * 3, +1, 0.95) == ""


def test_claims_out_of_reach_are_listed_apart() -> None:
    runs = simulate_world(np.random.default_rng(0), World(pretraining=0.022), seeds=3)
    found = findings(runs, questions=PRETRAINING)
    every = found["pretraining-helps-everywhere"]
    assert every.verdict == "open"
    assert every in found.unreachable
    assert every.headline.startswith("Whether pre-training raises mIoU in every cell cannot be shown with 3 seeds: it takes about ")
    text = formatted(found)
    assert text.index("OUT OF REACH") < text.index("in every cell cannot be shown with 3 seeds")


def test_the_benchmark_decides_primary_claims_as_findings_does() -> None:
    for seed, world in enumerate((World(pretraining=0.03, length=0.03), World(proxy=-0.9, model=0.03), World())):
        runs = simulate_world(np.random.default_rng([9, seed]), world, seeds=5)
        whole = {one.identity: one for one in findings(runs).primary}
        fast = {one.identity.replace("varied-pretraining", "pretraining-helps-on-average"): one for one in findings(runs, questions=PRIMARY).primary}
        assert fast.keys() == whole.keys()
        for identity, one in fast.items():
            assert one.verdict == whole[identity].verdict, identity
            assert one.p_adjusted == pytest.approx(whole[identity].p_adjusted), identity


def test_wrong_verdicts_are_counted_by_sign_and_margin() -> None:
    runs = simulate_world(np.random.default_rng(0), World(length=0.05), seeds=5)
    one = findings(runs, questions=PRIMARY)["varied-pretrain-length"]
    assert one.verdict == "supported"
    assert not is_wrong(one, World(length=0.05))
    assert is_wrong(one, World())
    assert is_wrong(one, World(length=-0.05))
