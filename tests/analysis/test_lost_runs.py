"""Lost runs cost their own cell and nothing else; small effects are negligible, never refuted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import findings, main_effects
from analysis.claims.claim_table import prepare
from analysis.claims.contrasts import contrast
from analysis.claims.finding import Findings
from analysis.claims.intermediate import QUESTIONS as INTERMEDIATE
from analysis.claims.pretraining import QUESTIONS as PRETRAINING
from analysis.claims.returns import QUESTIONS as RETURNS
from analysis.claims.varied import QUESTIONS as VARIED
from analysis.student import t_p_value
from benchmarks.statistics.worlds import SEED_SD, World, simulate_world

OPPOSITE = {("supported", "refuted"), ("refuted", "supported")}


def asked(runs: pd.DataFrame) -> Findings:
    return findings(runs, questions=(*PRETRAINING, *RETURNS))


def simulated(seed: int, world: World, *, seeds: int = 3, missing: float = 0.0) -> pd.DataFrame:
    return simulate_world(np.random.default_rng(seed), world, seeds=seeds, missing=missing)


def test_in_a_complete_grid_a_contrast_is_the_t_test_over_seeds() -> None:
    table = prepare(simulated(0, World()), outcome=None, level=0.95, margin=None)
    weights = {0: 0.5, 1: 0.5, 2: -1.0}
    values = table.by_seed[list(weights)].to_numpy() @ np.array(list(weights.values()))
    found = contrast(table, weights, spread="sd")
    assert found.value == pytest.approx(values.mean())
    assert found.p == pytest.approx(t_p_value(values.mean() / (values.std(ddof=1) / np.sqrt(3)), 2))
    assert (found.df, found.scale) == (2.0, 1.0)


def test_a_pair_with_a_lost_run_is_not_used_and_the_others_are() -> None:
    runs = simulated(0, World(pretraining=0.03))
    whole = asked(runs)["pretraining-helps-on-average"]
    lost = asked(runs.drop(index=runs.index[runs["pretrain_images"] > 0][0]))["pretraining-helps-on-average"]
    assert "144 pairs in 48 cells, 3 seeds" in whole.sentence
    assert "143 pairs in 48 cells, 3 seeds" in lost.sentence


def test_losing_one_run_turns_no_verdict_into_its_opposite() -> None:
    runs = simulated(1, World(pretraining=0.03, images=0.02))
    runs = runs[runs["finetune_images"].isin([60, 480]) & (runs["encoder"] == "pico/8@64")].reset_index(drop=True)
    whole = {one.identity: one.verdict for one in asked(runs)}
    assert "supported" in whole.values()
    for lost in runs.index[::2]:
        for one in asked(runs.drop(index=lost)):
            assert (whole[one.identity], one.verdict) not in OPPOSITE, (lost, one.identity)


def study_of_129_runs(seed: int) -> pd.DataFrame:
    """A simulated table in the shape of a study on a GPU: scratch and three sizes at two lengths,
    four numbers of labels, an intermediate stage after scratch and the shorter length, three seeds;
    three runs are missing.
    """
    random, rows = np.random.default_rng(seed), []
    for one in range(3):
        of_seed, of_labels = 0.003 * random.standard_normal(), 0.002 * random.standard_normal(4)
        for images, length in [(0, 0), *[(images, length) for images in (500, 2000, 20_000) for length in (100_000, 512_000)]]:
            own = 0.004 * random.standard_normal() if images else 0.0
            for stage in ("none", "classification") if length < 512_000 else ("none",):
                of_stage = 0.003 * random.standard_normal() if stage != "none" else 0.0
                for place, labels in enumerate((60, 120, 240, 480)):
                    gain = (0.021 + 0.042 * (length > 100_000)) * (images > 0)
                    score = 0.42 + 0.01 * place + gain + of_seed + of_labels[place] + own + of_stage + 0.006 * random.standard_normal()
                    identity = f"{images}-{length}-{one}" if images else None
                    setting = (one, identity, images, f"{length} images" if images else None, stage, labels)
                    rows.append((*setting, f"{images}-{length}-{stage}-{one}" if stage != "none" else None, score))
    names = ["seed", "pretrain_id", "pretrain_images", "pretrain_length", "intermediate", "finetune_images", "intermediate_id", "miou"]
    table = pd.DataFrame(rows, columns=names)
    assert len(table) == 132
    return table.drop(index=random.choice(132, 3, replace=False)).reset_index(drop=True)


@pytest.mark.slow
def test_losing_a_run_of_a_study_of_129_turns_no_verdict_into_its_opposite() -> None:
    def verdicts(runs: pd.DataFrame) -> dict[str, str]:
        return {one.identity: one.verdict for one in findings(runs, questions=(*PRETRAINING, *VARIED, *INTERMEDIATE[:1]))}

    runs = study_of_129_runs(0)
    whole = verdicts(runs)
    assert (whole["pretraining-helps-on-average"], whole["varied-pretrain-length"]) == ("supported", "supported")
    for lost in runs.index[::13]:  # of every length, stage and number of labels: 13 is prime to the 4, 8 and 44 in a block
        now = verdicts(runs.drop(index=lost))
        assert now.keys() == whole.keys()
        for identity, verdict in now.items():
            assert (whole[identity], verdict) not in OPPOSITE, (lost, identity)
        assert now["varied-pretrain-length"] == now["pretraining-helps-on-average"] == "supported", lost


def test_contrasts_and_main_effects_are_one_sum_in_a_complete_grid_and_close_where_runs_are_lost() -> None:
    for missing, close in ((0.0, 1e-9), (0.1, 0.002)):
        runs = simulated(2, World(pretraining=0.03), missing=missing)
        row = main_effects(runs).table.set_index("axis").loc["pretraining"]
        estimate = findings(runs, questions=PRETRAINING)["pretraining-helps-on-average"].estimate
        assert estimate is not None
        assert [estimate.value, estimate.low, estimate.high] == pytest.approx(row[["effect", "low", "high"]].tolist(), abs=close * 3)
        assert estimate.value == pytest.approx(row["effect"], abs=close)


def test_a_tenth_of_the_runs_missing_leaves_a_test_in_every_table() -> None:
    for seed in range(3):
        found = asked(simulated(seed, World(pretraining=0.03), missing=0.1))
        assert np.isfinite(found["pretraining-helps-on-average"].p)
        assert np.isfinite(found["last-doubling-pretrain"].p)


def test_a_small_true_effect_is_never_refuted_by_its_size() -> None:
    verdicts = [asked(simulated(seed, World(pretraining=0.5 * SEED_SD)))["pretraining-helps-on-average"].verdict for seed in range(8)]
    assert verdicts.count("refuted") <= 1


def test_the_margin_is_of_the_noise_or_the_range_whichever_is_smaller_and_is_scaled() -> None:
    table = prepare(simulated(0, World(), seeds=8), outcome=None, level=0.95, margin=None)
    assert table.margin <= 0.05 * np.ptp(table.means) + 1e-4
    assert "smaller of half the scatter of single runs" in table.margin_reason
    assert table.margin_of(0.5) == table.margin / 2
    stated = prepare(simulated(0, World()), outcome=None, level=0.95, margin=0.01)
    assert stated.margin_of(0.5) == 0.01
